//! Accepting: a connection becomes a socket, or is refused.

use std::net::SocketAddr;
use std::rc::Rc;

use fyke_driver::SocketId;

use fyke_machine::acceptor::Admission;
use fyke_machine::connection::Gone;

use super::{Inner, RefusedConnection, Server, State};
use crate::socket::{Accepts, Origin, Socket};
use crate::wiring::Core;

impl Server {
    pub(super) fn accepted(&self, id: SocketId, peer: Option<SocketAddr>, unix: bool) {
        let Some(core) = self.core().cloned() else { return };
        let peer = match peer {
            None if !unix && self.looks_at_peers() => core.driver.accepted_peer(id),
            known => known,
        };
        match self.admit(peer) {
            Admission::Taken => self.begin(&core, id, peer, unix),
            Admission::Blocked => core.close(id),
            Admission::Full => {
                let info = peer.map(|remote_address| RefusedConnection {
                    local_address: core.driver.local_address(id).ok().and_then(|found| found.ip()),
                    remote_address,
                });
                core.close(id);
                self.emit_drop(info.as_ref());
            }
        }
    }

    fn admit(&self, peer: Option<SocketAddr>) -> Admission {
        let mut state = self.inner.state.borrow_mut();
        let State { acceptor, options, .. } = &mut *state;
        let list = options.block_list.as_ref();
        acceptor.admit(peer, || list.zip(peer).is_some_and(|(list, peer)| list.check(peer.ip())))
    }

    fn begin(&self, core: &Rc<Core>, id: SocketId, peer: Option<SocketAddr>, unix: bool) {
        let (socket, inherits, paused) = {
            let mut state = self.inner.state.borrow_mut();
            let origin = self.origin(&mut state);
            let socket = Socket::accepted(core, id, (peer, unix), origin);
            (socket, state.inherits, state.options.pause_on_connect)
        };
        socket.begin(inherits, paused, || self.emit_connection(&socket));
    }

    /// Returns whether the peer's address is needed to decide about a connection.
    fn looks_at_peers(&self) -> bool {
        let state = self.inner.state.borrow();
        state.acceptor.limits().are_set() || state.options.block_list.is_some()
    }

    pub(super) fn shed(&self, count: usize) {
        self.inner.state.borrow_mut().acceptor.shed(count);
        #[cfg(feature = "tracing")]
        tracing::warn!(target: "fyke", count, address = ?self.address(),
            "descriptors or memory are exhausted: connections were accepted and immediately closed");
    }

    /// Returns the data that all connections of this round of listening share.
    fn origin(&self, state: &mut State) -> Rc<Origin> {
        // An adopted listener may accept for addresses other than its own (IP_TRANSPARENT, ip(7)).
        let address = state.address.as_ref().filter(|_| state.inherits);
        let options = &state.options.socket;
        let origin = state
            .origin
            .get_or_insert_with(|| Origin::new(self.inner.clone(), options.clone(), address));
        Rc::clone(origin)
    }
}

impl Accepts for Inner {
    fn connection_gone(self: Rc<Self>, peer: Option<SocketAddr>, gone: Option<Gone>) {
        self.state.borrow_mut().acceptor.gone(peer);
        let server = Server { inner: self };
        server.close_if_drained();
        if let Some(gone) = gone {
            server.count_gone(gone);
        }
    }
}
