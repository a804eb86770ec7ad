//! The effect of `--throttle` and the faults on one direction. It has no clock and no socket: `now`
//! is an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::arguments::{Faults, Span};
use crate::random::Random;

/// With a rate limit, the amount that may pass at once is what the rate allows in this time.
const BURST: Duration = Duration::from_millis(20);

/// How a connection is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Break {
    Close,
    Reset,
    Blackhole,
}

/// The next action.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Pass these bytes on, and ask again.
    Pass(Vec<u8>),
    /// Ask again at this time.
    Wait(Instant),
    /// No data is available.
    Nothing,
    /// The sender has ended.
    End,
    /// The sender's connection has failed.
    BrokenOff,
    Break(Break),
}

pub(super) struct Shaping {
    faults: Faults,
    random: Random,
    held: VecDeque<(Instant, Held)>,
    held_bytes: usize,
    /// The due time of the last item. Later items must not overtake it.
    last_due: Option<Instant>,
    /// The time from which the rate allows more data.
    free_at: Option<Instant>,
    passed: u64,
    breaks: Option<(u64, Break)>,
}

enum Held {
    Bytes(Vec<u8>),
    End,
    BrokenOff,
}

impl Shaping {
    /// Creates the shaping for one direction of a connection.
    pub(super) fn new(faults: &Faults, mut random: Random) -> Self {
        let mut after = |span: Option<Span>, how| span.map(|span| (random.within(span), how));
        let breaks = [
            after(faults.drop_after, Break::Close),
            after(faults.reset_after, Break::Reset),
            after(faults.blackhole_after, Break::Blackhole),
        ];
        Self {
            breaks: breaks.into_iter().flatten().min_by_key(|(after, _)| *after),
            faults: faults.clone(),
            random,
            held: VecDeque::new(),
            held_bytes: 0,
            last_due: None,
            free_at: None,
            passed: 0,
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    pub(super) fn push(&mut self, now: Instant, bytes: &[u8]) {
        let due = self.due(now);
        self.held_bytes += bytes.len();
        let mut rest = bytes;
        while !rest.is_empty() {
            let length = self.faults.slice.map_or(u64::MAX, |span| self.random.within(span));
            let length = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
            let (slice, more) = rest.split_at(length);
            self.held.push_back((due, Held::Bytes(slice.to_vec())));
            rest = more;
        }
    }

    pub(super) fn push_end(&mut self, now: Instant) {
        let due = self.due(now);
        self.held.push_back((due, Held::End));
    }

    /// The failure is delayed like data, because a reset must not overtake data that was sent
    /// before it.
    pub(super) fn push_break(&mut self, now: Instant) {
        let due = self.due(now);
        self.held.push_back((due, Held::BrokenOff));
    }

    fn due(&mut self, now: Instant) -> Instant {
        let jitter = self.faults.jitter.map_or(Duration::ZERO, |most| self.random.up_to(most));
        let due = now + self.faults.delay.unwrap_or_default() + jitter;
        let due = self.last_due.map_or(due, |last| last.max(due));
        self.last_due = Some(due);
        due
    }

    pub(super) fn next(&mut self, now: Instant) -> Next {
        if let Some((after, how)) = self.breaks {
            if self.passed >= after {
                self.held.clear();
                self.held_bytes = 0;
                return Next::Break(how);
            }
        }
        let Some((due, _)) = self.held.front() else { return Next::Nothing };
        let free_at = self.free_at.filter(|_| self.faults.throttle.is_some());
        let when = free_at.map_or(*due, |free| free.max(*due));
        if when > now {
            return Next::Wait(when);
        }
        let (due, mut bytes) = match self.held.pop_front() {
            Some((due, Held::Bytes(bytes))) => (due, bytes),
            Some((_, Held::BrokenOff)) => return Next::BrokenOff,
            Some((_, Held::End)) | None => return Next::End,
        };
        let most = self.most();
        if bytes.len() > most {
            let rest = bytes.split_off(most);
            self.held.push_front((due, Held::Bytes(rest)));
        }
        self.count(now, bytes.len());
        Next::Pass(bytes)
    }

    /// Returns how many bytes may pass at once.
    fn most(&self) -> usize {
        let until_break = self.breaks.map_or(u64::MAX, |(after, _)| after - self.passed);
        let burst = |rate: u64| (rate / (1000 / 20)).max(1);
        let most = until_break.min(self.faults.throttle.map_or(u64::MAX, burst));
        usize::try_from(most).unwrap_or(usize::MAX)
    }

    fn count(&mut self, now: Instant, length: usize) {
        self.held_bytes -= length;
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        self.passed += length;
        if let Some(rate) = self.faults.throttle {
            let takes = Duration::from_nanos(length.saturating_mul(1_000_000_000) / rate);
            // The delay of a late timer may be caught up, but not a pause of the sender.
            let from =
                self.free_at.map_or(now, |free| free.max(now.checked_sub(BURST).unwrap_or(now)));
            self.free_at = Some(from + takes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Direction;

    fn faults() -> Faults {
        Faults {
            throttle: None,
            delay: None,
            jitter: None,
            drop_after: None,
            reset_after: None,
            blackhole_after: None,
            slice: None,
            direction: Direction::Both,
            seed: 0,
        }
    }

    fn one(bytes: u64) -> Option<Span> {
        Some(Span { least: bytes, most: bytes })
    }

    /// Returns everything that passes until `end`, with the time at which it passed.
    fn passed(shaping: &mut Shaping, mut now: Instant) -> (Vec<Vec<u8>>, Duration, Next) {
        let (start, mut pieces) = (now, Vec::new());
        loop {
            match shaping.next(now) {
                Next::Pass(bytes) => pieces.push(bytes),
                Next::Wait(until) => now = until,
                next => return (pieces, now - start, next),
            }
        }
    }

    #[test]
    fn without_faults_all_data_passes_immediately() {
        let (now, mut shaping) = (Instant::now(), Shaping::new(&faults(), Random::new(1)));
        shaping.push(now, b"hello");
        assert_eq!(shaping.held_bytes(), 5);
        shaping.push_end(now);
        shaping.push_break(now);
        let expected = (vec![b"hello".to_vec()], Duration::ZERO, Next::End);
        assert_eq!(passed(&mut shaping, now), expected);
        assert_eq!(shaping.next(now), Next::BrokenOff);
        assert_eq!((shaping.held_bytes(), shaping.next(now)), (0, Next::Nothing));
    }

    #[test]
    fn delay_and_jitter_delay_data_and_keep_its_order() {
        let delay = Duration::from_millis(50);
        let jitter = Duration::from_millis(20);
        let faults = Faults { delay: Some(delay), jitter: Some(jitter), ..faults() };
        let (now, mut shaping) = (Instant::now(), Shaping::new(&faults, Random::new(1)));
        for byte in 0..100_u8 {
            shaping.push(now, &[byte]);
        }
        shaping.push_break(now);
        assert!(matches!(shaping.next(now), Next::Wait(until) if until >= now + delay));
        let (pieces, took, last) = passed(&mut shaping, now);
        assert_eq!(last, Next::BrokenOff);
        assert_eq!(pieces.concat(), (0..100).collect::<Vec<u8>>());
        assert!(took >= delay && took <= delay + jitter, "{took:?}");
    }

    #[test]
    fn a_rate_is_maintained_over_time() {
        let faults = Faults { throttle: Some(100_000), ..faults() };
        let (now, mut shaping) = (Instant::now(), Shaping::new(&faults, Random::new(1)));
        shaping.push(now, &[0; 200_000]);
        shaping.push_end(now);
        let (_, took, _) = passed(&mut shaping, now);
        assert!((1.95..=2.0).contains(&took.as_secs_f64()), "{took:?}");
    }

    #[test]
    fn a_fault_occurs_after_exactly_the_given_number_of_bytes() {
        for (how, set) in [
            (Break::Close, Faults { drop_after: one(7), ..faults() }),
            (Break::Reset, Faults { reset_after: one(7), ..faults() }),
            (Break::Blackhole, Faults { blackhole_after: one(7), ..faults() }),
        ] {
            let (now, mut shaping) = (Instant::now(), Shaping::new(&set, Random::new(1)));
            shaping.push(now, b"01234");
            shaping.push(now, b"56789");
            let (pieces, _, next) = passed(&mut shaping, now);
            assert_eq!((pieces.concat().as_slice(), next), (&b"0123456"[..], Next::Break(how)));
            assert_eq!((shaping.held_bytes(), shaping.next(now)), (0, Next::Break(how)));
        }
    }

    #[test]
    fn slices_have_the_lengths_that_the_seed_determines() {
        let slice = Some(Span { least: 1, most: 4 });
        let cut = |seed| {
            let faults = Faults { slice, ..faults() };
            let (now, mut shaping) = (Instant::now(), Shaping::new(&faults, Random::new(seed)));
            shaping.push(now, &[7; 100]);
            passed(&mut shaping, now).0
        };
        assert!(cut(1).iter().all(|piece| (1..=4).contains(&piece.len())));
        assert_eq!(cut(1).concat(), [7; 100]);
        assert_eq!(cut(1), cut(1));
        assert_ne!(cut(1), cut(2));
    }
}
