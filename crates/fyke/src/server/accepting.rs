//! Accepting: the limit, and the birth of a socket.

use std::net::SocketAddr;

use fyke_driver::SocketId;

use super::{DropInfo, Server};
use crate::socket::Socket;

impl Server {
    pub(super) fn accepted(&self, id: SocketId, peer: Option<SocketAddr>) {
        let Some(core) = self.core().cloned() else { return };
        if self.is_full() {
            let info = peer.map(|remote_address| DropInfo {
                local_address: core.driver.local_address(id).ok().and_then(|found| found.ip()),
                remote_address,
            });
            core.close(id);
            return self.emit_drop(info.as_ref());
        }
        let (options, paused) = {
            let mut state = self.inner.state.borrow_mut();
            state.connections += 1;
            (state.options.socket.clone(), state.options.pause_on_connect)
        };
        let socket = Socket::accepted(&core, id, peer, self, &options, paused);
        socket.begin(paused, || self.emit_connection(&socket));
    }

    /// Looked at for every connection, so that the limit may change at any time (CLS-12).
    fn is_full(&self) -> bool {
        let state = self.inner.state.borrow();
        state.options.max_connections.is_some_and(|max| state.connections >= max)
    }

    pub(super) fn shed(&self, count: usize) {
        self.inner.state.borrow_mut().shed_connections += count as u64;
        #[cfg(feature = "tracing")]
        tracing::warn!(target: "fyke", count, address = ?self.address(),
            "out of descriptors or memory: connections were accepted and closed at once");
    }

    /// A connection was destroyed. Counted at once, so that a place is free (CLS-03, CLS-14).
    pub(crate) fn connection_gone(&self) {
        {
            let mut state = self.inner.state.borrow_mut();
            state.connections = state.connections.saturating_sub(1);
        }
        self.close_if_drained();
    }
}
