//! Connecting without a callback.

use super::{Socket, connect_then};
use crate::{ConnectOptions, Endpoint, Error, Result};

/// Connects to `endpoint`.
///
/// The socket is returned at once, while it is connecting, so listeners added to it now see every event.
/// Data written before the connection is established is queued and sent afterwards. If the connection
/// cannot be established, `error` is emitted, at the earliest on the next tick; the call does not return an
/// `Err`. [`connect_then`] also takes a callback that runs when the connection is established.
///
/// Node: `net.connect`, `net.createConnection`.
///
/// ```
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     let server = fyke::create_server(|socket| {
///         socket.server().unwrap().close();
///         socket.pipe(socket);
///     });
///     server.listen_then(("127.0.0.1", 0), |server| {
///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
///         client.end_with("hello");
///         client.on_text(|_, text| assert_eq!(text, "hello"));
///     })
/// })
/// # }
/// ```
///
/// # Errors
/// Errors that are known at once: `ERR_SOCKET_BAD_PORT` and `ERR_INVALID_ARG_VALUE` if `endpoint` cannot be
/// parsed, `ERR_NO_EVENT_LOOP` outside of a loop, `ERR_EVENT_LOOP_CLOSED` if the loop was dropped.
#[doc(alias = "createConnection")]
pub fn connect<E>(endpoint: E) -> Result<Socket>
where
    E: TryInto<Endpoint>,
    Error: From<E::Error>,
{
    connect_then(endpoint, |_| {})
}

/// # Connecting
impl ConnectOptions {
    /// Makes a socket with these options and connects it, see [`fyke::connect`](connect). Node:
    /// `net.connect(options)`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.end_with("hello"));
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let options = fyke::ConnectOptions::new(server.endpoint().unwrap()).no_delay(true);
    ///         let client = options.connect().unwrap();
    ///         client.on_text(|_, text| assert_eq!(text, "hello"));
    ///     })
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// The errors of [`fyke::connect`](connect), and that of the first option whose value is not valid.
    pub fn connect(self) -> Result<Socket> {
        self.connect_then(|_| {})
    }
}

/// # Connecting
impl Socket {
    /// Connects this socket to `endpoint`.
    ///
    /// `connect` is emitted when the connection is established, `error` and `close` if it fails. A socket
    /// may connect again after `close`, also from its `close` listener. Node: `socket.connect()`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let client = fyke::Socket::new();
    ///     client.on_error(|_, error| assert_eq!(error.code().as_str(), "ECONNREFUSED"));
    ///     client.connect(("127.0.0.1", 1))
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// `EALREADY` while connecting, `EISCONN` while connected, `ERR_SOCKET_CLOSED` between `destroy` and
    /// `close`, `ERR_OUT_OF_RANGE` if the socket was built with a
    /// [`keep_alive`](crate::SocketOptions::keep_alive) delay that is not valid, and the errors of
    /// [`fyke::connect`](connect). The socket is unchanged then.
    pub fn connect<E>(&self, endpoint: E) -> Result<()>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        self.connect_then(endpoint, |_| {})
    }

    /// Connects this socket with the given connect options. Options of the socket itself (half-open,
    /// high-water mark and others) do not change. Node: `socket.connect(options)`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let client = fyke::SocketOptions::new().high_water_mark(1024).build();
    ///     client.on_error(|_, error| assert_eq!(error.code(), fyke::ErrorCode::ECONNREFUSED));
    ///     let options = fyke::ConnectOptions::new(("127.0.0.1", 1)).high_water_mark(65_536);
    ///     client.connect_with(options)?;
    ///     assert_eq!(client.high_water_mark(), 1024, "an option of the socket");
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// The errors of [`connect`](Self::connect), and that of the first option whose value is not valid.
    pub fn connect_with(&self, options: ConnectOptions) -> Result<()> {
        self.connect_with_then(options, |_| {})
    }
}
