//! A server as plain data: decides which connections it accepts, counts them, and determines when its
//! `close` event and the outcome of its shutdown are due. It holds no descriptor and runs no callback; the
//! caller acts on its answers.

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

/// A server. Each call of `listen` begins a round:
///
/// | round | `close` event | method |
/// |---|---|---|
/// | begins | unchanged | [`begin_round`](Self::begin_round): `listen` was called |
/// | is listening | unchanged | [`listens`](Self::listens): the listener is open |
/// | ends | owed | [`close`](Self::close) |
/// | ends | unchanged | [`stop`](Self::stop): the listener is handed over |
/// | unchanged | deferred | [`take_close`](Self::take_close): closed, and no connection is left |
/// | unchanged | not owed | [`close_is_emitted`](Self::close_is_emitted): the event is emitted |
#[derive(Debug)]
pub struct Acceptor {
    limits: Limits,
    is_listening: bool,
    /// Counts calls of `listen` and `close`, so that the outcome of an older call is recognised.
    // SRV-14
    round: u64,
    close: CloseEvent,
    connections: usize,
    /// The number of connections from each address or IPv6 network; only counted if it is limited.
    per_group: HashMap<IpAddr, usize>,
    /// The number of connections that were closed at once because memory or descriptors were exhausted.
    shed: u64,
    drain: Option<Box<Drain>>,
}

/// Whether the `close` event is still to be emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CloseEvent {
    NotOwed,
    /// `close` was called.
    Owed,
    /// The event is due, and is emitted on the tick.
    Deferred,
}

/// The decision about an accepted connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The server accepts the connection.
    Taken,
    /// A limit is reached: the caller closes the connection and emits an event.
    Full,
    /// The address is blocked: the caller closes the connection without an event.
    Blocked,
}

impl Acceptor {
    /// Makes a server that is not listening.
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

    /// The limits for connections.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Changes the maximum number of connections, starting with the next connection.
    // CLS-12
    pub fn set_max_connections(&mut self, max: Option<usize>) {
        self.limits.max_connections = max;
    }

    /// Begins a round because `listen` was called. Returns its number, which identifies the outcome.
    pub fn begin_round(&mut self) -> u64 {
        self.round += 1;
        self.round
    }

    /// Returns whether `round` is the current one.
    pub fn is_round(&self, round: u64) -> bool {
        self.round == round
    }

    /// The listener of a round is open. Returns whether it is still needed.
    pub fn listens(&mut self, round: u64) -> bool {
        let wanted = self.is_round(round);
        self.is_listening |= wanted;
        wanted
    }

    /// Returns whether the server is listening.
    pub fn is_listening(&self) -> bool {
        self.is_listening
    }

    /// Decides about a new connection, and counts it if it is accepted. `is_blocked` is called only if no
    /// limit is reached.
    // CLS-15, CLS-16
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

    /// Checked for every connection, so that the limit may change at any time.
    // CLS-12
    fn is_full(&self, group: Option<IpAddr>) -> bool {
        let full = self.limits.max_connections.is_some_and(|max| self.connections >= max);
        let here = group.and_then(|group| self.per_group.get(&group)).copied().unwrap_or_default();
        let max_here = self.limits.max_per_group.filter(|_| group.is_some());
        full || max_here.is_some_and(|max| here >= max)
    }

    /// A connection was destroyed. Its place becomes free at once.
    // CLS-03, CLS-14
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

    /// The number of connections.
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// Counts connections that were closed at once because memory or descriptors were exhausted.
    pub fn shed(&mut self, count: usize) {
        self.shed += count as u64;
    }

    /// The number of connections that were closed because memory or descriptors were exhausted.
    pub fn shed_connections(&self) -> u64 {
        self.shed
    }

    /// Ends the round: the caller closes the listener, if there is one, and the `close` event is owed.
    pub fn close(&mut self) {
        self.begin_round();
        self.is_listening = false;
        if self.close == CloseEvent::NotOwed {
            self.close = CloseEvent::Owed;
        }
    }

    /// Ends the round without an event, because the listener is handed over.
    pub fn stop(&mut self) {
        self.begin_round();
        self.is_listening = false;
    }

    /// Returns whether `close` is due, and marks it as deferred to the tick. It is due when the server is
    /// closed and has no connections.
    // CLS-02
    pub fn take_close(&mut self, policy: &Policy) -> bool {
        let is_owed = match self.close {
            CloseEvent::NotOwed => false,
            CloseEvent::Owed => true,
            CloseEvent::Deferred => policy.every_server_close_is_emitted,
        };
        let is_due = is_owed && !self.is_listening && self.connections == 0;
        if is_due {
            self.close = CloseEvent::Deferred;
        }
        is_due
    }

    /// The `close` event is emitted now. A later `close` owes another one.
    pub fn close_is_emitted(&mut self) {
        self.close = CloseEvent::NotOwed;
    }

    /// Returns whether a shutdown may begin: the server is listening, or its `close` event is still to be
    /// emitted.
    pub fn may_shut_down(&self) -> bool {
        self.is_listening || self.close != CloseEvent::NotOwed
    }

    /// Begins a shutdown or joins a running one, with `connections` that are not part of it yet. The
    /// earlier deadline applies. Returns whether the shutdown is complete because there are no connections.
    pub fn shut_down(&mut self, connections: usize, deadline: Duration) -> bool {
        self.drain.get_or_insert_with(|| Box::new(Drain::new(deadline))).join(connections, deadline)
    }

    /// A connection of the shutdown is closed in the given way. Returns whether the shutdown is complete.
    pub fn count_gone(&mut self, gone: Gone) -> bool {
        self.drain.as_mut().is_some_and(|drain| drain.count(gone))
    }

    /// When to call [`expire`](Self::expire).
    pub fn wake(&self) -> Option<Duration> {
        self.drain.as_ref()?.wake()
    }

    /// Returns whether the deadline of the shutdown has passed; the caller then resets the remaining
    /// connections.
    pub fn expire(&mut self, now: Duration) -> bool {
        self.drain.as_mut().is_some_and(|drain| drain.expire(now))
    }

    /// Ends the shutdown and returns its outcome, or `None` if none was in progress.
    pub fn end_shutdown(&mut self, now: Duration) -> Option<Outcome> {
        Some(self.drain.take()?.outcome(now))
    }

    /// The loop was dropped: clears everything without emitting an event.
    pub fn abandon(&mut self) {
        *self = Self { shed: self.shed, round: self.round, ..Self::new(self.limits) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_of_an_address_is_removed_with_its_last_connection() {
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
