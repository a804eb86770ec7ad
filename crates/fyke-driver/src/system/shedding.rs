//! What a failed accept means, and how connections are refused when nothing is left to accept with.

use std::cell::Cell;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::limits::ACCEPTS_PER_TURN_MAX;

/// What to do after a failed accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection waits.
    Drained,
    /// That connection is gone, the next one may be fine.
    Next,
    /// Descriptors or memory are used up: try again later.
    Exhausted,
    /// It fails for good: the listener was shut down, or a policy forbids accepting.
    Dead,
}

impl Failure {
    /// The one table of accept's errors, from accept(2), "ERRORS" and "Error handling". An error that
    /// is not in it is an error of the listener.
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

/// A descriptor for nothing, kept to be given up when the process has run out of them.
pub(crate) struct Spare(Cell<Option<OwnedFd>>);

/// How many connections were refused, and the error after them, unless the budget was used up.
pub(crate) struct Shed {
    pub(crate) count: usize,
    pub(crate) failure: Option<Errno>,
}

impl Spare {
    pub(crate) fn new() -> Self {
        Self(Cell::new(super::spare_descriptor()))
    }

    /// Refuses connections without a descriptor to spare (contract rule 8): gives up the spare
    /// one, accepts with it the connections that wait and closes each at once, so that clients see a
    /// clean end instead of a hang, and takes the spare one back. `None` if there is no spare one.
    pub(crate) fn shed(&self, listener: BorrowedFd<'_>) -> Option<Shed> {
        let spare = self.0.take().or_else(super::spare_descriptor)?;
        drop(spare);
        let mut shed = Shed { count: 0, failure: None };
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            match super::accept(listener) {
                Ok(connection) => {
                    drop(connection);
                    shed.count += 1;
                }
                Err(errno) if Failure::of(errno) == Failure::Next => {}
                Err(errno) => {
                    shed.failure = Some(errno);
                    break;
                }
            }
        }
        self.0.set(super::spare_descriptor());
        Some(shed)
    }
}
