//! Accepting by calls: the same loop, and the same meaning of each error, on every backend of a real
//! system.
//!
//! A backend learns from the kernel that connections wait at a listener, and then calls
//! [`accept_some`](AcceptsByCall::accept_some). Connections that were not accepted stay in the
//! kernel's queue, so a listener that is handed over takes them along.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;

use crate::limits::{ACCEPT_FAILED_ROUNDS_MAX, ACCEPT_RETRY_DELAY, ACCEPTS_PER_TURN_MAX};
use crate::reading::ReadsByCall;
use crate::system::{self, Failure, Spare};
use crate::trace::step;
use crate::{Completion, Operation, SocketId};

/// What the listeners of a driver share.
pub(crate) struct Accepting {
    spare: Spare,
    /// Listeners that are left alone until their time comes.
    retries: RefCell<Vec<(Duration, SocketId)>>,
}

impl Accepting {
    pub(crate) fn new() -> Self {
        Self { spare: Spare::new(), retries: RefCell::default() }
    }

    /// When the next socket is to be tried again.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.retries.borrow().iter().map(|(at, _)| *at).min()
    }

    /// Leaves a socket alone for [`ACCEPT_RETRY_DELAY`].
    pub(crate) fn retry_later(&self, socket: SocketId, now: Duration) {
        let mut retries = self.retries.borrow_mut();
        if !retries.iter().any(|(_, waiting)| *waiting == socket) {
            retries.push((now + ACCEPT_RETRY_DELAY, socket));
        }
    }

    /// Whether any socket waits to be tried again.
    pub(crate) fn has_retries(&self) -> bool {
        !self.retries.borrow().is_empty()
    }

    /// The next socket whose time has come. One at a time, so that a panic of the callback leaves the
    /// others in the list.
    pub(crate) fn next_retry(&self, now: Duration) -> Option<SocketId> {
        let mut retries = self.retries.borrow_mut();
        let index = retries.iter().position(|(at, _)| *at <= now)?;
        Some(retries.swap_remove(index).1)
    }
}

/// A backend, as this module needs it.
pub(crate) trait AcceptsByCall: ReadsByCall {
    fn accepting(&self) -> &Accepting;

    fn now(&self) -> Duration;

    /// Makes a socket of an accepted connection. `None` if there is no id left for it; the connection
    /// is closed then.
    fn take_in(&self, connection: OwnedFd, unix: bool) -> Option<SocketId>;

    /// Accepts the connections that wait at a listener, up to its budget.
    fn accept_some(&self, listener: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        let mut any = false;
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            let accepted = self.with_reading(listener, |reading, fd| {
                reading.wanted.then(|| match any && !system::is_acceptable(fd) {
                    true => Err(Errno::AGAIN),
                    false => system::accept(fd),
                })
            });
            let Some(accepted) = accepted.flatten() else { return };
            match accepted.map_err(|errno| (errno, Failure::of(errno))) {
                Ok((connection, peer)) => {
                    any = true;
                    step!("accept",);
                    let unix = peer.is_none() && system::is_unix(system::borrow(&connection));
                    if let Some(socket) = self.take_in(connection, unix) {
                        on(Completion::Accepted { listener, socket, peer, unix });
                    }
                }
                Err((_, Failure::Next)) => {}
                Err((_, Failure::Drained)) => return self.drained(listener, on),
                Err((_, Failure::Exhausted)) => return self.shed(listener, on),
                Err((errno, Failure::Finished)) => return self.finish(listener, errno, on),
            }
        }
        self.continue_later(listener, any);
    }

    /// No connection waits. None will at a Unix listener that was shut down, although its accept only says
    /// EAGAIN; that of TCP says EINVAL.
    fn drained(&self, listener: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        let shut_down = self.with_reading(listener, |reading, _| {
            reading.readable = false;
            reading.has_hung_up()
        });
        if shut_down.unwrap_or(false) {
            self.finish(listener, Errno::INVAL, on);
        }
    }

    /// The budget of the turn is used up. A listener at which nothing but failures came for many turns
    /// in a row rests, so that an error that never ends does not use up a processor.
    fn continue_later(&self, listener: SocketId, any: bool) {
        let rounds = self.with_reading(listener, |reading, _| reading.note_accepts(any));
        if rounds.is_some_and(|rounds| rounds >= ACCEPT_FAILED_ROUNDS_MAX) {
            self.rest(listener);
        } else {
            self.work_later(listener);
        }
    }

    /// Descriptors are used up: refuses the connections that wait, see [`Spare::shed`].
    fn shed(&self, listener: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        let shed = self.with_reading(listener, |_, fd| self.accepting().spare.shed(fd));
        let Some(shed) = shed else { return };
        let count = shed.as_ref().map_or(0, |shed| shed.count);
        if count > 0 {
            on(Completion::Shed { listener, count });
        }
        let Some(errno) = shed.map(|shed| shed.failure) else { return self.rest(listener) };
        match errno.map(|errno| (errno, Failure::of(errno))) {
            None | Some((_, Failure::Next)) => self.continue_later(listener, count > 0),
            Some((_, Failure::Drained)) => self.drained(listener, on),
            Some((_, Failure::Exhausted)) => self.rest(listener),
            Some((errno, Failure::Finished)) => self.finish(listener, errno, on),
        }
    }

    fn rest(&self, listener: SocketId) {
        self.accepting().retry_later(listener, self.now());
    }

    /// The listener accepts nothing any more: it is not tried again, and its owner is told once.
    fn finish(&self, listener: SocketId, errno: Errno, on: &mut dyn FnMut(Completion<'_>)) {
        let listens = self.with_reading(listener, |reading, _| {
            reading.readable = false;
            std::mem::take(&mut reading.wanted)
        });
        if listens.unwrap_or(false) {
            let (operation, error) = (Operation::Accept, errno.into());
            on(Completion::Failed { socket: listener, operation, error });
        }
    }
}
