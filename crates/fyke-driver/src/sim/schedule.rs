//! The virtual clock, and the schedule of future events.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::SocketId;

/// An event that arrives at a socket. The socket may be closed by then.
#[derive(Debug, PartialEq)]
pub(super) enum Event {
    /// The answer to the client's connection request.
    Answer { client: SocketId },
    /// Bytes that `from` sent.
    Bytes { from: SocketId, to: SocketId, bytes: Vec<u8> },
    /// The peer's FIN.
    End { to: SocketId },
    /// The peer's RST.
    Reset { to: SocketId },
}

/// Events in the order of their times; events of the same time in the order in which they were scheduled.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    now: Duration,
    scheduled: u64,
    events: BTreeMap<(Duration, u64), Event>,
}

impl Schedule {
    pub(super) fn now(&self) -> Duration {
        self.now
    }

    /// The time of the next event.
    pub(super) fn next(&self) -> Option<Duration> {
        self.events.keys().next().map(|(at, _)| *at)
    }

    /// Returns whether an event is due.
    pub(super) fn is_due(&self) -> bool {
        self.next().is_some_and(|at| at <= self.now)
    }

    pub(super) fn add(&mut self, at: Duration, event: Event) {
        self.events.insert((at, self.scheduled), event);
        self.scheduled += 1;
    }

    /// Takes the next event, if it is due.
    pub(super) fn pop_due(&mut self) -> Option<Event> {
        if self.is_due() { self.events.pop_first().map(|(_, event)| event) } else { None }
    }

    /// Moves the clock forward, never backwards.
    pub(super) fn advance(&mut self, to: Duration) {
        self.now = self.now.max(to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(index: u64) -> Event {
        Event::End { to: slotmap::KeyData::from_ffi((1 << 32) | index).into() }
    }

    #[test]
    fn events_are_ordered_by_time_and_then_by_order_of_scheduling() {
        let mut schedule = Schedule::default();
        let (soon, late) = (Duration::from_micros(1), Duration::from_micros(2));
        schedule.add(late, end(3));
        schedule.add(soon, end(1));
        schedule.add(soon, end(2));
        assert_eq!(schedule.pop_due(), None);
        schedule.advance(late);
        let order: Vec<_> = std::iter::from_fn(|| schedule.pop_due()).collect();
        assert_eq!(order, [end(1), end(2), end(3)]);
    }

    #[test]
    fn the_clock_never_goes_backwards() {
        let mut schedule = Schedule::default();
        schedule.advance(Duration::from_secs(2));
        schedule.advance(Duration::from_secs(1));
        assert_eq!(schedule.now(), Duration::from_secs(2));
    }
}
