//! The end of a wait.

use std::time::Duration;

use mio::{Registry, Token};

use crate::Moment;
use crate::limits::WAIT_MAX;
use crate::system::Clock;

/// On Windows, each wait has a timeout.
#[derive(Debug)]
pub(crate) struct Alarm;

impl Alarm {
    pub(crate) fn new() -> Self {
        Self
    }

    pub(crate) fn watch(&self, _: &Registry, _: Token) {}

    /// How long to wait for a time.
    pub(crate) fn wait_time(&self, until: Moment, clock: &Clock) -> Option<Duration> {
        Some((until - clock.last_seen()).min(WAIT_MAX))
    }

    pub(crate) fn has_rung(&self) {}
}
