//! The user data of an operation: the index and generation of its socket, and the kind of the operation.
//!
//! ```text
//! 63            32 31   28 27             0
//! ┌───────────────┬───────┬────────────────┐
//! │  generation   │ kind  │     index      │
//! └───────────────┴───────┴────────────────┘
//! ```
//!
//! Generation and index are those of the id, so a late completion for a socket whose slot was reused
//! finds no socket.

use slotmap::{Key, KeyData};

use crate::SocketId;

const INDEX_BITS: u32 = 28;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;
const KIND_MASK: u64 = 0xf;

/// What an operation in the ring does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A multishot receive, or the poll of a socket that system calls read.
    Receive = 0,
    /// Waits until there is room for more of the batch in flight.
    Send = 1,
    /// Waits for the outcome of a connect.
    Poll = 2,
    /// Polls a listener.
    Accept = 3,
    /// Watches the waker; belongs to no socket.
    Wake = 4,
    /// Cancels another operation. Completes only if it fails.
    Cancel = 5,
    /// Watches the alarm; belongs to no socket.
    Alarm = 6,
}

impl Kind {
    /// The kinds of operations that a socket can have in flight, at most one of each.
    pub(super) const OF_SOCKETS: [Self; 4] = [Self::Receive, Self::Send, Self::Poll, Self::Accept];

    fn from_bits(bits: u64) -> Option<Self> {
        use Kind::{Accept, Alarm, Cancel, Poll, Receive, Send, Wake};
        [Receive, Send, Poll, Accept, Wake, Cancel, Alarm]
            .into_iter()
            .find(|kind| *kind as u64 == bits)
    }
}

/// Whether the id fits into a token, which has room for the index of 2²⁸ sockets.
pub(super) fn fits(socket: SocketId) -> bool {
    socket.data().as_ffi() & 0xffff_ffff <= INDEX_MASK
}

pub(super) fn token(socket: SocketId, kind: Kind) -> u64 {
    debug_assert!(fits(socket));
    socket.data().as_ffi() | (kind as u64) << INDEX_BITS
}

/// The token of an operation that belongs to no socket.
pub(super) fn own_token(kind: Kind) -> u64 {
    (kind as u64) << INDEX_BITS
}

/// Returns `None` if the driver did not create the token.
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

    /// Removes a kind. Returns whether the set contained it.
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
    fn a_token_encodes_the_socket_its_generation_and_the_operation() {
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
