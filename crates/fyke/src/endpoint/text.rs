//! Parses endpoints from text, and prints them.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use super::Endpoint;
use crate::{Error, ErrorCode, Result};

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

impl TryFrom<&String> for Endpoint {
    type Error = Error;

    fn try_from(text: &String) -> Result<Self> {
        text.parse()
    }
}

/// Parses the value like text. A value that is not Unicode can only be a path or an abstract name.
impl TryFrom<&OsStr> for Endpoint {
    type Error = Error;

    fn try_from(text: &OsStr) -> Result<Self> {
        match text.to_str() {
            Some(text) => text.parse(),
            None => from_bytes(text),
        }
    }
}

impl TryFrom<OsString> for Endpoint {
    type Error = Error;

    fn try_from(text: OsString) -> Result<Self> {
        text.as_os_str().try_into()
    }
}

impl TryFrom<&OsString> for Endpoint {
    type Error = Error;

    fn try_from(text: &OsString) -> Result<Self> {
        text.as_os_str().try_into()
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return nonempty(path, text).map(|path| Self::Path(path.into()));
        }
        if let Some(name) = text.strip_prefix("abstract:") {
            let name = unescape(nonempty(name, text)?.as_bytes());
            return name.map(Self::Abstract).ok_or_else(|| not_an_endpoint(text));
        }
        if is_path(text) {
            return Ok(Self::Path(text.into()));
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or_else(|| not_an_endpoint(text))?;
            let ip = match host.split_once('%') {
                Some((_, "")) => "",
                Some((ip, _)) => ip,
                None => host,
            };
            ip.parse::<Ipv6Addr>().map_err(|_| not_an_endpoint(text))?;
            let port = rest.strip_prefix(':').ok_or_else(|| not_an_endpoint(text))?;
            return Ok((host, parse_port(port)?).into());
        }
        match text.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => Err(Error::new(
                ErrorCode::ERR_INVALID_ARG_VALUE,
                format!(
                    "{text:?} is not an endpoint; write an IPv6 address in brackets, as in [::1]:8888"
                ),
            )),
            Some((host, port)) => Ok((host, parse_port(port)?).into()),
            None if text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+') => {
                Ok(Self::Port(parse_port(text)?))
            }
            None => Err(not_an_endpoint(text)),
        }
    }
}

#[cfg(unix)]
fn from_bytes(text: &OsStr) -> Result<Endpoint> {
    use std::os::unix::ffi::OsStrExt;

    let bytes = text.as_bytes();
    let refused = || not_an_endpoint(&text.to_string_lossy());
    if let Some(path) = bytes.strip_prefix(b"unix:") {
        return Ok(Endpoint::Path(OsStr::from_bytes(path).into()));
    }
    if let Some(name) = bytes.strip_prefix(b"abstract:") {
        return unescape(name).map(Endpoint::Abstract).ok_or_else(refused);
    }
    if bytes.contains(&b'/') { Ok(Endpoint::Path(text.into())) } else { Err(refused()) }
}

#[cfg(not(unix))]
fn from_bytes(text: &OsStr) -> Result<Endpoint> {
    let readable = text.to_string_lossy();
    if is_path(&readable) {
        Ok(Endpoint::Path(text.into()))
    } else {
        Err(not_an_endpoint(&readable))
    }
}

#[cfg(not(windows))]
fn is_path(text: &str) -> bool {
    text.contains('/')
}

/// Such as `\\.\pipe\name`.
#[cfg(windows)]
fn is_path(text: &str) -> bool {
    text.contains(['/', '\\'])
}

/// Decodes the bytes of an abstract name from the form that [`escape_ascii`](slice::escape_ascii) writes.
fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'\\' => match rest.next()? {
                b't' => b'\t',
                b'r' => b'\r',
                b'n' => b'\n',
                b'x' => hex_digit(rest.next()?)? * 16 + hex_digit(rest.next()?)?,
                quoted @ (b'\\' | b'\'' | b'"') => quoted,
                _ => return None,
            },
            byte => byte,
        };
        name.push(byte);
    }
    Some(name)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn nonempty<'a>(part: &'a str, text: &str) -> Result<&'a str> {
    if part.is_empty() { Err(not_an_endpoint(text)) } else { Ok(part) }
}

/// Accepts digits only: the parser of `u16` also accepts a sign.
fn parse_port(text: &str) -> Result<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| {
        let message = format!("the port must be a number from 0 to 65535, not {text:?}");
        Error::new(ErrorCode::ERR_SOCKET_BAD_PORT, message)
    })
}

fn not_an_endpoint(text: &str) -> Error {
    let message = format!(
        "{text:?} is not an endpoint; try 8888, host:8888, [::1]:8888, ./x.sock or abstract:name"
    );
    Error::new(ErrorCode::ERR_INVALID_ARG_VALUE, message)
}

/// Writes text that [`FromStr`] parses back into the same endpoint, unless it is a path that is not
/// Unicode, or a host named `unix` or `abstract`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, ":{port}"),
            Self::Ip(address) => address.fmt(f),
            Self::Host(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Host(host, port) => write!(f, "{host}:{port}"),
            Self::Path(path) if is_plain(&path.to_string_lossy()) => path.display().fmt(f),
            Self::Path(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "abstract:{}", name.escape_ascii()),
        }
    }
}

/// Whether the text is recognised as a path without a prefix.
fn is_plain(path: &str) -> bool {
    path.contains('/') && !path.starts_with("unix:") && !path.starts_with("abstract:")
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, SocketAddrV6};

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Endpoint {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn code(text: &str) -> ErrorCode {
        text.parse::<Endpoint>().unwrap_err().code()
    }

    #[test]
    fn every_spelling_is_parsed() {
        let ip = |text: &str| Endpoint::Ip(text.parse().unwrap());
        assert_eq!(parse("8888"), Endpoint::Port(8888));
        assert_eq!(parse(":8888"), Endpoint::Port(8888));
        assert_eq!(parse("127.0.0.1:0"), ip("127.0.0.1:0"));
        assert_eq!(parse("[::1]:80"), ip("[::1]:80"));
        assert_eq!(parse("[fe80::1%4]:80"), ip("[fe80::1%4]:80"));
        assert_eq!(parse("[fe80::1%lo]:80"), Endpoint::Host("fe80::1%lo".into(), 80));
        assert_eq!(parse("example.org:80"), Endpoint::Host("example.org".into(), 80));
        assert_eq!(parse("/run/x.sock"), Endpoint::Path("/run/x.sock".into()));
        assert_eq!(parse("./x.sock"), Endpoint::Path("./x.sock".into()));
        assert_eq!(parse("unix:x.sock"), Endpoint::Path("x.sock".into()));
        assert_eq!(parse("abstract:name"), Endpoint::Abstract(b"name".to_vec()));
        assert_eq!(parse(r"abstract:\x00\n\\"), Endpoint::Abstract(b"\0\n\\".to_vec()));
    }

    #[test]
    fn arg_03_ports_out_of_range_have_nodes_code() {
        for text in ["65536", "-1", "+1", "host:", "host:99999", "host:-1", "host:+1", "[::1]:x"] {
            assert_eq!(code(text), ErrorCode::ERR_SOCKET_BAD_PORT, "{text}");
        }
    }

    #[test]
    fn invalid_text_is_refused_with_a_hint() {
        for text in [
            "",
            "word",
            "::1",
            "::1:80",
            "[::1]",
            "[x]:1",
            "[::1%]:1",
            "[1.2.3.4%1]:1",
            "unix:",
            "abstract:",
            r"abstract:\",
            r"abstract:\xg0",
            r"abstract:\q",
        ] {
            assert_eq!(code(text), ErrorCode::ERR_INVALID_ARG_VALUE, "{text}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_program_argument_is_parsed_like_text_even_if_it_is_not_unicode() {
        use std::os::unix::ffi::OsStrExt;

        assert_eq!(Endpoint::try_from(OsString::from("8888")).unwrap(), Endpoint::Port(8888));
        let read = |bytes: &[u8]| Endpoint::try_from(OsStr::from_bytes(bytes));
        let path = |bytes: &[u8]| Endpoint::Path(OsStr::from_bytes(bytes).into());
        assert_eq!(read(b"/tmp/\xff").unwrap(), path(b"/tmp/\xff"));
        assert_eq!(read(b"unix:\xff").unwrap(), path(b"\xff"));
        assert_eq!(read(b"abstract:\xff").unwrap(), Endpoint::Abstract(b"\xff".to_vec()));
        for bytes in [&b"\xff"[..], b"\xff:80", b"abstract:\xff\\"] {
            assert_eq!(read(bytes).unwrap_err().code(), ErrorCode::ERR_INVALID_ARG_VALUE);
        }
    }

    fn addresses() -> impl Strategy<Value = SocketAddr> {
        let v4 = any::<([u8; 4], u16)>().prop_map(SocketAddr::from);
        let v6 = any::<([u16; 8], u16, u32)>().prop_map(|(ip, port, scope)| {
            SocketAddr::V6(SocketAddrV6::new(ip.into(), port, 0, scope))
        });
        prop_oneof![v4, v6]
    }

    fn endpoints() -> impl Strategy<Value = Endpoint> {
        prop_oneof![
            any::<u16>().prop_map(Endpoint::Port),
            addresses().prop_map(Endpoint::Ip),
            ("[a-z0-9_-]{0,20}[a-z](\\.[a-z][a-z0-9-]{0,9}){0,3}", any::<u16>())
                .prop_map(|(host, port)| Endpoint::Host(host, port)),
            ("fe80::[1-9a-f]{1,4}%[a-z]{1,8}[0-9]{0,2}", any::<u16>())
                .prop_map(|(host, port)| Endpoint::Host(host, port)),
            "(unix:|abstract:|/|\\./)?[^\\x00]{1,30}".prop_map(|path| Endpoint::Path(path.into())),
            vec(any::<u8>(), 1..30).prop_map(Endpoint::Abstract),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..<_>::default() })]

        #[test]
        fn a_printed_endpoint_round_trips(endpoint in endpoints()) {
            prop_assert_eq!(parse(&endpoint.to_string()), endpoint);
        }

        #[test]
        fn any_text_is_an_endpoint_or_an_error_with_nodes_code(
            text in prop_oneof!["\\PC{0,40}", "[\\[\\]:%./+a-f0-9\\\\x-]{0,20}", any::<String>()],
        ) {
            match text.parse::<Endpoint>() {
                // A parsed endpoint can be printed, and parses back into the same value.
                Ok(endpoint) => prop_assert_eq!(parse(&endpoint.to_string()), endpoint),
                Err(error) => prop_assert!([
                    ErrorCode::ERR_SOCKET_BAD_PORT,
                    ErrorCode::ERR_INVALID_ARG_VALUE,
                ].contains(&error.code())),
            }
        }

        #[test]
        fn arg_03_a_port_is_from_0_to_65535_in_every_spelling(number in 0_u32..200_000) {
            let port = u16::try_from(number);
            for text in [":{}", "localhost:{}", "127.0.0.1:{}", "[::1]:{}", "{}"] {
                let text = text.replace("{}", &number.to_string());
                match port {
                    Ok(port) => {
                        let found = match parse(&text) {
                            Endpoint::Port(port) | Endpoint::Host(_, port) => port,
                            Endpoint::Ip(address) => address.port(),
                            other => panic!("{other:?}"),
                        };
                        prop_assert_eq!(found, port);
                    }
                    Err(_) => prop_assert_eq!(code(&text), ErrorCode::ERR_SOCKET_BAD_PORT),
                }
            }
        }
    }
}
