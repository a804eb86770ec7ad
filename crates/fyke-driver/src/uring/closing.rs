//! Closing sockets and the driver while the kernel may be using their memory (contract rule 4).
//!
//! An operation in the ring keeps the socket open: closing the descriptor alone would send neither FIN
//! nor RST, and the port would stay in use. So the driver first cancels the operations in flight and
//! waits for their last completions. This takes one `enter`, because receives, accepts and polls wait in
//! the kernel and are not running. If an operation does not end at once, the socket lingers: every turn
//! cancels it again, and frees the socket when the operation has ended.

use std::io;
use std::time::Duration;

use super::held::Held;
use super::ring::Completed;
use super::token::{self, Kind, token};
use super::{Slot, Uring};
use crate::SocketId;
use crate::system;

/// How often, and how long each time, a dropped driver waits for operations in flight. No operation is
/// known that takes this long; if one does, it is leaked with its memory.
const DRAIN_ROUNDS: u32 = 100;
const DRAIN_WAIT: Duration = Duration::from_millis(100);

impl Uring {
    /// Closes a socket. Returns whether the socket existed.
    pub(super) fn close(&self, socket: SocketId) -> bool {
        let Some(slot) = self.table.remove(socket) else { return false };
        if slot.watch.kernel.is_empty() {
            self.dispose(socket, slot);
            return true;
        }
        self.lingering.borrow_mut().insert(socket, slot);
        // If the kernel does not accept the cancellation, the next turn tries again.
        let _ = self.end(socket);
        true
    }

    /// Cancels the operations of a closed socket, and frees the socket when they have ended.
    fn end(&self, socket: SocketId) -> io::Result<()> {
        self.cancel(socket)?;
        loop {
            let before = self.ring.waiting();
            self.ring.enter(0, None)?;
            self.see_ended();
            if self.dispose_ended(socket) || self.ring.waiting() == before {
                return Ok(());
            }
            // The kernel processes about twenty items at a time, so others may come first.
        }
    }

    fn cancel(&self, socket: SocketId) -> io::Result<()> {
        let kinds = self.lingering.borrow().get(&socket).map(|slot| slot.watch.kernel);
        for kind in kinds.into_iter().flat_map(token::Operations::iter) {
            self.ring.cancel(token(socket, kind), token(socket, Kind::Cancel))?;
        }
        Ok(())
    }

    /// Frees a lingering socket if none of its operations is in flight. Returns whether it did.
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

    /// Cancels the operations of lingering sockets again. Called at the beginning of a turn.
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

    /// Frees a socket that the kernel is done with. Nothing may be borrowed here: dropping its batch may
    /// run the user's code.
    fn dispose(&self, socket: SocketId, slot: Slot) {
        debug_assert!(slot.watch.kernel.is_empty(), "an operation of the socket is in flight");
        if self.has_unread(socket, &slot) {
            let _ = system::reset_on_close(system::borrow(&slot.fd));
        }
        if slot.watch.holding {
            self.held.borrow_mut().remove(&socket);
        }
        self.table.drop_batch(socket, &slot);
        slot.close();
    }

    /// Whether received bytes were not passed to the caller. With readiness they would still be in the
    /// kernel, which resets the connection when it is closed with unread bytes.
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

    /// Cancels all operations. Returns whether the kernel is done with all memory.
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
            // This has never been observed. A leak is better than memory that the kernel writes to after
            // another owner has allocated it.
            std::mem::forget(self.table.sockets.take());
            std::mem::forget(self.lingering.take());
            std::mem::forget(std::rc::Rc::clone(&self.buffers));
        }
        // The fields are dropped next: the ring is closed, then the sockets and the pool.
    }
}
