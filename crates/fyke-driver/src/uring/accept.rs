//! Accepting: the ring polls for connections that wait, and system calls accept them, as with readiness.
//!
//! A multishot accept is not used. Connections that the kernel has accepted cannot be put back into the
//! listener's queue, and a listener that is detached (`detach`) must take along every connection that its
//! callback has not seen. A multishot accept also fails in other ways when descriptors are exhausted.

use rustix::io::Errno;

use super::Uring;
use super::ring::Completed;
use crate::table::{AgainOnPanic, accept};
use crate::{Completion, SocketId};

/// What the poll of a listener reports after the listener was shut down.
const SHUT_DOWN: i32 = (libc::POLLHUP | libc::POLLRDHUP) as i32;

impl Uring {
    /// Handles a completion of the poll of a listener.
    pub(super) fn acceptable(
        &self,
        listener: SocketId,
        completed: Completed,
        on: &mut dyn FnMut(Completion<'_>),
    ) {
        {
            let mut sockets = self.table.sockets.borrow_mut();
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
        accept::accept(self, listener, on);
    }
}
