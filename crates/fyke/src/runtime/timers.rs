//! Timers in the order in which they are due. No clock: `now` is an argument.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::rc::Weak;
use std::task::Waker;
use std::time::Duration;

use slotmap::SlotMap;

use super::actor::Actor;

/// The callback of a timer; it is not in the queue while it runs.
pub(crate) type TimerCallback = Box<dyn FnMut()>;

/// The work of a timer.
pub(super) enum Timed<T> {
    /// Runs a callback of the user.
    Call(TimerCallback),
    /// Wakes an actor, if it still exists.
    Wake(Weak<dyn Actor<T>>),
    /// Wakes a task.
    Task(Waker),
}

impl<T> Timed<T> {
    pub(super) fn run(&mut self) {
        match self {
            Self::Call(callback) => callback(),
            Self::Wake(actor) => {
                if let Some(actor) = actor.upgrade() {
                    actor.wake();
                }
            }
            Self::Task(waker) => waker.wake_by_ref(),
        }
    }
}

slotmap::new_key_type! {
    pub(crate) struct TimerId;
}

/// A set of timers with values. Timers that are due at the same time run in the order in which they were
/// set.
#[derive(Debug)]
pub(super) struct TimerQueue<T> {
    timers: SlotMap<TimerId, Entry<T>>,
    order: Order,
    set_so_far: u64,
    /// The number of timers that keep the loop alive.
    referred: usize,
}

type Due = (Duration, u64);

/// The number of cancelled timers that may always stay in the order.
const CANCELLED_MIN: usize = 64;

/// The timers in the order in which they are due.
///
/// Most timers are cancelled before they are due, so cancelling one does not search for it here. Cancelled
/// timers are removed when they are first, and all of them when they are more than half.
#[derive(Debug, Default)]
struct Order {
    /// Timers that were due after all others of this list when they were set. Most are, because most delays
    /// of a program are equal.
    ascending: VecDeque<(Due, TimerId)>,
    others: BinaryHeap<Reverse<(Due, TimerId)>>,
}

impl Order {
    fn add(&mut self, due: Due, id: TimerId) {
        match self.ascending.back() {
            Some((last, _)) if *last > due => self.others.push(Reverse((due, id))),
            _ => self.ascending.push_back((due, id)),
        }
    }

    fn first(&self) -> Option<(Due, TimerId)> {
        let other = self.others.peek().map(|Reverse(other)| other);
        match (self.ascending.front(), other) {
            (Some(first), Some(other)) => Some(*first.min(other)),
            (first, other) => first.or(other).copied(),
        }
    }

    fn remove_first(&mut self) {
        let other = self.others.peek().map(|Reverse(other)| other);
        let is_other = match (self.ascending.front(), other) {
            (Some(first), Some(other)) => other < first,
            (first, _) => first.is_none(),
        };
        match is_other {
            true => _ = self.others.pop(),
            false => _ = self.ascending.pop_front(),
        }
    }

    fn len(&self) -> usize {
        self.ascending.len() + self.others.len()
    }

    fn retain(&mut self, is_set: impl Fn(&(Due, TimerId)) -> bool) {
        self.ascending.retain(&is_set);
        self.others.retain(|Reverse(other)| is_set(other));
    }

    fn clear(&mut self) {
        self.ascending.clear();
        self.others.clear();
    }
}

#[derive(Debug)]
struct Entry<T> {
    due: Due,
    period: Option<Duration>,
    referred: bool,
    /// `None` while it runs.
    value: Option<T>,
}

impl<T> Default for TimerQueue<T> {
    fn default() -> Self {
        Self { timers: SlotMap::default(), order: Order::default(), set_so_far: 0, referred: 0 }
    }
}

impl<T> TimerQueue<T> {
    /// Sets a timer. With a period it repeats.
    pub(super) fn set(&mut self, at: Duration, period: Option<Duration>, value: T) -> TimerId {
        let due = self.next_due(at);
        let entry = Entry { due, period, referred: true, value: Some(value) };
        let id = self.timers.insert(entry);
        self.order.add(due, id);
        self.referred += 1;
        id
    }

    fn next_due(&mut self, at: Duration) -> Due {
        self.set_so_far += 1;
        (at, self.set_so_far)
    }

    /// Removes a timer, and returns its value, to be dropped where that is safe.
    pub(super) fn cancel(&mut self, id: TimerId) -> Option<T> {
        let entry = self.timers.remove(id)?;
        self.forget_cancelled();
        self.referred -= usize::from(entry.referred);
        entry.value
    }

    /// Removes cancelled timers from the order: the first ones, or all if they are many. Afterwards the
    /// first timer is not cancelled.
    fn forget_cancelled(&mut self) {
        let timers = &self.timers;
        let is_set =
            |(due, id): &(Due, TimerId)| timers.get(*id).is_some_and(|entry| entry.due == *due);
        if self.order.len() > 2 * timers.len() + CANCELLED_MIN {
            self.order.retain(is_set);
        }
        while self.order.first().is_some_and(|first| !is_set(&first)) {
            self.order.remove_first();
        }
    }

    /// Sets whether the timer keeps the loop alive. Unknown timers are ignored.
    pub(super) fn refer(&mut self, id: TimerId, referred: bool) {
        let Some(entry) = self.timers.get_mut(id) else { return };
        self.referred -= usize::from(entry.referred);
        self.referred += usize::from(referred);
        entry.referred = referred;
    }

    /// The value of a timer that will still run.
    pub(super) fn get_mut(&mut self, id: TimerId) -> Option<&mut T> {
        self.timers.get_mut(id)?.value.as_mut()
    }

    pub(super) fn contains(&self, id: TimerId) -> bool {
        self.timers.contains_key(id)
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.order.first().map(|((at, _), _)| at)
    }

    pub(super) fn keeps_alive(&self) -> bool {
        self.referred > 0
    }

    /// Returns a mark: everything that is set later is newer than it.
    pub(super) fn mark(&self) -> u64 {
        self.set_so_far
    }

    /// Takes the next timer that is due and older than the mark, so that a timer which sets itself again
    /// without a delay waits for the next turn. The caller returns the value with [`done`](Self::done).
    pub(super) fn take_due(&mut self, now: Duration, mark: u64) -> Option<(TimerId, T)> {
        let (due, id) = self.order.first()?;
        if due.0 > now || due.1 > mark {
            return None;
        }
        self.order.remove_first();
        self.forget_cancelled();
        let value = self.timers.get_mut(id)?.value.take()?;
        Some((id, value))
    }

    /// Ends the run of a timer. A periodic timer is set again, counted from `now`. For a one-shot timer, or
    /// one that was cancelled while it ran, returns the value to be dropped.
    pub(super) fn done(&mut self, id: TimerId, value: T, now: Duration) -> Option<T> {
        let Some(period) = self.timers.get(id).map(|entry| entry.period) else {
            return Some(value);
        };
        let Some(period) = period else {
            self.cancel(id);
            return Some(value);
        };
        let due = self.next_due(now + period);
        let entry = self.timers.get_mut(id)?;
        entry.due = due;
        entry.value = Some(value);
        self.order.add(due, id);
        None
    }

    /// Empties the queue and returns the values, to be dropped where that is safe.
    pub(super) fn drain(&mut self) -> Vec<T> {
        self.order.clear();
        self.referred = 0;
        self.timers.drain().filter_map(|(_, entry)| entry.value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn take_all(queue: &mut TimerQueue<u32>, now: Duration) -> Vec<u32> {
        let mark = queue.mark();
        let mut taken = Vec::new();
        while let Some((id, value)) = queue.take_due(now, mark) {
            taken.push(value);
            queue.done(id, value, now);
        }
        taken
    }

    #[test]
    fn timers_run_in_the_order_of_their_deadlines_and_then_in_the_order_in_which_they_were_set() {
        let mut queue = TimerQueue::default();
        queue.set(2 * SECOND, None, 3);
        queue.set(SECOND, None, 1);
        queue.set(SECOND, None, 2);
        assert_eq!(queue.next_deadline(), Some(SECOND));
        assert_eq!(take_all(&mut queue, SECOND), [1, 2]);
        assert_eq!(take_all(&mut queue, 2 * SECOND), [3]);
        assert!(!queue.keeps_alive());
    }

    #[test]
    fn a_cancelled_timer_does_not_run_and_an_unreferenced_one_keeps_nothing_alive() {
        let mut queue = TimerQueue::default();
        let first = queue.set(SECOND, None, 1);
        let second = queue.set(SECOND, None, 2);
        assert_eq!(queue.cancel(first), Some(1));
        assert_eq!(queue.cancel(first), None);
        queue.refer(second, false);
        assert!(!queue.keeps_alive());
        assert_eq!(take_all(&mut queue, SECOND), [2]);
    }

    /// A simple generator of pseudo-random numbers (xorshift).
    fn random(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn random_timers_run_in_order_and_cancelled_ones_do_not_and_the_queue_stays_small() {
        let mut state = 7;
        let (mut queue, mut expected) = (TimerQueue::default(), Vec::new());
        let mut now = Duration::ZERO;
        for value in 0..20_000_u32 {
            match random(&mut state) % 8 {
                0..4 => {
                    let at = now + Duration::from_millis(random(&mut state) % 50);
                    expected.push((at, queue.set(at, None, value), value));
                }
                4..7 if !expected.is_empty() => {
                    let index = random(&mut state) as usize % expected.len();
                    let (_, id, value) = expected.remove(index);
                    assert_eq!(queue.cancel(id), Some(value));
                }
                _ => {
                    now += Duration::from_millis(random(&mut state) % 10);
                    // Stable: timers with the same deadline stay in the order in which they were set.
                    expected.sort_by_key(|(at, ..)| *at);
                    let due = expected.iter().take_while(|(at, ..)| *at <= now).count();
                    let due: Vec<_> = expected.drain(..due).map(|(.., value)| value).collect();
                    assert_eq!(take_all(&mut queue, now), due);
                }
            }
            assert_eq!(queue.next_deadline(), expected.iter().map(|(at, ..)| *at).min());
            assert!(queue.order.len() <= 2 * expected.len() + CANCELLED_MIN + 1);
        }
    }

    #[test]
    fn an_interval_repeats_and_can_be_cancelled_while_it_runs() {
        let mut queue = TimerQueue::default();
        queue.set(SECOND, Some(SECOND), 1);
        assert_eq!(take_all(&mut queue, SECOND), [1]);
        assert_eq!(queue.next_deadline(), Some(2 * SECOND));
        let mark = queue.mark();
        let (id, value) = queue.take_due(2 * SECOND, mark).unwrap();
        queue.cancel(id);
        assert_eq!(queue.done(id, value, 2 * SECOND), Some(1));
        assert_eq!(queue.next_deadline(), None);
    }

    #[test]
    fn a_timer_set_while_timers_run_waits_for_the_next_turn() {
        let mut queue = TimerQueue::default();
        queue.set(SECOND, None, 1);
        let mark = queue.mark();
        let (id, value) = queue.take_due(SECOND, mark).unwrap();
        queue.set(SECOND, None, 2);
        queue.done(id, value, SECOND);
        assert!(queue.take_due(SECOND, mark).is_none());
        assert_eq!(take_all(&mut queue, SECOND), [2]);
    }
}
