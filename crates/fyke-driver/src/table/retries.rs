//! Sockets that pause: because descriptors or memory are exhausted, or until they are checked again.

use std::cell::RefCell;

use crate::{Moment, SocketId};

/// Contains each socket at most once.
#[derive(Default)]
pub(super) struct Retries(RefCell<Vec<(Moment, SocketId)>>);

impl Retries {
    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Returns when the next socket is due for a retry.
    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.0.borrow().iter().map(|(at, _)| *at).min()
    }

    /// Pauses a socket until `at`, unless it pauses already.
    pub(super) fn add(&self, socket: SocketId, at: Moment) {
        let mut retries = self.0.borrow_mut();
        if !retries.iter().any(|(_, waiting)| *waiting == socket) {
            retries.push((at, socket));
        }
    }

    /// Removes and returns the next socket whose delay is over. It removes one at a time, so that the others
    /// stay in the list if the callback panics.
    pub(super) fn take(&self, now: Moment) -> Option<SocketId> {
        let mut retries = self.0.borrow_mut();
        let index = retries.iter().position(|(at, _)| *at <= now)?;
        Some(retries.swap_remove(index).1)
    }
}
