//! Offering a batch to the kernel by calls.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::completion::dead;
use crate::limits::{PIECES_PER_SEND_MAX, SENDS_PER_CALL_MAX};
use crate::pool::Pool;
use crate::reading::ReadsByCall;
use crate::{Batch, Chunk, SocketId};

/// How far sending got.
pub(crate) enum Progress {
    /// The kernel has everything.
    Done,
    /// The kernel is full; it says when it is not.
    Blocked,
    /// The budget is used up; nothing will be said.
    Unfinished,
}

/// Offers bytes by one call. Says how many the kernel took.
pub(crate) fn send_at_once(
    driver: &impl ReadsByCall,
    socket: SocketId,
    bytes: &[u8],
) -> io::Result<usize> {
    let sent = driver.with_reading(socket, |reading, fd| {
        reading.note_sending(bytes.len());
        super::send(fd, bytes)
    });
    match sent.ok_or_else(dead)? {
        Ok(count) => Ok(count),
        // A full one, and a pipe, which takes no such call: the batch will find a way.
        Err(Errno::AGAIN | Errno::NOTSOCK) => Ok(0),
        Err(errno) => Err(errno.into()),
    }
}

/// Tries the system call until the kernel has everything or is full. Pieces that are done and are
/// not the pool's go to `done`.
pub(crate) fn offer(
    fd: BorrowedFd<'_>,
    pipe: bool,
    batch: &mut Batch,
    pool: &Pool,
    done: &mut Vec<Chunk>,
) -> Result<Progress, Errno> {
    // At least once: an empty batch asks how the connection is.
    for _ in 0..SENDS_PER_CALL_MAX {
        let result = match batch.single() {
            Some(bytes) if pipe => super::write_pipe(fd, &[IoSlice::new(bytes)]),
            Some(bytes) => super::send(fd, bytes),
            None => {
                let mut slices = [IoSlice::new(&[]); PIECES_PER_SEND_MAX];
                let count = batch.gather(&mut slices);
                match pipe {
                    true => super::write_pipe(fd, &slices[..count]),
                    false => super::send_gathered(fd, &slices[..count]),
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
