//! Makes text from peers safe to print on a terminal: control characters are displayed, not sent.
//! Escape sequences can change colours, title and clipboard, and make a terminal answer as if keys
//! were pressed; bidirectional controls display text in another order than it has.

use std::borrow::Cow;
use std::fmt::Write;

/// Returns whether the character controls how others are shown, or the terminal itself.
fn is_control(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        // C0, DEL, C1.
        _ if c.is_control() => true,
        // Bidirectional marks, embeddings, overrides and isolates; separators of lines and
        // paragraphs; the deprecated controls after them; annotations; tags.
        '\u{61c}'
        | '\u{200e}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{206f}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => true,
        _ => false,
    }
}

/// `^[` as `cat -v` prints it, `<U+202E>` as `less` does.
fn push(text: &mut String, c: char) {
    match c {
        '\0'..='\x1f' => text.extend(['^', char::from(c as u8 + b'@')]),
        '\x7f' => text.push_str("^?"),
        _ => _ = write!(text, "<U+{:04X}>", u32::from(c)),
    }
}

fn push_byte(text: &mut String, byte: u8) {
    let _ = write!(text, "<{byte:02X}>");
}

/// Escapes one line of text. A newline is displayed as `^J`.
pub(crate) fn of_text(text: &str) -> Cow<'_, str> {
    let shown = |c: char| c == '\n' || is_control(c);
    if !text.contains(shown) {
        return Cow::Borrowed(text);
    }
    let mut visible = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if shown(c) { push(&mut visible, c) } else { visible.push(c) }
    }
    Cow::Owned(visible)
}

/// Escapes JSON text, in which control characters may be written as `\uXXXX` (RFC 8259, section 7).
pub(crate) fn of_json(json: String) -> String {
    if !json.contains(is_control) {
        return json;
    }
    let mut visible = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_control(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(visible, "\\u{unit:04x}");
            }
        } else {
            visible.push(c);
        }
    }
    visible
}

/// Escapes a stream of bytes, in which characters and line ends may be split between two chunks.
#[derive(Debug, Default)]
pub(crate) struct Visible {
    /// An incomplete character, or a carriage return that may be followed by a newline.
    rest: Vec<u8>,
}

impl Visible {
    /// Returns what can be displayed so far.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> String {
        let joined;
        let mut bytes = if self.rest.is_empty() {
            bytes
        } else {
            joined = [&std::mem::take(&mut self.rest), bytes].concat();
            &joined
        };
        let mut text = String::with_capacity(bytes.len() + 16);
        loop {
            match std::str::from_utf8(bytes) {
                Ok(valid) => {
                    self.take_text(&mut text, valid, true);
                    return text;
                }
                Err(error) => {
                    let (valid, rest) = bytes.split_at(error.valid_up_to());
                    // The text is valid up to this position.
                    let valid = std::str::from_utf8(valid).unwrap_or_default();
                    self.take_text(&mut text, valid, false);
                    let Some(length) = error.error_len() else {
                        self.rest = rest.to_vec();
                        return text;
                    };
                    rest[..length].iter().for_each(|byte| push_byte(&mut text, *byte));
                    bytes = &rest[length..];
                }
            }
        }
    }

    /// Returns what is left at the end of the stream.
    pub(crate) fn finish(&mut self) -> String {
        let mut text = String::new();
        for byte in std::mem::take(&mut self.rest) {
            if byte == b'\r' { push(&mut text, '\r') } else { push_byte(&mut text, byte) }
        }
        text
    }

    fn take_text(&mut self, text: &mut String, valid: &str, more_may_come: bool) {
        let mut characters = valid.chars().peekable();
        while let Some(c) = characters.next() {
            match (c, characters.peek()) {
                // A carriage return before a newline is the end of a line in most protocols. Alone,
                // it would hide the text before it.
                ('\r', Some('\n')) => {}
                ('\r', None) if more_may_come => self.rest = b"\r".to_vec(),
                _ if is_control(c) => push(text, c),
                _ => text.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> String {
        let mut visible = Visible::default();
        let text = visible.take(bytes);
        text + &visible.finish()
    }

    #[test]
    fn control_characters_are_escaped_and_text_is_unchanged() {
        for (bytes, expected) in [
            (&b"plain\ttext\n"[..], "plain\ttext\n"),
            ("Grüße, 日本 🐟\u{200d}".as_bytes(), "Grüße, 日本 🐟\u{200d}"),
            (b"\x1b[31mred\x07\x08\x7f\0", "^[[31mred^G^H^?^@"),
            ("\u{9b}31m\u{85}".as_bytes(), "<U+009B>31m<U+0085>"),
            (b"\x9b31m\xff\x80", "<9B>31m<FF><80>"),
            (
                "a\u{202e}b\u{2066}c\u{200f}d\u{61c}e".as_bytes(),
                "a<U+202E>b<U+2066>c<U+200F>d<U+061C>e",
            ),
            ("\u{e0041}\u{2028}".as_bytes(), "<U+E0041><U+2028>"),
            (b"head\r\nbody", "head\nbody"),
            (b"safe\rEVIL\r\r\n", "safe^MEVIL^M\n"),
            (b"cut \xe2\x80", "cut <E2><80>"),
            (b"end\r", "end^M"),
        ] {
            assert_eq!(whole(bytes), expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn splitting_a_stream_anywhere_makes_no_difference() {
        let bytes = "a\u{1b}ü\u{202e}\r\n\r🐟\u{9b}\r".as_bytes();
        let bytes = [bytes, b"\x9b\xe2\x80\xf0\x9f\x90"].concat();
        let expected = whole(&bytes);
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let mut visible = Visible::default();
                let mut text = visible.take(&bytes[..first]);
                text += &visible.take(&bytes[first..second]);
                text += &visible.take(&bytes[second..]);
                text += &visible.finish();
                assert_eq!(text, expected, "{first} {second}");
            }
        }
    }

    #[test]
    fn a_line_of_a_log_stays_one_line() {
        assert_eq!(of_text("a\nb\x1b\u{202e}\t"), "a^Jb^[<U+202E>\t");
    }

    #[test]
    fn json_escapes_the_same_characters_as_numbers() {
        let text = "\x7f\u{9b}\u{202e}\u{2069}\u{61c}\u{e0001}ü\u{1b}\n";
        let json = of_json(serde_json::Value::from(text).to_string());
        assert_eq!(json, r#""\u007f\u009b\u202e\u2069\u061c\udb40\udc01ü\u001b\n""#);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
