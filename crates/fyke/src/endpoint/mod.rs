//! An endpoint to listen on or connect to, as one type.

mod text;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::path::{Path, PathBuf};

use fyke_driver::{Address, scope_id};

use crate::{Error, ErrorCode, Result};

/// An endpoint to listen on or connect to.
///
/// Every method with an endpoint argument accepts any value that converts into an endpoint:
///
/// | you write | meaning |
/// |---|---|
/// | `8888_u16`, `"8888"`, `":8888"` | a port; a server listens on all addresses, a client connects to `localhost` |
/// | `("127.0.0.1", 8888)`, `"127.0.0.1:8888"`, `"[::1]:8888"`, `(IpAddr, u16)` | an IP address |
/// | a `SocketAddr`, `SocketAddrV4` or `SocketAddrV6` | an IP address, with its flow label and scope |
/// | `("example.org", 80)`, `"example.org:80"` | a host name, resolved when it is used |
/// | `("fe80::1%eth0", 80)`, `"[fe80::1%eth0]:80"` | an IPv6 address in the zone of an interface |
/// | `"/run/x.sock"`, `"./x.sock"`, `"unix:x.sock"`, a `Path` or `PathBuf` | a Unix socket |
/// | `"abstract:name"` | a Unix socket in Linux's abstract namespace; `\\xNN` is a byte |
///
/// Text may be a `&str`, a `String` or a `&String`. An `OsStr` or `OsString`, for example a command-line
/// argument, is parsed in the same way. Addresses and paths may also be passed by reference. Text that
/// cannot be parsed fails with `ERR_INVALID_ARG_VALUE`, and a port outside of 0 to 65535 with
/// `ERR_SOCKET_BAD_PORT`. An empty path or abstract name fails with `ERR_INVALID_ARG_VALUE` when it is
/// used, except that [`BoundSocket::bind`](crate::BoundSocket::bind) accepts an empty path, as Node does.
///
/// ```
/// use fyke::Endpoint;
///
/// let endpoint: Endpoint = "[::1]:8888".parse()?;
/// assert_eq!(endpoint.to_string(), "[::1]:8888");
/// assert!("localhost:99999".parse::<Endpoint>().is_err());
///
/// let configured: Vec<std::net::SocketAddr> = vec![([127, 0, 0, 1], 80).into()];
/// let endpoints: Vec<Endpoint> = configured.iter().map(Endpoint::from).collect();
/// assert_eq!(endpoints, ["127.0.0.1:80".parse()?]);
/// # Ok::<(), fyke::Error>(())
/// ```
///
/// `examples/unix_echo.rs`:
///
#[doc = concat!("```no_run\n", include_str!("../../examples/unix_echo.rs"), "```")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// A port without a host.
    Port(u16),
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A host name and a port.
    Host(String, u16),
    /// A Unix socket with a path in the file system.
    Path(PathBuf),
    /// A Unix socket in the abstract namespace (Linux): the name without the leading zero byte.
    Abstract(Vec<u8>),
}

impl Endpoint {
    /// Returns whether this is a Unix socket.
    ///
    /// ```
    /// assert!("/run/x.sock".parse::<fyke::Endpoint>()?.is_unix());
    /// assert!(!"127.0.0.1:80".parse::<fyke::Endpoint>()?.is_unix());
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn is_unix(&self) -> bool {
        matches!(self, Self::Path(_) | Self::Abstract(_))
    }

    /// The IP address, for endpoints that need no lookup. This includes an address with the name of a zone,
    /// if an interface with that name exists.
    // HE-01
    pub(crate) fn ip_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Host(host, port) => {
                let (ip, zone) = host.split_once('%')?;
                let ip = ip.parse().ok()?;
                Some(SocketAddrV6::new(ip, *port, 0, scope_id(zone)?).into())
            }
            _ => None,
        }
    }

    /// The address of a Unix socket.
    pub(crate) fn unix_address(&self) -> Option<Address> {
        match self {
            Self::Path(path) => Some(Address::Path(path.clone())),
            Self::Abstract(name) => Some(Address::Abstract(name.clone())),
            _ => None,
        }
    }

    /// Converts and checks a value from the user. If that fails, returns a placeholder endpoint and the
    /// error.
    pub(crate) fn checked_from<E>(endpoint: E) -> (Self, Option<Error>)
    where
        E: TryInto<Self>,
        Error: From<E::Error>,
    {
        match endpoint.try_into().map_err(Error::from).and_then(Self::checked) {
            Ok(endpoint) => (endpoint, None),
            Err(error) => (Self::Port(0), Some(error)),
        }
    }

    /// Normalizes the endpoint: an empty host becomes a port alone, and a host that is an IP address
    /// becomes that address. Refuses values that no system accepts. An empty path is refused because the
    /// system would bind it to a name of its own choice (unix(7), "Autobind").
    // ARG-04, ARG-08
    pub(crate) fn checked(self) -> Result<Self> {
        let refused = |message| Err(Error::new(ErrorCode::ERR_INVALID_ARG_VALUE, message));
        match self {
            Self::Host(host, _) if host.contains('\0') => {
                refused("the host name contains a NUL byte")
            }
            Self::Host(host, port) => Ok((host, port).into()),
            Self::Path(path) if path.as_os_str().is_empty() => refused("the path is empty"),
            Self::Abstract(name) if name.is_empty() => refused("the abstract name is empty"),
            endpoint => Ok(endpoint),
        }
    }
}

impl From<u16> for Endpoint {
    fn from(port: u16) -> Self {
        Self::Port(port)
    }
}

/// Converts an address by value and by reference.
macro_rules! from_socket_address {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Endpoint {
            fn from(address: $kind) -> Self {
                Self::Ip(address.into())
            }
        }

        impl From<&$kind> for Endpoint {
            fn from(address: &$kind) -> Self {
                Self::Ip((*address).into())
            }
        }
    )*};
}

from_socket_address!(SocketAddr, SocketAddrV4, SocketAddrV6);

impl From<(IpAddr, u16)> for Endpoint {
    fn from((ip, port): (IpAddr, u16)) -> Self {
        Self::Ip((ip, port).into())
    }
}

impl From<(Ipv4Addr, u16)> for Endpoint {
    fn from((ip, port): (Ipv4Addr, u16)) -> Self {
        Self::Ip((ip, port).into())
    }
}

impl From<(Ipv6Addr, u16)> for Endpoint {
    fn from((ip, port): (Ipv6Addr, u16)) -> Self {
        Self::Ip((ip, port).into())
    }
}

/// An empty host is the same as no host.
// CON-21
impl From<(&str, u16)> for Endpoint {
    fn from((host, port): (&str, u16)) -> Self {
        let numeric_zone = || {
            let (ip, zone) = host.split_once('%')?;
            Some(SocketAddrV6::new(ip.parse().ok()?, port, 0, zone.parse().ok()?))
        };
        match host.parse::<IpAddr>() {
            Ok(ip) => Self::Ip((ip, port).into()),
            Err(_) if host.is_empty() => Self::Port(port),
            Err(_) => numeric_zone()
                .map_or_else(|| Self::Host(host.to_owned(), port), |ip| Self::Ip(ip.into())),
        }
    }
}

impl From<(String, u16)> for Endpoint {
    fn from((host, port): (String, u16)) -> Self {
        (host.as_str(), port).into()
    }
}

impl From<(&String, u16)> for Endpoint {
    fn from((host, port): (&String, u16)) -> Self {
        (host.as_str(), port).into()
    }
}

impl From<PathBuf> for Endpoint {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

impl From<&PathBuf> for Endpoint {
    fn from(path: &PathBuf) -> Self {
        Self::Path(path.clone())
    }
}

impl From<&Path> for Endpoint {
    fn from(path: &Path) -> Self {
        Self::Path(path.to_owned())
    }
}

impl From<&Endpoint> for Endpoint {
    fn from(endpoint: &Endpoint) -> Self {
        endpoint.clone()
    }
}

/// Converts the address unchanged. To connect to a server that may listen on a wildcard address, use
/// [`Server::endpoint`](crate::Server::endpoint).
impl TryFrom<&Address> for Endpoint {
    type Error = Error;

    fn try_from(address: &Address) -> Result<Self> {
        address.clone().try_into()
    }
}

/// Converts the address unchanged. To connect to a server that may listen on a wildcard address, use
/// [`Server::endpoint`](crate::Server::endpoint).
impl TryFrom<Address> for Endpoint {
    type Error = Error;

    fn try_from(address: Address) -> Result<Self> {
        match address {
            Address::Ip(address) => Ok(Self::Ip(address)),
            Address::Path(path) => Ok(Self::Path(path)),
            Address::Abstract(name) => Ok(Self::Abstract(name)),
            _ => Err(Error::new(
                ErrorCode::ERR_INVALID_ARG_VALUE,
                "a Unix socket that has no name cannot be connected to",
            )),
        }
    }
}
