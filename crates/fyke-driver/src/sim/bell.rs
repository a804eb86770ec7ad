//! What wakes a simulated network that has nothing scheduled.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A flag that any thread may set and the network waits for. It stays set until it is taken, so
/// a ring before the wait is not lost.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    /// Rings: a waiting turn returns, or else the next one.
    pub(crate) fn ring(&self) {
        *self.flag() = true;
        self.changed.notify_one();
    }

    /// Whether the bell was rung since it was last taken.
    pub(super) fn is_rung(&self) -> bool {
        *self.flag()
    }

    /// Clears the flag and says whether it was set.
    pub(super) fn take(&self) -> bool {
        std::mem::take(&mut *self.flag())
    }

    /// Sleeps until the bell rings, and clears the flag.
    pub(super) fn wait(&self) {
        let rung = self.changed.wait_while(self.flag(), |rung| !*rung);
        *rung.unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// Poison is of no interest: a bool is never half changed.
    fn flag(&self) -> MutexGuard<'_, bool> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_rings_are_one_and_are_taken_once() {
        let bell = Bell::default();
        bell.ring();
        bell.ring();
        assert!(bell.is_rung());
        assert!(bell.take());
        assert!(!bell.take());
    }

    #[test]
    fn a_ring_before_the_wait_is_not_lost() {
        let bell = Bell::default();
        bell.ring();
        bell.wait();
        assert!(!bell.is_rung());
    }

    #[test]
    fn a_ring_from_another_thread_ends_the_wait() {
        let bell = Bell::default();
        std::thread::scope(|scope| {
            scope.spawn(|| bell.ring());
            bell.wait();
        });
        assert!(!bell.is_rung());
    }
}
