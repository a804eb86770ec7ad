//! Where to listen or connect, as one type.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use fyke_driver::Address;

use crate::{Error, ErrorCode, Result};

/// Where to listen or connect.
///
/// Every place that takes one takes whatever converts to it:
///
/// | you write | meaning |
/// |---|---|
/// | `8888_u16`, `"8888"`, `":8888"` | a port; a server takes all addresses, a client `localhost` |
/// | `("127.0.0.1", 8888)`, `"127.0.0.1:8888"`, `"[::1]:8888"`, a `SocketAddr` | an IP address |
/// | `("example.org", 80)`, `"example.org:80"` | a host name, resolved when it is used |
/// | `"/run/x.sock"`, `"./x.sock"`, `"unix:x.sock"`, a `Path` | a Unix socket |
/// | `"abstract:name"` | a Unix socket in Linux's abstract namespace |
///
/// ```
/// use fyke::Endpoint;
///
/// let endpoint: Endpoint = "[::1]:8888".parse()?;
/// assert_eq!(endpoint.to_string(), "[::1]:8888");
/// assert!("localhost:99999".parse::<Endpoint>().is_err());
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
    /// A Unix socket with a file.
    Path(PathBuf),
    /// A Unix socket in the abstract namespace (Linux): the name without the leading zero byte.
    Abstract(Vec<u8>),
}

impl Endpoint {
    /// Says whether this is a Unix socket.
    pub fn is_unix(&self) -> bool {
        matches!(self, Self::Path(_) | Self::Abstract(_))
    }

    /// The address, for endpoints that are one already.
    pub(crate) fn unix_address(&self) -> Option<Address> {
        match self {
            Self::Path(path) => Some(Address::Path(path.clone())),
            Self::Abstract(name) => Some(Address::Abstract(name.clone())),
            _ => None,
        }
    }

    /// Refuses what no system can take (ARG-04).
    pub(crate) fn validate(&self) -> Result<()> {
        match self {
            Self::Host(host, _) if host.contains('\0') => {
                Err(Error::new(ErrorCode::ERR_INVALID_ARG_VALUE, "a host name with a NUL byte"))
            }
            _ => Ok(()),
        }
    }
}

impl From<u16> for Endpoint {
    fn from(port: u16) -> Self {
        Self::Port(port)
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

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

/// An empty host is none (CON-21).
impl From<(&str, u16)> for Endpoint {
    fn from((host, port): (&str, u16)) -> Self {
        match host.parse::<IpAddr>() {
            Ok(ip) => Self::Ip((ip, port).into()),
            Err(_) if host.is_empty() => Self::Port(port),
            Err(_) => Self::Host(host.to_owned(), port),
        }
    }
}

impl From<(String, u16)> for Endpoint {
    fn from((host, port): (String, u16)) -> Self {
        (host.as_str(), port).into()
    }
}

impl From<PathBuf> for Endpoint {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
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

/// An address as it is. To connect to a server that may listen on a wildcard, take
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
                "a Unix socket without a name cannot be connected to",
            )),
        }
    }
}

impl TryFrom<&str> for Endpoint {
    type Error = Error;

    fn try_from(text: &str) -> Result<Self> {
        text.parse()
    }
}

impl TryFrom<String> for Endpoint {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return nonempty(path, text).map(|path| Self::Path(path.into()));
        }
        if let Some(name) = text.strip_prefix("abstract:") {
            return nonempty(name, text).map(|name| Self::Abstract(name.into()));
        }
        if text.contains('/') {
            return Ok(Self::Path(text.into()));
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or_else(|| not_an_endpoint(text))?;
            let ip: Ipv6Addr = host.parse().map_err(|_| not_an_endpoint(text))?;
            let port = rest.strip_prefix(':').ok_or_else(|| not_an_endpoint(text))?;
            return Ok((ip, parse_port(port)?).into());
        }
        match text.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => Err(Error::new(
                ErrorCode::ERR_INVALID_ARG_VALUE,
                format!("{text:?}: write an IPv6 address in brackets: [::1]:8888"),
            )),
            Some((host, port)) => Ok((host, parse_port(port)?).into()),
            None if text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+') => {
                Ok(Self::Port(parse_port(text)?))
            }
            None => Err(not_an_endpoint(text)),
        }
    }
}

fn nonempty<'a>(part: &'a str, text: &str) -> Result<&'a str> {
    if part.is_empty() { Err(not_an_endpoint(text)) } else { Ok(part) }
}

/// Digits only: `u16`'s own parser also takes a sign.
fn parse_port(text: &str) -> Result<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| {
        let message = format!("a port is a number from 0 to 65535, not {text:?}");
        Error::new(ErrorCode::ERR_SOCKET_BAD_PORT, message)
    })
}

fn not_an_endpoint(text: &str) -> Error {
    let message = format!(
        "{text:?} is not an endpoint; try 8888, host:8888, [::1]:8888, ./x.sock or abstract:name"
    );
    Error::new(ErrorCode::ERR_INVALID_ARG_VALUE, message)
}

/// What [`FromStr`] reads back.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, ":{port}"),
            Self::Ip(address) => address.fmt(f),
            Self::Host(host, port) => write!(f, "{host}:{port}"),
            Self::Path(path) if path.to_string_lossy().contains('/') => path.display().fmt(f),
            Self::Path(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "abstract:{}", name.escape_ascii()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Endpoint {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn every_spelling_is_understood() {
        let ip = |text: &str| Endpoint::Ip(text.parse().unwrap());
        assert_eq!(parse("8888"), Endpoint::Port(8888));
        assert_eq!(parse(":8888"), Endpoint::Port(8888));
        assert_eq!(parse("127.0.0.1:0"), ip("127.0.0.1:0"));
        assert_eq!(parse("[::1]:80"), ip("[::1]:80"));
        assert_eq!(parse("example.org:80"), Endpoint::Host("example.org".into(), 80));
        assert_eq!(parse("/run/x.sock"), Endpoint::Path("/run/x.sock".into()));
        assert_eq!(parse("./x.sock"), Endpoint::Path("./x.sock".into()));
        assert_eq!(parse("unix:x.sock"), Endpoint::Path("x.sock".into()));
        assert_eq!(parse("abstract:name"), Endpoint::Abstract(b"name".to_vec()));
    }

    #[test]
    fn what_is_printed_is_read_back() {
        for text in [":8888", "127.0.0.1:1", "[::1]:80", "a.b:80", "./x", "unix:x", "abstract:n"] {
            let endpoint = parse(text);
            assert_eq!(parse(&endpoint.to_string()), endpoint);
        }
    }

    #[test]
    fn arg_03_ports_out_of_range_have_nodes_code() {
        for text in ["65536", "-1", "+1", "host:", "host:99999", "host:-1", "host:+1", "[::1]:x"] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert_eq!(error.code(), ErrorCode::ERR_SOCKET_BAD_PORT, "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_a_word_on_what_to_write() {
        for text in ["", "word", "::1", "::1:80", "[::1]", "[x]:1", "unix:", "abstract:"] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert_eq!(error.code(), ErrorCode::ERR_INVALID_ARG_VALUE, "{text}");
        }
    }
}
