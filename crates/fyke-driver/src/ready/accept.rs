//! Accepting, and what happens when there is nothing left to accept with.

use std::io;

use super::{Flags, Ready, Slot};
use crate::driver::dead;
use crate::limits::{ACCEPT_RETRY_DELAY, ACCEPTS_PER_TURN_MAX};
use crate::reading::AgainOnPanic;
use crate::system::{self, Failure};
use crate::trace::step;
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

    /// Accepts what waits at a listener, up to its budget.
    pub(super) fn accept_some(&self, listener: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            let accepted = {
                let mut sockets = self.sockets.borrow_mut();
                let Some(slot) = sockets.get_mut(listener) else { return };
                if !slot.flags.reading.wanted {
                    return;
                }
                match system::accept(system::borrow(&slot.fd)) {
                    Ok(accepted) => accepted,
                    Err(errno) => match Failure::of(errno) {
                        Failure::Next => continue,
                        Failure::Drained => {
                            slot.flags.reading.readable = false;
                            return;
                        }
                        Failure::Exhausted => {
                            drop(sockets);
                            self.shed(listener, on);
                            return;
                        }
                    },
                }
            };
            step!("accept",);
            let (fd, peer) = accepted;
            let unix = peer.is_none();
            let slot = Slot { fd, flags: Flags::default() };
            let socket = self.sockets.borrow_mut().insert(slot);
            on(Completion::Accepted { listener, socket, peer, unix });
        }
        self.continue_later(listener);
    }

    fn continue_later(&self, listener: SocketId) {
        if let Some(slot) = self.sockets.borrow_mut().get_mut(listener) {
            self.defer_work(listener, slot);
        }
    }

    /// Descriptors are used up: refuses what waits, see [`Spare::shed`](system::Spare::shed).
    fn shed(&self, listener: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        let shed = {
            let mut sockets = self.sockets.borrow_mut();
            let Some(slot) = sockets.get_mut(listener) else { return };
            let shed = self.spare.shed(system::borrow(&slot.fd));
            if let Some((_, Some(failure))) = shed {
                slot.flags.reading.readable = failure != Failure::Drained;
            }
            shed
        };
        match shed {
            None | Some((_, Some(Failure::Exhausted))) => self.retry_later(listener),
            Some((_, None)) => self.continue_later(listener),
            Some(_) => {}
        }
        match shed {
            Some((count, _)) if count > 0 => on(Completion::Shed { listener, count }),
            _ => {}
        }
    }

    fn retry_later(&self, listener: SocketId) {
        let mut retries = self.retries.borrow_mut();
        if !retries.iter().any(|(_, waiting)| *waiting == listener) {
            retries.push((self.now() + ACCEPT_RETRY_DELAY, listener));
        }
    }

    /// Tries the listeners again whose time has come; one at a time, so that a panic of the
    /// callback leaves the others in the list.
    pub(super) fn retry_listeners(&self, on: &mut dyn FnMut(Completion<'_>)) {
        if self.retries.borrow().is_empty() {
            return;
        }
        let now = self.now();
        loop {
            let listener = {
                let mut retries = self.retries.borrow_mut();
                let Some(index) = retries.iter().position(|(at, _)| *at <= now) else { return };
                retries.swap_remove(index).1
            };
            let _again = AgainOnPanic { driver: self, socket: listener };
            self.accept_some(listener, on);
        }
    }
}
