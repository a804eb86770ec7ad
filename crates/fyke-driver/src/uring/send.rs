//! Sending: by a call at once, and what the kernel does not take then by one operation in the ring.

use std::io::{self, IoSlice};

use io_uring::{opcode, squeue, types};
use rustix::io::Errno;

use super::ring::Completed;
use super::{Role, Uring};
use crate::driver::dead;
use crate::limits::PIECES_PER_SEND_MAX;
use crate::system::{self, Progress};
use crate::{Batch, Completion, Operation, SocketId};

/// IORING_RECVSEND_POLL_FIRST: the kernel has just refused, so it is not asked before it is ready.
const POLL_FIRST: u16 = 1;

/// A batch of which the kernel has not taken everything, and its description for the kernel.
///
/// Belongs to its slot, and is not touched while the send is in `started`. The bytes are in memory
/// of their own, the array and the message in this box.
#[derive(Debug)]
pub(super) struct Sending {
    batch: Batch,
    blocked: bool,
    slices: Vec<libc::iovec>,
    message: libc::msghdr,
}

impl Sending {
    #[allow(unsafe_code, reason = "a C struct whose padding has no name on every system")]
    fn new(batch: Batch, blocked: bool) -> Box<Self> {
        // SAFETY: integers and pointers; zero is a value of each.
        let message = unsafe { std::mem::zeroed() };
        Box::new(Self { batch, blocked, slices: Vec::new(), message })
    }

    /// The operation that offers what is left.
    pub(super) fn entry(&mut self, fd: types::Fd) -> squeue::Entry {
        let priority = if self.blocked { POLL_FIRST } else { 0 };
        if let Some(bytes) = self.batch.single() {
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            return opcode::Send::new(fd, bytes.as_ptr(), length)
                .ioprio(priority)
                .flags(libc::MSG_NOSIGNAL)
                .build();
        }
        let mut slices = [IoSlice::new(&[]); PIECES_PER_SEND_MAX];
        let count = self.batch.gather(&mut slices);
        self.slices.clear();
        self.slices.extend(slices[..count].iter().map(|slice| libc::iovec {
            iov_base: slice.as_ptr().cast_mut().cast(),
            iov_len: slice.len(),
        }));
        self.message.msg_iov = self.slices.as_mut_ptr();
        self.message.msg_iovlen = count as _;
        opcode::SendMsg::new(fd, &raw const self.message)
            .ioprio(priority)
            .flags(libc::MSG_NOSIGNAL as u32)
            .build()
    }

    pub(super) fn into_batch(self) -> Batch {
        self.batch
    }
}

impl Uring {
    pub(crate) fn send(&self, socket: SocketId, mut batch: Batch) -> io::Result<usize> {
        // Declared first, so dropped last: the user's bytes may run the user's code when they go,
        // and nothing may be borrowed then.
        let mut done = Vec::new();
        let mut sockets = self.sockets.borrow_mut();
        let slot = sockets.get_mut(socket).ok_or_else(dead)?;
        let before = batch.remaining();
        let fd = system::borrow(&slot.fd);
        let progress = match system::offer(fd, &mut batch, &self.pool, &mut done) {
            Ok(progress) => progress,
            Err(errno) => {
                batch.dismantle(|chunk| done.extend(self.pool.give_back(chunk)));
                return Err(errno.into());
            }
        };
        let sent = before - batch.remaining();
        let blocked = matches!(progress, Progress::Blocked);
        if !matches!(progress, Progress::Done) {
            if let Role::Stream(stream) = &mut slot.role {
                debug_assert!(stream.sending.is_none(), "two batches in flight (contract rule 5)");
                stream.sending = Some(Sending::new(batch, blocked));
            }
            self.note_change(socket, slot);
        }
        Ok(sent)
    }

    /// The kernel has taken some of the batch in flight, or refuses it.
    pub(super) fn sent(
        &self,
        socket: SocketId,
        completed: Completed,
        on: &mut dyn FnMut(Completion<'_>),
    ) {
        let mut done = Vec::new();
        let result = {
            let mut sockets = self.sockets.borrow_mut();
            let Some(slot) = sockets.get_mut(socket) else { return };
            let Role::Stream(stream) = &mut slot.role else { return };
            let Some(sending) = &mut stream.sending else { return };
            match completed.error() {
                None => {
                    let bytes = usize::try_from(completed.result).unwrap_or(0);
                    sending.batch.advance(bytes, |chunk| done.extend(self.pool.give_back(chunk)));
                    sending.blocked = true;
                    if sending.batch.remaining() == 0 {
                        stream.sending = None;
                    } else {
                        self.note_change(socket, slot);
                    }
                    Ok(bytes)
                }
                Some(Errno::CANCELED | Errno::INTR | Errno::AGAIN) => {
                    self.note_change(socket, slot);
                    return;
                }
                Some(errno) => {
                    let batch = stream.sending.take().map(|sending| sending.into_batch());
                    if let Some(batch) = batch {
                        batch.dismantle(|chunk| done.extend(self.pool.give_back(chunk)));
                    }
                    Err(errno)
                }
            }
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
}
