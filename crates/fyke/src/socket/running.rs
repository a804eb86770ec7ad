//! The state of a connect in progress, outside of the state machine.

use std::net::SocketAddr;

use fyke_driver::SocketId;
use fyke_machine::connection::Attempt;

use crate::connect::ConnectOptions;
use crate::few::Few;
use crate::lookup::Ticket;

/// A connect in progress.
pub(super) struct Connecting {
    pub(super) options: ConnectOptions,
    /// The lookup that the connect waits for, if it was passed to the system.
    pub(super) lookup: Option<Ticket>,
    /// Usually there is one.
    pub(super) running: Few<Running>,
}

/// An attempt that has a descriptor.
pub(super) struct Running {
    pub(super) attempt: Attempt,
    pub(super) id: SocketId,
    pub(super) target: Option<SocketAddr>,
}

impl Connecting {
    pub(super) fn new(options: ConnectOptions) -> Self {
        Self { options, lookup: None, running: Few::default() }
    }

    /// Returns the descriptors of the running attempts.
    pub(super) fn ids(&self) -> impl Iterator<Item = SocketId> + '_ {
        self.running.iter().map(|running| running.id)
    }
}
