//! The state of a shutdown outside of the acceptor, and its outcome.

use std::rc::Weak;
use std::time::Duration;

use crate::runtime::TimerId;
use crate::socket;

/// The outcome of a [`Server::shutdown`](crate::Server::shutdown). The three counts add up to the number of
/// connections that the server had when the shutdown began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ShutdownOutcome {
    /// Connections that closed without an error: ended by either side, destroyed by the application, or
    /// handed over with [`Socket::take_fd`](crate::Socket::take_fd).
    pub ended: usize,
    /// Connections that closed with an error, such as `ECONNRESET` because the peer reset them.
    pub failed: usize,
    /// Connections that were open at the deadline and were reset (Unix sockets: closed), and those that the
    /// application reset before the deadline.
    pub reset: usize,
    /// The time that was left until the deadline when the last connection closed. Zero if the deadline
    /// passed.
    pub remaining: Duration,
}

/// A callback that is called once with the outcome.
type Callback<S> = Box<dyn FnOnce(&S, ShutdownOutcome)>;

/// The state of a shutdown in progress of a server `S`, outside of its acceptor.
pub(super) struct Drain<S> {
    /// The connections that were open when the shutdown began. The server may listen again before they are
    /// gone; connections that it accepts then are not part of the shutdown.
    pub(super) sockets: Vec<Weak<socket::Inner>>,
    /// The timer that wakes the server at the deadline, with its time.
    pub(super) wake: Option<(Duration, TimerId)>,
    pub(super) callbacks: Vec<Callback<S>>,
}

impl<S> Default for Drain<S> {
    fn default() -> Self {
        Self { sockets: Vec::new(), wake: None, callbacks: Vec::new() }
    }
}
