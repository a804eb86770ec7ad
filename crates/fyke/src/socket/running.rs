//! What the shell of a socket keeps of a connect that is under way.

use std::net::SocketAddr;

use fyke_driver::SocketId;
use fyke_machine::connection::Attempt;

use crate::connect::ConnectOptions;
use crate::few::Few;
use crate::lookup::Ticket;

/// A connect that is under way.
pub(super) struct Connecting {
    pub(super) options: ConnectOptions,
    /// The lookup that it waits for, if the system was asked.
    pub(super) lookup: Option<Ticket>,
    /// Mostly one.
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

    /// The descriptors of the attempts that are running.
    pub(super) fn ids(&self) -> impl Iterator<Item = SocketId> + '_ {
        self.running.iter().map(|running| running.id)
    }
}
