//! Text encodings, and the decoder that does not split characters.

mod base64;
mod decoder;
mod held;
mod hex;
mod single_byte;
mod utf16;
mod utf8;

use std::fmt;
use std::str::FromStr;

pub use decoder::Decoder;

use crate::{Error, ErrorCode, Result};

/// A text encoding. The encodings and their names are Node's.
///
/// | encoding | names | bytes as text |
/// |---|---|---|
/// | [`Utf8`](Self::Utf8) | `utf8`, `utf-8` | characters; U+FFFD for invalid bytes |
/// | [`Utf16Le`](Self::Utf16Le) | `utf16le`, `utf-16le`, `ucs2`, `ucs-2` | characters of 2 or 4 bytes |
/// | [`Latin1`](Self::Latin1) | `latin1`, `binary` | a character per byte, U+0000 to U+00FF |
/// | [`Ascii`](Self::Ascii) | `ascii` | a character per byte, without its top bit |
/// | [`Hex`](Self::Hex) | `hex` | 2 digits per byte |
/// | [`Base64`](Self::Base64) | `base64` | 4 letters for 3 bytes, with padding |
/// | [`Base64Url`](Self::Base64Url) | `base64url` | 4 letters for 3 bytes, with `-` and `_`, without padding |
///
/// Names are parsed case-insensitively. An unknown name fails with the code
/// [`ERR_UNKNOWN_ENCODING`](ErrorCode::ERR_UNKNOWN_ENCODING).
///
/// If a chunk ends within a character or within a group of base64, the incomplete bytes wait for the next
/// chunk, as in Node's `string_decoder`. One case differs, because a `String` cannot contain half a
/// surrogate pair: if a chunk boundary is at an odd byte, Node may return the first half alone, which
/// JavaScript joins with the second half later. In fyke the first half always waits for the second one. A
/// surrogate without its other half becomes U+FFFD.
///
/// Node: the encodings of `Buffer`, `setEncoding` and `string_decoder`.
///
/// ```
/// use fyke::{Encoding, ErrorCode};
///
/// let encoding: Encoding = "UCS-2".parse()?;
/// assert_eq!(encoding, Encoding::Utf16Le);
/// assert_eq!(encoding.to_string(), "utf16le");
///
/// let error = "utf-7".parse::<Encoding>().unwrap_err();
/// assert_eq!(error.code(), ErrorCode::ERR_UNKNOWN_ENCODING);
/// # Ok::<(), fyke::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// UTF-8, the default.
    #[default]
    Utf8,
    /// UTF-16, with the low byte of each unit first.
    Utf16Le,
    /// ISO 8859-1: each byte is the character with the same number.
    Latin1,
    /// ASCII: the lower seven bits of each byte.
    Ascii,
    /// Hexadecimal digits, two per byte.
    Hex,
    /// Base64 (RFC 4648, section 4).
    Base64,
    /// Base64 with the alphabet for URLs and file names (RFC 4648, section 5).
    Base64Url,
}

impl Encoding {
    /// Encodes `text` into bytes.
    ///
    /// Never fails. Characters that the encoding cannot represent are handled as follows:
    ///
    /// - [`Latin1`](Self::Latin1) and [`Ascii`](Self::Ascii) use the low byte of each UTF-16 unit, with all
    ///   eight bits;
    /// - [`Hex`](Self::Hex) stops before the first pair that is not two digits;
    /// - [`Base64`](Self::Base64) and [`Base64Url`](Self::Base64Url) behave the same: both accept both
    ///   alphabets, skip all other characters, and stop at the first `=`.
    ///
    /// Node: `Buffer.from(text, encoding)`. Node also reads a character above U+00FF as the hexadecimal
    /// digit or base64 letter with the same low byte; fyke does not.
    ///
    /// ```
    /// use fyke::Encoding;
    ///
    /// assert_eq!(Encoding::Utf16Le.encode("h€"), [0x68, 0x00, 0xAC, 0x20]);
    /// assert_eq!(Encoding::Latin1.encode("h€"), [0x68, 0xAC]);
    /// assert_eq!(Encoding::Hex.encode("abc"), [0xAB]);
    /// assert_eq!(Encoding::Base64.encode("Zn lr\nZQ=="), b"fyke");
    /// ```
    pub fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Utf16Le => utf16::encode(text),
            Self::Latin1 | Self::Ascii => single_byte::encode(text),
            Self::Hex => hex::encode(text),
            Self::Base64 | Self::Base64Url => base64::encode(text),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf8",
            Self::Utf16Le => "utf16le",
            Self::Latin1 => "latin1",
            Self::Ascii => "ascii",
            Self::Hex => "hex",
            Self::Base64 => "base64",
            Self::Base64Url => "base64url",
        }
    }
}

impl FromStr for Encoding {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name.to_ascii_lowercase().as_str() {
            "utf8" | "utf-8" => Ok(Self::Utf8),
            "utf16le" | "utf-16le" | "ucs2" | "ucs-2" => Ok(Self::Utf16Le),
            "latin1" | "binary" => Ok(Self::Latin1),
            "ascii" => Ok(Self::Ascii),
            "hex" => Ok(Self::Hex),
            "base64" => Ok(Self::Base64),
            "base64url" => Ok(Self::Base64Url),
            _ => Err(Error::new(
                ErrorCode::ERR_UNKNOWN_ENCODING,
                format!(
                    "{name:?} is not an encoding; try utf8, utf16le, latin1, ascii, hex, base64 \
                     or base64url"
                ),
            )),
        }
    }
}

/// Writes Node's name of the encoding, which [`FromStr`] parses.
impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const EVERY_ENCODING: [Encoding; 7] = [
        Encoding::Utf8,
        Encoding::Utf16Le,
        Encoding::Latin1,
        Encoding::Ascii,
        Encoding::Hex,
        Encoding::Base64,
        Encoding::Base64Url,
    ];

    #[test]
    fn rd_17_every_name_of_nodes_is_known_in_any_case() {
        let names = [
            (Encoding::Utf8, &["utf8", "utf-8", "UTF-8"][..]),
            (Encoding::Utf16Le, &["ucs2", "ucs-2", "utf16le", "utf-16le", "UCS-2", "Utf-16LE"]),
            (Encoding::Latin1, &["latin1", "binary", "BINARY"]),
            (Encoding::Ascii, &["ascii", "ASCII"]),
            (Encoding::Hex, &["hex", "Hex"]),
            (Encoding::Base64, &["base64", "BASE64"]),
            (Encoding::Base64Url, &["base64url", "base64URL"]),
        ];
        for (encoding, names) in names {
            for name in names {
                assert_eq!(name.parse::<Encoding>().unwrap(), encoding, "{name}");
            }
        }
    }

    #[test]
    fn rd_17_an_unknown_name_has_nodes_code_and_a_hint() {
        for name in ["", " utf8", "utf16", "utf-16", "latin-1", "us-ascii", "buffer", "ſ"] {
            let error = name.parse::<Encoding>().unwrap_err();
            assert_eq!(error.code(), ErrorCode::ERR_UNKNOWN_ENCODING, "{name}");
            assert!(error.to_string().contains("try utf8"), "{error}");
        }
    }

    #[test]
    fn rd_17_the_printed_name_is_nodes_and_round_trips() {
        let names: Vec<_> = EVERY_ENCODING.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["utf8", "utf16le", "latin1", "ascii", "hex", "base64", "base64url"]);
        for encoding in EVERY_ENCODING {
            assert_eq!(encoding.to_string().parse::<Encoding>().unwrap(), encoding);
        }
        assert_eq!(Encoding::default(), Encoding::Utf8);
    }

    #[test]
    fn wr_25_each_encoding_gives_the_same_bytes_as_node() {
        let text = "é€😀aİ";
        let low_bytes = [0xE9, 0xAC, 0x3D, 0x00, 0x61, 0x30];
        assert_eq!(Encoding::Utf8.encode(text), text.as_bytes());
        assert_eq!(Encoding::Latin1.encode(text), low_bytes);
        assert_eq!(Encoding::Ascii.encode(text), low_bytes);
        let units = [0xE9, 0x00, 0xAC, 0x20, 0x3D, 0xD8, 0x00, 0xDE, 0x61, 0x00, 0x30, 0x01];
        assert_eq!(Encoding::Utf16Le.encode(text), units);
    }

    #[test]
    fn wr_25_empty_text_encodes_to_no_bytes() {
        for encoding in EVERY_ENCODING {
            assert_eq!(encoding.encode(""), b"", "{encoding}");
        }
    }
}
