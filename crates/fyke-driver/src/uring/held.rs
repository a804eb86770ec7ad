//! Bytes, ends and failures that wait until their socket receives again, and sockets that wait for a
//! buffer.

use std::collections::VecDeque;

use bytes::BytesMut;
use rustix::io::Errno;

use crate::SocketId;

/// What the kernel received after `receive_stop`.
#[derive(Debug)]
pub(super) enum Held {
    /// Never empty.
    Bytes(BytesMut),
    End,
    Failed(Errno),
}

/// Sockets whose receive found no free buffer. Sockets that have received nothing come before those that
/// have received bytes; otherwise a peer that sends without a pause would empty the pool in each turn
/// before other sockets get a buffer (contract rule 6).
#[derive(Debug, Default)]
pub(super) struct Starved {
    hungry: VecDeque<SocketId>,
    fed: VecDeque<SocketId>,
}

impl Starved {
    pub(super) fn add(&mut self, socket: SocketId, fed: bool) {
        if fed { &mut self.fed } else { &mut self.hungry }.push_back(socket);
    }

    pub(super) fn next(&mut self) -> Option<SocketId> {
        self.hungry.pop_front().or_else(|| self.fed.pop_front())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hungry.is_empty() && self.fed.is_empty()
    }
}

impl Held {
    pub(super) fn is_bytes(&self) -> bool {
        matches!(self, Self::Bytes(_))
    }

    pub(super) fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}
