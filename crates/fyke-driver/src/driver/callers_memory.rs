//! For callers that read into their own memory and keep what is not sent yet, as async code does: calls that
//! never wait, and completions that say when to try again.

use std::io::{self, IoSlice};

use super::{Chosen, Driver};
use crate::SocketId;
use crate::backend::Backend;
use crate::uninit::{Unfilled, append};

impl Driver {
    /// Receives into memory of the caller: `&mut [u8]`, or `&mut [MaybeUninit<u8>]`, which must not be empty.
    /// Returns its first bytes, which are filled now; none is the end of the stream, which can be read again
    /// and again. Fewer bytes than fit in do not mean that there are no more.
    ///
    /// Before anything can be read, the driver must have been asked for it: by
    /// [`readable_start`](Self::readable_start). How often one socket is read in a turn is up to the caller.
    ///
    /// # Errors
    /// `WouldBlock` if there is nothing now, and while the socket connects; else the error of the system call,
    /// after which the stream has ended. ENOTCONN for a dead id.
    #[inline]
    pub fn read_into<'a>(
        &self,
        socket: SocketId,
        buffer: impl Into<Unfilled<'a>>,
    ) -> io::Result<&'a mut [u8]> {
        let buffer = buffer.into();
        debug_assert!(!buffer.is_empty(), "it would look like the end of the stream");
        if buffer.is_empty() {
            return Ok(&mut []);
        }
        delegate!(self.read_into(socket, buffer))
    }

    /// Whether [`read_into`](Self::read_into) would give `WouldBlock`, as far as that is known without a system
    /// call: for callers that have to find memory before they read.
    #[inline]
    pub fn is_drained(&self, socket: SocketId) -> bool {
        delegate!(self.is_drained(socket))
    }

    /// Appends to the free capacity of `buffer`, of which there must be some, what
    /// [`read_into`](Self::read_into) would give. Returns how many bytes these are; 0 is the end of the
    /// stream.
    ///
    /// # Errors
    /// Those of [`read_into`](Self::read_into).
    #[inline]
    pub fn read_append(&self, socket: SocketId, buffer: &mut Vec<u8>) -> io::Result<usize> {
        append(buffer, |free| self.read_into(socket, free))
    }

    /// Copies what [`read_into`](Self::read_into) would give, and leaves it where it is; perhaps not all of
    /// it. An error is not taken either.
    ///
    /// # Errors
    /// Those of [`read_into`](Self::read_into); unsupported for a pipe.
    #[inline]
    pub fn peek_into<'a>(
        &self,
        socket: SocketId,
        buffer: impl Into<Unfilled<'a>>,
    ) -> io::Result<&'a mut [u8]> {
        let buffer = buffer.into();
        debug_assert!(!buffer.is_empty(), "it would look like the end of the stream");
        if buffer.is_empty() {
            return Ok(&mut []);
        }
        delegate!(self.peek_into(socket, buffer))
    }

    /// Asks for one [`Completion::Readable`](crate::Completion::Readable), as soon as
    /// [`read_into`](Self::read_into) may find bytes, the end of the stream, or an error. Replaces
    /// [`receive_start`](Self::receive_start), which replaces it; [`receive_stop`](Self::receive_stop) takes
    /// it back.
    ///
    /// # Errors
    /// If the system cannot watch the socket; ENOTCONN for a dead id.
    #[inline]
    pub fn readable_start(&self, socket: SocketId) -> io::Result<()> {
        delegate!(self.readable_start(socket))
    }

    /// Offers bytes in several places to the kernel by one call, if nothing is in flight. Returns how many
    /// bytes the kernel took; at most those of the first
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

    /// Asks for one [`Completion::Writable`](crate::Completion::Writable), as soon as
    /// [`send_at_once`](Self::send_at_once) may take something, or would fail. Called after one that did not
    /// take everything. A [`send`](Self::send) that follows replaces it.
    ///
    /// # Errors
    /// If the system cannot watch the socket; EBUSY while a batch is in flight; ENOTCONN for a dead id.
    #[inline]
    pub fn writable_start(&self, socket: SocketId) -> io::Result<()> {
        delegate!(self.writable_start(socket))
    }
}
