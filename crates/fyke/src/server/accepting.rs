//! Accepting: the limit, and the birth of a socket.

use std::net::SocketAddr;
use std::rc::Rc;

use fyke_driver::SocketId;

use fyke_machine::connection::Gone;

use super::{Inner, RefusedConnection, Server, State};
use crate::socket::{Accepts, Origin, Socket};

impl Server {
    pub(super) fn accepted(&self, id: SocketId, peer: Option<SocketAddr>, unix: bool) {
        let Some(core) = self.core().cloned() else { return };
        let peer = match peer {
            None if !unix && self.looks_at_peers() => core.driver.accepted_peer(id),
            known => known,
        };
        if self.is_full(peer) {
            let info = peer.map(|remote_address| RefusedConnection {
                local_address: core.driver.local_address(id).ok().and_then(|found| found.ip()),
                remote_address,
            });
            core.close(id);
            return self.emit_drop(info.as_ref());
        }
        if self.is_blocked(peer) {
            // Without a word, and after the limit was looked at (CLS-15, CLS-16).
            return core.close(id);
        }
        let (socket, inherits, paused) = {
            let mut state = self.inner.state.borrow_mut();
            state.connections += 1;
            if state.options.max_connections_per_ip.is_some() {
                if let Some(peer) = peer {
                    let group = state.options.group_of(peer.ip());
                    *state.per_ip.entry(group).or_default() += 1;
                }
            }
            let origin = self.origin(&mut state);
            let socket = Socket::accepted(&core, id, (peer, unix), origin);
            (socket, state.inherits, state.options.pause_on_connect)
        };
        socket.begin(inherits, paused, || self.emit_connection(&socket));
    }

    /// Whether it must be known who came.
    fn looks_at_peers(&self) -> bool {
        let state = self.inner.state.borrow();
        let options = &state.options;
        let limited = options.max_connections.is_some() || options.max_connections_per_ip.is_some();
        limited || options.block_list.is_some()
    }

    /// Looked at for every connection, so that the limit may change at any time (CLS-12).
    fn is_full(&self, peer: Option<SocketAddr>) -> bool {
        let state = self.inner.state.borrow();
        let full = state.options.max_connections.is_some_and(|max| state.connections >= max);
        let here = peer.and_then(|peer| state.per_ip.get(&state.options.group_of(peer.ip())));
        let here = here.copied().unwrap_or_default();
        let max_here = state.options.max_connections_per_ip.filter(|_| peer.is_some());
        full || max_here.is_some_and(|max| here >= max)
    }

    fn is_blocked(&self, peer: Option<SocketAddr>) -> bool {
        let state = self.inner.state.borrow();
        let list = state.options.block_list.as_ref();
        list.zip(peer).is_some_and(|(list, peer)| list.check(peer.ip()))
    }

    pub(super) fn shed(&self, count: usize) {
        self.inner.state.borrow_mut().shed_connections += count as u64;
        #[cfg(feature = "tracing")]
        tracing::warn!(target: "fyke", count, address = ?self.address(),
            "out of descriptors or memory: connections were accepted and closed at once");
    }

    /// What the connections share.
    fn origin(&self, state: &mut State) -> Rc<Origin> {
        // A listener from outside may accept for other addresses than its own (IP_TRANSPARENT, ip(7)).
        let address = state.address.as_ref().filter(|_| state.inherits);
        let options = &state.options.socket;
        let origin = state
            .origin
            .get_or_insert_with(|| Origin::new(self.inner.clone(), options.clone(), address));
        Rc::clone(origin)
    }
}

impl Accepts for Inner {
    /// Counted at once, so that a place is free (CLS-03, CLS-14).
    fn connection_gone(self: Rc<Self>, peer: Option<SocketAddr>, gone: Option<Gone>) {
        {
            let mut state = self.state.borrow_mut();
            state.connections = state.connections.saturating_sub(1);
            if let Some(peer) = peer {
                let group = state.options.group_of(peer.ip());
                let left = state.per_ip.get_mut(&group).map(|count| {
                    *count -= 1;
                    *count
                });
                if left == Some(0) {
                    state.per_ip.remove(&group);
                }
            }
        }
        let server = Server { inner: self };
        server.close_if_drained();
        if let Some(gone) = gone {
            server.count_gone(gone);
        }
    }
}
