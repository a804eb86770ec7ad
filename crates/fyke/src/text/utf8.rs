//! UTF-8: a character has one to four bytes, and the first byte determines the number.
//!
//! ```text
//! 0xxxxxxx                              U+0000–U+007F
//! 110xxxxx 10xxxxxx                     U+0080–U+07FF
//! 1110xxxx 10xxxxxx 10xxxxxx            U+0800–U+FFFF
//! 11110xxx 10xxxxxx 10xxxxxx 10xxxxxx   U+10000–U+10FFFF
//! ```

use super::held::Held;

/// Appends the complete characters. Node decides by bit patterns alone which bytes to hold back, so it also
/// holds back bytes that can no longer become a character (`E0 80`). This function does the same, so that
/// each chunk produces the same text.
pub(super) fn decode(held: &mut Held, mut bytes: &[u8], out: &mut String) {
    if let Some(&first) = held.as_slice().first() {
        let missing = character_bytes(first) - held.len();
        let fitting = bytes.iter().take(missing).take_while(|byte| is_continuation(**byte)).count();
        held.take_from(&mut bytes, fitting);
        if fitting < missing && bytes.is_empty() {
            return;
        }
        push_lossy(held.as_slice(), out);
        held.clear();
    }
    // Split before validating: `from_utf8` would stop at an incomplete end, and the text before it would
    // have to be validated again.
    let (complete, rest) = bytes.split_at(bytes.len() - incomplete_bytes(bytes));
    push_lossy(complete, out);
    held.extend(rest);
}

/// Appends text with one U+FFFD for each maximal subpart of an invalid character, as Unicode (3.9, U+FFFD
/// Substitution of Maximal Subparts) recommends and the WHATWG's decoder does.
pub(super) fn push_lossy(bytes: &[u8], out: &mut String) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        out.push_str(text);
        return;
    }
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// The number of bytes at the end that are an incomplete character.
fn incomplete_bytes(bytes: &[u8]) -> usize {
    // A character that starts four bytes before the end is always complete.
    for (behind, byte) in bytes.iter().rev().take(3).enumerate() {
        if !is_continuation(*byte) {
            let present = behind + 1;
            return if character_bytes(*byte) > present { present } else { 0 };
        }
    }
    0
}

/// The number of bytes of the character that starts with this byte; 1 for a byte that cannot start a
/// character.
fn character_bytes(first: u8) -> usize {
    match first {
        0xC0..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF7 => 4,
        _ => 1,
    }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the text of each chunk, and the bytes that are held back after the last one.
    fn decode_each(chunks: &[&[u8]]) -> (Vec<String>, Vec<u8>) {
        let mut held = Held::default();
        let texts = chunks
            .iter()
            .map(|chunk| {
                let mut text = String::new();
                decode(&mut held, chunk, &mut text);
                text
            })
            .collect();
        (texts, held.as_slice().to_vec())
    }

    #[test]
    fn rd_15_a_character_may_be_split_at_every_byte() {
        for text in ["é", "€", "😀", "\u{FEFF}", "\u{10FFFF}"] {
            let bytes = text.as_bytes();
            for border in 1..bytes.len() {
                let (texts, held) = decode_each(&[&bytes[..border], &bytes[border..]]);
                assert_eq!((texts.concat().as_str(), held), (text, vec![]));
                assert_eq!(texts[0], "");
            }
        }
    }

    #[test]
    fn rd_15_a_byte_that_does_not_continue_the_character_ends_the_wait() {
        let (texts, held) = decode_each(&[&[0xE2, 0x82], b"A"]);
        assert_eq!((texts, held), (vec![String::new(), "\u{FFFD}A".into()], vec![]));
        let (texts, held) = decode_each(&[&[0xF0, 0x9F], &[0x98, 0xE2, 0x82]]);
        assert_eq!((texts, held), (vec![String::new(), "\u{FFFD}".into()], vec![0xE2, 0x82]));
    }

    #[test]
    fn rd_15_bytes_that_can_no_longer_form_a_character_also_wait_as_in_node() {
        let (texts, held) = decode_each(&[&[0xE0, 0x80]]);
        assert_eq!((texts, held), (vec![String::new()], vec![0xE0, 0x80]));
        let (texts, held) = decode_each(&[&[0xF5], &[0x80], b"A"]);
        assert_eq!((texts.concat().as_str(), held), ("\u{FFFD}\u{FFFD}A", vec![]));
    }

    #[test]
    fn rd_15_bytes_that_cannot_start_a_character_do_not_wait() {
        for bytes in [&[0xFF][..], &[0xF8], &[0x80], &[0x80, 0x80, 0x80, 0x80]] {
            let (texts, held) = decode_each(&[bytes]);
            assert_eq!((texts[0].chars().count(), held), (bytes.len(), vec![]));
        }
    }

    #[test]
    fn rd_15_each_maximal_subpart_is_one_replacement_character() {
        let replaced = |bytes: &[u8]| {
            let mut text = String::new();
            push_lossy(bytes, &mut text);
            text.matches(char::REPLACEMENT_CHARACTER).count()
        };
        // The examples of Unicode 16, tables 3-8 to 3-11, without their ASCII characters.
        assert_eq!(replaced(b"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82"), 8);
        assert_eq!(replaced(b"\xED\xA0\x80\xED\xBF\xBF\xED\xAF"), 8);
        assert_eq!(replaced(b"\xF4\x91\x92\x93\xFFA\x80\xBF"), 7);
        assert_eq!(replaced(b"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF"), 4);
    }
}
