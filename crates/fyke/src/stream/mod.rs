//! Sockets for `async` code: reading and writing as futures, and the I/O traits of the ecosystem.

mod buffer;
#[cfg(feature = "futures")]
mod futures;
mod halves;
#[cfg(feature = "hyper")]
mod hyper;
mod reading;
#[cfg(feature = "tokio")]
mod tokio;
mod writing;

use std::fmt;

use buffer::Buffer;
pub use halves::{ReadHalf, WriteHalf};

use crate::socket::End;
use crate::{ConnectOptions, Endpoint, Error, Result, Socket};

/// A socket that is read and written with `async` calls, created by [`Socket::stream`].
///
/// [`socket`](Self::socket) returns the same socket, whose events, timeouts, limits and addresses continue to
/// work. The received data has only one consumer, which is this stream: if a listener for data, a pipe or
/// another consumer is added, reading fails with the code `ERR_HAS_CONSUMER` until it is removed.
///
/// - Reading copies from the kernel into your memory. A stream that waits for data holds no buffer.
/// - Writing passes the bytes to the kernel before the future is ready, and waits while the kernel's buffer
///   is full. So no bytes are queued, unless the socket is corked, and an error is returned by the call
///   during which it occurs.
/// - When the peer has ended, reads return 0. This side stays open, as with `allow_half_open`; call
///   [`end`](Self::end) when everything is written.
/// - Dropping the stream closes the connection, as [`Socket::destroy`] does. Bytes that were already written
///   are still sent.
/// - The stream keeps the loop alive while it exists and the connection is open, unless
///   [`unref_loop`](Socket::unref_loop) was called on the socket.
///
/// With the features `futures`, `tokio` and `hyper`, it implements `AsyncRead`, `AsyncBufRead` and
/// `AsyncWrite` of `futures-io` and of tokio, and `hyper::rt::{Read, Write}`. It works with every executor on
/// the loop's thread: the loop itself ([`task::spawn_local`](crate::task::spawn_local)), and tokio (with the
/// feature `tokio-runtime`).
///
/// ```
/// # fn main() -> fyke::Result<()> {
/// fyke::block_on(async {
///     let server = fyke::Server::new();
///     server.listen(("127.0.0.1", 0))?;
///     server.listening().await?;
///     let mut client = fyke::SocketStream::connect(server.endpoint().unwrap()).await?;
///     let mut accepted = server.accept().await?.stream()?;
///     client.write_all(b"hello").await?;
///     let mut buffer = [0; 5];
///     accepted.read_exact(&mut buffer).await?;
///     assert_eq!(&buffer, b"hello");
///     Ok(())
/// })?
/// # }
/// ```
pub struct SocketStream {
    end: End,
    buffer: Buffer,
}

/// # Streams
impl Socket {
    /// Returns the socket as a stream, for `async` code. From now on, the stream is the only consumer of the
    /// received data, beginning with data that was received before and not delivered yet. The socket allows
    /// half-open connections from now on: when the peer ends, our side stays open. Node: no counterpart.
    ///
    /// Call it at any time: on an accepted socket, while the socket is connecting, or in the middle of a
    /// connection, after callbacks have received the first data. [`SocketStream::into_socket`] reverses it.
    ///
    /// # Errors
    /// `ERR_HAS_CONSUMER` if there is a listener for data, a pipe or another consumer.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| {
    ///         socket.server().unwrap().close();
    ///         let mut stream = socket.stream().unwrap();
    ///         fyke::task::spawn_local(async move {
    ///             let request = stream.read_to_end().await.unwrap();
    ///             assert_eq!(request, b"hello");
    ///         }).unwrap();
    ///     });
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         fyke::connect(server.endpoint().unwrap()).unwrap().end_with("hello");
    ///     })
    /// })
    /// # }
    /// ```
    pub fn stream(&self) -> Result<SocketStream> {
        Ok(SocketStream { end: End::new(self)?, buffer: Buffer::default() })
    }
}

impl SocketStream {
    /// Connects to `endpoint`, and returns the stream when the connection is established. Dropping the future
    /// closes the connection.
    ///
    /// # Errors
    /// The errors of [`fyke::connect`](crate::connect), and the error with which connecting fails, for
    /// example `ECONNREFUSED`, `ETIMEDOUT` or `ENOTFOUND`.
    pub async fn connect<E>(endpoint: E) -> Result<Self>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        Self::connect_with(ConnectOptions::new(endpoint)).await
    }

    /// Connects with options, see [`connect`](Self::connect).
    ///
    /// # Errors
    /// The errors of [`connect`](Self::connect), and the error of the first option whose value is not valid.
    pub async fn connect_with(options: ConnectOptions) -> Result<Self> {
        let stream = options.connect()?.stream()?;
        stream.socket().connected().await?;
        Ok(stream)
    }

    /// Returns the socket, for its addresses, options, timeouts and events.
    pub fn socket(&self) -> &Socket {
        self.end.socket()
    }

    /// Ends the stream, and returns the socket, whose data goes to its listeners again. They first receive
    /// the data that [`fill_buf`](Self::fill_buf) has returned and that was not consumed. The socket still
    /// allows half-open connections.
    pub fn into_socket(self) -> Socket {
        let Self { end, buffer } = self;
        let socket = end.release();
        let left = buffer.bytes().to_vec();
        if !left.is_empty() {
            socket.unshift(left);
        }
        socket
    }

    /// Splits the stream into two halves that different tasks can use.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// # fyke::block_on(async {
    /// # let server = fyke::Server::new();
    /// # server.listen(("127.0.0.1", 0))?;
    /// # server.listening().await?;
    /// # let peer = fyke::connect(server.endpoint().unwrap())?;
    /// # peer.pipe(&peer);
    /// let (mut reader, mut writer) = server.accept().await?.stream()?.split();
    /// let writing = fyke::spawn_local(async move {
    ///     writer.write_all(&[7; 1 << 20]).await?;
    ///     writer.end().await
    /// })?;
    /// // Both directions go on at the same time, so neither side waits for the other.
    /// assert_eq!(reader.read_to_end().await?.len(), 1 << 20);
    /// writing.await.unwrap()?;
    /// # Ok(())
    /// # })?
    /// # }
    /// ```
    pub fn split(self) -> (ReadHalf, WriteHalf) {
        halves::split(self.end, self.buffer)
    }
}

reading::reads!(SocketStream);
writing::writes!(SocketStream);

impl SocketStream {
    fn reader(&mut self) -> (&End, &mut Buffer) {
        (&self.end, &mut self.buffer)
    }

    fn writer(&self) -> &End {
        &self.end
    }
}

impl fmt::Debug for SocketStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SocketStream").field(self.socket()).finish()
    }
}
