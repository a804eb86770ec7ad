//! The halves of a stream.

use std::fmt;

use super::buffer::Buffer;
use super::reading::reads;
use super::writing::writes;
use crate::Socket;
use crate::socket::End;

/// The reading half of a [`SocketStream`](super::SocketStream). Dropping it leaves the connection open while
/// the other half exists.
pub struct ReadHalf {
    end: End,
    buffer: Buffer,
}

/// The writing half of a [`SocketStream`](super::SocketStream). Dropping it ends our side, as
/// [`end`](Self::end) does.
pub struct WriteHalf {
    end: End,
}

pub(super) fn split(end: End, buffer: Buffer) -> (ReadHalf, WriteHalf) {
    let other = end.split();
    (ReadHalf { end, buffer }, WriteHalf { end: other })
}

impl ReadHalf {
    /// Returns the socket.
    pub fn socket(&self) -> &Socket {
        self.end.socket()
    }

    pub(super) fn reader(&mut self) -> (&End, &mut Buffer) {
        (&self.end, &mut self.buffer)
    }
}

reads!(ReadHalf);

impl WriteHalf {
    /// Returns the socket.
    pub fn socket(&self) -> &Socket {
        self.end.socket()
    }

    pub(super) fn writer(&self) -> &End {
        &self.end
    }
}

writes!(WriteHalf);

impl Drop for WriteHalf {
    fn drop(&mut self) {
        if !self.end.socket().is_destroyed() {
            self.end.socket().end();
        }
    }
}

impl fmt::Debug for ReadHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadHalf").field(self.socket()).finish()
    }
}

impl fmt::Debug for WriteHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WriteHalf").field(self.socket()).finish()
    }
}
