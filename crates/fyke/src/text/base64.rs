//! Base64, which encodes three bytes as four letters of six bits (RFC 4648).
//!
//! ```text
//! aaaaaaaa bbbbbbbb cccccccc
//! 00aaaaaa 00aabbbb 00bbbbcc 00cccccc
//! ```

use data_encoding::{BASE64, BASE64URL_NOPAD};

use super::held::Held;

/// The standard alphabet with `+` and `/`, padded with `=` to a multiple of four letters.
pub(super) const PADDED: data_encoding::Encoding = BASE64;
/// The URL-safe alphabet with `-` and `_`, without padding.
pub(super) const FOR_URLS: data_encoding::Encoding = BASE64URL_NOPAD;

/// The number of bytes that are encoded together.
const GROUP_BYTES: usize = 3;

/// Encodes the text into bytes. Accepts both alphabets, skips all other characters, and stops at the
/// padding. A single letter at the end is not enough for a byte, and the remaining bits are ignored.
// WR-25
pub(super) fn encode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * GROUP_BYTES + 2);
    let mut bits = 0_u32;
    let mut bit_count = 0;
    let letters = text.bytes().take_while(|letter| *letter != b'=');
    for sextet in letters.filter_map(sextet) {
        bits = bits << 6 | u32::from(sextet);
        bit_count += 6;
        if bit_count >= 8 {
            bit_count -= 8;
            bytes.push((bits >> bit_count) as u8);
        }
    }
    bytes
}

/// Appends the letters of the complete groups.
pub(super) fn decode(
    letters: &data_encoding::Encoding,
    held: &mut Held,
    mut bytes: &[u8],
    out: &mut String,
) {
    if !held.is_empty() {
        held.take_from(&mut bytes, GROUP_BYTES - held.len());
        if held.len() < GROUP_BYTES {
            return;
        }
        letters.encode_append(held.as_slice(), out);
        held.clear();
    }
    let (complete, rest) = bytes.split_at(bytes.len() - bytes.len() % GROUP_BYTES);
    letters.encode_append(complete, out);
    held.extend(rest);
}

fn sextet(letter: u8) -> Option<u8> {
    match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wr_25_both_alphabets_are_accepted_even_mixed() {
        for text in ["++//", "--__", "+-/_"] {
            assert_eq!(encode(text), [0xFB, 0xEF, 0xFF], "{text}");
        }
    }

    #[test]
    fn wr_25_characters_that_are_not_base64_are_skipped() {
        for text in ["Zn lr\r\nZQ", "Z!n?l.r%Z^Q", "ZnélrZ€Q", "\u{0}ZnlrZQ😀"] {
            assert_eq!(encode(text), b"fyke", "{text}");
        }
        // Node reads U+0141 as U+0041, an A.
        assert_eq!(encode("ŁZnlrZQ"), b"fyke");
    }

    #[test]
    fn wr_25_padding_is_optional_and_ends_the_bytes() {
        for text in ["ZnlrZQ==", "ZnlrZQ=", "ZnlrZQ", "ZnlrZQ==ZnlrZQ==", "ZnlrZQ=!=", "ZnlrZQ==\n"]
        {
            assert_eq!(encode(text), b"fyke", "{text}");
        }
        assert_eq!(encode("=bad"), b"");
    }

    #[test]
    fn wr_25_bits_that_do_not_complete_a_byte_are_dropped() {
        assert_eq!(encode("Z"), b"");
        assert_eq!(encode("ZnlrZ"), b"fyk");
        assert_eq!(encode("ZnlrZX"), b"fyke");
    }

    #[test]
    fn rd_16_one_or_two_bytes_wait_for_the_third() {
        let mut held = Held::default();
        let mut text = String::new();
        for (byte, waiting) in [(0xFB, 1), (0xEF, 2), (0xFF, 0)] {
            assert_eq!(text, "");
            decode(&FOR_URLS, &mut held, &[byte], &mut text);
            assert_eq!(held.len(), waiting);
        }
        assert_eq!(text, "--__");
        decode(&PADDED, &mut held, &[0xFB, 0xEF, 0xFF, 0x00], &mut text);
        assert_eq!((text.as_str(), held.as_slice()), ("--__++//", &[0x00][..]));
    }
}
