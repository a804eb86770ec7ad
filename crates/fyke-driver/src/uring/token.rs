//! The user data of an operation: which socket, which generation of it, which of its operations.
//!
//! ```text
//! 63            32 31   28 27             0
//! ┌───────────────┬───────┬────────────────┐
//! │  generation   │ kind  │     index      │
//! └───────────────┴───────┴────────────────┘
//! ```
//!
//! Generation and index are slotmap's, so a completion that comes late for a socket whose place was
//! taken by another one finds nothing.

use slotmap::{Key, KeyData};

use crate::SocketId;

const INDEX_BITS: u32 = 28;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;
const KIND_MASK: u64 = 0xf;

/// What an operation in the ring does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Multishot receive, or the poll of one that is read by calls.
    Receive = 0,
    /// Waits until there is room for more of the batch in flight.
    Send = 1,
    /// Waits until a connect is decided.
    Poll = 2,
    /// Polls a listener.
    Accept = 3,
    /// Watches the waker; belongs to no socket.
    Wake = 4,
    /// Ends another operation. Is heard of only when it fails.
    Cancel = 5,
    /// Watches the alarm; belongs to no socket.
    Alarm = 6,
}

impl Kind {
    /// Those that a socket can have in flight, one of each.
    pub(super) const OF_SOCKETS: [Self; 4] = [Self::Receive, Self::Send, Self::Poll, Self::Accept];

    fn from_bits(bits: u64) -> Option<Self> {
        use Kind::{Accept, Alarm, Cancel, Poll, Receive, Send, Wake};
        [Receive, Send, Poll, Accept, Wake, Cancel, Alarm]
            .into_iter()
            .find(|kind| *kind as u64 == bits)
    }
}

/// Whether a socket with this id can be told from others in a token: there may be 2²⁸ of them.
pub(super) fn fits(socket: SocketId) -> bool {
    socket.data().as_ffi() & 0xffff_ffff <= INDEX_MASK
}

pub(super) fn token(socket: SocketId, kind: Kind) -> u64 {
    debug_assert!(fits(socket));
    socket.data().as_ffi() | (kind as u64) << INDEX_BITS
}

/// The token of what belongs to no socket.
pub(super) fn own_token(kind: Kind) -> u64 {
    (kind as u64) << INDEX_BITS
}

/// None is not ours.
pub(super) fn parse(token: u64) -> Option<(SocketId, Kind)> {
    let kind = Kind::from_bits(token >> INDEX_BITS & KIND_MASK)?;
    let id = token & !(KIND_MASK << INDEX_BITS);
    Some((KeyData::from_ffi(id).into(), kind))
}

/// A set of operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Operations(u8);

impl Operations {
    pub(super) fn insert(&mut self, kind: Kind) {
        self.0 |= 1 << kind as u8;
    }

    /// Returns whether it was there.
    pub(super) fn remove(&mut self, kind: Kind) -> bool {
        let there = self.contains(kind);
        self.0 &= !(1 << kind as u8);
        there
    }

    pub(super) fn contains(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::OF_SOCKETS.into_iter().filter(move |kind| self.contains(*kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_gives_back_socket_and_operation_and_knows_generations_apart() {
        let mut sockets = slotmap::SlotMap::<SocketId, ()>::with_key();
        let first = sockets.insert(());
        sockets.remove(first);
        let second = sockets.insert(());
        for kind in Kind::OF_SOCKETS {
            assert_eq!(parse(token(first, kind)), Some((first, kind)));
            assert_ne!(token(first, kind), token(second, kind));
        }
        assert_eq!(parse(own_token(Kind::Wake)).unwrap().1, Kind::Wake);
        assert_eq!(parse(u64::MAX), None);
    }

    #[test]
    fn a_set_of_operations_holds_each_once() {
        let mut operations = Operations::default();
        assert!(operations.is_empty());
        operations.insert(Kind::Receive);
        operations.insert(Kind::Accept);
        assert_eq!(operations.iter().collect::<Vec<_>>(), [Kind::Receive, Kind::Accept]);
        assert!(operations.remove(Kind::Receive));
        assert!(!operations.remove(Kind::Receive));
        assert!(!operations.is_empty());
    }
}
