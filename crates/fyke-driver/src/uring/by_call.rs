//! Receiving by calls: the ring says when there is something, a call reads it, as with readiness. It costs
//! what it costs with epoll.
//!
//! *Unix sockets and pipes*, because what a multishot receive has brought cannot be put back: a Unix
//! socket that is closed with unread bytes fails its peer with ECONNRESET, and only bytes that are still
//! with the kernel count as unread. (A TCP connection can be reset by hand, see
//! [`closing`](super::closing).)
//!
//! *Connections whose peer sends in bulk*: when a full piece has come. In one `enter` the kernel goes on
//! with a multishot receive for 32 pieces, or until the pool is empty, and all others wait that long
//! (contract rule 6). Single receives into the same pool are no way out: their completions come after
//! those of multishot receives that filled the buffer behind them, and only the order tells where in
//! a buffer the bytes are.

use std::cell::Cell;

use rustix::io::Errno;

use super::ring::Completed;
use super::token::Kind;
use super::{Role, Slot, Uring};
use crate::limits::{READ_BUFFER_BYTES, READS_PER_TURN_MAX};
use crate::system;
use crate::{Completion, Operation, SocketId};

/// What the ring waits for. A hang-up is asked for by name: it makes no edge of its own later.
pub(super) const EVENTS: u32 = (libc::POLLIN | libc::POLLRDHUP) as u32;

const GONE: i32 = (libc::POLLHUP | libc::POLLRDHUP | libc::POLLERR) as i32;

/// The read buffer of all these sockets, made when the first one reads. Taken while bytes are lent.
#[derive(Default)]
pub(super) struct ReadBuffer(Cell<Option<Box<[u8]>>>);

/// The read buffer while it is away from its place; goes back also when the callback panics.
struct Lent<'a> {
    place: &'a ReadBuffer,
    buffer: Box<[u8]>,
}

impl ReadBuffer {
    fn lend(&self) -> Lent<'_> {
        let buffer = self.0.take();
        let buffer = buffer.unwrap_or_else(|| vec![0; READ_BUFFER_BYTES].into_boxed_slice());
        Lent { place: self, buffer }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.place.0.set(Some(std::mem::take(&mut self.buffer)));
    }
}

enum Read {
    Nothing,
    Bytes(usize),
    End,
    Failed(Errno),
}

impl Uring {
    /// A completion of the poll that watches such a socket.
    pub(super) fn readable(
        &self,
        socket: SocketId,
        completed: Completed,
        on: &mut dyn FnMut(Completion<'_>),
    ) {
        let sends = {
            let mut sockets = self.sockets.borrow_mut();
            let Some(slot) = sockets.get_mut(socket) else { return };
            if !completed.has_more() {
                self.note_change(socket, slot);
            }
            if completed.error() == Some(Errno::CANCELED) {
                return;
            }
            slot.flags.readable = true;
            let gone = completed.result < 0 || completed.result & GONE != 0;
            slot.flags.hung_up |= gone;
            if slot.flags.in_backlog {
                // Once per turn is enough (contract rule 6).
                return;
            }
            // In the order of readiness. A Unix socket's poll says so before its data is read, and
            // there the read fails first.
            gone && slot.flags.bulk && slot.is_sending()
        };
        match sends {
            true => self.receive_and_send(socket, on),
            false => self.receive_some(socket, on),
        }
    }

    /// Reads until drained, stopped or out of budget.
    pub(super) fn receive_some(&self, socket: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        self.receive_until(socket, READS_PER_TURN_MAX, false, on);
    }

    /// Reads until drained, stopped or out of budget, or, if asked for, until the first short read.
    /// Says what is left of the budget.
    pub(super) fn receive_until(
        &self,
        socket: SocketId,
        reads_max: usize,
        short: bool,
        on: &mut dyn FnMut(Completion<'_>),
    ) -> usize {
        let mut lent = self.read_buffer.lend();
        for left in (0..reads_max).rev() {
            match self.receive_once(socket, &mut lent.buffer) {
                Read::Nothing => return left,
                Read::Bytes(count) => {
                    on(Completion::Received { socket, bytes: &lent.buffer[..count] });
                    if short && count < lent.buffer.len() {
                        return left;
                    }
                }
                Read::End => {
                    on(Completion::EndOfStream { socket });
                    return left;
                }
                Read::Failed(errno) => {
                    let error = errno.into();
                    on(Completion::Failed { socket, operation: Operation::Receive, error });
                    return left;
                }
            }
        }
        if let Some(slot) = self.sockets.borrow_mut().get_mut(socket) {
            if slot.may_read() {
                self.defer_work(socket, slot);
            }
        }
        0
    }

    /// Whether the peer has ended or is gone, and the next turn reads on.
    pub(super) fn reads_on_of_gone(&self, socket: SocketId) -> bool {
        let sockets = self.sockets.borrow();
        sockets.get(socket).is_some_and(|slot| slot.flags.hung_up && slot.flags.in_backlog)
    }

    fn receive_once(&self, socket: SocketId, buffer: &mut [u8]) -> Read {
        let mut sockets = self.sockets.borrow_mut();
        let Some(slot) = sockets.get_mut(socket).filter(|slot| slot.may_read()) else {
            return Read::Nothing;
        };
        let fd = system::borrow(&slot.fd);
        let received = match slot.flags.pipe {
            true => system::read_pipe(fd, buffer),
            false => system::receive(fd, buffer),
        };
        match received {
            Ok(0) => {
                slot.flags.ended = true;
                Read::End
            }
            Ok(count) => {
                // Short means drained, unless the end follows: it makes no edge of its own.
                // A pipe gives what one write has put there (pipe(7), O_DIRECT).
                let flags = &mut slot.flags;
                flags.readable = count == buffer.len() || flags.hung_up || flags.pipe;
                Read::Bytes(count)
            }
            Err(Errno::AGAIN) => {
                slot.flags.readable = false;
                Read::Nothing
            }
            Err(errno) => {
                slot.flags.ended = true;
                Read::Failed(errno)
            }
        }
    }
}

impl Slot {
    /// Whether it is to be read by calls as soon as its multishot receive has ended.
    pub(super) fn changes_to_calls(&self) -> bool {
        let flags = self.flags;
        flags.bulk && !flags.by_call && flags.wanted && self.started.contains(Kind::Receive)
    }

    fn is_sending(&self) -> bool {
        matches!(&self.role, Role::Stream(stream) if stream.sending.is_some())
    }

    fn may_read(&self) -> bool {
        let flags = self.flags;
        flags.wanted && flags.readable && !flags.ended && !flags.connecting
    }
}
