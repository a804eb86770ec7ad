//! Endpoints as text: every parsed endpoint round-trips through its text.

#![no_main]

use fyke::Endpoint;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(endpoint) = text.parse::<Endpoint>() {
        let printed = endpoint.to_string();
        let again = printed.parse::<Endpoint>();
        assert_eq!(again.ok(), Some(endpoint), "{text:?} is printed as {printed:?}");
    }
});
