//! Wakes a simulated network that has nothing scheduled.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::waker::Wake;

/// A flag that any thread may set and that the network waits for. It stays set until it is taken, so a
/// wake before the wait is not lost.
#[derive(Debug, Default)]
pub(super) struct Bell {
    flags: Mutex<Flags>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Flags {
    rung: bool,
    /// Whether a thread is in [`wait`](Bell::wait).
    waited_for: bool,
}

/// Ends the turn that is waiting, or else the wait of the next one.
impl Wake for Bell {
    fn wake(&self) {
        self.flags().rung = true;
        self.changed.notify_all();
    }
}

impl Bell {
    /// Whether the bell was rung since it was last taken.
    pub(super) fn is_rung(&self) -> bool {
        self.flags().rung
    }

    /// Clears the flag and returns whether it was set.
    pub(super) fn take(&self) -> bool {
        std::mem::take(&mut self.flags().rung)
    }

    /// Sleeps until the bell rings, and clears the flag.
    pub(super) fn wait(&self) {
        let mut flags = self.flags();
        flags.waited_for = true;
        self.changed.notify_all();
        let rung = self.changed.wait_while(flags, |flags| !flags.rung);
        *rung.unwrap_or_else(PoisonError::into_inner) = Flags::default();
    }

    /// Blocks until another thread is in [`wait`](Self::wait).
    #[cfg(test)]
    pub(super) fn until_somebody_waits(&self) {
        drop(self.changed.wait_while(self.flags(), |flags| !flags.waited_for));
    }

    /// Ignores a poisoned lock: the flags are never in an inconsistent state.
    fn flags(&self) -> MutexGuard<'_, Flags> {
        self.flags.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_rings_count_as_one_and_are_taken_once() {
        let bell = Bell::default();
        bell.wake();
        bell.wake();
        assert!(bell.is_rung());
        assert!(bell.take());
        assert!(!bell.take());
    }

    #[test]
    fn a_ring_before_the_wait_is_not_lost() {
        let bell = Bell::default();
        bell.wake();
        bell.wait();
        assert!(!bell.is_rung());
    }

    #[test]
    fn a_ring_from_another_thread_ends_the_wait() {
        let bell = Bell::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                bell.until_somebody_waits();
                bell.wake();
            });
            bell.wait();
        });
        assert!(!bell.is_rung());
    }
}
