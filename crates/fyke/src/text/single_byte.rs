//! The encodings with one byte per character: latin1 and ascii.

/// Encodes the low byte of each UTF-16 unit. Node's ascii keeps the top bit when it encodes, so both
/// encodings do the same.
pub(super) fn encode(text: &str) -> Vec<u8> {
    if text.is_ascii() {
        return text.as_bytes().to_vec();
    }
    text.encode_utf16().map(|unit| unit.to_le_bytes()[0]).collect()
}

pub(super) fn decode_latin1(bytes: &[u8], out: &mut String) {
    push_characters(bytes, |byte| byte, out);
}

pub(super) fn decode_ascii(bytes: &[u8], out: &mut String) {
    push_characters(bytes, |byte| byte & 0x7F, out);
}

fn push_characters(bytes: &[u8], character: impl Fn(u8) -> u8, out: &mut String) {
    // Most data in these encodings is ASCII, which can be copied without conversion.
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => out.push_str(text),
        _ => out.extend(bytes.iter().map(|byte| char::from(character(*byte)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_byte() -> Vec<u8> {
        (0..=u8::MAX).collect()
    }

    fn text(decode: impl Fn(&[u8], &mut String), bytes: &[u8]) -> String {
        let mut out = String::new();
        decode(bytes, &mut out);
        out
    }

    #[test]
    fn rd_16_all_256_values_survive_latin1_in_bulk_and_singly() {
        let bulk = text(decode_latin1, &every_byte());
        assert_eq!(bulk.chars().count(), 256);
        assert_eq!(encode(&bulk), every_byte());
        for byte in every_byte() {
            let single = text(decode_latin1, &[byte]);
            assert_eq!((single.chars().next(), single.chars().count()), (Some(byte.into()), 1));
            assert_eq!(encode(&single), [byte]);
        }
    }

    #[test]
    fn rd_16_ascii_clears_the_top_bit() {
        let expected: Vec<_> = every_byte().iter().map(|byte| byte & 0x7F).collect();
        assert_eq!(text(decode_ascii, &every_byte()).as_bytes(), expected);
        assert_eq!(text(decode_ascii, &[0xE9]), "i");
        // Valid UTF-8 for one character, but two characters in this encoding.
        assert_eq!(text(decode_ascii, "é".as_bytes()), "C)");
    }

    #[test]
    fn wr_25_characters_above_u_00ff_keep_the_low_byte() {
        assert_eq!(encode("aĀ€"), [0x61, 0x00, 0xAC]);
        // A surrogate pair has two units: D83D, DE00.
        assert_eq!(encode("😀"), [0x3D, 0x00]);
    }
}
