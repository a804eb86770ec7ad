//! UTF-16LE: a character has one unit of two bytes, or a surrogate pair.
//!
//! ```text
//! xxxxxxxx xxxxxxxx                     U+0000–U+FFFF, the low byte first
//! xxxxxxxx 110110xx xxxxxxxx 110111xx   U+10000–U+10FFFF: high surrogate, low surrogate
//! ```

use super::held::Held;

pub(super) fn encode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() * 2);
    for unit in text.encode_utf16() {
        bytes.extend_from_slice(&unit.to_le_bytes());
    }
    bytes
}

/// Appends the complete characters.
///
/// Node holds a high surrogate back only if it ends a chunk and both of its bytes are in that chunk. In
/// JavaScript the difference rarely matters: two halves in two strings form a character again when the
/// strings are joined. A `String` cannot contain a half, so here it always waits.
// RD-16
pub(super) fn decode(held: &mut Held, mut bytes: &[u8], out: &mut String) {
    while !held.is_empty() && !bytes.is_empty() {
        held.take_from(&mut bytes, 2 - held.len() % 2);
        let complete = held.len() - incomplete_bytes(held.as_slice());
        push_units(&held.as_slice()[..complete], out);
        held.discard_first(complete);
    }
    let (complete, rest) = bytes.split_at(bytes.len() - incomplete_bytes(bytes));
    push_units(complete, out);
    held.extend(rest);
}

/// Appends the units, with U+FFFD for each surrogate without its other half. An odd byte at the end is
/// dropped.
pub(super) fn push_units(bytes: &[u8], out: &mut String) {
    let units = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    out.extend(
        char::decode_utf16(units).map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER)),
    );
}

/// The number of bytes at the end that are an incomplete character: an odd byte, a high surrogate, or both.
fn incomplete_bytes(bytes: &[u8]) -> usize {
    let odd = bytes.len() % 2;
    match bytes[..bytes.len() - odd] {
        [.., high] if high & 0xFC == 0xD8 => odd + 2,
        _ => odd,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the whole text, and the bytes that are held back after the last chunk.
    fn decode_all(chunks: &[&[u8]]) -> (String, Vec<u8>) {
        let mut held = Held::default();
        let mut text = String::new();
        for chunk in chunks {
            decode(&mut held, chunk, &mut text);
        }
        (text, held.as_slice().to_vec())
    }

    #[test]
    fn rd_16_a_character_may_be_split_at_every_byte() {
        let bytes = encode("a😀€");
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let chunks = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(decode_all(&chunks), ("a😀€".into(), vec![]), "{first}, {second}");
            }
        }
    }

    #[test]
    fn rd_16_a_second_high_surrogate_replaces_the_first_and_waits_itself() {
        let high = [0x3D, 0xD8];
        assert_eq!(decode_all(&[&high, &high]), ("\u{FFFD}".into(), high.to_vec()));
        assert_eq!(decode_all(&[&high, &high, &[0x00, 0xDE]]), ("\u{FFFD}😀".into(), vec![]));
    }

    #[test]
    fn rd_16_a_lone_surrogate_is_replaced() {
        assert_eq!(decode_all(&[&[0x3D, 0xD8], b"a\0"]), ("\u{FFFD}a".into(), vec![]));
        assert_eq!(decode_all(&[&[0x00, 0xDE], b"a\0"]), ("\u{FFFD}a".into(), vec![]));
    }

    #[test]
    fn rd_16_a_high_surrogate_and_an_odd_byte_wait_together() {
        let bytes = [0x3D, 0xD8, 0x00];
        assert_eq!(decode_all(&[&bytes]), (String::new(), bytes.to_vec()));
    }
}
