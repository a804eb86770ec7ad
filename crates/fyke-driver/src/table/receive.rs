//! Receives with system calls, after the kernel has reported that a socket is readable.

use std::io;

use super::{SystemBackend, send};
use crate::completion::dead;
use crate::limits::{READ_BUFFER_BYTES, READS_PER_TURN_MAX};
use crate::reading::{Lent, Read};
use crate::uninit::Unfilled;
use crate::{Completion, Operation, SocketId};

/// Reads into the caller's memory.
pub(crate) fn read_into<'a>(
    driver: &impl SystemBackend,
    socket: SocketId,
    buffer: Unfilled<'a>,
) -> io::Result<&'a mut [u8]> {
    let table = driver.table();
    let read = table
        .with_reading(socket, |reading, fd| reading.read_into(socket, fd, &table.reader, buffer));
    Ok(read.ok_or_else(dead)??)
}

/// Copies what [`read_into`] would return, without consuming it.
pub(crate) fn peek_into<'a>(
    driver: &impl SystemBackend,
    socket: SocketId,
    buffer: Unfilled<'a>,
) -> io::Result<&'a mut [u8]> {
    let table = driver.table();
    let peeked = table
        .with_reading(socket, |reading, fd| reading.peek_into(socket, fd, &table.reader, buffer));
    Ok(peeked.ok_or_else(dead)??)
}

/// Reads until the socket is drained, stopped or out of budget.
#[cfg(uring)]
pub(crate) fn receive(
    driver: &impl SystemBackend,
    socket: SocketId,
    on: &mut dyn FnMut(Completion<'_>),
) {
    receive_until(driver, socket, READS_PER_TURN_MAX, false, on);
}

/// Reports the result of the first read, then reads until the socket is drained, stopped or out of budget.
#[inline]
pub(crate) fn receive_on(
    driver: &impl SystemBackend,
    socket: SocketId,
    mut lent: Lent<'_>,
    first: Read,
    on: &mut dyn FnMut(Completion<'_>),
) {
    let after = deliver(socket, &mut lent, first, on);
    drop(lent);
    if !matches!(after, After::Stop) {
        receive_until(driver, socket, READS_PER_TURN_MAX - 1, false, on);
    }
}

/// Reads, and sends more of the batch in flight, in libuv's order: it reads until a read is short, then
/// sends, and then reads whatever follows. So on a broken connection the read fails first, unless bytes were
/// received before the failure; then the send fails.
// DST-10.
pub(crate) fn receive_and_send(
    driver: &impl SystemBackend,
    socket: SocketId,
    on: &mut dyn FnMut(Completion<'_>),
) {
    let left = receive_until(driver, socket, READS_PER_TURN_MAX, true, on);
    let gone = driver
        .table()
        .with_reading(socket, |reading, _| reading.has_hung_up() && reading.in_backlog);
    if gone.unwrap_or(false) {
        // Sending would fail, and the unread bytes would be lost. The next turn continues reading first.
        return;
    }
    send::send_more(driver, socket, on);
    receive_until(driver, socket, left, false, on);
}

/// Reads until the socket is drained, stopped or out of budget; with `short`, at most until the first short
/// read. Returns the rest of the budget.
fn receive_until(
    driver: &impl SystemBackend,
    socket: SocketId,
    reads_max: usize,
    short: bool,
    on: &mut dyn FnMut(Completion<'_>),
) -> usize {
    let table = driver.table();
    let mut lent = table.reader.lend();
    for left in (0..reads_max).rev() {
        let read = table.with_slot(socket, |slot| slot.read(socket, &mut lent));
        match deliver(socket, &mut lent, read.unwrap_or(Read::Nothing), on) {
            After::Stop => return left,
            After::Short if short => return left,
            After::Short | After::Full => {}
        }
    }
    let more = table.with_reading(socket, |reading, _| {
        // With a budget of 0, the first part of this turn has already been counted.
        if reads_max > 0 {
            reading.note_used_up();
        }
        reading.may_read() && !std::mem::replace(&mut reading.in_backlog, true)
    });
    if more.unwrap_or(false) {
        table.backlog.push_reader(socket);
    }
    0
}

/// What to do after a read.
enum After {
    /// Nothing more can be read now.
    Stop,
    /// The read was short, but more bytes may follow.
    Short,
    /// The read filled the buffer.
    Full,
}

/// Reports the result of a read.
#[inline]
fn deliver(
    socket: SocketId,
    lent: &mut Lent<'_>,
    read: Read,
    on: &mut dyn FnMut(Completion<'_>),
) -> After {
    match read {
        Read::Nothing => {}
        Read::Readable => on(Completion::Readable { socket }),
        Read::Bytes { count, drained } => {
            on(Completion::Received { socket, bytes: &mut lent.bytes_mut()[..count] });
            if !drained {
                return if count < READ_BUFFER_BYTES { After::Short } else { After::Full };
            }
        }
        Read::End => on(Completion::EndOfStream { socket }),
        Read::Failed(errno) => {
            let (operation, error) = (Operation::Receive, errno.into());
            on(Completion::Failed { socket, operation, error });
        }
    }
    After::Stop
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::io::Write;
    use std::os::fd::OwnedFd;

    use rustix::event::PollFlags;

    use super::super::{Slot, Table};
    use super::*;
    use crate::completion::Wanted;
    use crate::reading::tests::{pair, wait_for};

    /// A backend that does not watch its sockets.
    struct Blind(Table<()>);

    impl SystemBackend for Blind {
        type Watch = ();

        fn table(&self) -> &Table<()> {
            &self.0
        }

        fn insert(&self, fd: OwnedFd, _: bool) -> io::Result<SocketId> {
            Ok(self.0.sockets.borrow_mut().insert(Slot::new(fd, ())))
        }

        fn watch(&self, _: SocketId, _: &mut Slot<()>) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn turn_whose_budget_is_used_up_before_sending_counts_once() {
        let (stream, peer) = pair();
        let budget = READS_PER_TURN_MAX * READ_BUFFER_BYTES;
        let writer = std::thread::spawn(move || (&peer).write_all(&vec![7; 4 * budget]));
        let mut all = vec![0; budget + 1];
        while stream.peek(&mut all).unwrap_or(0) < all.len() {
            wait_for(&stream, PollFlags::IN);
        }
        let driver = Blind(Table::new());
        let socket = driver.insert(stream.into(), false).unwrap();
        driver.0.with_reading(socket, |reading, _| {
            (reading.wanted, reading.readable) = (Wanted::Delivery, true);
        });
        let mut count = 0;
        receive_and_send(&driver, socket, &mut |completion| {
            if let Completion::Received { bytes, .. } = completion {
                count += bytes.len();
            }
        });
        assert_eq!((count, driver.0.backlog.readers()), (budget, 1));
        assert_eq!(driver.0.with_reading(socket, |reading, _| reading.turns_used_up()), Some(1));
        drop(driver);
        let _ = writer.join();
    }
}
