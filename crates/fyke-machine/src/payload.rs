//! The data that can be written.

use bytes::Bytes;
use fyke_driver::Chunk;

/// Bytes for `Socket::write`. Made with `From`.
///
/// Borrowed bytes (`&[u8]`, `&str`, arrays) are copied if they cannot be sent at once. Owned bytes
/// (`Vec<u8>`, `String`, `Bytes`) of at least 4096 bytes are moved into the queue; shorter ones, and those
/// that fill less than half of their `Vec` or `String`, are copied. A `Bytes` that is moved keeps the whole
/// allocation that it is a part of alive until it is sent.
#[derive(Debug)]
pub struct Payload<'a> {
    kind: Kind<'a>,
    is_text: bool,
}

#[derive(Debug)]
enum Kind<'a> {
    Borrowed(&'a [u8]),
    Owned(Vec<u8>),
    Shared(Bytes),
}

/// From this size on, moving is cheaper than copying. It is one page: copying less costs less than one more
/// element in the system call.
const MOVE_BYTES_MIN: usize = 4096;

impl Payload<'_> {
    #[doc(hidden)]
    pub fn as_slice(&self) -> &[u8] {
        match &self.kind {
            Kind::Borrowed(bytes) => bytes,
            Kind::Owned(bytes) => bytes,
            Kind::Shared(bytes) => bytes,
        }
    }

    #[doc(hidden)]
    /// The number of bytes minus the number of UTF-16 units, in which Node counts text.
    // WR-04.
    pub fn excess_over_utf16(&self) -> usize {
        let text = self.is_text.then(|| std::str::from_utf8(self.as_slice()).ok()).flatten();
        text.map_or(0, |text| text.len() - text.encode_utf16().count())
    }

    #[doc(hidden)]
    /// Whether the bytes are owned and worth their own chunk. Bytes in a much larger buffer are not,
    /// because the buffer would stay allocated until they are sent.
    pub fn is_moved(&self) -> bool {
        let (len, held) = match &self.kind {
            Kind::Borrowed(_) => return false,
            Kind::Owned(bytes) => (bytes.len(), bytes.capacity()),
            Kind::Shared(bytes) => (bytes.len(), bytes.len()),
        };
        len >= MOVE_BYTES_MIN && held / 2 <= len
    }

    /// Returns the bytes if they must be copied.
    #[doc(hidden)]
    #[inline]
    pub fn to_copy(&self) -> Option<&[u8]> {
        match &self.kind {
            Kind::Borrowed(bytes) => Some(bytes),
            _ => Some(self.as_slice()).filter(|_| !self.is_moved()),
        }
    }

    /// Converts the bytes into their own chunk.
    #[doc(hidden)]
    pub fn into_chunk(self) -> Chunk {
        match self.kind {
            Kind::Borrowed(bytes) => Chunk::Buffer(bytes.to_vec()),
            Kind::Owned(bytes) => Chunk::Shared(bytes.into()),
            Kind::Shared(bytes) => Chunk::Shared(bytes),
        }
    }
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self { kind: Kind::Borrowed(bytes), is_text: false }
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Payload<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self { kind: Kind::Borrowed(bytes), is_text: false }
    }
}

impl<'a> From<&'a Vec<u8>> for Payload<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self { kind: Kind::Borrowed(bytes), is_text: false }
    }
}

impl<'a> From<&'a str> for Payload<'a> {
    fn from(text: &'a str) -> Self {
        Self { kind: Kind::Borrowed(text.as_bytes()), is_text: true }
    }
}

impl<'a> From<&'a String> for Payload<'a> {
    fn from(text: &'a String) -> Self {
        Self { kind: Kind::Borrowed(text.as_bytes()), is_text: true }
    }
}

impl From<Vec<u8>> for Payload<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self { kind: Kind::Owned(bytes), is_text: false }
    }
}

impl From<String> for Payload<'_> {
    fn from(text: String) -> Self {
        Self { kind: Kind::Owned(text.into_bytes()), is_text: true }
    }
}

impl From<Bytes> for Payload<'_> {
    fn from(bytes: Bytes) -> Self {
        Self { kind: Kind::Shared(bytes), is_text: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_owned_bytes_of_a_page_or_more_are_moved() {
        let page = vec![1; MOVE_BYTES_MIN];
        assert!(!Payload::from(&page).is_moved());
        let mut part = Vec::with_capacity(3 * MOVE_BYTES_MIN);
        part.extend_from_slice(&page);
        assert!(!Payload::from(part).is_moved(), "most of its buffer would be held for nothing");
        assert!(!Payload::from(page[1..].to_vec()).is_moved());
        let place = page.as_ptr();
        let payload = Payload::from(page);
        assert!(payload.is_moved());
        let chunk = payload.into_chunk();
        assert_eq!(chunk.as_slice().as_ptr(), place);
    }
}
