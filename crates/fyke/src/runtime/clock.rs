//! The time of a loop: that of its turn, read from the driver's clock.

use std::time::{Duration, Instant};

use fyke_machine::Moment;

use super::actor::Wired;
use super::core::Core;

impl<T: Wired> Core<T> {
    /// The time of this turn, on the driver's clock.
    pub(crate) fn now(&self) -> Duration {
        self.now.get().into()
    }

    /// The same time as [`now`](Self::now), in the form in which it is stored and compared.
    pub(crate) fn moment(&self) -> Moment {
        self.now.get()
    }

    pub(super) fn update_now(&self) {
        self.now.set(self.driver.now());
    }

    /// Called when code from outside of a turn begins to run.
    pub(crate) fn enter(&self) {
        if !self.turning.get() {
            self.update_now();
        }
    }

    /// Converts a time on the driver's clock to the system's clock.
    pub(crate) fn instant(&self, at: Duration) -> Instant {
        let start = self.started;
        start.checked_add(at).unwrap_or_else(|| start + Duration::from_secs(u32::MAX.into()))
    }

    /// Converts a time on the system's clock to the driver's clock.
    #[cfg(feature = "hyper")]
    pub(crate) fn since_start(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.started)
    }
}
