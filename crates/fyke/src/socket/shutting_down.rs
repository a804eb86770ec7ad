//! The shutdown of a server, as its connections see it: they get an event, and the application declares
//! which of them are busy.

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
    /// that no more requests are accepted, then call [`set_busy(false)`](Self::set_busy) or
    /// [`end`](Self::end). `close` follows. A connection that is still open at the deadline is reset. No
    /// counterpart in Node's `net`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| {
    ///         socket.on_shutdown(|socket| {
    ///             assert!(socket.is_shutting_down());
    ///             socket.end_with("the server stops");
    ///         });
    ///         socket.resume();
    ///         let server = socket.server().unwrap();
    ///         server.shutdown(std::time::Duration::from_secs(10)).unwrap();
    ///     });
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.on_text(|_, text| assert_eq!(text, "the server stops"));
    ///     })
    /// })
    /// # }
    /// ```
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

    /// Declares whether the program is working for the peer of this connection. A connection that is not
    /// busy may be ended when the server shuts down. Only the program knows whether an answer is still due.
    /// Default: true.
    ///
    /// While the server shuts down, a connection that is not busy is ended as by [`end`](Self::end), one
    /// turn of the loop later, so that a request that has already arrived is still delivered. Without a
    /// shutdown, the declaration changes nothing.
    ///
    /// When received bytes are delivered (or taken by [`read`](Self::read)), the socket becomes busy again,
    /// so call `set_busy(false)` after each answer. Bytes in the read queue keep it busy too. The idle
    /// timeout ([`set_idle_timeout`](Self::set_idle_timeout)) is something else: it measures how long
    /// nothing was received or written. On a closed socket this does nothing. No counterpart in Node's
    /// `net`; its `http` server knows which connections are idle (`closeIdleConnections`).
    ///
    /// A server that answers later and loses no answer, in `examples/graceful.rs`:
    ///
    #[doc = concat!("```no_run\n", include_str!("../../examples/graceful.rs"), "```")]
    pub fn set_busy(&self, busy: bool) -> &Self {
        let ends = self.step(|machine, _, _| machine.set_busy(busy));
        if let (true, Some(core)) = (ends, self.core()) {
            let socket = self.clone();
            after_next_poll(core, move || socket.end_unless_busy());
        }
        self
    }

    /// Returns whether the connection is busy: true until [`set_busy(false)`](Self::set_busy), and again
    /// when data is received. False on a closed socket. No counterpart in Node.
    ///
    /// ```
    /// let socket = fyke::Socket::new();
    /// assert!(socket.is_busy());
    /// assert!(!socket.set_busy(false).is_busy());
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn is_busy(&self) -> bool {
        self.inner.state.borrow().is_busy()
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

    /// Ends the socket unless it is busy.
    pub(crate) fn end_unless_busy(&self) {
        self.step(Connection::end_unless_busy);
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
