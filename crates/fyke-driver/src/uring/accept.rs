//! Accepting: the ring says that connections wait, calls accept them, as with readiness.
//!
//! Not by a multishot accept. Connections that the kernel has accepted for us cannot be put back into the
//! listener's queue, and a listener that is handed over (`detach`) must take along all that its
//! callback has not seen. A multishot accept also has its own ways to fail without descriptors.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;

use super::ring::Completed;
use super::{Slot, Uring};
use crate::accepting::{Accepting, AcceptsByCall};
use crate::completion::dead;
use crate::reading::AgainOnPanic;
use crate::{Completion, SocketId};

/// What the poll of a listener says when it was shut down.
const SHUT_DOWN: i32 = (libc::POLLHUP | libc::POLLRDHUP) as i32;

impl Uring {
    pub(crate) fn accept_start(&self, listener: SocketId) -> io::Result<()> {
        let mut sockets = self.sockets.borrow_mut();
        let slot = sockets.get_mut(listener).ok_or_else(dead)?;
        slot.flags.reading.wanted = true;
        // The poll completed while accepting was stopped.
        if slot.flags.reading.readable {
            self.defer_work(listener, slot);
        }
        self.note_change(listener, slot);
        Ok(())
    }

    pub(crate) fn accept_stop(&self, listener: SocketId) {
        if let Some(slot) = self.sockets.borrow_mut().get_mut(listener) {
            slot.flags.reading.wanted = false;
        }
    }

    /// A completion of the poll that watches a listener.
    pub(super) fn acceptable(
        &self,
        listener: SocketId,
        completed: Completed,
        on: &mut dyn FnMut(Completion<'_>),
    ) {
        {
            let mut sockets = self.sockets.borrow_mut();
            let Some(slot) = sockets.get_mut(listener) else { return };
            if !completed.has_more() {
                self.watch_again(listener, slot, completed.error());
            }
            if completed.error() == Some(Errno::CANCELED) {
                return;
            }
            slot.flags.reading.readable = true;
            let gone = completed.result > 0 && completed.result & SHUT_DOWN != 0;
            slot.flags.reading.expect(gone, false);
            if slot.flags.reading.in_backlog {
                // Once per turn is enough (contract rule 6).
                return;
            }
        }
        let _again = AgainOnPanic { driver: self, socket: listener };
        self.accept_some(listener, on);
    }

    /// A poll has ended. One that the kernel had no memory for is not asked for again at once.
    pub(super) fn watch_again(&self, socket: SocketId, slot: &mut Slot, error: Option<Errno>) {
        match error {
            None | Some(Errno::CANCELED) => self.note_change(socket, slot),
            Some(_) => self.accepting.retry_later(socket, self.clock.elapsed()),
        }
    }

    /// Tries the listeners again whose time has come, and the sockets that could not be watched.
    pub(super) fn retry_later_ones(&self, on: &mut dyn FnMut(Completion<'_>)) {
        if !self.accepting.has_retries() {
            return;
        }
        let now = self.clock.elapsed();
        while let Some(socket) = self.accepting.next_retry(now) {
            let listener = {
                let mut sockets = self.sockets.borrow_mut();
                let Some(slot) = sockets.get_mut(socket) else { continue };
                self.note_change(socket, slot);
                slot.flags.listener
            };
            if listener {
                let _again = AgainOnPanic { driver: self, socket };
                self.accept_some(socket, on);
            }
        }
    }
}

impl AcceptsByCall for Uring {
    fn accepting(&self) -> &Accepting {
        &self.accepting
    }

    fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    fn take_in(&self, connection: OwnedFd, unix: bool) -> Option<SocketId> {
        self.insert(Slot::new(connection, unix)).ok()
    }
}
