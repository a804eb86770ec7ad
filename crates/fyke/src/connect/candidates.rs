//! Which addresses to try, in which order, and what came of it: a state machine without a
//! descriptor, a clock or a callback.

use std::collections::VecDeque;
use std::net::SocketAddr;

use fyke_driver::Family;

use crate::Error;

/// The addresses of one connect.
#[derive(Debug)]
pub(crate) struct Candidates {
    waiting: VecDeque<SocketAddr>,
    /// More than one from the beginning: errors are collected, attempts are listed (HE-11, HE-14).
    several: bool,
    errors: Vec<Error>,
}

/// What to do after a failed attempt.
#[derive(Debug)]
pub(crate) enum AfterFailure {
    /// There is another address.
    TryNext,
    /// That was the last one: the error of the whole connect.
    GiveUp(Error),
}

impl Candidates {
    /// Exact duplicates are dropped, the family of the first address leads, then they alternate;
    /// when one family runs out the rest follow in order (HE-09).
    pub(crate) fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let mut unique: Vec<SocketAddr> = Vec::new();
        for address in addresses {
            if !unique.contains(&address) {
                unique.push(address);
            }
        }
        let leading = unique.first().map(Family::of);
        let (mut first, mut second): (VecDeque<_>, VecDeque<_>) =
            unique.into_iter().partition(|address| Some(Family::of(address)) == leading);
        let mut waiting = VecDeque::with_capacity(first.len() + second.len());
        while !(first.is_empty() && second.is_empty()) {
            waiting.extend(first.pop_front());
            waiting.extend(second.pop_front());
        }
        Self { several: waiting.len() > 1, waiting, errors: Vec::new() }
    }

    /// The next address to try.
    pub(crate) fn next(&mut self) -> Option<SocketAddr> {
        self.waiting.pop_front()
    }

    /// Whether there were several from the beginning.
    pub(crate) fn several(&self) -> bool {
        self.several
    }

    /// Whether there is another one after the one being tried: only then has it a time limit
    /// (HE-12).
    pub(crate) fn has_next(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The attempt that was running failed.
    pub(crate) fn failed(&mut self, error: Error) -> AfterFailure {
        if !self.several {
            return AfterFailure::GiveUp(error);
        }
        self.errors.push(error);
        if self.has_next() {
            return AfterFailure::TryNext;
        }
        AfterFailure::GiveUp(Error::aggregate(std::mem::take(&mut self.errors)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;

    fn address(text: &str) -> SocketAddr {
        SocketAddr::new(text.parse().unwrap(), 80)
    }

    fn order(addresses: &[&str]) -> Vec<String> {
        let mut candidates = Candidates::new(addresses.iter().map(|text| address(text)));
        std::iter::from_fn(|| candidates.next()).map(|found| found.ip().to_string()).collect()
    }

    fn error(code: ErrorCode) -> Error {
        Error::named(code, "connect")
    }

    #[test]
    fn he_09_families_alternate_and_the_first_leads() {
        let given = ["::a", "::b", "::c", "1.0.0.1", "1.0.0.2", "1.0.0.3"];
        let wanted = ["::a", "1.0.0.1", "::b", "1.0.0.2", "::c", "1.0.0.3"];
        assert_eq!(order(&given), wanted);
        assert_eq!(order(&["1.0.0.1", "::a", "1.0.0.2", "1.0.0.3"])[..2], ["1.0.0.1", "::a"]);
    }

    #[test]
    fn he_09_duplicates_are_dropped_and_the_rest_follows_in_order() {
        let given = ["1.0.0.1", "1.0.0.1", "1.0.0.2", "::a", "1.0.0.3"];
        assert_eq!(order(&given), ["1.0.0.1", "::a", "1.0.0.2", "1.0.0.3"]);
    }

    #[test]
    fn he_11_one_address_fails_with_its_own_error() {
        let mut candidates = Candidates::new([address("::1"), address("::1")]);
        candidates.next();
        let AfterFailure::GiveUp(given_up) = candidates.failed(error(ErrorCode::ECONNREFUSED))
        else {
            panic!("there is no other address");
        };
        assert!(given_up.attempts().is_empty());
    }

    #[test]
    fn he_15_several_addresses_fail_with_all_errors_in_order() {
        let mut candidates = Candidates::new([address("::1"), address("127.0.0.1")]);
        candidates.next();
        let first = candidates.failed(error(ErrorCode::ECONNREFUSED));
        assert!(matches!(first, AfterFailure::TryNext));
        candidates.next();
        let AfterFailure::GiveUp(all) = candidates.failed(error(ErrorCode::ETIMEDOUT)) else {
            panic!("that was the last address");
        };
        assert_eq!(all.code(), ErrorCode::ECONNREFUSED);
        assert_eq!(all.attempts().len(), 2);
    }
}
