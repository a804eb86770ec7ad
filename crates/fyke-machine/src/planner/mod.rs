//! Decides which address to try when: a state machine without a descriptor, a clock or a callback. Times
//! are arguments, and the next action is the return value.
//!
//! [`FamilySelection::Race`] implements RFC 8305, section 5 ("Happy Eyeballs"): attempts run in parallel.
//! Each one begins a little after the previous one, or at once when the previous one has failed. No attempt
//! is abandoned for another one, and the first to connect wins. `Sequential` is Node's way: one attempt at
//! a time, each with a time limit except the last.

mod candidates;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use candidates::interleave;

use crate::Error;
use crate::error::MakeError;

/// How to connect to a host that has several addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FamilySelection {
    /// RFC 8305: attempts begin 250 ms apart, or at once when one has failed. No attempt is abandoned for
    /// another one; the first to connect wins, and the others are closed.
    #[default]
    Race,
    /// Node's way: one attempt at a time. Each one except the last is abandoned after
    /// `ConnectOptions::attempt_timeout`. Node: `autoSelectFamily: true`.
    Sequential,
    /// Tries only the first address. Node: `autoSelectFamily: false`.
    Off,
}

/// RFC 8305, section 8: the recommended Connection Attempt Delay.
const STAGGER: Duration = Duration::from_millis(250);

/// One connect to one or several addresses.
#[derive(Debug)]
pub struct Race {
    waiting: VecDeque<SocketAddr>,
    /// Attempts in the order in which they began, with their errors if they have failed.
    begun: Vec<(SocketAddr, Option<Error>)>,
    running: usize,
    selection: FamilySelection,
    attempt_timeout: Duration,
    /// When the next step is due if no event happens before.
    deadline: Option<Duration>,
    /// Whether there was more than one address at the start: then errors are collected, and attempts are
    /// listed.
    // HE-11, HE-14.
    several: bool,
}

/// The next action.
#[derive(Debug)]
pub enum Step {
    /// Begin an attempt, then call [`step`](Race::step) again.
    Begin(SocketAddr),
    /// Abandon an attempt that takes too long, then call [`step`](Race::step) again (`Sequential` only).
    GiveUp(SocketAddr),
    /// Wait for the outcome of an attempt, or until the deadline.
    Wait,
    /// Every attempt has failed.
    Fail(Error),
}

impl Race {
    /// Starts a connect to these addresses. `attempt_timeout` applies to `Sequential` only.
    pub fn new(
        addresses: impl IntoIterator<Item = SocketAddr>,
        selection: FamilySelection,
        attempt_timeout: Duration,
    ) -> Self {
        let mut waiting = interleave(addresses);
        if selection == FamilySelection::Off {
            waiting.truncate(1);
        }
        Self {
            several: waiting.len() > 1,
            waiting,
            begun: Vec::new(),
            running: 0,
            selection,
            attempt_timeout,
            deadline: None,
        }
    }

    /// Returns whether there were several addresses at the start.
    pub fn several(&self) -> bool {
        self.several
    }

    /// When to call [`step`](Self::step) again if no event happens before.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Returns the next action. Call it at the start, after the outcome of an attempt, and at the deadline,
    /// each time until it returns `Wait` or `Fail`.
    pub fn step(&mut self, now: Duration) -> Step {
        let due = self.deadline.is_some_and(|deadline| deadline <= now);
        if due && self.selection == FamilySelection::Sequential {
            self.deadline = None;
            if let Some((address, _)) = self.begun.iter().rev().find(|(_, error)| error.is_none()) {
                return Step::GiveUp(*address);
            }
        }
        if self.running == 0 || (due && self.selection == FamilySelection::Race) {
            if let Some(address) = self.waiting.pop_front() {
                self.begin(address, now);
                return Step::Begin(address);
            }
        }
        if self.waiting.is_empty() {
            self.deadline = None;
        }
        if self.running > 0 { Step::Wait } else { Step::Fail(self.error()) }
    }

    fn begin(&mut self, address: SocketAddr, now: Duration) {
        self.begun.push((address, None));
        self.running += 1;
        let wait = match self.selection {
            FamilySelection::Race => STAGGER,
            FamilySelection::Sequential | FamilySelection::Off => self.attempt_timeout,
        };
        // The last attempt may take as long as the system allows (HE-12).
        self.deadline = (!self.waiting.is_empty()).then(|| now.saturating_add(wait));
    }

    /// Records that an attempt has failed or was abandoned. The next one begins at once.
    pub fn failed(&mut self, address: SocketAddr, error: Error, now: Duration) {
        let running =
            self.begun.iter_mut().find(|(begun, failed)| *begun == address && failed.is_none());
        let Some((_, slot)) = running else { return };
        *slot = Some(error);
        self.running -= 1;
        if !self.waiting.is_empty() {
            self.deadline = Some(now);
        }
        if self.selection == FamilySelection::Sequential {
            self.deadline = None;
        }
    }

    /// The only error, or one that lists all errors in the order in which the attempts began.
    // HE-15.
    fn error(&mut self) -> Error {
        let mut errors: Vec<Error> = self.begun.drain(..).filter_map(|(_, error)| error).collect();
        match errors.len() {
            1 if !self.several => errors.remove(0),
            _ => Error::aggregate(errors),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;

    const MS: Duration = Duration::from_millis(1);

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, last], 80))
    }

    fn race(selection: FamilySelection, count: u8) -> Race {
        Race::new((1..=count).map(address), selection, 500 * MS)
    }

    fn refused() -> Error {
        Error::named(ErrorCode::ECONNREFUSED, "connect")
    }

    /// The addresses whose attempts begin now.
    fn begins(race: &mut Race, now: Duration) -> Vec<SocketAddr> {
        let mut begun = Vec::new();
        while let Step::Begin(address) = race.step(now) {
            begun.push(address);
        }
        begun
    }

    #[test]
    fn attempts_begin_a_quarter_of_a_second_apart_and_none_is_abandoned() {
        let mut race = race(FamilySelection::Race, 3);
        assert_eq!(begins(&mut race, Duration::ZERO), [address(1)]);
        assert_eq!(race.deadline(), Some(250 * MS));
        assert!(matches!(race.step(249 * MS), Step::Wait));
        assert_eq!(begins(&mut race, 250 * MS), [address(2)]);
        assert_eq!(begins(&mut race, 500 * MS), [address(3)]);
        assert_eq!(race.deadline(), None);
        assert!(matches!(race.step(3_600_000 * MS), Step::Wait));
    }

    #[test]
    fn when_an_attempt_fails_the_next_one_begins_immediately_even_if_others_are_running() {
        let mut race = race(FamilySelection::Race, 4);
        begins(&mut race, Duration::ZERO);
        begins(&mut race, 250 * MS);
        race.failed(address(1), refused(), 300 * MS);
        assert_eq!(begins(&mut race, 300 * MS), [address(3)]);
        assert_eq!(race.deadline(), Some(550 * MS), "and the next one is counted from there");
    }

    #[test]
    fn he_15_when_all_attempts_fail_one_error_lists_them_in_the_order_of_their_start() {
        let mut race = race(FamilySelection::Race, 2);
        begins(&mut race, Duration::ZERO);
        begins(&mut race, 250 * MS);
        race.failed(address(2), Error::named(ErrorCode::ETIMEDOUT, "connect"), 300 * MS);
        assert!(matches!(race.step(300 * MS), Step::Wait));
        race.failed(address(1), refused(), 400 * MS);
        let Step::Fail(error) = race.step(400 * MS) else { panic!("all have failed") };
        let codes: Vec<ErrorCode> = error.attempts().iter().map(Error::code).collect();
        assert_eq!(codes, [ErrorCode::ECONNREFUSED, ErrorCode::ETIMEDOUT]);
        assert_eq!(error.code(), ErrorCode::ECONNREFUSED);
    }

    #[test]
    fn he_12_sequential_abandons_an_attempt_except_the_last_one() {
        let mut race = race(FamilySelection::Sequential, 2);
        assert_eq!(begins(&mut race, Duration::ZERO), [address(1)]);
        let Step::GiveUp(late) = race.step(500 * MS) else { panic!("its time is over") };
        assert_eq!(late, address(1));
        race.failed(late, refused(), 500 * MS);
        assert_eq!(begins(&mut race, 500 * MS), [address(2)]);
        assert_eq!(race.deadline(), None);
    }

    #[test]
    fn he_12_sequential_runs_one_attempt_at_a_time_and_continues_immediately_after_a_failure() {
        let mut race = race(FamilySelection::Sequential, 3);
        begins(&mut race, Duration::ZERO);
        race.failed(address(1), refused(), 10 * MS);
        assert_eq!(begins(&mut race, 10 * MS), [address(2)]);
        assert_eq!(race.deadline(), Some(510 * MS));
    }

    #[test]
    fn he_08_off_tries_only_the_first_address_and_fails_with_its_own_error() {
        let mut race = race(FamilySelection::Off, 3);
        assert_eq!(begins(&mut race, Duration::ZERO), [address(1)]);
        race.failed(address(1), refused(), 10 * MS);
        let Step::Fail(error) = race.step(10 * MS) else { panic!("there is no other") };
        assert!(error.attempts().is_empty());
    }

    #[test]
    fn he_11_one_address_needs_no_timer_and_fails_with_its_own_error() {
        let mut race = Race::new([address(1), address(1)], FamilySelection::Race, 500 * MS);
        assert_eq!(begins(&mut race, Duration::ZERO), [address(1)]);
        assert_eq!((race.deadline(), race.several()), (None, false));
        race.failed(address(1), refused(), MS);
        let Step::Fail(error) = race.step(MS) else { panic!("there is no other") };
        assert!(error.attempts().is_empty());
    }

    #[test]
    fn a_failure_that_is_reported_twice_counts_once() {
        let mut race = race(FamilySelection::Race, 2);
        begins(&mut race, Duration::ZERO);
        race.failed(address(1), refused(), MS);
        race.failed(address(1), refused(), MS);
        assert_eq!(begins(&mut race, MS), [address(2)]);
        assert!(matches!(race.step(MS), Step::Wait));
    }
}
