//! Schedules when to check which socket for idleness. No clock: `now` is an argument.
//!
//! Activity costs nothing here: a socket only stores the time of its last activity. The list contains at
//! most one entry per socket. When the entry is due, the socket reports whether it was idle, and if not,
//! when to check again. So there is no work per packet, and none per turn for sockets that are not due.
//!
//! A closed socket does not remove its entry, because it does not know where the entry is. Instead, every
//! eighth insertion checks sixteen other entries and removes those of closed sockets. So the list stays
//! below four times the number of sockets, however many are opened and closed within their timeout,
//! and the whole list is never swept at once.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::few::Few;

/// The number of insertions between two checks of other entries: finding the position costs more than
/// checking.
const INSERTS_PER_LOOK: usize = 8;
/// The number of entries to check then: two for each insertion. With one, the number of entries of closed
/// sockets would never decrease.
const LOOKED_AT: usize = 2 * INSERTS_PER_LOOK;

/// Entries in slots of one millisecond, the resolution of Node's timers.
#[derive(Debug)]
pub(super) struct IdleList<T> {
    slots: BTreeMap<u64, Few<T>>,
    /// The position at which the next check of other entries starts: a slot, and an index in it.
    reached: (u64, usize),
    inserts_since_look: usize,
}

impl<T> Default for IdleList<T> {
    fn default() -> Self {
        Self { slots: BTreeMap::new(), reached: (0, 0), inserts_since_look: 0 }
    }
}

impl<T> IdleList<T> {
    /// Makes `entry` due at `deadline` or up to a millisecond later, but never earlier. `is_gone` returns
    /// whether the socket of another entry is closed.
    pub(super) fn insert(&mut self, deadline: Duration, entry: T, is_gone: impl Fn(&T) -> bool) {
        self.inserts_since_look += 1;
        if self.inserts_since_look == INSERTS_PER_LOOK {
            self.inserts_since_look = 0;
            self.look_at_others(is_gone);
        }
        self.slots.entry(slot_after(deadline)).or_default().push(entry);
    }

    fn look_at_others(&mut self, is_gone: impl Fn(&T) -> bool) {
        let mut looks = 0..LOOKED_AT;
        while !looks.is_empty() {
            let (slot, place) = self.reached;
            let Some((&found, entries)) = self.slots.range_mut(slot..).next() else {
                self.reached = (0, 0);
                return;
            };
            let mut place = if found == slot { place } else { 0 };
            while place < entries.len() && looks.next().is_some() {
                if is_gone(&entries[place]) {
                    drop(entries.swap_remove(place));
                } else {
                    place += 1;
                }
            }
            let is_last = place >= entries.len();
            self.reached = if is_last { (found.saturating_add(1), 0) } else { (found, place) };
            if entries.is_empty() {
                self.slots.remove(&found);
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.slots.first_key_value().map(|(slot, _)| Duration::from_millis(*slot))
    }

    /// Takes one entry that is due.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<T> {
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

    pub(super) fn clear(&mut self) {
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
    use std::collections::HashSet;

    use super::*;

    fn is_there(_: &char) -> bool {
        false
    }

    #[test]
    fn an_entry_is_never_checked_before_its_deadline() {
        let mut list = IdleList::default();
        list.insert(Duration::from_micros(10_001), 'a', is_there);
        assert!(list.take_due(Duration::from_micros(10_999)).is_none());
        assert_eq!(list.next_deadline(), Some(Duration::from_millis(11)));
        assert_eq!(list.take_due(Duration::from_millis(11)), Some('a'));
    }

    #[test]
    fn a_deadline_of_the_maximum_duration_does_not_overflow() {
        let mut list = IdleList::default();
        list.insert(Duration::MAX, 'a', is_there);
        assert!(list.take_due(Duration::from_secs(1 << 40)).is_none());
        list.insert(Duration::MAX, 'a', is_there);
    }

    #[test]
    fn closed_sockets_do_not_accumulate_before_their_deadline() {
        for per_slot in [1, 7, 1_000] {
            let mut list = IdleList::default();
            let staying: HashSet<u64> = (0..100).collect();
            let is_gone = |entry: &u64| !staying.contains(entry);
            for entry in 0..100 {
                list.insert(Duration::from_millis(1_000 + entry), entry, is_gone);
            }
            for at in 0..100_000 {
                let deadline = Duration::from_millis(2_000 + at / per_slot);
                list.insert(deadline, 1_000 + at, is_gone);
            }
            let listed: usize = list.slots.values().map(|entries| entries.len()).sum();
            assert!(listed < 4 * staying.len(), "{listed} are listed, {per_slot} per slot");
            let mut found = Vec::new();
            while let Some(entry) = list.take_due(Duration::MAX) {
                found.extend(Some(entry).filter(|entry| !is_gone(entry)));
            }
            found.sort_unstable();
            assert!(found.into_iter().eq(0..100), "and none that stays is lost");
        }
    }
}
