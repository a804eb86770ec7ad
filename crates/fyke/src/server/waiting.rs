//! Connections that wait for tasks.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::task::Waker;

use fyke_driver::limits::ACCEPTS_PER_TURN_MAX;

use crate::Error;
use crate::socket::Socket;

/// The connections that wait to be taken. More than this wait in the kernel.
pub(super) const WAITING_MAX: usize = ACCEPTS_PER_TURN_MAX;

/// What waits for tasks, and the tasks that wait.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) sockets: VecDeque<Socket>,
    /// An error of the server that no task has taken.
    pub(super) error: Option<Error>,
    pub(super) wakers: Vec<Waker>,
    /// A task has asked for connections.
    pub(super) asked: bool,
    /// The driver does not accept, because too many wait.
    pub(super) stopped: bool,
    /// The server was closed after it listened.
    pub(super) closed: bool,
}

/// `None` until a task asks for a connection, or there is one without a listener.
pub(super) type MaybeWaiting = RefCell<Option<Box<Waiting>>>;
