//! The turn of one socket that is read by calls: the same for every backend that does so.

use std::os::fd::BorrowedFd;

use super::{Backlog, Read, Reader, Reading};
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

    fn backlog(&self) -> &Backlog;

    /// Has the next turn do a step for the socket.
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
        let gone =
            self.with_reading(socket, |reading, _| reading.has_hung_up() && reading.in_backlog);
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
        let more = self.with_reading(socket, |reading, _| {
            // With none from the beginning this turn has been counted.
            if reads_max > 0 {
                reading.note_used_up();
            }
            reading.may_read() && !std::mem::replace(&mut reading.in_backlog, true)
        });
        if more.unwrap_or(false) {
            self.backlog().push_reader(socket);
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::Write;
    use std::net::TcpStream;
    use std::os::fd::AsFd;

    use rustix::event::PollFlags;

    use super::*;
    use crate::limits::READ_BUFFER_BYTES;
    use crate::reading::tests::{pair, wait_for};

    /// A backend of one socket.
    struct One {
        reader: Reader,
        reading: RefCell<Reading>,
        stream: TcpStream,
        backlog: Backlog,
    }

    impl ReadsByCall for One {
        fn reader(&self) -> &Reader {
            &self.reader
        }

        fn with_reading<T>(
            &self,
            _: SocketId,
            on: impl FnOnce(&mut Reading, BorrowedFd<'_>) -> T,
        ) -> Option<T> {
            Some(on(&mut self.reading.borrow_mut(), self.stream.as_fd()))
        }

        fn send_more(&self, _: SocketId, _: &mut dyn FnMut(Completion<'_>)) {}

        fn backlog(&self) -> &Backlog {
            &self.backlog
        }

        fn work_later(&self, _: SocketId) {}
    }

    #[test]
    fn a_turn_whose_budget_is_used_up_before_it_sends_counts_once() {
        let (stream, peer) = pair();
        let budget = READS_PER_TURN_MAX * READ_BUFFER_BYTES;
        let writer = std::thread::spawn(move || (&peer).write_all(&vec![7; 4 * budget]));
        let mut all = vec![0; budget + 1];
        while stream.peek(&mut all).unwrap_or(0) < all.len() {
            wait_for(&stream, PollFlags::IN);
        }
        let reading = Reading { wanted: true, readable: true, ..Reading::default() };
        let (reader, reading) = (Reader::default(), RefCell::new(reading));
        let one = One { reader, reading, stream, backlog: Backlog::default() };
        let mut count = 0;
        one.receive_and_send_by_call(SocketId::default(), &mut |completion| {
            if let Completion::Received { bytes, .. } = completion {
                count += bytes.len();
            }
        });
        assert_eq!((count, one.backlog.readers()), (budget, 1));
        assert_eq!(one.reading.borrow().streak, 1);
        drop(one);
        let _ = writer.join();
    }
}
