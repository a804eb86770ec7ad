//! A graceful shutdown in progress. It is complete when its last connection is closed.

use std::time::Duration;

use crate::connection::Gone;

/// How the connections of a shutdown were closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Connections that closed without an error.
    pub ended: usize,
    /// Connections that closed with an error.
    pub failed: usize,
    /// Connections that were reset by us, or were still open after the deadline.
    pub reset: usize,
}

/// The outcome of a shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How the connections were closed.
    pub tally: Tally,
    /// The time that was left until the deadline.
    pub remaining: Duration,
}

#[derive(Debug)]
pub(super) struct Drain {
    /// The number of its connections that are still open.
    left: usize,
    tally: Tally,
    deadline: Duration,
    /// The deadline has passed, and the remaining connections are being reset.
    is_expired: bool,
}

impl Drain {
    pub(super) fn new(deadline: Duration) -> Self {
        Self { left: 0, tally: Tally::default(), deadline, is_expired: false }
    }

    /// Adds connections, and shortens the deadline if this one is earlier. Returns whether no connection is
    /// open.
    pub(super) fn join(&mut self, connections: usize, deadline: Duration) -> bool {
        self.left += connections;
        self.deadline = self.deadline.min(deadline);
        self.left == 0
    }

    pub(super) fn wake(&self) -> Option<Duration> {
        (!self.is_expired).then_some(self.deadline)
    }

    /// Returns whether the deadline has passed; true only once.
    pub(super) fn expire(&mut self, now: Duration) -> bool {
        let expires = !self.is_expired && self.deadline <= now;
        self.is_expired |= expires;
        expires
    }

    /// Counts a closed connection. Returns whether it was the last one.
    pub(super) fn count(&mut self, gone: Gone) -> bool {
        self.left = self.left.saturating_sub(1);
        match gone {
            _ if self.is_expired => self.tally.reset += 1,
            Gone::Ended => self.tally.ended += 1,
            Gone::Failed => self.tally.failed += 1,
            Gone::Reset => self.tally.reset += 1,
        }
        self.left == 0
    }

    pub(super) fn outcome(&self, now: Duration) -> Outcome {
        Outcome { tally: self.tally, remaining: self.deadline.saturating_sub(now) }
    }
}
