//! The ClientHello parser of `fyke relay --route`: the result does not depend on how the bytes are split. The
//! first byte is the size of the pieces.

#![no_main]

// The command has no library, so the parser is included here.
#[allow(dead_code, unused_imports, reason = "only the parser is used")]
#[path = "../../crates/fyke-cli/src/relay/client_hello.rs"]
mod client_hello;

use client_hello::{HELLO_BYTES_MAX, Parsed, Reader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((size, received)) = input.split_first() else { return };
    let size = usize::from(*size).max(1);
    let mut whole = Reader::default();
    let expected = whole.read(received);
    let mut reader = Reader::default();
    for end in (0..received.len()).step_by(size).chain([received.len()]) {
        let parsed = reader.read(&received[..end]);
        if parsed != Parsed::Incomplete || end == received.len() {
            assert_eq!(parsed, expected);
            break;
        }
        assert!(end < HELLO_BYTES_MAX + 5, "{end} bytes are neither complete nor refused");
    }
    if let Parsed::Hello(hello) = expected {
        assert!(hello.server_name.is_none_or(|name| (1..=255).contains(&name.len())));
        assert!(hello.protocols().all(|protocol| !protocol.is_empty()));
    }
});
