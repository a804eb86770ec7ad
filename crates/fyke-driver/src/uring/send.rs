//! Sending: by a call at once, as with readiness; when the kernel is full the ring says when it is not.
//!
//! Not by an operation of the ring. Whether the kernel took the bytes decides when callbacks come, so
//! the first attempt is a call anyway. And a connection that broke fails its read before its write
//! (DST-10): a send that waits in the ring would be woken first and take the error away.

use std::io;

use rustix::io::Errno;

use super::ring::Completed;
use super::{Slot, Uring};
use crate::completion::dead;
use crate::pool::Pool;
use crate::system::{self, Progress};
use crate::{Batch, Chunk, Completion, Operation, SocketId};

impl Uring {
    pub(crate) fn send(&self, socket: SocketId, mut batch: Batch) -> io::Result<usize> {
        // Declared first, so dropped last: the user's bytes may run the user's code when they go,
        // and nothing may be borrowed then.
        let mut done = Vec::new();
        let mut sockets = self.sockets.borrow_mut();
        let slot = sockets.get_mut(socket).ok_or_else(dead)?;
        let before = batch.remaining();
        let progress = match slot.offer(&mut batch, &self.pool, &mut done) {
            Ok(progress) => progress,
            Err(errno) => {
                batch.dismantle(|chunk| done.extend(self.pool.give_back(chunk)));
                return Err(errno.into());
            }
        };
        let sent = before - batch.remaining();
        slot.flags.reading.note_sending(before);
        self.keep_rest(socket, slot, &progress, batch);
        Ok(sent)
    }

    /// The batch in flight is what the kernel did not take.
    fn keep_rest(&self, socket: SocketId, slot: &mut Slot, progress: &Progress, mut batch: Batch) {
        match progress {
            Progress::Done => return,
            Progress::Blocked => self.note_change(socket, slot),
            Progress::Unfinished => self.defer_work(socket, slot),
        }
        debug_assert!(!slot.flags.sending, "two batches in flight (contract rule 5)");
        slot.flags.sending = true;
        batch.release_spare();
        self.in_flight.borrow_mut().insert(socket, batch);
    }

    /// A completion of the poll that waits for room. Sending goes on when everything was received
    /// that came in this turn.
    pub(super) fn writable(&self, socket: SocketId, completed: Completed) {
        if let Some(slot) = self.sockets.borrow_mut().get_mut(socket) {
            match completed.error() {
                None => self.writable.borrow_mut().push_back(socket),
                error => self.watch_again(socket, slot, error),
            }
        }
    }

    /// Goes on with the batch in flight.
    pub(super) fn send_more(&self, socket: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        let mut done = Vec::new();
        let result = {
            let mut sockets = self.sockets.borrow_mut();
            let Some(slot) = sockets.get_mut(socket) else { return };
            if !std::mem::take(&mut slot.flags.sending) {
                return;
            }
            let Some(mut batch) = self.in_flight.borrow_mut().remove(&socket) else { return };
            let before = batch.remaining();
            match slot.offer(&mut batch, &self.pool, &mut done) {
                Ok(progress) => {
                    let sent = before - batch.remaining();
                    self.keep_rest(socket, slot, &progress, batch);
                    Ok(sent)
                }
                Err(errno) => {
                    batch.dismantle(|chunk| done.extend(self.pool.give_back(chunk)));
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

impl Slot {
    fn offer(
        &self,
        batch: &mut Batch,
        pool: &Pool,
        done: &mut Vec<Chunk>,
    ) -> Result<Progress, Errno> {
        system::offer(system::borrow(&self.fd), self.flags.reading.pipe, batch, pool, done)
    }
}
