//! Accepting: when the kernel says that connections wait.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::{Flags, Ready, Slot};
use crate::accepting::{Accepting, AcceptsByCall};
use crate::completion::dead;
use crate::reading::AgainOnPanic;
use crate::{Completion, SocketId};

impl Ready {
    pub(crate) fn accept_start(&self, listener: SocketId) -> io::Result<()> {
        let mut sockets = self.sockets.borrow_mut();
        let slot = sockets.get_mut(listener).ok_or_else(dead)?;
        self.register(listener, slot)?;
        slot.flags.reading.wanted = true;
        // An edge that came while nobody wanted it does not come again.
        if slot.flags.reading.readable {
            self.defer_work(listener, slot);
        }
        Ok(())
    }

    pub(crate) fn accept_stop(&self, listener: SocketId) {
        if let Some(slot) = self.sockets.borrow_mut().get_mut(listener) {
            slot.flags.reading.wanted = false;
        }
    }

    /// Tries the listeners again whose time has come.
    pub(super) fn retry_listeners(&self, on: &mut dyn FnMut(Completion<'_>)) {
        if !self.accepting.has_retries() {
            return;
        }
        let now = self.clock.elapsed();
        while let Some(listener) = self.accepting.next_retry(now) {
            let _again = AgainOnPanic { driver: self, socket: listener };
            self.accept_some(listener, on);
        }
    }
}

impl AcceptsByCall for Ready {
    fn accepting(&self) -> &Accepting {
        &self.accepting
    }

    fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    fn take_in(&self, connection: OwnedFd, _: bool) -> Option<SocketId> {
        let slot = Slot { fd: connection, flags: Flags::default() };
        Some(self.sockets.borrow_mut().insert(slot))
    }
}
