//! What a failed accept means, and how connections are refused when nothing is left to accept with.

use std::cell::Cell;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::limits::ACCEPTS_PER_TURN_MAX;

/// What to do after a failed accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nobody is waiting.
    Drained,
    /// That connection is gone, the next one may be fine (accept(2), "Error handling").
    Next,
    /// Descriptors or memory are used up.
    Exhausted,
}

impl Failure {
    pub(crate) fn of(errno: Errno) -> Self {
        match errno {
            Errno::AGAIN => Self::Drained,
            Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM => Self::Exhausted,
            _ => Self::Next,
        }
    }
}

/// A descriptor for nothing, kept to be given up when the process has run out of them.
pub(crate) struct Spare(Cell<Option<OwnedFd>>);

impl Spare {
    pub(crate) fn new() -> Self {
        Self(Cell::new(super::spare_descriptor()))
    }

    /// Descriptors are used up (contract rule 8, SRV-23): gives up the spare one, accepts with it
    /// what waits and closes it at once, so that clients see a clean end instead of a hang, and
    /// takes the spare one back. Says how many, and why it stopped if not at the budget; none if
    /// there is no spare one.
    pub(crate) fn shed(&self, listener: BorrowedFd<'_>) -> Option<(usize, Option<Failure>)> {
        let spare = self.0.take().or_else(super::spare_descriptor)?;
        drop(spare);
        let (mut count, mut outcome) = (0, None);
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            match super::accept(listener).map_err(Failure::of) {
                Ok(connection) => {
                    drop(connection);
                    count += 1;
                }
                Err(Failure::Next) => {}
                Err(failure) => {
                    outcome = Some(failure);
                    break;
                }
            }
        }
        self.0.set(super::spare_descriptor());
        Some((count, outcome))
    }
}
