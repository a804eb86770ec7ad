//! The turn of one socket that is read by calls: the same for every backend that does so.

use std::os::fd::BorrowedFd;

use super::{Read, Reader, Reading};
use crate::limits::READS_PER_TURN_MAX;
use crate::{Completion, Operation, SocketId};

/// A backend, as this module needs it.
pub(crate) trait ReadsByCall {
    fn reader(&self) -> &Reader;

    /// None: there is no such socket any more.
    fn with_reading<T>(
        &self,
        socket: SocketId,
        on: impl FnOnce(&mut Reading, BorrowedFd<'_>) -> T,
    ) -> Option<T>;

    /// Goes on with the batch in flight.
    fn send_more(&self, socket: SocketId, on: &mut dyn FnMut(Completion<'_>));

    /// Puts the socket in line for the next turn.
    fn work_later(&self, socket: SocketId);

    /// Reads until drained, stopped or out of budget.
    fn receive_some(&self, socket: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        self.receive_until(socket, READS_PER_TURN_MAX, false, on);
    }

    /// Reads, and goes on with the batch in flight, in libuv's order: reads until one comes short, then
    /// sends, and only then looks for what is behind that. So a connection that broke fails its read
    /// first (DST-10), unless bytes came before: then its send.
    fn receive_and_send_by_call(&self, socket: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        let left = self.receive_until(socket, READS_PER_TURN_MAX, true, on);
        let gone = self.with_reading(socket, |reading, _| reading.hung_up && reading.in_backlog);
        if gone.unwrap_or(false) {
            // Sending would fail, and what is unread would be lost: the next turn reads on first.
            return;
        }
        self.send_more(socket, on);
        self.receive_until(socket, left, false, on);
    }

    /// Reads until drained, stopped or out of budget, or, if asked for, until the first short read.
    /// Says what is left of the budget.
    fn receive_until(
        &self,
        socket: SocketId,
        reads_max: usize,
        short: bool,
        on: &mut dyn FnMut(Completion<'_>),
    ) -> usize {
        let reader = self.reader();
        let mut lent = reader.lend();
        for left in (0..reads_max).rev() {
            let read = self.with_reading(socket, |reading, fd| {
                reading.read(socket, fd, &mut lent.buffer, reader)
            });
            match read.unwrap_or(Read::Nothing) {
                Read::Nothing => return left,
                Read::Bytes { count, drained } => {
                    on(Completion::Received { socket, bytes: &lent.buffer[..count] });
                    if drained || short && count < lent.buffer.len() {
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
        if self.with_reading(socket, |reading, _| reading.has_more()).unwrap_or(false) {
            self.work_later(socket);
        }
        0
    }
}

/// Puts a socket back in line when the callback panics: what is left of its work is not announced
/// again.
pub(crate) struct AgainOnPanic<'a, D: ReadsByCall> {
    pub(crate) driver: &'a D,
    pub(crate) socket: SocketId,
}

impl<D: ReadsByCall> Drop for AgainOnPanic<'_, D> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.driver.work_later(self.socket);
        }
    }
}
