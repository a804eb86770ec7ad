//! Accepting: one multishot accept per listener, and what happens when there is nothing left to
//! accept with.
//!
//! A multishot accept that finds no descriptor ends. Armed again it would end again at once, also
//! when nobody waits: the kernel takes a descriptor before it looks. So the listener goes on *by
//! hand* then: a poll says when somebody waits, and calls accept or refuse them as readiness does it,
//! until a round ends because nobody waits any more.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, OwnedFd};

use rustix::io::Errno;

use super::ring::Completed;
use super::{Slot, Uring};
use crate::driver::dead;
use crate::limits::{ACCEPT_RETRY_DELAY, ACCEPTS_PER_TURN_MAX};
use crate::reading::AgainOnPanic;
use crate::system::{self, Failure};
use crate::trace::step;
use crate::{Completion, SocketId};

/// What only listeners have.
#[derive(Debug, Default)]
pub(super) struct Listener {
    /// Accepted by the kernel, and not given yet: beyond the budget, or after a stop.
    pub(super) waiting: VecDeque<OwnedFd>,
    /// By poll and call instead of multishot.
    pub(super) by_hand: bool,
    /// Left alone until its time comes.
    resting: bool,
    /// How many were given, in which turn.
    given: (u64, usize),
}

impl Listener {
    /// Whether something should be in the ring for it.
    pub(super) fn wants(&self, wanted: bool) -> bool {
        wanted && !self.resting
    }
}

impl Uring {
    pub(crate) fn accept_start(&self, listener: SocketId) -> io::Result<()> {
        let mut sockets = self.sockets.borrow_mut();
        let slot = sockets.get_mut(listener).ok_or_else(dead)?;
        slot.flags.reading.wanted = true;
        let listeners = self.listeners.borrow();
        if listeners.get(&listener).is_some_and(|listener| !listener.waiting.is_empty()) {
            self.defer_work(listener, slot);
        }
        self.note_change(listener, slot);
        Ok(())
    }

    pub(crate) fn accept_stop(&self, listener: SocketId) {
        if let Some(slot) = self.sockets.borrow_mut().get_mut(listener) {
            slot.flags.reading.wanted = false;
            self.note_change(listener, slot);
        }
    }

    /// A completion of a multishot accept.
    pub(super) fn accepted(
        &self,
        listener: SocketId,
        completed: Completed,
        on: &mut dyn FnMut(Completion<'_>),
    ) {
        let accepted = completed.descriptor();
        {
            let mut sockets = self.sockets.borrow_mut();
            let slot = sockets.get_mut(listener);
            let Some(slot) = slot else { return accepted.into_iter().for_each(refuse) };
            if !completed.has_more() {
                self.note_change(listener, slot);
            }
            let mut listeners = self.listeners.borrow_mut();
            let Some(state) = listeners.get_mut(&listener) else { return };
            state.waiting.extend(accepted);
            match completed.error() {
                None | Some(Errno::CANCELED) => {}
                // A kernel that does not wait on a non-blocking socket: it is polled then.
                Some(Errno::AGAIN) => state.by_hand = true,
                // It does not listen, and will not by being asked again and again.
                Some(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOTSOCK | Errno::BADF) => {
                    self.rest(listener, state);
                }
                Some(errno) => state.by_hand = Failure::of(errno) == Failure::Exhausted,
            }
            if completed.error().is_some() && !state.by_hand {
                return;
            }
        }
        if completed.error().is_some() {
            self.accept_by_hand(listener, on);
        } else {
            self.give_accepted(listener, on);
        }
    }

    /// Gives what the kernel has accepted, up to the budget of the turn.
    pub(super) fn give_accepted(&self, listener: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        loop {
            let (fd, by_call) = {
                let mut sockets = self.sockets.borrow_mut();
                let Some(slot) = sockets.get_mut(listener) else { return };
                let by_call = slot.flags.by_call;
                let (turn, wanted) = (self.turns.get(), slot.flags.reading.wanted);
                let mut listeners = self.listeners.borrow_mut();
                let Some(state) = listeners.get_mut(&listener).filter(|_| wanted) else { return };
                if state.given.0 != turn {
                    state.given = (turn, 0);
                }
                if state.given.1 == ACCEPTS_PER_TURN_MAX && !state.waiting.is_empty() {
                    return self.defer_work(listener, slot);
                }
                let Some(fd) = state.waiting.pop_front() else { return };
                state.given.1 += 1;
                (fd, by_call)
            };
            self.give_one(listener, Slot::new(fd, by_call), None, on);
        }
    }

    fn give_one(
        &self,
        listener: SocketId,
        slot: Slot,
        peer: Option<SocketAddr>,
        on: &mut dyn FnMut(Completion<'_>),
    ) {
        step!("accept",);
        let unix = slot.flags.by_call;
        if let Ok(socket) = self.insert(slot) {
            on(Completion::Accepted { listener, socket, peer, unix });
        }
    }

    /// A multishot accept does not tell who came.
    pub(crate) fn accepted_peer(&self, socket: SocketId) -> Option<SocketAddr> {
        let sockets = self.sockets.borrow();
        system::peer_of_accepted(system::borrow(&sockets.get(socket)?.fd))
    }

    /// Accepts what waits by calls, up to the budget.
    pub(super) fn accept_by_hand(&self, listener: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            let ((fd, peer), by_call) = {
                let mut sockets = self.sockets.borrow_mut();
                let Some(slot) = sockets.get_mut(listener).filter(|slot| slot.flags.reading.wanted)
                else {
                    return;
                };
                self.note_change(listener, slot);
                let by_call = slot.flags.by_call;
                let result = system::accept(system::borrow(&slot.fd));
                let mut listeners = self.listeners.borrow_mut();
                let Some(state) = listeners.get_mut(&listener) else { return };
                match result.map_err(Failure::of) {
                    Ok(accepted) => (accepted, by_call),
                    Err(Failure::Next) => continue,
                    Err(Failure::Drained) => {
                        // There was a descriptor for this accept, so there is one for multishot.
                        state.by_hand = false;
                        return;
                    }
                    Err(Failure::Exhausted) => {
                        state.by_hand = true;
                        drop((listeners, sockets));
                        return self.shed(listener, on);
                    }
                }
            };
            self.give_one(listener, Slot::new(fd, by_call), peer, on);
        }
    }

    /// Descriptors are used up: refuses what waits, see [`Spare::shed`](system::Spare::shed).
    fn shed(&self, listener: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        let shed = {
            let sockets = self.sockets.borrow();
            let Some(slot) = sockets.get(listener) else { return };
            let shed = self.spare.shed(system::borrow(&slot.fd));
            let mut listeners = self.listeners.borrow_mut();
            if let (None | Some((_, Some(Failure::Exhausted))), Some(state)) =
                (shed, listeners.get_mut(&listener))
            {
                self.rest(listener, state);
            }
            shed
        };
        match shed {
            Some((count, _)) if count > 0 => on(Completion::Shed { listener, count }),
            _ => {}
        }
    }

    fn rest(&self, listener: SocketId, state: &mut Listener) {
        if !state.resting {
            state.resting = true;
            self.retries.borrow_mut().push((self.now() + ACCEPT_RETRY_DELAY, listener));
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
            if let Some(slot) = self.sockets.borrow_mut().get_mut(listener) {
                if let Some(state) = self.listeners.borrow_mut().get_mut(&listener) {
                    state.resting = false;
                }
                self.note_change(listener, slot);
            }
            let _again = AgainOnPanic { driver: self, socket: listener };
            self.accept_by_hand(listener, on);
        }
    }
}

impl Completed {
    /// The connection that an accept brings.
    #[allow(unsafe_code, reason = "the kernel gives the descriptor as a number")]
    pub(super) fn descriptor(self) -> Option<OwnedFd> {
        // SAFETY: asked of accepts only: their result, if no error, is a new descriptor, and each
        // completion is taken out of the queue once.
        (self.result >= 0).then(|| unsafe { OwnedFd::from_raw_fd(self.result) })
    }
}

/// Closes a connection for which there is no listener any more: by RST, as the kernel does it with
/// those that are in its own queue then.
pub(super) fn refuse(connection: OwnedFd) {
    // A Unix socket does not have it, and ends.
    let _ = system::reset_on_close(system::borrow(&connection));
}
