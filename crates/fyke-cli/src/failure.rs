//! Failures that end the command with an exit status other than 0. Each is printed as one line: the
//! text of the error, and a hint on what it means here.

use std::fmt;
use std::io;
use std::net::Ipv6Addr;
use std::process::ExitCode;

use fyke::Error;
use rustix::io::Errno;

/// The kinds of failures. `fyke --help` documents their exit statuses.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments are not valid.
    Usage(String),
    /// A server or an established connection failed.
    Network(Error),
    /// No connection could be established.
    Unreachable(Error),
    /// An operation exceeded its time limit.
    Late(String),
    /// Another operation failed: the operation, and the system's error.
    System(&'static str, io::Error),
    /// A file could not be read or written: the operation with the path, and the system's error.
    File(String, io::Error),
    /// The operation finished with a bad result, such as an answer that differs.
    Bad(String),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            // The status that clap uses.
            Self::Usage(_) => 2,
            Self::Unreachable(error) => match error.code().as_str() {
                "ETIMEDOUT" | "ERR_TLS_HANDSHAKE_TIMEOUT" => 4,
                _ => 3,
            },
            Self::Late(_) => 4,
            Self::Network(error) => match error.code().as_str() {
                "ECONNRESET" | "EPIPE" | "ECONNABORTED" | "ERR_TLS_TRUNCATED" => 5,
                "ETIMEDOUT" => 4,
                _ => 1,
            },
            Self::System(..) | Self::File(..) | Self::Bad(_) => 1,
        })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Network(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Late(text) | Self::Bad(text) => f.write_str(text),
            Self::Unreachable(error) if hint_of_client(error).is_some() => {
                write!(f, "{error}{}", hint_of_client(error).unwrap_or_default())
            }
            Self::Network(error) | Self::Unreachable(error) => match hint(error) {
                Some(hint) => {
                    let text = error.to_string();
                    f.write_str(&text)?;
                    // Skip the parts of the hint that the error's own text contains.
                    let new = hint.split("; ").filter(|part| !text.contains(part));
                    new.enumerate().try_for_each(|(index, part)| {
                        write!(f, "{}{part}", if index == 0 { ": " } else { "; " })
                    })
                }
                None => error.fmt(f),
            },
            Self::System(what, error) => write!(f, "{what}: {error}{}", limit(error)),
            Self::File(what, error) => write!(f, "{what}: {error}{}", limit(error)),
        }
    }
}

/// Returns a hint for system errors that are caused by a limit of the process.
fn limit(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE) => "; `ulimit -n` is the limit",
        Some(Errno::FBIG) => "; `ulimit -f` is the limit",
        _ => "",
    }
}

/// Returns a hint that explains the code to a user at a terminal.
pub(crate) fn hint(error: &Error) -> Option<&'static str> {
    // An error about several attempts has no single address.
    let first = error.attempts().first().unwrap_or(error);
    let unix = first.address().is_some_and(fyke::Address::is_unix);
    let listens = first.syscall() == Some("listen");
    let connects = first.syscall() == Some("connect");
    // Match by name, because not every code of the system has a constant.
    Some(match (error.code().as_str(), unix, listens) {
        // The file of a killed server remains. Only the user knows whether that is the case here.
        ("EADDRINUSE", true, _) => {
            "another program is listening there, or the file is not a socket"
        }
        ("EADDRINUSE", false, _) if first.port().is_none() => "no local port is free",
        ("EADDRINUSE", false, true) => "another program is listening there",
        ("EADDRINUSE", false, false) => "the local port is in use",
        // The error has a local address only if the user gave the local port.
        ("EADDRNOTAVAIL", ..) if connects && first.local_address().is_some() => {
            "the local port already has a connection to this address, or had one until recently"
        }
        ("EADDRNOTAVAIL", ..) if connects => {
            "no local port is free, or this machine has no address that can reach it"
        }
        ("EADDRNOTAVAIL", ..) => "this machine does not have that address",
        ("EACCES", true, true) if is_missing(error) => "the folder does not exist",
        ("EACCES", true, true) => "the folder is not writable",
        ("EACCES", true, false) => "no permission to connect to the socket",
        ("EACCES", false, true) => "only the administrator may listen on ports below 1024",
        ("ECONNREFUSED", ..) => "no server is listening there",
        ("ENOENT", true, false) => "the socket does not exist",
        ("EINVAL", true, _) => "the path of a Unix socket may have at most about 100 bytes",
        ("ENOTFOUND", ..) if first.host().is_some_and(has_zone) => {
            "this machine has no interface with the name after the % and an IPv6 address"
        }
        ("ENOTFOUND", ..) => "the host name does not exist",
        ("EAI_AGAIN", ..) => "the name servers do not answer",
        ("ETIMEDOUT", ..) => "the host did not answer in time",
        ("EMFILE", ..) => "too many open files; `ulimit -n` is the limit",
        ("ENFILE", ..) => "too many open files in system; `sysctl fs.file-max` is the limit",
        ("EHOSTUNREACH" | "ENETUNREACH", ..) => "there is no route to the address",
        ("ECONNRESET", ..) => "the peer has reset the connection",
        ("EPIPE", ..) => "the peer does not read any more",
        _ => return None,
    })
}

/// Returns what to do about the certificate of a server.
fn hint_of_client(error: &Error) -> Option<&'static str> {
    Some(match error.code().as_str() {
        "UNABLE_TO_GET_ISSUER_CERT_LOCALLY" => {
            "; --ca trusts another authority, and --pin a single certificate"
        }
        // A certificate that openssl has made without further options. rustls gives only this name.
        "ERR_TLS_CERT_INVALID" if error.to_string().contains("CaUsedAsEndEntity") => {
            "; it is the certificate of an authority, which --pin accepts"
        }
        "ERR_TLS_CERT_ALTNAME_INVALID" => "; --sni sets the name to verify",
        _ => return None,
    })
}

/// Returns whether a host is an IPv6 address with a zone.
fn has_zone(host: &str) -> bool {
    let address = host.split_once('%').map(|(address, _)| address.parse::<Ipv6Addr>());
    matches!(address, Some(Ok(_)))
}

/// As in Node, a missing folder is EACCES too. The source of the error has the system's own error.
fn is_missing(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    let system = source.and_then(|source| source.downcast_ref::<io::Error>());
    system.is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use fyke::ErrorCode;

    use super::*;

    #[test]
    fn a_code_that_needs_no_hint_gets_none() {
        let failure = Failure::from(Error::new(ErrorCode::EALREADY, "for once"));
        assert_eq!(failure.to_string(), "EALREADY: for once");
    }

    #[test]
    fn a_failure_is_one_line_with_a_hint() {
        let failure = Failure::from(Error::new(ErrorCode::EPIPE, "it ended"));
        assert_eq!(failure.to_string(), "EPIPE: it ended: the peer does not read any more");
    }
}
