//! The shutdown of a server, as its connections see it: they get an event, and the application declares
//! which of them are idle.

use std::rc::Rc;

use fyke_machine::connection::{Connection, Event};

use super::{Socket, listener};
use crate::listeners::ListenerId;
use crate::wiring::{Core, Deferred};

/// # Shutting down
impl Socket {
    /// Emitted once on each connection that its server has when
    /// [`Server::shutdown`](crate::Server::shutdown) is called, after the running callback has returned.
    ///
    /// The connection stays fully usable until the deadline: finish the work in progress, tell the peer
    /// that no more requests are accepted, then call [`set_idle`](Self::set_idle) or [`end`](Self::end).
    /// `close` follows. A connection that is still open at the deadline is reset. No counterpart in Node's
    /// `net`.
    pub fn on_shutdown(&self, f: impl FnMut(&Socket) + 'static) -> ListenerId {
        self.add(Event::Shutdown, listener::plain(f))
    }

    /// Returns whether the server of this connection is shutting down: true from the call of
    /// [`Server::shutdown`](crate::Server::shutdown) until the socket is destroyed. Always false for
    /// sockets that were not accepted by a server, and for those accepted after the call. No counterpart in
    /// Node.
    pub fn is_shutting_down(&self) -> bool {
        self.inner.state.borrow().is_draining()
    }

    /// Declares whether the connection is idle: no work for the peer is in progress, so the connection may
    /// be ended when the server shuts down. Only the application knows that. Default: not idle.
    ///
    /// While the server shuts down, an idle connection is ended as by [`end`](Self::end), one turn of the
    /// loop later, so that a request that has already arrived is still delivered. Without a shutdown, the
    /// declaration changes nothing.
    ///
    /// When received bytes are delivered (or taken by [`read`](Self::read)), the socket becomes busy again,
    /// so declare it idle after each answer. Bytes in the read queue keep it busy too. This is not related
    /// to the idle timeout of [`set_idle_timeout`](Self::set_idle_timeout). On a closed socket this does
    /// nothing. No counterpart in Node's `net`; its `http` server has idle connections
    /// (`closeIdleConnections`).
    ///
    /// A server that answers later and loses no answer, in `examples/graceful.rs`:
    ///
    #[doc = concat!("```no_run\n", include_str!("../../examples/graceful.rs"), "```")]
    pub fn set_idle(&self, idle: bool) -> &Self {
        let ends = self.step(|machine, _, _| machine.set_idle(idle));
        if let (true, Some(core)) = (ends, self.core()) {
            let socket = self.clone();
            after_next_poll(core, move || socket.end_if_idle());
        }
        self
    }

    /// Returns whether the connection was declared idle and has received nothing since, see
    /// [`set_idle`](Self::set_idle). No counterpart in Node.
    pub fn is_idle(&self) -> bool {
        self.inner.state.borrow().idle.declared
    }

    /// Begins the shutdown of the server at this address. Returns whether this socket is one of its
    /// connections and was not yet part of the shutdown.
    pub(crate) fn begin_draining(&self, server: *const ()) -> bool {
        // A connection that has closed may have become a client since.
        let ours = self.inner.state.borrow().is_of(server);
        ours && self.step(|machine, _, fx| machine.begin_draining(fx))
    }

    /// Returns whether this socket is still a connection in a shutdown of the server at this address.
    pub(crate) fn is_draining(&self, server: *const ()) -> bool {
        let state = self.inner.state.borrow();
        state.is_draining() && state.is_of(server)
    }

    /// Ends the socket if it is idle.
    pub(crate) fn end_if_idle(&self) {
        self.step(Connection::end_if_idle);
    }
}

/// Runs `call` after the driver was polled once more for received data (phases 3, 4, 5).
pub(crate) fn after_next_poll(core: &Rc<Core>, call: impl FnOnce() + 'static) {
    let weak = Rc::downgrade(core);
    let poll = move || {
        if let Some(core) = weak.upgrade() {
            core.push_immediate(Box::new(call));
        }
    };
    core.push_next_turn(Deferred::Call(Box::new(poll)));
}
