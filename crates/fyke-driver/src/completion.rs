//! Completions: the reports of a driver.

use std::io;
use std::net::SocketAddr;

use crate::SocketId;

/// A report of what happened to a socket. It is passed to the callback of
/// [`Driver::turn`](crate::Driver::turn).
#[derive(Debug)]
pub enum Completion<'a> {
    /// `listener` has a new connection, `socket`. It is neither receiving nor sending yet.
    Accepted {
        /// The listener of the connection.
        listener: SocketId,
        /// The new socket.
        socket: SocketId,
        /// The address of the peer. `None` on Unix sockets. On systems other than Linux, also `None` if the
        /// connection was closed before it was accepted.
        peer: Option<SocketAddr>,
        /// `true` if this is a Unix socket, whose peer has no address.
        unix: bool,
    },
    /// `count` connections were accepted and closed at once, because descriptors or memory were
    /// exhausted.
    Shed {
        /// The listener of the connections.
        listener: SocketId,
        /// The number of connections.
        count: usize,
    },
    /// The socket is connected.
    Connected {
        /// The socket.
        socket: SocketId,
    },
    /// Bytes were received from the peer. They are valid until the callback returns, and never empty.
    Received {
        /// The socket.
        socket: SocketId,
        /// The bytes. The callback may change them, to decrypt them in place for example.
        bytes: &'a mut [u8],
    },
    /// A read may return bytes, the end of the stream, or an error. Reported once for each
    /// [`readable_start`](crate::Driver::readable_start).
    Readable {
        /// The socket.
        socket: SocketId,
    },
    /// The peer has ended its side. No more bytes follow.
    EndOfStream {
        /// The socket.
        socket: SocketId,
    },
    /// The kernel accepted `bytes` more bytes of the batch in flight.
    Sent {
        /// The socket.
        socket: SocketId,
        /// The number of bytes.
        bytes: usize,
    },
    /// The kernel may accept bytes, or sending would fail. Reported once for each
    /// [`writable_start`](crate::Driver::writable_start).
    Writable {
        /// The socket.
        socket: SocketId,
    },
    /// Our side has ended: the peer receives everything that was sent, and then end-of-stream.
    ShutDown {
        /// The socket.
        socket: SocketId,
    },
    /// An operation failed. After a failed `Receive` or `Send` that side of the socket is dead.
    Failed {
        /// The socket.
        socket: SocketId,
        /// The operation that failed.
        operation: Operation,
        /// The error of the system call.
        error: io::Error,
    },
    /// [`Waker::wake`](crate::Waker::wake) was called.
    Woken,
}

/// The operations that can fail after they were started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// [`accept_start`](crate::Driver::accept_start): the listener accepts no more connections until
    /// `accept_start` is called again.
    Accept,
    /// [`connect`](crate::Driver::connect).
    Connect,
    /// [`receive_start`](crate::Driver::receive_start).
    Receive,
    /// [`send`](crate::Driver::send).
    Send,
    /// [`shutdown`](crate::Driver::shutdown).
    Shutdown,
}

/// A completion without borrowed bytes that the next turn reports.
#[derive(Debug)]
pub(crate) enum Deferred {
    Connected,
    ShutDown,
    Writable,
    Failed(Operation, io::Error),
}

impl Deferred {
    pub(crate) fn into_completion(self, socket: SocketId) -> Completion<'static> {
        match self {
            Self::Connected => Completion::Connected { socket },
            Self::ShutDown => Completion::ShutDown { socket },
            Self::Writable => Completion::Writable { socket },
            Self::Failed(operation, error) => Completion::Failed { socket, operation, error },
        }
    }
}

/// What a socket reports about received bytes, or a listener about its connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wanted {
    #[default]
    Nothing,
    /// Everything, until stopped.
    Delivery,
    /// `Readable`, once.
    Notice,
}

/// The error of an operation on a dead id.
pub(crate) fn dead() -> io::Error {
    io::ErrorKind::NotConnected.into()
}
