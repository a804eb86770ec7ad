//! What the shell keeps of a shutdown, and how it went.

use std::rc::Weak;
use std::time::Duration;

use crate::runtime::TimerId;
use crate::socket;

/// How a [`Server::shutdown`](crate::Server::shutdown) went. The three counts add up to the connections that the server had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ShutdownOutcome {
    /// Connections that closed without an error: ended by either side, destroyed by the
    /// application, or handed over by [`Socket::take_fd`](crate::Socket::take_fd).
    pub ended: usize,
    /// Connections that closed with an error, such as `ECONNRESET` because the peer reset them.
    pub failed: usize,
    /// Connections that were open at the deadline and were reset (Unix sockets: closed), and those
    /// that the application reset before.
    pub reset: usize,
    /// The time that was left until the deadline when the last connection closed. Zero if the
    /// deadline passed.
    pub remaining: Duration,
}

/// Called once with the outcome.
type Callback<S> = Box<dyn FnOnce(&S, ShutdownOutcome)>;

/// What the shell keeps of a shutdown of a server `S` that is under way.
pub(super) struct Drain<S> {
    /// The connections that there were when it began: the server may listen again before they are
    /// gone, and what it accepts then is left alone.
    pub(super) sockets: Vec<Weak<socket::Inner>>,
    /// The timer that wakes the server at the deadline, and when.
    pub(super) wake: Option<(Duration, TimerId)>,
    pub(super) callbacks: Vec<Callback<S>>,
}

impl<S> Default for Drain<S> {
    fn default() -> Self {
        Self { sockets: Vec::new(), wake: None, callbacks: Vec::new() }
    }
}
