//! Endpoints in the syntax that all commands accept.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use fyke::{ConnectOptions, Endpoint, ListenOptions, Server, Socket, StaleFile};

use crate::arguments::Limits;
use crate::failure::Failure;
use crate::streams;
use crate::tls;

/// A place to listen at or to connect to: an endpoint of the library, or an inherited descriptor.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Endpoint(Endpoint),
    /// The name that the user typed, and the descriptor.
    Descriptor(String, Rc<OwnedFd>),
}

impl Place {
    /// Several descriptors, if systemd passed several with that name.
    pub(crate) fn parse_each(text: &str) -> Result<Vec<Self>, Failure> {
        match text.strip_prefix("systemd:") {
            Some(name) => from_systemd(text, name),
            None => Ok(vec![Self::parse(text)?]),
        }
    }

    /// fyke parses places itself, because the error message of clap has several lines.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        if let Some(name) = text.strip_prefix("systemd:") {
            let mut places = from_systemd(text, name)?;
            return match (places.pop(), places.len()) {
                (Some(place), 0) => Ok(place),
                _ => Err(Failure::Usage(format!(
                    "{text}: systemd has passed several sockets with this name"
                ))),
            };
        }
        if let Some(number) = text.strip_prefix("fd:") {
            let digits = number.bytes().all(|byte| byte.is_ascii_digit());
            let usage = || {
                Failure::Usage(format!(
                    "{text:?} is not a descriptor; expected a number, as in fd:3"
                ))
            };
            let number = number.parse().ok().filter(|_| digits).ok_or_else(usage)?;
            let fd = inherited(number).map_err(|error| {
                Failure::Usage(format!("{text}: fyke has not inherited this descriptor: {error}"))
            })?;
            return Ok(Self::Descriptor(text.to_owned(), Rc::new(fd)));
        }
        let endpoint =
            text.parse().map_err(|error: fyke::Error| Failure::Usage(error.to_string()))?;
        Ok(Self::Endpoint(endpoint))
    }

    /// Parses a place that can be connected to any number of times.
    pub(crate) fn parse_target(text: &str) -> Result<Self, Failure> {
        match Self::parse(text)? {
            place @ Self::Endpoint(_) => Ok(place),
            place @ Self::Descriptor(..) => Err(Failure::Usage(format!(
                "{place}: a descriptor cannot be a target, because it cannot be connected to repeatedly"
            ))),
        }
    }

    /// Returns whether this descriptor refers to the socket.
    pub(crate) fn is_same_file(&self, fd: BorrowedFd<'_>) -> bool {
        match self {
            Self::Endpoint(_) => false,
            Self::Descriptor(_, own) => streams::is_same_file(own, fd),
        }
    }

    /// Makes `server` listen at this place. `f` runs when it is listening.
    pub(crate) fn listen(
        &self,
        server: &Server,
        limits: &Limits,
        f: impl FnOnce(&Server) + 'static,
    ) -> Result<(), Failure> {
        match self {
            Self::Endpoint(endpoint) => {
                let mut options = ListenOptions::new(endpoint);
                if !limits.keep_stale {
                    options = options.stale_file(StaleFile::IfStale);
                }
                if let Some(mode) = limits.mode {
                    options = options.mode(mode);
                }
                options.listen_then(server, f)?;
            }
            Self::Descriptor(_, fd) => server.listen_fd_then(copy(fd)?, f)?,
        }
        Ok(())
    }

    /// Returns a socket that connects to this place or is already connected. `f` runs when the
    /// connection is established; with TLS, when the handshake is done. Small writes are sent at once: the data was cut into pieces by
    /// another program, which may wait for the answer to each.
    pub(crate) fn connect(
        &self,
        tls: Option<&tls::Client>,
        options: impl FnOnce(ConnectOptions) -> ConnectOptions,
        f: impl FnOnce(&Socket) + 'static,
    ) -> Result<Socket, Failure> {
        let Some(tls) = tls else { return self.connect_plain(options, f) };
        let socket = self.connect_plain(options, |_| {})?;
        // Otherwise the loop would keep the unused socket.
        tls.begin(&socket, self, f).inspect_err(|_| _ = socket.destroy())?;
        Ok(socket)
    }

    fn connect_plain(
        &self,
        options: impl FnOnce(ConnectOptions) -> ConnectOptions,
        f: impl FnOnce(&Socket) + 'static,
    ) -> Result<Socket, Failure> {
        match self {
            // A TCP connection to itself does not mean that a server listens there.
            Self::Endpoint(endpoint) => {
                let options = options(ConnectOptions::new(endpoint).no_delay(true));
                Ok(options.refuse_self_connection(true).connect_then(f)?)
            }
            Self::Descriptor(_, fd) => {
                let socket = Socket::from_fd(copy(fd)?)?;
                socket.set_allow_half_open(true);
                // Only TCP supports the option.
                let _ = socket.set_no_delay(true);
                let same = socket.clone();
                fyke::timer::next_tick(move || f(&same))?;
                Ok(socket)
            }
        }
    }
}

/// Returns the descriptors that sd_listen_fds(3) would return; without a name, all of them.
fn from_systemd(text: &str, name: &str) -> Result<Vec<Place>, Failure> {
    let found = if name.is_empty() {
        fyke::systemd::listen_fds()
    } else {
        fyke::systemd::listen_fds_named(name)
    };
    let found = found.map_err(|error| Failure::Usage(format!("{text}: {error}")))?;
    if found.is_empty() {
        return Err(Failure::Usage(format!("{text}: systemd has passed no socket with this name")));
    }
    let place = |descriptor: fyke::systemd::Descriptor| {
        Place::Descriptor(text.to_owned(), Rc::new(descriptor.into()))
    };
    Ok(found.into_iter().map(place).collect())
}

fn copy(fd: &OwnedFd) -> Result<OwnedFd, Failure> {
    fd.try_clone().map_err(|error| Failure::System("cannot duplicate the descriptor", error))
}

/// Takes over an inherited descriptor, so that programs that this process starts do not inherit it.
/// Call it while the arguments are parsed, because later the number may belong to one of our own
/// descriptors.
///
/// The standard descriptors cannot be closed, because the next file to be opened would get their
/// number. So the socket gets another number, and /dev/null replaces it.
fn inherited(number: i32) -> Result<OwnedFd, Box<dyn std::error::Error>> {
    let null = || File::options().read(true).write(true).open("/dev/null");
    Ok(match number {
        0 => {
            let fd = io::stdin().as_fd().try_clone_to_owned()?;
            rustix::stdio::dup2_stdin(null()?)?;
            fd
        }
        1 => {
            let fd = io::stdout().as_fd().try_clone_to_owned()?;
            rustix::stdio::dup2_stdout(null()?)?;
            fd
        }
        2 => {
            let fd = io::stderr().as_fd().try_clone_to_owned()?;
            rustix::stdio::dup2_stderr(null()?)?;
            fd
        }
        _ => fyke::inherited_fd(number)?,
    })
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(endpoint) => endpoint.fmt(f),
            Self::Descriptor(text, _) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_and_descriptors_are_distinguished() {
        assert!(matches!(Place::parse("fd:0").unwrap(), Place::Descriptor(..)));
        let port = Endpoint::from(80);
        assert!(matches!(Place::parse(":80").unwrap(), Place::Endpoint(other) if other == port));
        for text in ["fd:", "fd:x", "fd:-1", "fd:+1", "fd:99999", "word", "systemd:", "systemd:x"] {
            assert!(matches!(Place::parse(text), Err(Failure::Usage(_))), "{text}");
        }
        for text in [":80", "fd:0", "./x", "abstract:y", "[::1]:80"] {
            assert_eq!(Place::parse(text).unwrap().to_string(), text);
        }
    }
}
