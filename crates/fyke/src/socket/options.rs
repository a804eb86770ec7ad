//! Options that can change during the life of a socket.

use super::Socket;
use crate::socket_options::SocketOptions;

/// # Making
impl SocketOptions {
    /// Makes a socket with these options that is not connected. Node: `new net.Socket(options)`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let socket = fyke::SocketOptions::new().no_delay(true).build();
    ///     assert!(socket.is_pending() && socket.no_delay());
    ///     // Listeners that are added before the connect see every event.
    ///     socket.on_error(|_, error| println!("{error}"));
    ///     socket.connect(("127.0.0.1", 1))
    /// })
    /// # }
    /// ```
    pub fn build(self) -> Socket {
        Socket::with_options(&self)
    }
}

/// # Options
impl Socket {
    /// Returns whether the socket stays writable after the peer has ended. Default false. Node:
    /// `allowHalfOpen`.
    ///
    /// ```
    /// let socket = fyke::Socket::new();
    /// assert!(!socket.allow_half_open());
    /// socket.set_allow_half_open(true);
    /// assert!(socket.allow_half_open());
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn allow_half_open(&self) -> bool {
        self.inner.state.borrow().half_open
    }

    /// Sets whether the socket stays writable after the peer has ended. It can be changed until the `end`
    /// listeners have run. Node: `allowHalfOpen`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| {
    ///         socket.set_allow_half_open(true);
    ///         socket.on_end(|socket| {
    ///             assert!(socket.is_writable(), "our side stays open until we end it");
    ///             socket.end_with("bye");
    ///         });
    ///         socket.resume();
    ///     });
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.end().on_text(|_, text| assert_eq!(text, "bye"));
    ///     })
    /// })
    /// # }
    /// ```
    // END-20
    pub fn set_allow_half_open(&self, allow: bool) {
        self.inner.state.borrow_mut().change().half_open = allow;
    }

    /// Makes this socket keep the loop alive while it reads (the default). Node: `socket.ref()`.
    #[doc(alias = "ref")]
    pub fn ref_loop(&self) -> &Self {
        self.set_referred(true)
    }

    /// Allows the loop to end while this socket is open, except while it connects or writes. Node:
    /// `socket.unref()`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.unref_loop());
    ///     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.unref_loop();
    ///         // Nothing ends the connection; `run` returns once it is established.
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "unref")]
    pub fn unref_loop(&self) -> &Self {
        self.set_referred(false)
    }

    fn set_referred(&self, referred: bool) -> &Self {
        self.inner.state.borrow_mut().change().referred = referred;
        self.sync();
        self
    }
}
