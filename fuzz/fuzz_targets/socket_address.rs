//! Socket addresses as text and as JSON: every parsed address round-trips through both forms.

#![no_main]

use fyke::{Family, SocketAddress};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(address) = SocketAddress::parse(text) {
        assert_eq!(SocketAddress::parse(&address.to_string()), Some(address));
        check_json(address);
    }
    for family in [Family::V4, Family::V6] {
        if let Ok(address) = SocketAddress::from_text(text, 1, family) {
            assert_eq!(address.family(), family);
            let printed = address.address().to_string();
            assert_eq!(SocketAddress::from_text(&printed, 1, family).ok(), Some(address));
        }
    }
    if let Ok(address) = serde_json::from_str(text) {
        check_json(address);
    }
});

fn check_json(address: SocketAddress) {
    let json = serde_json::to_string(&address).unwrap();
    assert_eq!(serde_json::from_str::<SocketAddress>(&json).ok(), Some(address), "{json}");
}
