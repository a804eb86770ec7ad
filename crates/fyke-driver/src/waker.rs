//! Ending the wait of a driver from any thread.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

/// Ends the wait of a backend.
pub(crate) trait Wake: Send + Sync + UnwindSafe + RefUnwindSafe + 'static {
    fn wake(&self);
}

/// Wakes a driver that is waiting. It is cheap to clone, and may be used from any thread. Waking a
/// dropped driver does nothing.
#[derive(Clone)]
pub struct Waker(Arc<dyn Wake>);

impl Waker {
    pub(crate) fn new(wake: Arc<impl Wake>) -> Self {
        Self(wake)
    }

    /// Makes the driver's [`turn`](crate::Driver::turn) return with
    /// [`Completion::Woken`](crate::Completion::Woken).
    pub fn wake(&self) {
        self.0.wake();
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waker").finish_non_exhaustive()
    }
}
