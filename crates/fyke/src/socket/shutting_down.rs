//! The shutdown of a server as its connections see it: they learn of it, and the application says
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
    /// The connection stays fully usable until the deadline: finish what is under way, tell the peer
    /// that no more requests are taken, then call [`set_idle`](Self::set_idle) or
    /// [`end`](Self::end). What follows is `close`; a connection that is still open at the deadline is
    /// reset. fyke's own: Node's `net` has no such event.
    pub fn on_shutdown(&self, f: impl FnMut(&Socket) + 'static) -> ListenerId {
        self.add(Event::Shutdown, listener::plain(f))
    }

    /// Whether the server of this connection is shutting down. True from the call of
    /// [`Server::shutdown`](crate::Server::shutdown) until the socket is destroyed; always false for
    /// sockets that no server accepted, and for those accepted after the call. fyke's own.
    pub fn is_shutting_down(&self) -> bool {
        self.inner.state.borrow().is_draining()
    }

    /// Declares whether the connection is idle: nothing is under way for the peer, so it may be ended
    /// when the server shuts down. Only the application knows that. Default: not idle.
    ///
    /// While the server shuts down, an idle connection is ended as by [`end`](Self::end), one turn of
    /// the loop later, so that a request that has arrived already is still delivered. Without a
    /// shutdown the declaration changes nothing.
    ///
    /// Bytes that are received and delivered (or taken by [`read`](Self::read)) make the socket busy
    /// again: declare it idle after each answer. Bytes that wait in the read queue keep it busy too.
    /// Not to be confused with the idle timeout of [`set_idle_timeout`](Self::set_idle_timeout). On a closed
    /// socket it does nothing. fyke's own; Node's `http` server knows idle connections
    /// (`closeIdleConnections`), its `net` server does not.
    ///
    /// A server that answers later and loses no answer, `examples/graceful.rs`:
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

    /// Whether the connection is declared idle, and nothing was received since, see
    /// [`set_idle`](Self::set_idle). fyke's own.
    pub fn is_idle(&self) -> bool {
        self.inner.state.borrow().idle.declared
    }

    /// The server that lies there shuts down. Returns whether this is one of its connections, and not
    /// yet part of the shutdown.
    pub(crate) fn begin_draining(&self, server: *const ()) -> bool {
        // One that has closed may have become a client.
        let ours = self.inner.state.borrow().is_of(server);
        ours && self.step(|machine, _, fx| machine.begin_draining(fx))
    }

    /// Whether it is still a connection that is part of a shutdown of the server that lies there.
    pub(crate) fn is_draining(&self, server: *const ()) -> bool {
        let state = self.inner.state.borrow();
        state.is_draining() && state.is_of(server)
    }

    /// Ends the socket if nothing is under way.
    pub(crate) fn end_if_idle(&self) {
        self.step(Connection::end_if_idle);
    }
}

/// Runs `call` when the driver was asked once more for what has arrived (phases 3, 4, 5).
pub(crate) fn after_next_poll(core: &Rc<Core>, call: impl FnOnce() + 'static) {
    let weak = Rc::downgrade(core);
    let poll = move || {
        if let Some(core) = weak.upgrade() {
            core.push_immediate(Box::new(call));
        }
    };
    core.push_next_turn(Deferred::Call(Box::new(poll)));
}
