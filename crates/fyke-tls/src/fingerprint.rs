//! Fingerprints of certificates.

use std::fmt;
use std::str::FromStr;

use fyke::{Error, Result};

use crate::error::invalid_context;
use crate::provider::sha256;

/// The SHA-256 of a certificate in DER: Node's `fingerprint256`, and `openssl x509 -fingerprint -sha256`.
///
/// ```
/// let text = "9F:86:D0:81:88:4C:7D:65:9A:2F:EA:A0:C5:5A:D0:15:A3:BF:4F:1B:2B:0B:82:2C:D1:5D:6C:15:B0:F0:0A:08";
/// let fingerprint: fyke_tls::Fingerprint = text.parse()?;
/// assert_eq!(fingerprint.to_string(), text);
/// assert_eq!(text.replace(':', "").to_lowercase().parse(), Ok(fingerprint));
/// # Ok::<(), fyke_tls::NotAFingerprint>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Computes the fingerprint of a certificate in DER.
    pub fn of(der: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(sha256().hash(der).as_ref());
        Self(bytes)
    }
}

/// Pairs of hexadecimal digits with colons between them.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not the fingerprint of a certificate: 64 hexadecimal digits, with or without colons between
/// pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAFingerprint;

impl fmt::Display for NotAFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a fingerprint is the SHA-256 of a certificate, in 64 hexadecimal digits")
    }
}

impl std::error::Error for NotAFingerprint {}

impl From<NotAFingerprint> for Error {
    fn from(error: NotAFingerprint) -> Self {
        invalid_context(error.to_string())
    }
}

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
        let digit =
            |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        if digits.len() != 64 {
            return Err(NotAFingerprint);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            let (high, low) = digit(pair[0]).zip(digit(pair[1])).ok_or(NotAFingerprint)?;
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}
