//! The state of a shutdown, and how it went.

use std::rc::Weak;
use std::time::Duration;

use fyke_machine::connection::Gone;

use crate::runtime::TimerId;
use crate::socket;

/// How a [`Server::shutdown`](crate::Server::shutdown) went. The three counts add up to the connections that the server had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shutdown {
    /// Connections that closed without an error: ended by either side, destroyed by the
    /// application, or handed over by [`Socket::into_fd`](crate::Socket::into_fd).
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
type Callback<S> = Box<dyn FnOnce(&S, Shutdown)>;

/// A shutdown of a server `S` that is under way. It is over when the last of its connections is gone.
pub(super) struct Drain<S> {
    /// The connections that there were when it began: the server may listen again before they are
    /// gone, and what it accepts then is left alone.
    pub(super) sockets: Vec<Weak<socket::Inner>>,
    /// How many of them are open.
    pub(super) left: usize,
    pub(super) outcome: Shutdown,
    pub(super) deadline: Duration,
    pub(super) timer: Option<TimerId>,
    /// The deadline has passed, and what is left is being reset.
    pub(super) is_over: bool,
    pub(super) callbacks: Vec<Callback<S>>,
}

impl<S> Drain<S> {
    pub(super) fn new(deadline: Duration) -> Self {
        Self {
            sockets: Vec::new(),
            left: 0,
            outcome: Shutdown::default(),
            deadline,
            timer: None,
            is_over: false,
            callbacks: Vec::new(),
        }
    }

    /// Takes a deadline if it is the first one or earlier than the one before, and returns it then.
    pub(super) fn is_earlier(&mut self, deadline: Duration) -> Option<Duration> {
        if self.timer.is_some() && deadline >= self.deadline {
            return None;
        }
        self.deadline = deadline.min(self.deadline);
        Some(self.deadline)
    }

    pub(super) fn count(&mut self, gone: Gone) {
        self.left = self.left.saturating_sub(1);
        match gone {
            _ if self.is_over => self.outcome.reset += 1,
            Gone::Ended => self.outcome.ended += 1,
            Gone::Failed => self.outcome.failed += 1,
            Gone::Reset => self.outcome.reset += 1,
        }
    }
}
