//! Detects a batch in flight that makes no progress.

use super::WriteSide;
use super::queue::Stall;
use crate::Moment;

impl<C> WriteSide<C> {
    /// Monitors the batch in flight until all of it is sent: the kernel must accept some of it in each
    /// period of `timeout`.
    pub fn watch(&mut self, timeout: Moment, now: Moment) {
        let sent_bytes = self.sent_bytes();
        if self.unsent_bytes() > 0 {
            let deadline = now.saturating_add(timeout);
            self.queue().stall = Some(Stall { timeout, deadline, sent_bytes });
        }
    }

    /// When to [check](Self::has_stalled) the batch in flight.
    pub fn stall_deadline(&self) -> Option<Moment> {
        Some(self.queue.as_ref()?.stall.as_ref()?.deadline)
    }

    /// Returns whether the period is over and the kernel accepted nothing in it. If it accepted something,
    /// the next period begins.
    pub fn has_stalled(&mut self, now: Moment) -> bool {
        let sent_bytes = self.sent_bytes();
        let stall = self.queue.as_mut().and_then(|queue| queue.stall.as_mut());
        let Some(stall) = stall.filter(|stall| stall.deadline <= now) else { return false };
        let stalled = stall.sent_bytes == sent_bytes;
        stall.sent_bytes = sent_bytes;
        stall.deadline = now.saturating_add(stall.timeout);
        stalled
    }
}
