//! Destroying a socket, and the close phase, which ends a connection in any state.
// DST-01 … DST-19

use fyke_machine::connection::{Connection, Phase};

use super::{Event, Socket};
use crate::{Error, Result};

/// # Destroying
impl Socket {
    /// Closes the connection immediately. Written data is sent if it fits into the kernel's buffer; the
    /// rest is discarded. Nothing more is delivered, and `close` follows. Does nothing if the socket is
    /// already destroyed. Node: `socket.destroy()`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.resume());
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.on_close(|_, had_error| assert!(!had_error));
    ///         client.destroy();
    ///         assert!(client.is_destroyed(), "at once; `close` follows");
    ///     })
    /// })
    /// # }
    /// ```
    pub fn destroy(&self) -> &Self {
        self.tear_down(None, false);
        self
    }

    /// Closes the connection immediately, as [`destroy`](Self::destroy) does, with an error: `on_error`
    /// gets the error, then `close` follows. Node: `socket.destroy(error)`.
    ///
    /// ```
    /// use fyke::{Error, ErrorCode};
    ///
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.resume());
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         let error = Error::new(ErrorCode::from_static("E_PROTOCOL"), "not a valid greeting");
    ///         client.on_error(|_, error| assert_eq!(error.code().as_str(), "E_PROTOCOL"));
    ///         client.on_close(|_, had_error| assert!(had_error));
    ///         client.destroy_with(error);
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "destroy")]
    pub fn destroy_with(&self, error: Error) -> &Self {
        self.tear_down(Some(error), false);
        self
    }

    /// Ends this side, and destroys the socket when all written data is sent, without waiting for the peer
    /// to end. Node: `socket.destroySoon()`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.on_text(|_, text| assert_eq!(text, "bye")));
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.once_connect(|client| {
    ///             let _ = client.write("bye");
    ///             client.destroy_soon();
    ///             assert!(!client.is_destroyed(), "not before the bytes are sent");
    ///         });
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "destroySoon")]
    pub fn destroy_soon(&self) -> &Self {
        self.step(Connection::destroy_soon);
        self
    }

    /// Closes the connection with a TCP RST: the peer gets ECONNRESET, and data that is not yet sent or
    /// read is lost. While the socket is connecting, the reset happens when the connection is established.
    /// A socket that was never connected is destroyed with `ERR_SOCKET_CLOSED`. Node:
    /// `socket.resetAndDestroy()`.
    ///
    /// ```
    /// use fyke::ErrorCode;
    ///
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| {
    ///         socket.on_error(|_, error| assert_eq!(error.code(), ErrorCode::ECONNRESET));
    ///         socket.resume();
    ///     });
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.once_connect(|client| client.reset_and_destroy().unwrap());
    ///     })
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// `ERR_INVALID_HANDLE_TYPE` on a Unix socket, which has no RST. The socket is unchanged then.
    #[doc(alias = "resetAndDestroy")]
    pub fn reset_and_destroy(&self) -> Result<()> {
        self.step(Connection::reset)
    }

    pub(super) fn tear_down(&self, error: Option<Error>, reset: bool) {
        self.step(|machine, cx, fx| machine.destroy(error, reset, cx, fx));
    }

    /// Closes the connection and all attempts to connect, and drops their pending work.
    pub(super) fn release(&self, reset: bool) {
        let (id, plain) = {
            let mut state = self.inner.state.borrow_mut();
            (state.id.take(), state.rare_if_any().is_none())
        };
        if plain && !reset {
            // There is nothing else to drop.
            return self.core().zip(id).map_or((), |(core, id)| core.close(id));
        }
        self.drop_bound();
        self.drop_layer();
        let mut connecting = {
            let mut state = self.inner.state.borrow_mut();
            state.rare_if_any_mut().and_then(|rare| rare.connecting.take())
        };
        if let Some(ticket) = connecting.as_mut().and_then(|connecting| connecting.lookup.take()) {
            ticket.cancel();
        }
        let Some(core) = self.core() else { return };
        let attempts = connecting.iter().flat_map(|connecting| connecting.ids());
        for id in id.into_iter().chain(attempts) {
            match reset {
                true => core.reset(id),
                false => core.close(id),
            }
        }
    }

    /// Releases the server, the pipes and the listeners after `close` was emitted, so that sockets that
    /// captured each other are freed. Keeps them if a listener has connected the socket again.
    pub(super) fn let_go(&self) {
        let signal = {
            let state = self.inner.state.borrow();
            state.rare_if_any().and_then(|rare| rare.signal.clone())
        };
        if let Some(signal) = signal {
            signal.forget(self.place());
        }
        let drops = self.policy().drops_listeners_after_close;
        let (server, keeps, accepted, closed) = {
            let mut state = self.inner.state.borrow_mut();
            if state.phase == Phase::Destroyed {
                // A callback panicked before `close` was emitted.
                state.change().phase = Phase::Closed;
            }
            let keeps = state.keeps_listeners || !drops || state.phase != Phase::Closed;
            let closed = state.phase == Phase::Closed;
            (state.let_go_of_server(), keeps, state.accepted, closed)
        };
        drop(server);
        if closed {
            self.drop_pipes();
        }
        if keeps && self.has_closed() {
            // The callback of a connect that failed.
            self.forget_once(Event::Connect);
        }
        if !keeps {
            self.forget_remote();
            let read_buffer = self.take_sink();
            drop((read_buffer, self.inner.listeners.clear()));
        } else if let (true, Some(core)) = (accepted, self.core()) {
            // The socket is not open any more and was not made by the user, so the loop would not free what
            // its listeners captured.
            core.remember(self.downgrade());
        }
    }
}
