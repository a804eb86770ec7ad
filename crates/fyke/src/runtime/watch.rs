//! Reports tasks that block the loop, because nothing else happens while a task is polled.

#[cfg(not(feature = "tracing"))]
use std::panic::Location;

#[cfg(feature = "tracing")]
pub(super) use timed::Watch;

/// The measurement of a poll.
#[cfg(feature = "tracing")]
mod timed {
    use std::panic::Location;
    use std::time::Duration;

    use fyke_driver::coarse_time;

    /// A longer poll is logged.
    const POLL_MAX: Duration = Duration::from_millis(100);

    /// The time when the poll began, on a cheap clock with a resolution of a few milliseconds.
    pub(in super::super) struct Watch(Duration);

    impl Watch {
        pub(in super::super) fn begin() -> Self {
            Self(coarse_time())
        }

        /// `task` returns the place that spawned the task.
        pub(in super::super) fn end(self, task: impl FnOnce() -> &'static Location<'static>) {
            let took = coarse_time().saturating_sub(self.0);
            if took > POLL_MAX {
                let task = task();
                tracing::warn!(target: "fyke", %task, ?took,
                    "a task blocked its event loop: it ran for long without yielding");
            }
        }
    }
}

/// Does nothing without the feature `tracing`, because there is no log.
#[cfg(not(feature = "tracing"))]
pub(super) struct Watch;

#[cfg(not(feature = "tracing"))]
impl Watch {
    pub(super) fn begin() -> Self {
        Self
    }

    pub(super) fn end(self, _: impl FnOnce() -> &'static Location<'static>) {}
}
