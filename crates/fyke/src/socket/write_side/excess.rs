//! What counts beside the bytes of a queue. Callbacks, of which there is a limit too; and text:
//! Node counts text in a queue by UTF-16 units, and everything else by bytes (WR-04). By default
//! fyke counts bytes; here is by how much that is more.

use super::WriteSide;

#[derive(Debug, Default)]
pub(super) struct Excess {
    pub(super) queued: usize,
    in_flight: usize,
}

impl Excess {
    pub(super) fn is_none(&self) -> bool {
        self.queued == 0 && self.in_flight == 0
    }
}

impl<C> WriteSide<C> {
    /// How many callbacks of writes wait.
    pub(in crate::socket) fn callbacks(&self) -> usize {
        self.more.as_ref().map_or(0, |more| more.callbacks.len())
    }

    /// How many callbacks of ends wait.
    pub(in crate::socket) fn end_callbacks(&self) -> usize {
        self.more.as_ref().map_or(0, |more| more.end_callbacks.len())
    }

    /// The last write is by so much longer than it counts.
    pub(in crate::socket) fn add_excess(&mut self, excess: usize) {
        if excess > 0 {
            self.more().excess.queued += excess;
        }
    }

    pub(super) fn excess(&self) -> usize {
        self.more.as_ref().map_or(0, |more| more.excess.queued + more.excess.in_flight)
    }

    pub(super) fn hand_over_excess(&mut self, at_most: usize) {
        if let Some(more) = &mut self.more {
            more.excess.in_flight = more.excess.queued.min(at_most);
            more.excess.queued -= more.excess.in_flight;
        }
    }

    pub(super) fn forget_excess_in_flight(&mut self) {
        if let Some(more) = &mut self.more {
            more.excess.in_flight = 0;
        }
    }
}
