//! The two directions of a connection, as one end sees them.

use std::collections::VecDeque;
use std::io::IoSlice;

use super::random::Random;
use crate::Batch;
use crate::limits::PIECES_PER_SEND_MAX;
use crate::pool::Pool;

/// What the receiving end receives next.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Arrival {
    Bytes(Vec<u8>),
    End,
    Reset,
}

/// What the receiving end would receive next.
#[derive(Debug, PartialEq)]
pub(super) enum Peek<'a> {
    Bytes(&'a [u8]),
    End,
    Reset,
}

/// What has arrived and was not received yet.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    pieces: VecDeque<Vec<u8>>,
    /// Whether the peer has ended, received or not.
    ended: bool,
    /// Whether the end is still to be received, after the pieces.
    end: bool,
    reset: bool,
    /// See [`is_done`](Self::is_done).
    done: bool,
}

impl Inbound {
    pub(super) fn push(&mut self, piece: Vec<u8>) {
        self.pieces.push_back(piece);
    }

    pub(super) fn end(&mut self) {
        self.ended = true;
        self.end = true;
    }

    pub(super) fn reset(&mut self, loses_unread: bool) {
        self.reset = true;
        if loses_unread {
            self.pieces.clear();
            self.end = false;
        }
    }

    /// Returns whether the peer has ended, received or not.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Returns whether there is something to receive.
    pub(super) fn has_arrivals(&self) -> bool {
        !self.done && (!self.pieces.is_empty() || self.end || self.reset)
    }

    /// Returns whether the end or the reset was received: nothing follows it.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Returns what a read would find. After the end it finds the end again.
    pub(super) fn peek(&self) -> Option<Peek<'_>> {
        match self.pieces.front() {
            _ if self.done => Some(Peek::End),
            Some(piece) => Some(Peek::Bytes(piece)),
            None if self.end => Some(Peek::End),
            None => self.reset.then_some(Peek::Reset),
        }
    }

    /// Takes the next arrival. Waiting pieces are joined, up to `piece_bytes_max`, while `join` returns
    /// true. A longer piece is cut.
    pub(super) fn take(
        &mut self,
        piece_bytes_max: usize,
        mut join: impl FnMut() -> bool,
    ) -> Option<Arrival> {
        if self.done {
            return None;
        }
        let Some(mut piece) = self.pieces.pop_front() else {
            self.done = self.end || self.reset;
            return match (self.end, self.reset) {
                (true, _) => Some(Arrival::End),
                (false, true) => Some(Arrival::Reset),
                (false, false) => None,
            };
        };
        if piece.len() > piece_bytes_max {
            self.pieces.push_front(piece.split_off(piece_bytes_max));
        }
        while let Some(next) = self.pieces.front() {
            if piece.len() + next.len() > piece_bytes_max || !join() {
                break;
            }
            piece.extend_from_slice(next);
            self.pieces.pop_front();
        }
        Some(Arrival::Bytes(piece))
    }
}

/// The sending direction of this end.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    /// Bytes that are in transit or have arrived, and that the peer has not received: they occupy the
    /// window.
    pub(super) unreceived: usize,
    /// The rest of a batch for which the window had no room.
    pub(super) in_flight: Option<Batch>,
    /// Whether this end has sent FIN.
    pub(super) ended: bool,
}

/// Takes the next piece off a batch: at most `room` bytes, cut at random if `chance` is set. Also returns
/// whether it was cut.
pub(super) fn take_piece(
    batch: &mut Batch,
    room: usize,
    chance: Option<&mut Random>,
    pool: &Pool,
) -> (Vec<u8>, bool) {
    let whole = room.min(batch.remaining());
    let size = chance.map_or(whole, |random| random.cut(whole));
    let mut piece = Vec::with_capacity(size);
    while piece.len() < size {
        let before = piece.len();
        let mut slices = [IoSlice::new(&[]); PIECES_PER_SEND_MAX];
        let count = batch.gather(&mut slices);
        for slice in &slices[..count] {
            let wanted = size - piece.len();
            piece.extend_from_slice(&slice[..slice.len().min(wanted)]);
        }
        batch.advance(piece.len() - before, |chunk| pool.keep_or_bury(chunk));
    }
    (piece, size < whole)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::Chunk;

    fn inbound(pieces: &[&[u8]]) -> Inbound {
        let mut inbound = Inbound::default();
        pieces.iter().for_each(|piece| inbound.push(piece.to_vec()));
        inbound
    }

    fn all(mut inbound: Inbound, piece_bytes_max: usize, join: bool) -> Vec<Arrival> {
        std::iter::from_fn(|| inbound.take(piece_bytes_max, || join)).collect()
    }

    #[test]
    fn waiting_pieces_are_joined_up_to_the_limit_if_join_allows_it() {
        let bytes = |bytes: &[u8]| Arrival::Bytes(bytes.to_vec());
        let pieces: [&[u8]; 3] = [b"ab", b"cd", b"ef"];
        assert_eq!(all(inbound(&pieces), 5, true), [bytes(b"abcd"), bytes(b"ef")]);
        assert_eq!(all(inbound(&pieces), 5, false), [bytes(b"ab"), bytes(b"cd"), bytes(b"ef")]);
    }

    #[test]
    fn a_piece_over_the_limit_is_cut_and_its_rest_comes_next() {
        let bytes = |bytes: &[u8]| Arrival::Bytes(bytes.to_vec());
        for join in [true, false] {
            let taken = all(inbound(&[b"abcde", b"f"]), 2, join);
            let rest = if join { vec![bytes(b"ef")] } else { vec![bytes(b"e"), bytes(b"f")] };
            assert_eq!(taken, [vec![bytes(b"ab"), bytes(b"cd")], rest].concat());
        }
    }

    #[test]
    fn peek_returns_what_the_next_take_returns() {
        let mut inbound = inbound(&[b"ab"]);
        assert_eq!(inbound.peek(), Some(Peek::Bytes(b"ab")));
        inbound.take(9, || false);
        assert_eq!(inbound.peek(), None);
        inbound.reset(false);
        assert_eq!(inbound.peek(), Some(Peek::Reset));
        inbound.take(9, || false);
        assert_eq!(inbound.peek(), Some(Peek::End));
    }

    #[test]
    fn the_end_is_received_once_after_the_bytes() {
        let mut inbound = inbound(&[b"last"]);
        inbound.end();
        assert_eq!(all(inbound, 9, true), [Arrival::Bytes(b"last".to_vec()), Arrival::End]);
    }

    #[test]
    fn a_reset_discards_unreceived_bytes_or_follows_them() {
        let mut lossy = inbound(&[b"lost"]);
        lossy.end();
        lossy.reset(true);
        assert!(lossy.has_ended());
        assert_eq!(all(lossy, 9, true), [Arrival::Reset]);
        let mut kept = inbound(&[b"kept"]);
        kept.reset(false);
        assert_eq!(all(kept, 9, true), [Arrival::Bytes(b"kept".to_vec()), Arrival::Reset]);
    }

    #[test]
    fn the_pieces_of_a_batch_are_its_bytes_in_order() {
        let chunks = (0..200u8).map(|byte| Chunk::Shared(Bytes::from(vec![byte; 3]))).collect();
        let mut batch = Batch::many(chunks);
        let mut random = Random::new(9);
        let mut bytes = Vec::new();
        while batch.remaining() > 0 {
            let (piece, _) = take_piece(&mut batch, 250, Some(&mut random), &Pool::default());
            assert!((1..=250).contains(&piece.len()));
            bytes.extend(piece);
        }
        assert_eq!(bytes, (0..200u8).flat_map(|byte| [byte; 3]).collect::<Vec<_>>());
    }
}
