//! Closing sockets and the driver while the kernel may be using their memory (contract rule 4).
//!
//! An operation in the ring holds the socket open: closing the descriptor alone would send neither
//! FIN nor RST and leave a port taken. So what is in flight is cancelled first, and its last
//! completion waited for, which takes one `enter`, because receives, accepts and polls wait in the
//! kernel and are not running. Should one ever not end at once, the socket lingers: it is asked to
//! end in every turn, and freed when it did.

use std::io;
use std::time::Duration;

use super::held::Held;
use super::ring::Completed;
use super::token::{self, Kind, token};
use super::{Slot, Uring};
use crate::SocketId;
use crate::system;

/// How often, and how long each time, a driver that goes waits for what is in flight. Nothing is
/// known that takes so long; what does is leaked with its memory.
const DRAIN_ROUNDS: u32 = 100;
const DRAIN_WAIT: Duration = Duration::from_millis(100);

impl Uring {
    /// Returns whether there was such a socket.
    pub(super) fn close(&self, socket: SocketId) -> bool {
        let Some(slot) = self.table.remove(socket) else { return false };
        if slot.watch.kernel.is_empty() {
            self.dispose(socket, slot);
            return true;
        }
        self.lingering.borrow_mut().insert(socket, slot);
        // If the kernel does not even take the cancellation, the next turn asks again.
        let _ = self.end(socket);
        true
    }

    /// Cancels what a closed socket has in flight, and frees it when that is over.
    fn end(&self, socket: SocketId) -> io::Result<()> {
        self.cancel(socket)?;
        loop {
            let before = self.ring.waiting();
            self.ring.enter(0, None)?;
            self.see_ended();
            if self.dispose_ended(socket) || self.ring.waiting() == before {
                return Ok(());
            }
            // The kernel does about twenty things at a time; ours may come after others.
        }
    }

    fn cancel(&self, socket: SocketId) -> io::Result<()> {
        let kinds = self.lingering.borrow().get(&socket).map(|slot| slot.watch.kernel);
        for kind in kinds.into_iter().flat_map(token::Operations::iter) {
            self.ring.cancel(token(socket, kind), token(socket, Kind::Cancel))?;
        }
        Ok(())
    }

    /// Frees a lingering socket if nothing of it is in flight, and says so.
    fn dispose_ended(&self, socket: SocketId) -> bool {
        let mut lingering = self.lingering.borrow_mut();
        if lingering.get(&socket).is_some_and(|slot| !slot.watch.kernel.is_empty()) {
            return false;
        }
        let slot = lingering.remove(&socket);
        drop(lingering);
        slot.into_iter().for_each(|slot| self.dispose(socket, slot));
        true
    }

    /// Asks those that linger to end. Called at the beginning of a turn.
    pub(super) fn cancel_lingering(&self) {
        if self.lingering.borrow().is_empty() {
            return;
        }
        let lingering: Vec<SocketId> = self.lingering.borrow().keys().copied().collect();
        for socket in lingering {
            if !self.dispose_ended(socket) && self.cancel(socket).is_err() {
                return;
            }
        }
    }

    /// Frees a socket that the kernel is done with. Nothing is borrowed here: what it was to send
    /// may run the user's code when it goes.
    fn dispose(&self, socket: SocketId, slot: Slot) {
        debug_assert!(slot.watch.kernel.is_empty(), "the kernel may still touch it");
        if self.has_unread(socket, &slot) {
            let _ = system::reset_on_close(system::borrow(&slot.fd));
        }
        if slot.watch.holding {
            self.held.borrow_mut().remove(&socket);
        }
        self.table.drop_batch(socket, &slot);
        slot.close();
    }

    /// Whether bytes were received and not given to the caller. With readiness they would still be with the kernel, which
    /// then resets the connection when it is closed.
    // DST-08.
    pub(super) fn has_unread(&self, socket: SocketId, slot: &Slot) -> bool {
        if slot.flags.listener || slot.watch.by_call {
            return false;
        }
        self.held.borrow().get(&socket).is_some_and(|held| held.iter().any(Held::is_bytes))
            || self.giving.get() == Some(socket)
            || !slot.flags.reading.ended
                && self
                    .ring
                    .has_waiting(token(socket, Kind::Receive), |completed| completed.result > 0)
    }

    /// Returns whether a failure was received and not reported yet. The kernel reports it once.
    pub(super) fn has_untold_failure(&self, socket: SocketId, slot: &Slot) -> bool {
        if slot.flags.listener || slot.watch.by_call {
            return false;
        }
        let held = self.held.borrow();
        held.get(&socket).is_some_and(|held| held.iter().any(Held::is_failure))
            || !slot.flags.reading.ended
                && self.ring.has_waiting(token(socket, Kind::Receive), Completed::is_failure)
    }

    /// Ends everything, and returns whether the kernel is done with all memory.
    fn drain(&self) -> bool {
        for _ in 0..DRAIN_ROUNDS {
            while self.ring.next().is_some() {}
            if self.ring.in_flight() == 0 {
                return true;
            }
            let cancelled = self.ring.cancel_all(token::own_token(Kind::Cancel));
            if cancelled.and_then(|()| self.ring.enter(1, Some(DRAIN_WAIT))).is_err() {
                return false;
            }
            self.see_ended();
        }
        false
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        self.see_ended();
        if !self.drain() {
            // Never seen. Memory that is lost is better than memory that the kernel writes to when
            // it has another owner.
            std::mem::forget(self.table.sockets.take());
            std::mem::forget(self.lingering.take());
            std::mem::forget(std::rc::Rc::clone(&self.buffers));
        }
        // Then the fields: the ring is closed, the sockets, the pool.
    }
}
