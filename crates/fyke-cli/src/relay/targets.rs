//! Chooses the target of the next connection. A target that failed is skipped for a while; the
//! time doubles with each failure.

use std::time::{Duration, Instant};

use crate::arguments::Balance;
use crate::backoff::Backoff;
use crate::place::Place;

const FIRST_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Target {
    pub(super) place: Place,
    /// The number of connections, including those that are being established.
    pub(super) connections: u64,
    /// The number of connections that were established.
    pub(super) total: u64,
    /// The number of failed connects.
    pub(super) failures: u64,
    left_out_until: Option<Instant>,
    backoff: Backoff,
}

impl Target {
    /// Whether the last connect succeeded.
    pub(super) fn is_up(&self) -> bool {
        self.left_out_until.is_none()
    }
}

/// The targets that a connection may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Destination {
    /// Any of the targets that are not the target of a route only.
    #[default]
    Default,
    /// The target of a route, by its index.
    Route(usize),
}

/// The targets and their state. It has no clock and no socket.
pub(super) struct Targets {
    balance: Balance,
    /// The default targets first, then those that only routes have.
    targets: Vec<Target>,
    default_count: usize,
    /// The index of the next default target in turn.
    next: usize,
}

impl Targets {
    /// Creates the state of the default targets, and of the targets that only routes have.
    pub(super) fn new(
        default: Vec<Place>,
        of_routes: Vec<Place>,
        balance: Balance,
        backoff_max: Duration,
    ) -> Self {
        let target = |place| Target {
            place,
            connections: 0,
            total: 0,
            failures: 0,
            left_out_until: None,
            backoff: Backoff::new(FIRST_PAUSE, backoff_max),
        };
        let default_count = default.len();
        let targets = default.into_iter().chain(of_routes).map(target).collect();
        Self { balance, targets, default_count, next: 0 }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter()
    }

    pub(super) fn place(&self, index: usize) -> &Place {
        &self.targets[index].place
    }

    /// Chooses a target for a connection that may have tried some targets already. The target
    /// counts as connected from now on.
    pub(super) fn choose(
        &mut self,
        now: Instant,
        destination: Destination,
        tried: &[usize],
    ) -> Option<usize> {
        let chosen = match destination {
            Destination::Default => self.choose_default(now, tried),
            Destination::Route(index) => Some(index).filter(|index| !tried.contains(index)),
        };
        let chosen = chosen?;
        self.targets[chosen].connections += 1;
        Some(chosen)
    }

    fn choose_default(&mut self, now: Instant, tried: &[usize]) -> Option<usize> {
        let count = self.default_count;
        let rest = |index: &usize| !tried.contains(index);
        let up =
            |index: &usize| self.targets[*index].left_out_until.is_none_or(|until| until <= now);
        let order = (self.next..count).chain(0..self.next).filter(rest);
        let chosen = match self.balance {
            Balance::RoundRobin => order.clone().find(up),
            Balance::LeastConnections => {
                order.clone().filter(up).min_by_key(|index| self.targets[*index].connections)
            }
            Balance::First => (0..count).filter(rest).find(up),
        };
        // If all targets are left out, trying one is better than refusing the client.
        let soonest = || order.min_by_key(|index| self.targets[*index].left_out_until);
        let chosen = chosen.or_else(soonest)?;
        if self.balance != Balance::First {
            self.next = (chosen + 1) % count;
        }
        Some(chosen)
    }

    pub(super) fn connected(&mut self, index: usize) {
        let target = &mut self.targets[index];
        target.total += 1;
        target.left_out_until = None;
        target.backoff.reset();
    }

    /// Records a failed connect. Returns for how long the target is left out. Several failures at
    /// the same time count as one.
    pub(super) fn failed(&mut self, now: Instant, index: usize) -> Option<Duration> {
        let target = &mut self.targets[index];
        target.failures += 1;
        if target.left_out_until.is_some_and(|until| until > now) {
            return None;
        }
        let pause = target.backoff.pause();
        target.left_out_until = Some(now + pause);
        Some(pause)
    }

    /// Called when a connection, or an attempt to connect, is over.
    pub(super) fn over(&mut self, index: usize) {
        self.targets[index].connections -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(balance: Balance, count: u16) -> Targets {
        let places = (1..=count).map(|port| Place::Endpoint(port.into())).collect();
        Targets::new(places, Vec::new(), balance, Duration::from_secs(10))
    }

    fn choices(targets: &mut Targets, now: Instant, count: usize) -> Vec<usize> {
        (0..count).filter_map(|_| targets.choose(now, Destination::Default, &[])).collect()
    }

    #[test]
    fn round_robin_uses_the_targets_in_turn_and_first_keeps_the_first() {
        let now = Instant::now();
        assert_eq!(choices(&mut targets(Balance::RoundRobin, 3), now, 5), [0, 1, 2, 0, 1]);
        assert_eq!(choices(&mut targets(Balance::First, 3), now, 3), [0, 0, 0]);
    }

    #[test]
    fn least_connections_selects_the_target_with_the_fewest_and_alternates_between_equal_ones() {
        let now = Instant::now();
        let mut targets = targets(Balance::LeastConnections, 3);
        assert_eq!(choices(&mut targets, now, 3), [0, 1, 2]);
        targets.over(1);
        assert_eq!(targets.choose(now, Destination::Default, &[]), Some(1));
        targets.over(0);
        targets.over(0_usize.wrapping_add(2));
        assert_eq!(choices(&mut targets, now, 2), [2, 0]);
    }

    #[test]
    fn a_failed_target_is_skipped_for_a_time_that_doubles() {
        let now = Instant::now();
        let mut targets = targets(Balance::First, 2);
        targets.choose(now, Destination::Default, &[]);
        let pause = targets.failed(now, 0).unwrap();
        assert!(pause <= FIRST_PAUSE && pause >= FIRST_PAUSE / 2);
        assert_eq!(targets.failed(now, 0), None, "at the same time");
        assert_eq!(targets.choose(now, Destination::Default, &[]), Some(1));
        let later = now + pause;
        assert_eq!(targets.choose(later, Destination::Default, &[]), Some(0));
        let second = targets.failed(later, 0).unwrap();
        assert!(second > pause, "{second:?} after {pause:?}");
        targets.connected(0);
        assert!(targets.iter().all(Target::is_up));
    }

    #[test]
    fn a_connection_tries_each_target_once_and_a_skipped_target_rather_than_none() {
        let now = Instant::now();
        let mut targets = targets(Balance::RoundRobin, 2);
        targets.failed(now, 0);
        targets.failed(now, 1);
        let first = targets.choose(now, Destination::Default, &[]).unwrap();
        let second = targets.choose(now, Destination::Default, &[first]).unwrap();
        assert_ne!(first, second);
        assert_eq!(targets.choose(now, Destination::Default, &[first, second]), None);
    }

    #[test]
    fn target_of_a_route_is_used_by_its_route_only_and_even_while_it_fails() {
        let now = Instant::now();
        let place = |port: u16| Place::Endpoint(port.into());
        let mut targets = Targets::new(
            vec![place(1), place(2)],
            vec![place(3)],
            Balance::RoundRobin,
            Duration::from_secs(10),
        );
        assert_eq!(choices(&mut targets, now, 3), [0, 1, 0]);
        targets.failed(now, 2);
        for (tried, expected) in [(&[][..], Some(2)), (&[2], None)] {
            assert_eq!(targets.choose(now, Destination::Route(2), tried), expected);
        }
        // A route may have a default target.
        assert_eq!(targets.choose(now, Destination::Route(0), &[]), Some(0));
        assert_eq!(choices(&mut targets, now, 1), [1], "routes do not change the turn");
        let open: Vec<_> = targets.iter().map(|target| target.connections).collect();
        assert_eq!(open, [3, 2, 1]);
    }
}
