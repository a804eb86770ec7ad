//! Connecting without a callback of the call.

use super::{Socket, connect_then};
use crate::{ConnectOptions, Endpoint, Error, Result};

/// Connects to `endpoint`.
///
/// The socket is returned at once, connecting; listeners added to it now see every event. What is written
/// before the connection is established waits for it. A connection that cannot be made is an `error`
/// event, not an `Err`: at the earliest one tick later. [`connect_then`] also takes a callback for the
/// moment at which the connection is established.
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
/// What can be known at once: `ERR_SOCKET_BAD_PORT` and `ERR_INVALID_ARG_VALUE` if `endpoint` cannot be
/// parsed, `ERR_NO_EVENT_LOOP` outside of a loop, `ERR_EVENT_LOOP_CLOSED` if it is gone.
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
    /// Makes a socket with these options and connects it, see [`fyke::connect`](connect).
    ///
    /// # Errors
    /// Those of [`fyke::connect`](connect), and that of the first option whose value is not valid.
    pub fn connect(self) -> Result<Socket> {
        self.connect_then(|_| {})
    }
}

/// # Connecting
impl Socket {
    /// Connects this socket to `endpoint`.
    ///
    /// A socket may connect again after `close`, also from its `close` listener. Node:
    /// `socket.connect()`.
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
    /// `EALREADY` while connecting, `EISCONN` while connected, `ERR_SOCKET_CLOSED` between
    /// `destroy` and `close`; else those of [`fyke::connect`](connect). The socket is as it was.
    pub fn connect<E>(&self, endpoint: E) -> Result<()>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        self.connect_then(endpoint, |_| {})
    }

    /// Connects this socket with options of the connect. Options of the socket itself (half-open,
    /// high-water mark, and so on) stay as they are.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect), and that of the first option whose value is not valid.
    pub fn connect_with(&self, options: ConnectOptions) -> Result<()> {
        self.connect_with_then(options, |_| {})
    }
}
