//! Whether the batch in flight gets on.

use super::WriteSide;
use super::queue::Stall;
use crate::Moment;

impl<C> WriteSide<C> {
    /// Watches the batch in flight until all of it is sent: the kernel must take some of it in each period
    /// of this length.
    pub fn watch(&mut self, timeout: Moment, now: Moment) {
        let sent_bytes = self.sent_bytes();
        if self.unsent_bytes() > 0 {
            let deadline = now.saturating_add(timeout);
            self.queue().stall = Some(Stall { timeout, deadline, sent_bytes });
        }
    }

    /// When to [look](Self::has_stalled) at the batch in flight.
    pub fn stall_deadline(&self) -> Option<Moment> {
        Some(self.queue.as_ref()?.stall.as_ref()?.deadline)
    }

    /// Whether the period is over and the kernel took nothing in it. If it took something, the next one begins.
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
