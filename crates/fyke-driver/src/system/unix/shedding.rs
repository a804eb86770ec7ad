//! The meaning of a failed accept, and how connections are refused when no descriptor is left to accept
//! with.

use std::cell::Cell;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::system::Failure;

impl Failure {
    /// The table of accept's errors, from accept(2), "ERRORS" and "Error handling". An error that is
    /// not in it is an error of the listener.
    pub(crate) fn of(errno: Errno) -> Self {
        match errno {
            Errno::AGAIN => Self::Drained,
            Errno::INTR | Errno::CONNABORTED | Errno::CONNRESET | Errno::PROTO => Self::Next,
            // Errors of the network that the new connection already has.
            Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::TIMEDOUT
            | Errno::NOPROTOOPT => Self::Next,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Errno::NONET => Self::Next,
            Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM => Self::Exhausted,
            _ => Self::Dead,
        }
    }
}

/// A descriptor without use, which is released when the process has run out of descriptors.
pub(crate) struct Spare(Cell<Option<OwnedFd>>);

impl Spare {
    pub(crate) fn new() -> Self {
        Self(Cell::new(super::spare_descriptor()))
    }

    /// Refuses one connection when no descriptor is left (contract rule 8): releases the spare
    /// descriptor, uses it to accept a connection and close it immediately, so that the client sees a
    /// clean end and does not hang, and reserves the spare one again. `None` if there is no spare one.
    pub(crate) fn shed(&self, listener: BorrowedFd<'_>) -> Option<Result<(), Errno>> {
        let spare = self.0.take().or_else(super::spare_descriptor)?;
        drop(spare);
        let shed = super::accept(listener).map(drop);
        self.0.set(super::spare_descriptor());
        Some(shed)
    }
}
