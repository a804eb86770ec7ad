//! Creating a socket: everything that must be set before `listen` or `connect`.

use std::io;

use crate::{Address, Family, Operation};

/// The kind of socket to create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP over IPv4 or IPv6.
    Tcp(Family),
    /// A Unix stream socket.
    Unix,
}

impl Transport {
    /// The transport for `address`.
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
    /// The kind of socket.
    pub transport: Transport,
    /// Where to bind it. [`Address::Unnamed`] lets the system choose a name for a Unix socket (Linux).
    pub bind: Option<Address>,
    /// The file of a Unix socket gets no permission bits, so that no process can connect to it until
    /// [`Driver::set_mode`](crate::Driver::set_mode) is called, which requires this. On systems other
    /// than Linux, the umask applies until then.
    pub closed_to_all: bool,
    /// SO_REUSEADDR: a server restarts while old connections are still in TIME_WAIT.
    // SRV-18.
    pub reuse_address: bool,
    /// SO_REUSEPORT: several sockets share the port if all of them set it.
    // SRV-19.
    pub reuse_port: bool,
    /// IPV6_V6ONLY; `None` keeps the system's setting.
    pub ipv6_only: Option<bool>,
    /// SO_SNDBUF; `None` keeps the system's size.
    pub send_buffer_bytes: Option<usize>,
    /// SO_RCVBUF; `None` keeps the system's size. It is set before `connect` and `listen`, because the
    /// handshake determines how large a window can be announced (RFC 7323, section 2.2).
    pub receive_buffer_bytes: Option<usize>,
}

impl Open {
    /// A socket of this kind without options.
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

/// Why a socket could not be created.
#[derive(Debug)]
pub struct OpenError {
    /// Whether the bind failed, or an earlier step.
    pub at_bind: bool,
    /// The error of the system.
    pub source: io::Error,
}

impl From<OpenError> for io::Error {
    fn from(error: OpenError) -> Self {
        error.source
    }
}

/// What a descriptor from outside refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Adopted {
    /// A listener.
    Listener,
    /// A socket that neither listens nor is connected, and can do either; bound or not.
    Unconnected,
    /// A connection.
    Connection {
        /// The address of the peer.
        peer: Address,
        /// False if our side is already shut down.
        writable: bool,
    },
}

impl Operation {
    /// The name of the system call, as in errors.
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
