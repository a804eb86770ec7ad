//! A server as plain data: which connections it takes, how many it has, and when its `close` and the outcome of
//! its shutdown are due. It holds no descriptor and runs no callback; what it answers is done by its caller.

mod drain;
mod limits;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use drain::Drain;
pub use drain::{Outcome, Tally};
pub use limits::Limits;

use crate::Policy;
use crate::connection::Gone;

/// A server. Listening begins and ends in rounds:
///
/// | round | `close` event | by |
/// |---|---|---|
/// | begins | unchanged | [`begin_round`](Self::begin_round): `listen` |
/// | listens | unchanged | [`listens`](Self::listens): the listener is open |
/// | ends | owed | [`close`](Self::close) |
/// | ends | unchanged | [`stop`](Self::stop): the listener is handed over |
/// | unchanged | deferred | [`take_close`](Self::take_close): closed, and no connection is left |
/// | unchanged | not owed | [`close_is_told`](Self::close_is_told) |
#[derive(Debug)]
pub struct Acceptor {
    limits: Limits,
    is_listening: bool,
    /// Counts `listen` and `close`, so that an answer to an older one is recognised (SRV-14).
    round: u64,
    close: CloseEvent,
    connections: usize,
    /// How many of them come from which address, or IPv6 network; only while that is limited.
    per_group: HashMap<IpAddr, usize>,
    /// How many were closed at once because memory or descriptors were exhausted.
    shed: u64,
    drain: Option<Box<Drain>>,
}

/// Whether the `close` event of a server is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CloseEvent {
    NotOwed,
    /// `close` was called.
    Owed,
    /// It is due, and comes on the tick.
    Deferred,
}

/// What becomes of a connection that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is one of the server's from here on.
    Taken,
    /// A limit is reached: it is to be closed, with an event.
    Full,
    /// Its address is blocked: it is to be closed, without a word.
    Blocked,
}

impl Acceptor {
    /// A server that does not listen.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            is_listening: false,
            round: 0,
            close: CloseEvent::NotOwed,
            connections: 0,
            per_group: HashMap::new(),
            shed: 0,
            drain: None,
        }
    }

    /// What it takes.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Changes how many connections it takes, from the next one on (CLS-12).
    pub fn set_max_connections(&mut self, max: Option<usize>) {
        self.limits.max_connections = max;
    }

    /// `listen` was called. Returns the number of the round, by which its outcome is recognised.
    pub fn begin_round(&mut self) -> u64 {
        self.round += 1;
        self.round
    }

    /// Whether it is still that round.
    pub fn is_round(&self, round: u64) -> bool {
        self.round == round
    }

    /// The listener of a round is open. Returns whether it is wanted still.
    pub fn listens(&mut self, round: u64) -> bool {
        let wanted = self.is_round(round);
        self.is_listening |= wanted;
        wanted
    }

    /// Whether it listens.
    pub fn is_listening(&self) -> bool {
        self.is_listening
    }

    /// A connection was accepted: decides about it, and counts it if it is taken. `is_blocked` is asked after
    /// the limits were looked at (CLS-15, CLS-16).
    pub fn admit(
        &mut self,
        peer: Option<SocketAddr>,
        is_blocked: impl FnOnce() -> bool,
    ) -> Admission {
        let group = peer.map(|peer| self.limits.group_of(peer.ip()));
        if self.is_full(group) {
            return Admission::Full;
        }
        if is_blocked() {
            return Admission::Blocked;
        }
        self.connections += 1;
        if let Some(group) = group.filter(|_| self.limits.max_per_group.is_some()) {
            *self.per_group.entry(group).or_default() += 1;
        }
        Admission::Taken
    }

    /// Looked at for every connection, so that the limit may change at any time (CLS-12).
    fn is_full(&self, group: Option<IpAddr>) -> bool {
        let full = self.limits.max_connections.is_some_and(|max| self.connections >= max);
        let here = group.and_then(|group| self.per_group.get(&group)).copied().unwrap_or_default();
        let max_here = self.limits.max_per_group.filter(|_| group.is_some());
        full || max_here.is_some_and(|max| here >= max)
    }

    /// A connection was destroyed. Counted at once, so that a place is free (CLS-03, CLS-14).
    pub fn gone(&mut self, peer: Option<SocketAddr>) {
        self.connections = self.connections.saturating_sub(1);
        let Some(peer) = peer else { return };
        let group = self.limits.group_of(peer.ip());
        let left = self.per_group.get_mut(&group).map(|count| {
            *count -= 1;
            *count
        });
        if left == Some(0) {
            self.per_group.remove(&group);
        }
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// Connections were closed at once because memory or descriptors were exhausted.
    pub fn shed(&mut self, count: usize) {
        self.shed += count as u64;
    }

    /// How many there were of those.
    pub fn shed_connections(&self) -> u64 {
        self.shed
    }

    /// Ends the round: the listener is closed, if there is one, and `close` is owed.
    pub fn close(&mut self) {
        self.begin_round();
        self.is_listening = false;
        if self.close == CloseEvent::NotOwed {
            self.close = CloseEvent::Owed;
        }
    }

    /// Ends the round without an event: the listener goes elsewhere.
    pub fn stop(&mut self) {
        self.begin_round();
        self.is_listening = false;
    }

    /// Whether `close` is due and to be deferred to the tick: closed, and no connection left (CLS-02).
    pub fn take_close(&mut self, policy: &Policy) -> bool {
        let is_owed = match self.close {
            CloseEvent::NotOwed => false,
            CloseEvent::Owed => true,
            CloseEvent::Deferred => policy.every_server_close_is_told,
        };
        let is_due = is_owed && !self.is_listening && self.connections == 0;
        if is_due {
            self.close = CloseEvent::Deferred;
        }
        is_due
    }

    /// The tick of `close`: it is told now, and may be owed again.
    pub fn close_is_told(&mut self) {
        self.close = CloseEvent::NotOwed;
    }

    /// Whether a shutdown may begin: it listens, or its `close` is to come.
    pub fn may_shut_down(&self) -> bool {
        self.is_listening || self.close != CloseEvent::NotOwed
    }

    /// A shutdown begins or is joined, with so many connections that are not part of it yet. The earlier of
    /// the deadlines counts. Returns whether it is over, because there is no connection.
    pub fn shut_down(&mut self, connections: usize, deadline: Duration) -> bool {
        self.drain.get_or_insert_with(|| Box::new(Drain::new(deadline))).join(connections, deadline)
    }

    /// A connection of the shutdown is gone, in this way. Returns whether the shutdown is over.
    pub fn count_gone(&mut self, gone: Gone) -> bool {
        self.drain.as_mut().is_some_and(|drain| drain.count(gone))
    }

    /// When to be asked what has [expired](Self::expire).
    pub fn wake(&self) -> Option<Duration> {
        self.drain.as_ref()?.wake()
    }

    /// Whether the deadline of a shutdown has passed, so that the connections that are left are to be reset.
    pub fn expire(&mut self, now: Duration) -> bool {
        self.drain.as_mut().is_some_and(|drain| drain.expire(now))
    }

    /// The shutdown is over: how it went.
    pub fn end_shutdown(&mut self, now: Duration) -> Option<Outcome> {
        Some(self.drain.take()?.outcome(now))
    }

    /// The loop is gone: nothing is left, and nothing is told.
    pub fn abandon(&mut self) {
        *self = Self { shed: self.shed, round: self.round, ..Self::new(self.limits) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_of_an_address_goes_with_its_last_connection() {
        let mut limits = Limits::default();
        limits.max_per_group = Some(2);
        let mut acceptor = Acceptor::new(limits);
        for last in 1..=100 {
            let peer = Some(SocketAddr::from(([192, 0, 2, last], 1)));
            for _ in 0..2 {
                assert_eq!(acceptor.admit(peer, || false), Admission::Taken);
            }
            acceptor.gone(peer);
            assert_eq!(acceptor.per_group.len(), 1);
            acceptor.gone(peer);
            assert!(acceptor.per_group.is_empty());
        }
    }
}
