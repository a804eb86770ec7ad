//! Addresses of sockets, without the platform's types.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The address of a socket or server: an IP address with a port, or the name of a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// An IPv4 or IPv6 address with its port.
    Ip(SocketAddr),
    /// A Unix socket with a file.
    Path(PathBuf),
    /// A Unix socket in Linux's abstract namespace, with its name without the leading zero byte.
    Abstract(Vec<u8>),
    /// A Unix socket without a name, as most clients have.
    Unnamed,
}

/// The process at the other end of a Unix socket, as the system recorded it when the connection was
/// made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PeerCredentials {
    /// The process; 0 if it is outside of our pid namespace, as a client on the host is for a server in
    /// a container. Its user and group are reported nevertheless.
    pub pid: i32,
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl PeerCredentials {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn new(pid: i32, uid: u32, gid: u32) -> Self {
        Self { pid, uid, gid }
    }
}

/// The family of an IP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family that `address` belongs to.
    ///
    /// ```
    /// # extern crate fyke_driver as fyke;
    /// use fyke::Family;
    ///
    /// assert_eq!(Family::of(&"[::1]:80".parse().unwrap()), Family::V6);
    /// ```
    pub fn of(address: &SocketAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// `IPv4` or `IPv6`, as Node writes them.
impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

impl Address {
    /// The IP address and port, unless this is a Unix socket.
    ///
    /// ```
    /// # extern crate fyke_driver as fyke;
    /// use std::net::SocketAddr;
    /// use fyke::Address;
    ///
    /// let ip: SocketAddr = "127.0.0.1:80".parse().unwrap();
    /// assert_eq!(Address::from(ip).ip(), Some(ip));
    /// assert_eq!(Address::Path("/run/x.sock".into()).ip(), None);
    /// ```
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            _ => None,
        }
    }

    /// The port, unless this is a Unix socket.
    ///
    /// ```
    /// # extern crate fyke_driver as fyke;
    /// use fyke::Address;
    ///
    /// let address = Address::Ip("127.0.0.1:80".parse().unwrap());
    /// assert_eq!(address.port(), Some(80));
    /// ```
    pub fn port(&self) -> Option<u16> {
        self.ip().map(|address| address.port())
    }

    /// The file of a Unix socket that has one.
    ///
    /// ```
    /// # extern crate fyke_driver as fyke;
    /// use std::path::Path;
    /// use fyke::Address;
    ///
    /// let address = Address::Path("/run/x.sock".into());
    /// assert_eq!(address.path(), Some(Path::new("/run/x.sock")));
    /// assert_eq!(Address::Unnamed.path(), None);
    /// ```
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            _ => None,
        }
    }

    /// Whether this is a Unix socket, with or without a name.
    ///
    /// ```
    /// # extern crate fyke_driver as fyke;
    /// use fyke::Address;
    ///
    /// assert!(Address::Unnamed.is_unix());
    /// assert!(!Address::Ip("[::1]:80".parse().unwrap()).is_unix());
    /// ```
    pub fn is_unix(&self) -> bool {
        !matches!(self, Self::Ip(_))
    }
}

/// `127.0.0.1:8888`, `[::1]:8888`, `/run/x.sock`, `abstract:name`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Path(path) => path.display().fmt(f),
            Self::Abstract(name) => write!(f, "abstract:{}", name.escape_ascii()),
            Self::Unnamed => f.write_str("(unnamed)"),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}
