//! Every system call on a socket by the backends of real systems, in one place, so that unusual failures of a
//! call can be looked up and replaced here. There is one folder per family of systems, and each provides the
//! names that are listed here; the code outside of this module does not know which folder is used.

mod clock;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::time::Duration;

#[cfg(unix)]
use unix as imp;
#[cfg(windows)]
use windows as imp;

pub(crate) use clock::Clock;
pub(crate) use imp::{
    Alarm, Borrowed, BoundFile, Errno, Fd, SHORT_READ_DRAINS, Spare, accept, borrow, buffer_bytes,
    check, connect, connect_result, is_acceptable, is_connected, is_unix, is_writable, keep_alive,
    listen, local_address, no_delay, note_event, open, peek_into, peer_address, peer_credentials,
    read_pipe, read_pipe_into, receive, receive_into, register, remove_stale, reset_on_close, send,
    send_gathered, set_mode, set_option, shutdown_write, type_of_service, unacknowledged_bytes,
    user_timeout, write_pipe,
};
#[cfg(unix)]
pub(crate) use imp::{close_from_outside, deregister, duplicate, is_pipe, take_over};

/// What to do after a failed accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection is waiting.
    Drained,
    /// This connection has vanished; the next one may succeed.
    Next,
    /// Descriptors or memory are exhausted: try again later.
    Exhausted,
    /// A permanent failure: the listener was shut down, or a policy forbids accepting.
    Dead,
}

/// What has become of a socket whose state changes without an event. Only the named pipes of Windows are
/// such sockets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Check {
    /// A connect is decided, or the stream has ended.
    pub(crate) changed: bool,
    /// Our side has ended: the peer has read everything.
    pub(crate) shut_down: bool,
    /// When to check again.
    pub(crate) again: Option<Duration>,
}
