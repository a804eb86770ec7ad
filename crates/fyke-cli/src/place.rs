//! Endpoints as they are typed, the same for every command.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};

use fyke::{ConnectOptions, Endpoint, ListenOptions, Server, Socket, StaleFile};

use crate::arguments::Limits;
use crate::failure::Failure;

/// Where to listen or connect: an endpoint of the library, or a descriptor that this process was
/// started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Endpoint(Endpoint),
    Descriptor(u32),
}

impl Place {
    /// Not left to clap: its answer would be several lines.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        if let Some(number) = text.strip_prefix("fd:") {
            let number = number.parse().ok().filter(|_| !number.starts_with('+'));
            let usage = || Failure::Usage(format!("{text:?}: a descriptor is a number, as fd:3"));
            return number.map(Self::Descriptor).ok_or_else(usage);
        }
        let endpoint =
            text.parse().map_err(|error: fyke::Error| Failure::Usage(error.to_string()))?;
        Ok(Self::Endpoint(endpoint))
    }

    /// Makes `server` listen there; `f` runs when it does.
    pub(crate) fn listen(
        &self,
        server: &Server,
        limits: &Limits,
        f: impl FnOnce(&Server) + 'static,
    ) -> Result<(), Failure> {
        match self {
            Self::Endpoint(endpoint) => {
                let mut options = ListenOptions::new(endpoint)?;
                if !limits.keep_stale {
                    options = options.stale_file(StaleFile::Remove);
                }
                if let Some(mode) = limits.mode {
                    options = options.mode(mode);
                }
                options.listen(server, f)?;
            }
            Self::Descriptor(number) => server.listen_fd(inherited(*number)?, f)?,
        }
        Ok(())
    }

    /// A socket that connects there, or is connected; `f` runs when it is.
    pub(crate) fn connect(
        &self,
        options: impl FnOnce(ConnectOptions) -> ConnectOptions,
        f: impl FnOnce(&Socket) + 'static,
    ) -> Result<Socket, Failure> {
        match self {
            Self::Endpoint(endpoint) => Ok(options(ConnectOptions::new(endpoint)?).connect(f)?),
            Self::Descriptor(number) => {
                let socket = Socket::from_fd(inherited(*number)?)?;
                socket.set_allow_half_open(true);
                let same = socket.clone();
                fyke::timer::next_tick(move || f(&same))?;
                Ok(socket)
            }
        }
    }
}

/// A copy of a descriptor that this process was started with.
fn inherited(number: u32) -> Result<OwnedFd, Failure> {
    let copied = match number {
        0 => std::io::stdin().as_fd().try_clone_to_owned(),
        1 => std::io::stdout().as_fd().try_clone_to_owned(),
        _ => return Err(Failure::Usage(format!("fd:{number}: only fd:0 and fd:1 are known"))),
    };
    copied.map_err(|error| Failure::System("the descriptor", error))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(endpoint) => endpoint.fmt(f),
            Self::Descriptor(number) => write!(f, "fd:{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_and_descriptors_are_told_apart() {
        assert_eq!(Place::parse("fd:3").unwrap(), Place::Descriptor(3));
        assert_eq!(Place::parse(":80").unwrap(), Place::Endpoint(80.into()));
        for text in ["fd:", "fd:x", "fd:-1", "fd:+1", "word"] {
            assert!(matches!(Place::parse(text), Err(Failure::Usage(_))), "{text}");
        }
        for text in [":80", "fd:3", "./x", "abstract:y", "[::1]:80"] {
            assert_eq!(Place::parse(text).unwrap().to_string(), text);
        }
    }
}
