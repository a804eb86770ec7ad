//! Properties that can be read at any time, also after `close`.

use std::rc::Rc;

use super::origin::Accepts;
use super::{ReadyState, Socket};
use crate::Error;

/// # State
impl Socket {
    /// Returns whether the socket is connecting: true from `connect` until the connection is established or
    /// has failed. Node: `connecting`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.resume());
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         assert!(client.is_connecting() && client.is_pending());
    ///         client.once_connect(|client| {
    ///             assert!(!client.is_connecting() && !client.is_pending());
    ///             client.end();
    ///         });
    ///         client.resume();
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "connecting")]
    pub fn is_connecting(&self) -> bool {
        self.inner.state.borrow().connecting()
    }

    /// Returns whether the socket has no connection, because it is not established yet or has ended. Node:
    /// `pending`.
    ///
    /// ```
    /// // A socket that was never connected is pending, but not connecting.
    /// let socket = fyke::Socket::new();
    /// assert!(socket.is_pending() && !socket.is_connecting());
    /// # Ok::<(), fyke::Error>(())
    /// ```
    #[doc(alias = "pending")]
    pub fn is_pending(&self) -> bool {
        let state = self.inner.state.borrow();
        state.connecting() || state.id.is_none()
    }

    /// Returns whether the socket was destroyed: true as soon as `destroy` is called, before `close` is
    /// emitted. Node: `destroyed`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let socket = fyke::Socket::new();
    ///     socket.destroy();
    ///     assert!(socket.is_destroyed() && socket.is_closed());
    ///     socket.on_close(|_, _| println!("emitted later"));
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[doc(alias = "destroyed")]
    pub fn is_destroyed(&self) -> bool {
        self.inner.state.borrow().destroyed()
    }

    /// Returns whether the socket is closed in Node's sense: true as soon as `destroy` is called, before
    /// `close` is emitted, like [`is_destroyed`](Self::is_destroyed). Node: `closed`.
    #[doc(alias = "closed")]
    pub fn is_closed(&self) -> bool {
        self.is_destroyed()
    }

    /// Returns whether data may still be received. Node: `readable`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.end_with("bye"));
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.on_end(|client| assert!(!client.is_readable() && client.is_writable()));
    ///         client.resume();
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "readable")]
    pub fn is_readable(&self) -> bool {
        self.inner.state.borrow().readable()
    }

    /// Returns whether data may still be written. Node: `writable`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.resume());
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         assert!(client.is_writable());
    ///         client.end().resume();
    ///         assert!(!client.is_writable() && client.is_readable());
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "writable")]
    pub fn is_writable(&self) -> bool {
        self.inner.state.borrow().writable()
    }

    /// Returns Node's `readyState`. A socket that was never connected returns [`Open`](ReadyState::Open),
    /// as in Node.
    ///
    /// ```
    /// use fyke::ReadyState;
    ///
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.resume());
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         assert_eq!(client.ready_state(), ReadyState::Opening);
    ///         client.once_connect(|client| {
    ///             assert_eq!(client.ready_state(), ReadyState::Open);
    ///             client.end();
    ///             assert_eq!(client.ready_state(), ReadyState::ReadOnly);
    ///         });
    ///         client.resume();
    ///         client.on_close(|client, _| assert_eq!(client.ready_state(), ReadyState::Closed));
    ///     })
    /// })
    /// # }
    /// ```
    pub fn ready_state(&self) -> ReadyState {
        self.inner.state.borrow().ready_state()
    }

    /// Returns whether `end` was emitted. Node: `readableEnded`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.end_with("bye"));
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.on_data(|client, _| assert!(!client.is_readable_ended()));
    ///         client.on_end(|client| assert!(client.is_readable_ended()));
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "readableEnded")]
    pub fn is_readable_ended(&self) -> bool {
        self.inner.state.borrow().read.has_emitted_end()
    }

    /// Returns whether the socket was destroyed or failed before `end` was emitted. Node:
    /// `readableAborted`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.end_with("more than the client wants"));
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.on_data(|client, _| _ = client.destroy());
    ///         client.on_close(|client, _| assert!(client.is_readable_aborted()));
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "readableAborted")]
    pub fn is_readable_aborted(&self) -> bool {
        let state = self.inner.state.borrow();
        !state.read.has_emitted_end() && (state.destroyed() || state.has_failed())
    }

    /// Returns whether data was ever delivered. Node: `readableDidRead`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.end_with("hello"));
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         assert!(!client.has_delivered());
    ///         client.on_data(|client, _| assert!(client.has_delivered()));
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "readableDidRead")]
    pub fn has_delivered(&self) -> bool {
        self.inner.state.borrow().read.did_read
    }

    /// Returns whether `end` was called. Node: `writableEnded`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.resume());
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.end_with("bye").resume();
    ///         assert!(client.is_writable_ended() && !client.is_writable_finished());
    ///         client.on_finish(|client| assert!(client.is_writable_finished()));
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "writableEnded")]
    pub fn is_writable_ended(&self) -> bool {
        self.inner.state.borrow().write.is_ended()
    }

    /// Returns whether this side has ended: true from just before `finish` is emitted. Node:
    /// `writableFinished`.
    #[doc(alias = "writableFinished")]
    pub fn is_writable_finished(&self) -> bool {
        self.inner.state.borrow().write.is_finished()
    }

    /// Returns whether the socket was destroyed or failed before `finish` was emitted. Node:
    /// `writableAborted`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.resume());
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.once_connect(|client| _ = client.destroy());
    ///         client.on_close(|client, _| assert!(client.is_writable_aborted()));
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "writableAborted")]
    pub fn is_writable_aborted(&self) -> bool {
        let state = self.inner.state.borrow();
        !state.write.is_finished() && (state.destroyed() || state.has_failed())
    }

    /// Returns the error that the socket was destroyed with, if any. Node: `errored`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     // No server listens on port 1.
    ///     let client = fyke::connect(("127.0.0.1", 1))?;
    ///     client.on_error(|client, error| {
    ///         assert_eq!(client.error().unwrap().code(), error.code());
    ///     });
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[doc(alias = "errored")]
    pub fn error(&self) -> Option<Error> {
        self.inner.state.borrow().errored().cloned()
    }

    /// Returns the server that accepted this socket. `None` for outgoing sockets, and if the server no
    /// longer exists.
    pub(crate) fn accepted_by(&self) -> Option<Rc<dyn Accepts>> {
        self.inner.state.borrow().accepted_by()
    }
}
