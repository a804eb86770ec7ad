//! A shutdown that is under way. It is over when the last of its connections is gone.

use std::time::Duration;

use crate::connection::Gone;

/// How the connections of a shutdown have gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Without an error.
    pub ended: usize,
    /// With one.
    pub failed: usize,
    /// By our reset, or after the deadline.
    pub reset: usize,
}

/// How a shutdown went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What became of the connections.
    pub tally: Tally,
    /// The time that was left until the deadline.
    pub remaining: Duration,
}

#[derive(Debug)]
pub(super) struct Drain {
    /// How many of its connections are open.
    left: usize,
    tally: Tally,
    deadline: Duration,
    /// The deadline has passed, and what is left is being reset.
    is_expired: bool,
}

impl Drain {
    pub(super) fn new(deadline: Duration) -> Self {
        Self { left: 0, tally: Tally::default(), deadline, is_expired: false }
    }

    /// Returns whether there is no connection.
    pub(super) fn join(&mut self, connections: usize, deadline: Duration) -> bool {
        self.left += connections;
        self.deadline = self.deadline.min(deadline);
        self.left == 0
    }

    pub(super) fn wake(&self) -> Option<Duration> {
        (!self.is_expired).then_some(self.deadline)
    }

    /// Returns whether the deadline has passed, the first time.
    pub(super) fn expire(&mut self, now: Duration) -> bool {
        let expires = !self.is_expired && self.deadline <= now;
        self.is_expired |= expires;
        expires
    }

    /// Returns whether it was the last connection.
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
