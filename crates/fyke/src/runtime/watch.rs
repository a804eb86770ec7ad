//! Reports tasks that occupy the loop for long: while one is polled, nothing else happens.

#[cfg(not(feature = "tracing"))]
use std::panic::Location;

#[cfg(feature = "tracing")]
pub(super) use timed::Watch;

/// A poll that is being measured.
#[cfg(feature = "tracing")]
mod timed {
    use std::panic::Location;
    use std::time::Duration;

    use fyke_driver::coarse_time;

    /// A poll that takes longer is logged.
    const POLL_MAX: Duration = Duration::from_millis(100);

    /// When the poll began. The clock is exact to a few milliseconds, which costs little.
    pub(in super::super) struct Watch(Duration);

    impl Watch {
        pub(in super::super) fn begin() -> Self {
            Self(coarse_time())
        }

        pub(in super::super) fn end(self, task: &'static Location<'static>) {
            let took = coarse_time().saturating_sub(self.0);
            if took > POLL_MAX {
                tracing::warn!(target: "fyke", %task, ?took,
                    "a task ran for long without waiting; everything else on its event loop had to wait");
            }
        }
    }
}

/// Without a log there is nothing to measure for.
#[cfg(not(feature = "tracing"))]
pub(super) struct Watch;

#[cfg(not(feature = "tracing"))]
impl Watch {
    pub(super) fn begin() -> Self {
        Self
    }

    pub(super) fn end(self, _: &'static Location<'static>) {}
}
