//! How a socket is made: everything that has to be said before `listen` or `connect`.

use std::io;

use crate::{Address, Family, Operation};

/// What kind of socket to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP over IPv4 or IPv6.
    Tcp(Family),
    /// A Unix stream socket.
    Unix,
}

impl Transport {
    /// The transport that reaches `address`.
    pub fn of(address: &Address) -> Self {
        match address {
            Address::Ip(address) => Self::Tcp(Family::of(address)),
            Address::Path(_) | Address::Abstract(_) | Address::Unnamed => Self::Unix,
        }
    }
}

/// A request for a socket, see [`Driver::open`](crate::Driver::open).
#[derive(Clone, Debug)]
pub struct Open {
    /// What kind of socket.
    pub transport: Transport,
    /// Where to bind it. [`Address::Unnamed`] lets the system find a name for a Unix socket (Linux).
    pub bind: Option<Address>,
    /// The file of a Unix socket gets no permission bits, so that no process can connect to it until
    /// [`Driver::set_mode`](crate::Driver::set_mode) is called, which needs this. On systems other
    /// than Linux the mask decides until then.
    pub closed_to_all: bool,
    /// SO_REUSEADDR: a server restarts while old connections are still in TIME_WAIT.
    // SRV-18.
    pub reuse_address: bool,
    /// SO_REUSEPORT: several sockets share the port when all of them ask.
    // SRV-19.
    pub reuse_port: bool,
    /// IPV6_V6ONLY; none leaves the system's setting.
    pub ipv6_only: Option<bool>,
    /// SO_SNDBUF; none leaves the system's size.
    pub send_buffer_bytes: Option<usize>,
    /// SO_RCVBUF; none leaves the system's size. Before `connect` and `listen`, because the
    /// handshake fixes how large a window can be announced (RFC 7323, section 2.2).
    pub receive_buffer_bytes: Option<usize>,
}

impl Open {
    /// A plain socket of that kind.
    pub fn new(transport: Transport) -> Self {
        Self {
            transport,
            bind: None,
            closed_to_all: false,
            reuse_address: false,
            reuse_port: false,
            ipv6_only: None,
            send_buffer_bytes: None,
            receive_buffer_bytes: None,
        }
    }
}

/// Why a socket could not be made.
#[derive(Debug)]
pub struct OpenError {
    /// Whether the bind failed, or something before it.
    pub at_bind: bool,
    /// What the system said.
    pub source: io::Error,
}

impl From<OpenError> for io::Error {
    fn from(error: OpenError) -> Self {
        error.source
    }
}

/// What a descriptor that came from outside turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Adopted {
    /// It listens.
    Listener,
    /// It neither listens nor is connected, and can do either; bound or not.
    Unconnected,
    /// A connection.
    Connection {
        /// The other end's address.
        peer: Address,
        /// False where our side is shut down already.
        writable: bool,
    },
}

impl Operation {
    /// The name of the system call, as errors report it.
    pub fn syscall(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Connect => "connect",
            Self::Receive => "read",
            Self::Send => "write",
            Self::Shutdown => "shutdown",
        }
    }
}
