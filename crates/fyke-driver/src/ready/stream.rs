//! Receiving and sending.

use std::io;

use rustix::io::Errno;

use super::{Ready, Slot};
use crate::completion::dead;
use crate::pool::Pool;
use crate::system::{self, Progress};
use crate::{Batch, Chunk, Completion, Operation, SocketId};

impl Ready {
    pub(crate) fn receive_start(&self, socket: SocketId) -> io::Result<()> {
        let mut sockets = self.sockets.borrow_mut();
        let slot = sockets.get_mut(socket).ok_or_else(dead)?;
        self.register(socket, slot)?;
        slot.flags.reading.wanted = true;
        // An edge that came while nobody wanted it does not come again.
        if slot.flags.reading.readable {
            self.defer_work(socket, slot);
        }
        Ok(())
    }

    pub(crate) fn receive_stop(&self, socket: SocketId) {
        if let Some(slot) = self.sockets.borrow_mut().get_mut(socket) {
            slot.flags.reading.wanted = false;
        }
    }

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
        if !matches!(progress, Progress::Done) {
            self.register(socket, slot)?;
            if matches!(progress, Progress::Unfinished) {
                self.defer_work(socket, slot);
            }
            debug_assert!(!slot.flags.sending, "two batches in flight (contract rule 5)");
            slot.flags.sending = true;
            batch.release_spare();
            self.in_flight.borrow_mut().insert(socket, batch);
        }
        Ok(sent)
    }

    /// Goes on with the batch in flight.
    pub(super) fn send_more(&self, socket: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        let mut done = Vec::new();
        let result = {
            let mut sockets = self.sockets.borrow_mut();
            let Some(slot) = sockets.get_mut(socket) else { return };
            if !slot.flags.sending {
                return;
            }
            let mut in_flight = self.in_flight.borrow_mut();
            let Some(batch) = in_flight.get_mut(&socket) else { return };
            let before = batch.remaining();
            let progress = slot.offer(batch, &self.pool, &mut done);
            let sent = before - batch.remaining();
            if matches!(progress, Ok(Progress::Unfinished)) {
                self.defer_work(socket, slot);
            }
            if matches!(progress, Ok(Progress::Done) | Err(_)) {
                slot.flags.sending = false;
                if let Some(batch) = in_flight.remove(&socket) {
                    batch.dismantle(|chunk| done.extend(self.pool.give_back(chunk)));
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
