//! When to look at which socket for having been idle. No clock: `now` is an argument.
//!
//! Activity costs nothing here: a socket only notes the time. The list holds at most one entry
//! for it, and when that comes due the socket says whether it was really idle, and if not, when
//! to look again. So there is no work per packet, and none per turn for sockets that are not due.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::few::Few;

/// Entries in slots of one millisecond, Node's grain for timers.
#[derive(Debug)]
pub(crate) struct IdleList<T> {
    slots: BTreeMap<u64, Few<T>>,
}

impl<T> Default for IdleList<T> {
    fn default() -> Self {
        Self { slots: BTreeMap::new() }
    }
}

impl<T> IdleList<T> {
    /// Looks at `entry` at `deadline`, or up to a millisecond later: never before.
    pub(crate) fn insert(&mut self, deadline: Duration, entry: T) {
        self.slots.entry(slot_after(deadline)).or_default().push(entry);
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.slots.first_key_value().map(|(slot, _)| Duration::from_millis(*slot))
    }

    /// Takes one entry that is due.
    pub(crate) fn take_due(&mut self, now: Duration) -> Option<T> {
        let mut first = self.slots.first_entry()?;
        if Duration::from_millis(*first.key()) > now {
            return None;
        }
        let entry = first.get_mut().pop();
        if first.get().is_empty() {
            first.remove();
        }
        entry
    }

    pub(crate) fn clear(&mut self) {
        self.slots.clear();
    }
}

fn slot_after(deadline: Duration) -> u64 {
    let whole = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
    let rest = deadline.subsec_nanos() % 1_000_000;
    whole.saturating_add(u64::from(rest > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_never_looked_at_before_its_deadline() {
        let mut list = IdleList::default();
        list.insert(Duration::from_micros(10_001), 'a');
        assert_eq!(list.take_due(Duration::from_micros(10_999)), None);
        assert_eq!(list.next_deadline(), Some(Duration::from_millis(11)));
        assert_eq!(list.take_due(Duration::from_millis(11)), Some('a'));
    }

    #[test]
    fn a_deadline_beyond_all_time_does_not_overflow() {
        let mut list = IdleList::default();
        list.insert(Duration::MAX, 'a');
        assert_eq!(list.take_due(Duration::from_secs(1 << 40)), None);
    }
}
