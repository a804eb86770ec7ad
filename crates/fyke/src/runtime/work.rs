//! Which queues of the loop are not empty, in one word, because it is checked after every callback.

use std::cell::Cell;

/// The queues, by bits.
pub(super) const TICKS: u8 = 1;
pub(super) const DIRTY: u8 = 1 << 1;
pub(super) const NEXT_TURN: u8 = 1 << 2;
pub(super) const IMMEDIATES: u8 = 1 << 3;
pub(super) const CLOSING: u8 = 1 << 4;
pub(super) const UNHEARD: u8 = 1 << 5;
/// Tasks that were woken.
pub(super) const WOKEN: u8 = 1 << 6;
/// No queue: a future outside of the loop was woken, so this turn must not wait.
pub(super) const OUTSIDE: u8 = 1 << 7;

/// One bit for each queue that is not empty.
#[derive(Debug, Default)]
pub(super) struct Work(Cell<u8>);

impl Work {
    #[inline]
    pub(super) fn begins(&self, queue: u8) {
        self.0.set(self.0.get() | queue);
    }

    #[inline]
    pub(super) fn is_done(&self, queue: u8) {
        self.0.set(self.0.get() & !queue);
    }

    /// Whether one of these queues is not empty.
    #[inline]
    pub(super) fn waits_in(&self, queues: u8) -> bool {
        self.0.get() & queues != 0
    }

    pub(super) fn is_any(&self) -> bool {
        self.0.get() != 0
    }
}
