//! The bytes that a scenario writes (FORMAT.md 4.1 and 4.6).

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use fyke::Payload;

use crate::scenario::Fields;

/// A period that is no power of two, so that lost or swapped blocks show.
const PERIOD: usize = 65_521;

/// What `write` or `end` is given; none if nothing is.
pub(crate) fn payload(fields: &Fields) -> Option<Payload<'static>> {
    if let Some(length) = fields.count("big") {
        return Some(pattern(length).into());
    }
    if let Some(hex) = fields.text("hex") {
        return HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok().map(Payload::from);
    }
    let text = fields.text("data")?;
    match fields.text("encoding") {
        None => Some(text.to_owned().into()),
        Some(encoding) => encode(text, encoding).map(Payload::from),
    }
}

/// Text in one of Node's encodings. fyke takes bytes (WR-25), so this is the caller's work.
pub(crate) fn encode(text: &str, encoding: &str) -> Option<Vec<u8>> {
    match encoding.to_ascii_lowercase().as_str() {
        "utf8" | "utf-8" => Some(text.as_bytes().to_vec()),
        "latin1" | "binary" | "ascii" => Some(text.encode_utf16().map(|unit| unit as u8).collect()),
        "utf16le" | "ucs2" => Some(text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        "hex" => HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok(),
        "base64" => BASE64.decode(text.as_bytes()).ok(),
        _ => None,
    }
}

fn pattern(length: usize) -> Vec<u8> {
    let byte = |j: usize| (j * 7 + (j >> 8) * 13) as u8;
    let period: Vec<u8> = (0..PERIOD.min(length)).map(byte).collect();
    // By whole periods: some scenarios write 32 MiB between two timers.
    let mut bytes = period.repeat(length / PERIOD);
    bytes.extend_from_slice(&period[..length % PERIOD]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_follows_its_formula_and_repeats() {
        let bytes = pattern(PERIOD + 300);
        assert_eq!(bytes[..3], [0, 7, 14]);
        assert_eq!(bytes[256], ((256 * 7 + 13) % 256) as u8);
        assert_eq!(bytes[PERIOD..], bytes[..300]);
    }

    #[test]
    fn text_is_encoded_as_node_does() {
        assert_eq!(encode("aé", "latin1").unwrap(), [0x61, 0xe9]);
        assert_eq!(encode("a", "utf16le").unwrap(), [0x61, 0]);
        assert_eq!(encode("6869", "hex").unwrap(), b"hi");
        assert_eq!(encode("aGk=", "base64").unwrap(), b"hi");
        assert_eq!(encode("x", "klingon"), None);
    }
}
