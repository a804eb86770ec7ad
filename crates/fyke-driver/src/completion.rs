//! What a driver reports.

use std::io;
use std::net::SocketAddr;

use crate::SocketId;

/// What happened to a socket. Passed to the callback of [`Driver::turn`](crate::Driver::turn).
#[derive(Debug)]
pub enum Completion<'a> {
    /// `listener` has a new connection, `socket`. It is neither receiving nor sending yet.
    Accepted {
        /// The listener it came to.
        listener: SocketId,
        /// The new socket.
        socket: SocketId,
        /// The address of the other end. `None` on Unix sockets, and for a connection that was gone
        /// before it was accepted on systems other than Linux.
        peer: Option<SocketAddr>,
        /// A Unix socket, at whose other end there is no address.
        unix: bool,
    },
    /// `count` connections were accepted and closed at once, because descriptors or memory were
    /// exhausted.
    Shed {
        /// The listener they came to.
        listener: SocketId,
        /// How many.
        count: usize,
    },
    /// The socket is connected.
    Connected {
        /// The socket.
        socket: SocketId,
    },
    /// Bytes from the peer, valid until the callback returns. Never empty.
    Received {
        /// The socket.
        socket: SocketId,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// A read may find something: bytes, the end of the stream, or an error. The answer to
    /// [`readable_start`](crate::Driver::readable_start).
    Readable {
        /// The socket.
        socket: SocketId,
    },
    /// The peer has ended its side. Nothing more will be received.
    EndOfStream {
        /// The socket.
        socket: SocketId,
    },
    /// The kernel took `bytes` more bytes of the batch in flight.
    Sent {
        /// The socket.
        socket: SocketId,
        /// How many bytes.
        bytes: usize,
    },
    /// The kernel may have room for bytes, or sending fails. The answer to
    /// [`writable_start`](crate::Driver::writable_start).
    Writable {
        /// The socket.
        socket: SocketId,
    },
    /// Our side is ended: the peer receives everything that was sent, and then end-of-stream.
    ShutDown {
        /// The socket.
        socket: SocketId,
    },
    /// An operation failed. After a failed `Receive` or `Send` that side of the socket is dead.
    Failed {
        /// The socket.
        socket: SocketId,
        /// Which of its operations.
        operation: Operation,
        /// Why.
        error: io::Error,
    },
    /// [`Waker::wake`](crate::Waker::wake) was called.
    Woken,
}

/// The operations that can fail after they were started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// [`accept_start`](crate::Driver::accept_start): the listener accepts nothing any more, and is not
    /// tried again until `accept_start` is called anew.
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

/// A completion that lends nothing, and is given in the next turn.
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

/// What a socket is to report of what it receives; of a listener, of its connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wanted {
    #[default]
    Nothing,
    /// All of it, until stopped.
    Delivery,
    /// Once, that there is something to read.
    Notice,
}

/// The failure of a call on a dead id.
pub(crate) fn dead() -> io::Error {
    io::ErrorKind::NotConnected.into()
}
