//! Sends with system calls: first at once, then whenever the kernel has room.

use std::io::{self, IoSlice};

use super::{Sending, Slot, SystemBackend};
use crate::completion::dead;
use crate::limits::{PIECES_PER_SEND_MAX, SENDS_PER_CALL_MAX};
use crate::pool::Pool;
use crate::system::{self, Errno};
use crate::{Batch, Chunk, Completion, Operation, SocketId};

/// The maximum number of bytes from several places that are copied together before they are sent. That costs
/// less than the kernel's work for several places.
const COPIED_BYTES_MAX: usize = 4096;

/// The progress of sending a batch.
enum Progress {
    /// The kernel accepted everything.
    Done,
    /// The kernel's buffer is full. The kernel reports when it has room.
    Blocked,
    /// The budget is used up. The kernel reports no event.
    Unfinished,
}

/// Offers bytes to the kernel with one system call. Returns how many it accepted.
pub(crate) fn send_at_once(
    driver: &impl SystemBackend,
    socket: SocketId,
    bytes: &[u8],
) -> io::Result<usize> {
    let sent = driver.table().with_reading(socket, |reading, fd| {
        reading.note_sending(bytes.len());
        match system::send(fd, bytes) {
            // Few descriptors are pipes, so only they pay for the question.
            Err(Errno::NOTSOCK) => system::write_pipe(fd, &[IoSlice::new(bytes)]),
            sent => sent,
        }
    });
    taken(sent)
}

/// Offers bytes from several slices to the kernel with one system call. Returns how many it accepted.
pub(crate) fn send_vectored_at_once(
    driver: &impl SystemBackend,
    socket: SocketId,
    slices: &[IoSlice<'_>],
) -> io::Result<usize> {
    let slices = &slices[..slices.len().min(PIECES_PER_SEND_MAX)];
    let bytes = slices.iter().map(|slice| slice.len()).sum::<usize>();
    if bytes <= COPIED_BYTES_MAX {
        let table = driver.table();
        let mut copied = table.copied.take();
        copied.clear();
        slices.iter().for_each(|slice| copied.extend_from_slice(slice));
        let sent = send_at_once(driver, socket, &copied);
        table.copied.set(copied);
        return sent;
    }
    let sent = driver.table().with_reading(socket, |reading, fd| {
        reading.note_sending(bytes);
        match reading.pipe {
            true => system::write_pipe(fd, slices),
            false => system::send_gathered(fd, slices),
        }
    });
    taken(sent)
}

/// Returns how many bytes the kernel accepted: 0 if its buffer is full. `None` stands for a dead id.
#[inline]
fn taken(sent: Option<Result<usize, Errno>>) -> io::Result<usize> {
    match sent.ok_or_else(dead)? {
        Ok(count) => Ok(count),
        Err(Errno::AGAIN) => Ok(0),
        Err(errno) => Err(errno.into()),
    }
}

/// Makes the socket report `Writable` once. Fails with EBUSY while a batch is in flight.
pub(crate) fn writable_start(driver: &impl SystemBackend, socket: SocketId) -> io::Result<()> {
    let mut sockets = driver.table().sockets.borrow_mut();
    let slot = sockets.get_mut(socket).ok_or_else(dead)?;
    if slot.flags.sending == Sending::Batch {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    driver.watch(socket, slot)?;
    slot.flags.sending = Sending::Notice;
    // The kernel reports room only after its buffer was full, but it may have accepted less for another
    // reason.
    if has_room(slot) {
        driver.work_later(socket, slot);
    }
    Ok(())
}

/// Reports `Writable` if the kernel has room.
#[cold]
fn notify(driver: &impl SystemBackend, socket: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
    let room = driver.table().with_slot(socket, |slot| {
        let room = has_room(slot);
        if room {
            slot.flags.sending = Sending::Nothing;
        } else {
            // This cannot fail, because `writable_start` has watched the socket.
            drop(driver.watch(socket, slot));
        }
        room
    });
    if room.unwrap_or(false) {
        on(Completion::Writable { socket });
    }
}

/// Offers a batch to the kernel. The rest that the kernel does not accept at once becomes the batch in
/// flight.
pub(crate) fn send(
    driver: &impl SystemBackend,
    socket: SocketId,
    mut batch: Batch,
) -> io::Result<usize> {
    // This is declared first, so it is dropped last: dropping the user's bytes may run user code, and nothing
    // may be borrowed then.
    let mut done = Vec::new();
    let table = driver.table();
    let mut sockets = table.sockets.borrow_mut();
    let slot = sockets.get_mut(socket).ok_or_else(dead)?;
    let before = batch.remaining();
    let progress = match offer(slot, &mut batch, &table.pool, &mut done) {
        Ok(progress) => progress,
        Err(errno) => {
            batch.dismantle(|chunk| done.extend(table.pool.give_back(chunk)));
            return Err(errno.into());
        }
    };
    let sent = before - batch.remaining();
    slot.flags.reading.note_sending(before);
    if !matches!(progress, Progress::Done) {
        driver.watch(socket, slot)?;
        if matches!(progress, Progress::Unfinished) {
            driver.work_later(socket, slot);
        }
        debug_assert!(
            slot.flags.sending != Sending::Batch,
            "two batches in flight (contract rule 5)"
        );
        slot.flags.sending = Sending::Batch;
        batch.release_spare();
        table.in_flight.borrow_mut().insert(socket, batch);
    } else if slot.flags.sending == Sending::Notice {
        slot.flags.sending = Sending::Nothing;
    }
    Ok(sent)
}

/// Returns whether the kernel has room for bytes. A connecting socket has none until the connect is decided,
/// see [`connected`](super::connected).
fn has_room<W>(slot: &Slot<W>) -> bool {
    !slot.flags.reading.connecting && system::is_writable(system::borrow(&slot.fd))
}

/// Sends more of the batch in flight, if there is one, or reports `Writable` if that was requested.
pub(crate) fn send_more(
    driver: &impl SystemBackend,
    socket: SocketId,
    on: &mut dyn FnMut(Completion<'_>),
) {
    let mut done = Vec::new();
    let result = {
        let table = driver.table();
        let mut sockets = table.sockets.borrow_mut();
        let Some(slot) = sockets.get_mut(socket) else { return };
        match slot.flags.sending {
            Sending::Batch => {}
            Sending::Nothing => return,
            Sending::Notice => {
                drop(sockets);
                return notify(driver, socket, on);
            }
        }
        let mut in_flight = table.in_flight.borrow_mut();
        let Some(batch) = in_flight.get_mut(&socket) else { return };
        let before = batch.remaining();
        let progress = offer(slot, batch, &table.pool, &mut done);
        let sent = before - batch.remaining();
        match progress {
            // This cannot fail, because `send` has watched the socket.
            Ok(Progress::Blocked) => drop(driver.watch(socket, slot)),
            Ok(Progress::Unfinished) => driver.work_later(socket, slot),
            Ok(Progress::Done) | Err(_) => {
                slot.flags.sending = Sending::Nothing;
                if let Some(batch) = in_flight.remove(&socket) {
                    batch.dismantle(|chunk| done.extend(table.pool.give_back(chunk)));
                }
            }
        }
        progress.map(|_| sent)
    };
    drop(done);
    match result {
        Ok(0) => {}
        Ok(bytes) => on(Completion::Sent { socket, bytes }),
        Err(errno) => {
            on(Completion::Failed { socket, operation: Operation::Send, error: errno.into() });
        }
    }
}

/// Repeats the system call until the kernel has accepted everything, its buffer is full, or the budget is
/// used up. Sent pieces that do not belong to the pool are moved to `done`.
fn offer<W>(
    slot: &Slot<W>,
    batch: &mut Batch,
    pool: &Pool,
    done: &mut Vec<Chunk>,
) -> Result<Progress, Errno> {
    let (fd, pipe) = (system::borrow(&slot.fd), slot.flags.reading.pipe);
    // The call is made at least once: an empty batch checks the connection.
    for _ in 0..SENDS_PER_CALL_MAX {
        let result = match batch.single() {
            Some(bytes) if pipe => system::write_pipe(fd, &[IoSlice::new(bytes)]),
            Some(bytes) => system::send(fd, bytes),
            None => {
                let mut slices = [IoSlice::new(&[]); PIECES_PER_SEND_MAX];
                let count = batch.gather(&mut slices);
                match pipe {
                    true => system::write_pipe(fd, &slices[..count]),
                    false => system::send_gathered(fd, &slices[..count]),
                }
            }
        };
        match result {
            Ok(count) => {
                batch.advance(count, |chunk| done.extend(pool.give_back(chunk)));
                if batch.remaining() == 0 {
                    return Ok(Progress::Done);
                }
            }
            Err(Errno::AGAIN) => return Ok(Progress::Blocked),
            Err(errno) => return Err(errno),
        }
    }
    Ok(Progress::Unfinished)
}
