//! The text decoder: bytes split into any chunks decode to the same text as in one piece. The first
//! byte selects the encoding, each chunk begins with its length.

#![no_main]

// The decoder is not part of the library's public API, so it is included here.
#[allow(dead_code, unused_imports, reason = "only the decoder is used")]
#[path = "../../crates/fyke/src/text/mod.rs"]
mod text;

use fyke::{Error, ErrorCode, Result};
use libfuzzer_sys::fuzz_target;
use text::{Decoder, Encoding};

const ENCODINGS: [Encoding; 7] = [
    Encoding::Utf8,
    Encoding::Utf16Le,
    Encoding::Latin1,
    Encoding::Ascii,
    Encoding::Hex,
    Encoding::Base64,
    Encoding::Base64Url,
];

fuzz_target!(|input: &[u8]| {
    let Some((first, mut rest)) = input.split_first() else { return };
    let encoding = ENCODINGS[usize::from(*first) % ENCODINGS.len()];
    let mut whole = Vec::new();
    let mut pieces = String::new();
    let mut decoder = Decoder::new(encoding);
    while let Some((len, bytes)) = rest.split_first() {
        let (chunk, after) = bytes.split_at(bytes.len().min(usize::from(*len) % 8));
        decoder.decode(chunk, &mut pieces);
        whole.extend_from_slice(chunk);
        rest = after;
    }
    decoder.finish(&mut pieces);

    let mut at_once = String::new();
    let mut decoder = Decoder::new(encoding);
    decoder.decode(&whole, &mut at_once);
    decoder.finish(&mut at_once);
    assert_eq!(pieces, at_once, "{encoding}");

    match encoding {
        Encoding::Utf8 => assert_eq!(at_once, String::from_utf8_lossy(&whole)),
        Encoding::Utf16Le => {
            let units = whole.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
            assert_eq!(at_once, String::from_utf16_lossy(&units.collect::<Vec<_>>()));
        }
        // Loses the eighth bit.
        Encoding::Ascii => assert_eq!(at_once.len(), whole.len()),
        _ => assert_eq!(encoding.encode(&at_once), whole, "{encoding}"),
    }
});
