//! Operations for callers that read into their own memory and keep unsent bytes themselves, such as async
//! code: calls that never wait, and completions that report when to try again.

use std::io::{self, IoSlice};

use super::{Chosen, Driver};
use crate::SocketId;
use crate::backend::Backend;
use crate::uninit::{Unfilled, append};

impl Driver {
    /// Receives into the caller's memory: `&mut [u8]` or `&mut [MaybeUninit<u8>]`, which must not be empty.
    /// Returns the filled part, which begins where the memory begins. An empty result is the end of the
    /// stream, which can be read any number of times. A result that does not fill the memory does not mean
    /// that no more bytes wait.
    ///
    /// Call [`readable_start`](Self::readable_start) before the first read; until then there is nothing to
    /// read. The caller decides how often it reads one socket in a turn.
    ///
    /// # Errors
    /// `WouldBlock` if no bytes wait, and while the socket is connecting. Otherwise the error of the system
    /// call, after which the stream has ended. ENOTCONN for a dead id.
    #[inline]
    pub fn read_into<'a>(
        &self,
        socket: SocketId,
        buffer: impl Into<Unfilled<'a>>,
    ) -> io::Result<&'a mut [u8]> {
        match not_empty(buffer.into()) {
            Some(buffer) => delegate!(self.read_into(socket, buffer)),
            None => Ok(&mut []),
        }
    }

    /// Returns `true` if it is known without a system call that [`read_into`](Self::read_into) would fail
    /// with `WouldBlock`. A caller can check this before it allocates memory for a read. `false` for a dead
    /// id.
    #[inline]
    pub fn is_drained(&self, socket: SocketId) -> bool {
        delegate!(self.is_drained(socket))
    }

    /// Receives like [`read_into`](Self::read_into), and appends the bytes to `buffer`, which must have spare
    /// capacity; it is not enlarged. Returns the number of bytes; 0 is the end of the stream.
    ///
    /// # Errors
    /// The errors of [`read_into`](Self::read_into).
    #[inline]
    pub fn read_append(&self, socket: SocketId, buffer: &mut Vec<u8>) -> io::Result<usize> {
        append(buffer, |free| self.read_into(socket, free))
    }

    /// Copies the next bytes without consuming them: [`read_into`](Self::read_into) returns them again. It
    /// may copy fewer bytes than a read would return. An error is not consumed either.
    ///
    /// # Errors
    /// The errors of [`read_into`](Self::read_into). `Unsupported` for a pipe.
    #[inline]
    pub fn peek_into<'a>(
        &self,
        socket: SocketId,
        buffer: impl Into<Unfilled<'a>>,
    ) -> io::Result<&'a mut [u8]> {
        match not_empty(buffer.into()) {
            Some(buffer) => delegate!(self.peek_into(socket, buffer)),
            None => Ok(&mut []),
        }
    }

    /// Requests one [`Completion::Readable`](crate::Completion::Readable), reported when
    /// [`read_into`](Self::read_into) may return bytes, the end of the stream, or an error. This request and
    /// [`receive_start`](Self::receive_start) replace each other; [`receive_stop`](Self::receive_stop)
    /// cancels it.
    ///
    /// # Errors
    /// If the system cannot watch the socket; ENOTCONN for a dead id.
    #[inline]
    pub fn readable_start(&self, socket: SocketId) -> io::Result<()> {
        delegate!(self.readable_start(socket))
    }

    /// Offers bytes from several slices to the kernel with one system call. Call it only with no batch in
    /// flight. Returns how many bytes the kernel accepted, 0 if its buffer is full. Only the first
    /// [`PIECES_PER_SEND_MAX`](crate::limits::PIECES_PER_SEND_MAX) slices are offered.
    ///
    /// # Errors
    /// The error of the system call; ENOTCONN for a dead id.
    #[inline]
    pub fn send_vectored_at_once(
        &self,
        socket: SocketId,
        slices: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        delegate!(self.send_vectored_at_once(socket, slices))
    }

    /// Requests one [`Completion::Writable`](crate::Completion::Writable), reported when
    /// [`send_at_once`](Self::send_at_once) may accept bytes or would fail. Call it after a send that did not
    /// accept everything. A following [`send`](Self::send) replaces the request.
    ///
    /// # Errors
    /// If the system cannot watch the socket; EBUSY while a batch is in flight; ENOTCONN for a dead id.
    #[inline]
    pub fn writable_start(&self, socket: SocketId) -> io::Result<()> {
        delegate!(self.writable_start(socket))
    }
}

/// Returns the memory unless it is empty, which is a mistake of the caller.
#[inline]
fn not_empty(buffer: Unfilled<'_>) -> Option<Unfilled<'_>> {
    debug_assert!(!buffer.is_empty(), "an empty buffer would look like the end of the stream");
    Some(buffer).filter(|buffer| !buffer.is_empty())
}
