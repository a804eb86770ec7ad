//! The bytes that are sent. Each connection sends its own part of one stream, so that an answer
//! that was lost, duplicated or sent to another connection is detected.

use fyke::Bytes;

use crate::random::Random;

/// A prime, so that no buffer size hides a shift.
const PERIOD: usize = 65_521;
/// The maximum size of one piece.
const PIECE_BYTES_MAX: usize = 65_536;

pub(super) struct Pattern {
    /// The stream. It repeats after the period.
    bytes: Bytes,
    size: usize,
}

impl Pattern {
    pub(super) fn new(size: u64) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let mut random = Random::new(1);
        let base: Vec<u8> = (0..PERIOD).map(|_| random.next().to_le_bytes()[0]).collect();
        let length = PERIOD + size.max(PIECE_BYTES_MAX);
        Self { bytes: base.into_iter().cycle().take(length).collect(), size }
    }

    /// The size of a request.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Returns the position at which a connection begins.
    pub(super) fn start(connection: u64) -> u64 {
        connection.wrapping_mul(7919) % 1_000_003
    }

    /// Returns the request at this position of the stream.
    pub(super) fn request(&self, at: u64) -> Bytes {
        let start = Self::within(at);
        self.bytes.slice(start..start + self.size)
    }

    /// Returns whether these are the bytes that were sent at this position.
    pub(super) fn is_at(&self, at: u64, bytes: &[u8]) -> bool {
        let start = Self::within(at);
        self.bytes.get(start..start + bytes.len()) == Some(bytes)
    }

    fn within(at: u64) -> usize {
        usize::try_from(at % 65_521).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_matches_only_at_the_offset_at_which_it_was_sent() {
        let pattern = Pattern::new(100);
        for at in [0, 1, 65_520, 65_521, 1 << 40] {
            let request = pattern.request(at);
            assert_eq!(request.len(), 100);
            assert!(pattern.is_at(at, &request));
            assert!(pattern.is_at(at + 60, &request[60..]));
            assert!(!pattern.is_at(at + 1, &request));
        }
        let large = Pattern::new(200_000);
        assert!(large.is_at(65_000, &large.request(65_000)[..65_536]));
    }
}
