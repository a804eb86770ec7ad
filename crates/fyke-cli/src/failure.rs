//! Failures that end the command with an exit status other than 0. Each is printed as one line: the
//! text of the error, and a hint on what it means here.

use std::fmt;
use std::io;
use std::net::Ipv6Addr;
use std::process::ExitCode;

use fyke::{Error, ErrorCode};
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
            Self::Unreachable(error) if error.code() != ErrorCode::ETIMEDOUT => 3,
            Self::Unreachable(_) | Self::Late(_) => 4,
            Self::Network(error) => match error.code().as_str() {
                "ECONNRESET" | "EPIPE" | "ECONNABORTED" => 5,
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
        ("EADDRINUSE", true, _) => "another program listens there, or it is no socket",
        ("EADDRINUSE", false, _) if first.port().is_none() => "no local port is free",
        ("EADDRINUSE", false, true) => "another program listens there",
        ("EADDRINUSE", false, false) => "that local port is in use",
        // The error has a local address only if the user gave the local port.
        ("EADDRNOTAVAIL", ..) if connects && first.local_address().is_some() => {
            "that local port has such a connection already, or had one a moment ago"
        }
        ("EADDRNOTAVAIL", ..) if connects => {
            "no local port is free, or no address of this machine reaches that one"
        }
        ("EADDRNOTAVAIL", ..) => "that is not an address of this machine",
        ("EACCES", true, true) if is_missing(error) => "there is no such folder",
        ("EACCES", true, true) => "that folder is not writable",
        ("EACCES", true, false) => "no permission for that socket",
        ("EACCES", false, true) => "ports below 1024 are the administrator's",
        ("ECONNREFUSED", ..) => "nobody listens there",
        ("ENOENT", true, false) => "there is no such socket",
        ("EINVAL", true, _) => "the path of a Unix socket has at most about 100 bytes",
        ("ENOTFOUND", ..) if first.host().is_some_and(has_zone) => {
            "no interface of this machine with an IPv6 address has the name after the %"
        }
        ("ENOTFOUND", ..) => "no host has that name",
        ("EAI_AGAIN", ..) => "the name servers do not answer",
        ("ETIMEDOUT", ..) => "no answer from there in time",
        ("EMFILE", ..) => "too many open files; `ulimit -n` is the limit",
        ("ENFILE", ..) => "too many open files in system; `sysctl fs.file-max` is the limit",
        ("EHOSTUNREACH" | "ENETUNREACH", ..) => "there is no way to that address",
        ("ECONNRESET", ..) => "the peer has broken the connection off",
        ("EPIPE", ..) => "the peer does not read any more",
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
