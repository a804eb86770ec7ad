//! Sockets that are left alone for a while, because there are no descriptors or no memory for them.

use std::cell::RefCell;

use crate::limits::ACCEPT_RETRY_DELAY;
use crate::{Moment, SocketId};

/// Each socket is in it at most once.
#[derive(Default)]
pub(super) struct Retries(RefCell<Vec<(Moment, SocketId)>>);

impl Retries {
    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// When the next socket is to be tried again.
    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.0.borrow().iter().map(|(at, _)| *at).min()
    }

    /// Leaves a socket alone for [`ACCEPT_RETRY_DELAY`].
    pub(super) fn add(&self, socket: SocketId, now: Moment) {
        let mut retries = self.0.borrow_mut();
        if !retries.iter().any(|(_, waiting)| *waiting == socket) {
            retries.push((now + ACCEPT_RETRY_DELAY, socket));
        }
    }

    /// Takes the next socket whose time has come. One at a time, so that a panic of the callback leaves the
    /// others in the list.
    pub(super) fn take(&self, now: Moment) -> Option<SocketId> {
        let mut retries = self.0.borrow_mut();
        let index = retries.iter().position(|(at, _)| *at <= now)?;
        Some(retries.swap_remove(index).1)
    }
}
