//! Hexadecimal: two digits per byte.

use data_encoding::HEXLOWER;

/// Encodes the text into bytes. Stops before the first pair that is not two digits; a single digit at the
/// end is ignored.
// WR-25
pub(super) fn encode(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks_exact(2)
        .map_while(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

pub(super) fn decode(bytes: &[u8], out: &mut String) {
    HEXLOWER.encode_append(bytes, out);
}

fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        b'A'..=b'F' => Some(letter - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wr_25_digits_are_read_in_both_cases_and_written_in_lower_case() {
        assert_eq!(encode("00ffAbCd"), [0x00, 0xFF, 0xAB, 0xCD]);
        let mut text = String::new();
        decode(&[0x00, 0xFF, 0xAB, 0xCD], &mut text);
        assert_eq!(text, "00ffabcd");
    }

    #[test]
    fn wr_25_the_first_bad_pair_ends_the_bytes() {
        assert_eq!(encode("abc"), [0xAB]);
        for text in ["abzz", "abcz", "abzc", "ab cd", "abéc", "abcé", "ab€cd", "ab0xcd"] {
            assert_eq!(encode(text), [0xAB], "{text}");
        }
        assert_eq!(encode("zz"), b"");
        assert_eq!(encode("0"), b"");
    }

    #[test]
    fn wr_25_a_character_with_the_low_byte_of_a_digit_is_not_a_digit() {
        // Node reads U+0130 as U+0030.
        assert_eq!(encode("abİİ"), [0xAB]);
    }
}
