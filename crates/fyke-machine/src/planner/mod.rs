//! Which address to try when: a state machine without a descriptor, a clock or a callback. Times
//! are arguments, and what is to be done is the answer.
//!
//! [`FamilySelection::Race`] is RFC 8305, section 5 ("Happy Eyeballs"): attempts run beside one
//! another, each begins a little after the one before, or at once when one has failed; none is
//! given up for another; the first to connect wins. `Sequential` is Node's way: one attempt at a
//! time, each with a time limit but the last.

mod candidates;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use candidates::interleave;

use crate::Error;
use crate::error::MakeError;

/// How a host with several addresses is connected to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FamilySelection {
    /// RFC 8305: attempts begin 250 ms apart, or at once when one has failed; none is given up for
    /// another; the first to connect wins, and the others are closed.
    #[default]
    Race,
    /// Node's way: one attempt at a time, each given up after `ConnectOptions::attempt_timeout` but the
    /// last. Node: `autoSelectFamily: true`.
    Sequential,
    /// Only the first address. Node: `autoSelectFamily: false`.
    Off,
}

/// RFC 8305, section 8: the recommended Connection Attempt Delay.
const STAGGER: Duration = Duration::from_millis(250);

/// One connect to one or several addresses.
#[derive(Debug)]
pub struct Race {
    waiting: VecDeque<SocketAddr>,
    /// Attempts that have begun, and their errors when they have failed: in order of start.
    begun: Vec<(SocketAddr, Option<Error>)>,
    running: usize,
    selection: FamilySelection,
    attempt_timeout: Duration,
    /// When the next step is due without anything happening.
    deadline: Option<Duration>,
    /// More than one from the beginning: errors are collected, attempts are listed.
    // HE-11, HE-14.
    several: bool,
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Begin an attempt, and ask again.
    Begin(SocketAddr),
    /// Give up an attempt that takes too long, and ask again (`Sequential` only).
    GiveUp(SocketAddr),
    /// Wait for an outcome, or until the deadline.
    Wait,
    /// Everything has failed.
    Fail(Error),
}

impl Race {
    /// A race of these addresses. `attempt_timeout` counts for `Sequential`.
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

    /// Whether there were several addresses from the beginning.
    pub fn several(&self) -> bool {
        self.several
    }

    /// When [`step`](Self::step) wants to be called again without anything happening.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// What to do now. Called until it says wait or fail: at the beginning, after an outcome, and
    /// at the deadline.
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
        // The last one may take as long as the system allows (HE-12).
        self.deadline = (!self.waiting.is_empty()).then(|| now.saturating_add(wait));
    }

    /// An attempt has failed, or was given up. The next begins at once.
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

    /// The one error, or one that lists all in order of start.
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

    /// The addresses that begin now.
    fn begins(race: &mut Race, now: Duration) -> Vec<SocketAddr> {
        let mut begun = Vec::new();
        while let Step::Begin(address) = race.step(now) {
            begun.push(address);
        }
        begun
    }

    #[test]
    fn attempts_begin_a_quarter_of_a_second_apart_and_none_is_given_up() {
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
    fn the_next_begins_at_once_when_one_fails_though_others_run() {
        let mut race = race(FamilySelection::Race, 4);
        begins(&mut race, Duration::ZERO);
        begins(&mut race, 250 * MS);
        race.failed(address(1), refused(), 300 * MS);
        assert_eq!(begins(&mut race, 300 * MS), [address(3)]);
        assert_eq!(race.deadline(), Some(550 * MS), "and the next one is counted from there");
    }

    #[test]
    fn he_15_all_failed_is_one_error_that_lists_them_in_order_of_start() {
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
    fn he_12_sequential_gives_an_attempt_up_and_the_last_one_never() {
        let mut race = race(FamilySelection::Sequential, 2);
        assert_eq!(begins(&mut race, Duration::ZERO), [address(1)]);
        let Step::GiveUp(late) = race.step(500 * MS) else { panic!("its time is over") };
        assert_eq!(late, address(1));
        race.failed(late, refused(), 500 * MS);
        assert_eq!(begins(&mut race, 500 * MS), [address(2)]);
        assert_eq!(race.deadline(), None);
    }

    #[test]
    fn he_12_sequential_runs_one_at_a_time_and_goes_on_at_once_after_a_failure() {
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
    fn a_failure_that_is_told_twice_counts_once() {
        let mut race = race(FamilySelection::Race, 2);
        begins(&mut race, Duration::ZERO);
        race.failed(address(1), refused(), MS);
        race.failed(address(1), refused(), MS);
        assert_eq!(begins(&mut race, MS), [address(2)]);
        assert!(matches!(race.step(MS), Step::Wait));
    }
}
