//! Decodes bytes in chunks of any size into text with complete characters.

use super::held::Held;
use super::{Encoding, base64, hex, single_byte, utf8, utf16};

/// Decodes a stream of bytes into text, chunk by chunk: Node's `string_decoder`.
///
/// If a chunk ends with an incomplete character, its bytes are held back until the next chunk:
///
/// | encoding | held back | result at the end of the stream |
/// |---|---|---|
/// | utf8 | 1–3 bytes that start a character | one U+FFFD, if they could have been a character |
/// | utf16le | an odd byte; a high surrogate; both | nothing; U+FFFD; U+FFFD |
/// | base64 | 1–2 bytes | their letters, padded |
/// | base64url | 1–2 bytes | their letters |
/// | latin1, ascii, hex | never | |
///
/// Use it if you [`read`](crate::Socket::read) bytes yourself; [`on_text`](crate::Socket::on_text) decodes
/// automatically.
///
/// ```
/// use fyke::{Decoder, Encoding};
///
/// let (mut decoder, mut text) = (Decoder::new(Encoding::Utf8), String::new());
/// decoder.decode(b"caf\xc3", &mut text);
/// assert_eq!(text, "caf");
/// decoder.decode(b"\xa9", &mut text);
/// assert_eq!(text, "caf\u{e9}");
/// ```
#[derive(Debug)]
pub struct Decoder {
    encoding: Encoding,
    held: Held,
}

impl Decoder {
    /// Makes a decoder for `encoding`.
    pub fn new(encoding: Encoding) -> Self {
        Self { encoding, held: Held::default() }
    }

    /// Appends the text of all complete characters to `out`, and holds back the remaining bytes. Node:
    /// `write`.
    ///
    /// ```
    /// use fyke::{Decoder, Encoding};
    ///
    /// let (mut decoder, mut text) = (Decoder::new(Encoding::Base64), String::new());
    /// for chunk in ["f", "yk", "e"] {
    ///     decoder.decode(chunk.as_bytes(), &mut text);
    /// }
    /// decoder.finish(&mut text);
    /// assert_eq!(text, "ZnlrZQ==");
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn decode(&mut self, bytes: &[u8], out: &mut String) {
        match self.encoding {
            Encoding::Utf8 => utf8::decode(&mut self.held, bytes, out),
            Encoding::Utf16Le => utf16::decode(&mut self.held, bytes, out),
            Encoding::Latin1 => single_byte::decode_latin1(bytes, out),
            Encoding::Ascii => single_byte::decode_ascii(bytes, out),
            Encoding::Hex => hex::decode(bytes, out),
            Encoding::Base64 => base64::decode(&base64::PADDED, &mut self.held, bytes, out),
            Encoding::Base64Url => base64::decode(&base64::FOR_URLS, &mut self.held, bytes, out),
        }
    }

    /// Whether the decoder holds back bytes of an incomplete character.
    #[cfg(unix)]
    pub(crate) fn holds_bytes(&self) -> bool {
        !self.held.is_empty()
    }

    /// Appends the text of the bytes that were held back, because no more bytes will follow. Afterwards the
    /// decoder can be used for a new stream. Node: `end`.
    ///
    /// ```
    /// use fyke::{Decoder, Encoding};
    ///
    /// let (mut decoder, mut text) = (Decoder::new(Encoding::Utf8), String::new());
    /// decoder.decode(b"caf\xc3", &mut text);
    /// decoder.finish(&mut text);
    /// assert_eq!(text, "caf\u{fffd}", "the last character never became complete");
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn finish(&mut self, out: &mut String) {
        match self.encoding {
            Encoding::Utf8 => utf8::push_lossy(self.held.as_slice(), out),
            Encoding::Utf16Le => utf16::push_units(self.held.as_slice(), out),
            Encoding::Base64 => base64::PADDED.encode_append(self.held.as_slice(), out),
            Encoding::Base64Url => base64::FOR_URLS.encode_append(self.held.as_slice(), out),
            Encoding::Latin1 | Encoding::Ascii | Encoding::Hex => {}
        }
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::tests::EVERY_ENCODING;
    use super::*;

    /// The text that each chunk produces, followed by the text that the end produces.
    fn decode_each(encoding: Encoding, chunks: &[&[u8]]) -> Vec<String> {
        let mut decoder = Decoder::new(encoding);
        let mut texts = Vec::new();
        for chunk in chunks {
            let mut text = String::new();
            decoder.decode(chunk, &mut text);
            assert!(decoder.held.len() <= 3);
            texts.push(text);
        }
        let mut text = String::new();
        decoder.finish(&mut text);
        assert_eq!(decoder.held.len(), 0);
        texts.push(text);
        texts
    }

    #[test]
    fn rd_15_an_incomplete_character_waits_for_its_last_byte() {
        let mut decoder = Decoder::new(Encoding::Utf8);
        let mut text = String::new();
        decoder.decode(&[0xE2, 0x82], &mut text);
        assert_eq!((text.as_str(), decoder.held.len()), ("", 2));
        decoder.decode(&[0xAC, 0x41], &mut text);
        assert_eq!((text.as_str(), decoder.held.len()), ("€A", 0));
    }

    #[test]
    fn rd_15_an_incomplete_rest_at_the_end_is_one_replacement_character() {
        for bytes in [&[0xC3][..], &[0xE2, 0x82], &[0xF0, 0x9F, 0x98]] {
            assert_eq!(decode_each(Encoding::Utf8, &[bytes]), ["", "\u{FFFD}"]);
        }
    }

    #[test]
    fn rd_15_three_byte_characters_are_decoded_from_chunks_of_any_size() {
        let text = "あ".repeat(40_960);
        for size in [1, 2, 3, 1000, 65_536] {
            let chunks: Vec<_> = text.as_bytes().chunks(size).collect();
            assert!(decode_each(Encoding::Utf8, &chunks).concat() == text, "{size}");
        }
    }

    #[test]
    fn rd_16_base64_waits_for_three_bytes_and_ends_with_padding() {
        let chunks = [&[1][..], &[2, 3], &[4, 5, 6, 7]];
        assert_eq!(decode_each(Encoding::Base64, &chunks), ["", "AQID", "BAUG", "Bw=="]);
        assert_eq!(decode_each(Encoding::Base64Url, &chunks), ["", "AQID", "BAUG", "Bw"]);
    }

    #[test]
    fn rd_16_hex_latin1_and_ascii_hold_nothing_back() {
        assert_eq!(decode_each(Encoding::Hex, &[&[0xE9], &[0x0A]]), ["e9", "0a", ""]);
        assert_eq!(decode_each(Encoding::Latin1, &[&[0xE9], &[0x0A]]), ["é", "\n", ""]);
        assert_eq!(decode_each(Encoding::Ascii, &[&[0xE9], &[0x0A]]), ["i", "\n", ""]);
    }

    #[test]
    fn rd_16_utf16_waits_for_the_odd_byte_and_for_the_low_surrogate() {
        let each = |chunks: &[&[u8]]| decode_each(Encoding::Utf16Le, chunks);
        assert_eq!(each(&[&[0xAC], &[0x20, 0x41, 0x00]]), ["", "€A", ""]);
        assert_eq!(each(&[&[0x3D, 0xD8], &[0x00, 0xDE]]), ["", "😀", ""]);
        assert_eq!(each(&[&[0x3D, 0xD8], &[0x00], &[0xDE]]), ["", "", "😀", ""]);
        // Node returns a lone surrogate here, which JavaScript joins with the other half.
        assert_eq!(each(&[&[0x3D], &[0xD8], &[0x00, 0xDE]]), ["", "", "😀", ""]);
        assert_eq!(each(&[&[0x3D, 0xD8, 0x00], &[0xDE]]), ["", "😀", ""]);
    }

    #[test]
    fn rd_16_at_the_end_utf16_drops_an_odd_byte_and_replaces_a_lone_surrogate() {
        assert_eq!(decode_each(Encoding::Utf16Le, &[&[0x41]]), ["", ""]);
        assert_eq!(decode_each(Encoding::Utf16Le, &[&[0x3D, 0xD8]]), ["", "\u{FFFD}"]);
        assert_eq!(decode_each(Encoding::Utf16Le, &[&[0x3D, 0xD8, 0x00]]), ["", "\u{FFFD}"]);
    }

    #[test]
    fn a_finished_decoder_can_be_reused() {
        for encoding in EVERY_ENCODING {
            let mut decoder = Decoder::new(encoding);
            let mut text = String::new();
            decoder.decode(&[0xE2], &mut text);
            decoder.finish(&mut text);
            text.clear();
            decoder.finish(&mut text);
            assert_eq!(text, "", "{encoding}");
            decoder.decode(b"abcdef", &mut text);
            assert_eq!([text], decode_each(encoding, &[b"abcdef"])[..1], "{encoding}");
        }
    }

    #[test]
    fn a_chunk_without_bytes_changes_nothing() {
        for encoding in EVERY_ENCODING {
            let whole = decode_each(encoding, &[&[0xF0, 0x9F, 0x3D, 0xD8]]).concat();
            let pieces = decode_each(encoding, &[&[], &[0xF0], &[], &[0x9F, 0x3D, 0xD8], &[]]);
            assert_eq!(pieces.concat(), whole, "{encoding}");
        }
    }

    /// Bytes that form characters and surrogates more often than random bytes would.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let likely: &[u8] =
            b"\x00A=\x80\x82\x9F\xA0\xBF\xC1\xC3\xD8\xDC\xDE\xE0\xE2\xED\xF0\xF4\xF8\xFF";
        let character = any::<char>().prop_map(|character| character.to_string().into_bytes());
        let piece = prop_oneof![
            vec(any::<u8>(), 0..4),
            vec(select(likely), 0..6),
            character,
            vec(select(&[0x3D, 0xD8, 0x00, 0xDE][..]), 0..6),
        ];
        vec(piece, 0..16).prop_map(|pieces| pieces.concat())
    }

    fn encoding() -> impl Strategy<Value = Encoding> {
        select(&EVERY_ENCODING[..])
    }

    /// Splits the bytes into chunks of these sizes, used in turn.
    fn cut<'a>(mut bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
        let mut chunks = Vec::new();
        for size in sizes {
            let (chunk, rest) = bytes.split_at(bytes.len().min(*size));
            chunks.push(chunk);
            bytes = rest;
        }
        chunks.push(bytes);
        chunks
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..<_>::default() })]

        #[test]
        fn text_split_into_pieces_of_any_size_decodes_to_the_same_text(
            encoding in encoding(), bytes in bytes(), sizes in vec(0..6_usize, 0..24),
        ) {
            let whole = decode_each(encoding, &[&bytes]).concat();
            let pieces = decode_each(encoding, &cut(&bytes, &sizes)).concat();
            prop_assert_eq!(pieces, whole);
        }

        #[test]
        fn utf8_and_utf16_replace_what_the_standard_library_replaces(bytes in bytes()) {
            let utf8 = decode_each(Encoding::Utf8, &[&bytes]).concat();
            prop_assert_eq!(utf8, String::from_utf8_lossy(&bytes));

            let units: Vec<_> =
                bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
            let utf16 = decode_each(Encoding::Utf16Le, &[&bytes]).concat();
            prop_assert_eq!(utf16, String::from_utf16_lossy(&units));
        }

        #[test]
        fn encoded_text_decodes_to_the_same_text(characters in vec(any::<char>(), 0..32)) {
            let text = String::from_iter(characters);
            for encoding in [Encoding::Utf8, Encoding::Utf16Le] {
                let bytes = encoding.encode(&text);
                prop_assert_eq!(&decode_each(encoding, &[&bytes]).concat(), &text);
            }
        }

        #[test]
        fn decoded_bytes_encode_to_the_same_bytes(bytes in vec(any::<u8>(), 0..64)) {
            for encoding in EVERY_ENCODING.into_iter().skip(2) {
                if encoding == Encoding::Ascii && !bytes.is_ascii() {
                    continue;
                }
                let text = decode_each(encoding, &[&bytes]).concat();
                prop_assert_eq!(&encoding.encode(&text), &bytes);
            }
        }
    }
}
