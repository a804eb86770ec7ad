//! Socket activation: descriptors that systemd, or another program with the same protocol, opened before it
//! started this process,
//! [sd_listen_fds(3)](https://www.freedesktop.org/software/systemd/man/sd_listen_fds.html).
//!
//! A unit `echo.socket` with `ListenStream=8888` and a unit `echo.service` are enough: systemd listens,
//! starts the service when the first client connects, and passes the listening socket to it. No client is
//! refused while the service starts or restarts, and the service needs no privileges for its port.
//!
//! `examples/activated.rs`; try it with `systemd-socket-activate -l 8888`:
//!
#![doc = concat!("```no_run\n", include_str!("../examples/activated.rs"), "```")]
//!
//! The protocol uses environment variables: `LISTEN_PID` is the process that the descriptors are meant for,
//! `LISTEN_FDS` is their number, counted from descriptor 3, and `LISTEN_FDNAMES` contains their names
//! (`FileDescriptorName=` in the unit). fyke reads them once per process. Each descriptor is returned once,
//! with CLOEXEC set, so that no child of this process inherits it.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::{Error, ErrorCode, Result};

/// The name of a descriptor without a name, as in sd_listen_fds_with_names(3).
const UNNAMED: &str = "unknown";

/// A descriptor that was passed to the process at its start, and its name. If it listens, pass it to
/// [`Server::listen_fd`](crate::Server::listen_fd); if it is a connection (`Accept=yes` in the unit), pass
/// it to [`Socket::from_fd`](crate::Socket::from_fd). Dropping it closes the descriptor.
#[derive(Debug)]
pub struct Descriptor {
    name: String,
    fd: OwnedFd,
}

impl Descriptor {
    /// The unit's `FileDescriptorName=`, by default the unit's name; `unknown` if the descriptor has no
    /// name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Descriptor> for OwnedFd {
    fn from(descriptor: Descriptor) -> Self {
        descriptor.fd
    }
}

/// Returns all descriptors that were passed to this process and were not returned before, in their order.
/// Empty if the process was not started by socket activation, if no descriptors were passed
/// (`LISTEN_FDS=0`), or if the descriptors are meant for another process.
///
/// ```
/// // A process that systemd did not start by socket activation gets none.
/// assert!(fyke::systemd::listen_fds()?.is_empty());
/// # Ok::<(), fyke::Error>(())
/// ```
///
/// # Errors
/// The call fails in the same way each time, and no descriptor is changed:
/// - `ERR_INVALID_ARG_VALUE` if the environment variables are malformed, or the number of names is not the
///   number of descriptors.
/// - `EBADF` if a descriptor is not open.
/// - `ERR_INVALID_FD_TYPE` if this process has opened a descriptor itself.
pub fn listen_fds() -> Result<Vec<Descriptor>> {
    Ok(std::mem::take(&mut *inherited()?))
}

/// Returns the descriptors with this name. The others remain available to later calls.
///
/// ```
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     let web = fyke::systemd::listen_fds_named("web")?;
///     if web.is_empty() {
///         println!("started by hand: listening on a port of our own");
///     }
///     for descriptor in web {
///         assert_eq!(descriptor.name(), "web");
///         fyke::create_server(|socket| _ = socket.pipe(socket)).listen_fd(descriptor.into())?;
///     }
///     Ok(())
/// })
/// # }
/// ```
///
/// # Errors
/// The errors of [`listen_fds`].
pub fn listen_fds_named(name: &str) -> Result<Vec<Descriptor>> {
    let mut inherited = inherited()?;
    let all = std::mem::take(&mut *inherited);
    let (named, others) = all.into_iter().partition(|descriptor| descriptor.name == name);
    *inherited = others;
    Ok(named)
}

/// The descriptors that were not returned yet. They are process-wide state, because descriptors belong to
/// the process.
fn inherited() -> Result<MutexGuard<'static, Vec<Descriptor>>> {
    static INHERITED: OnceLock<Result<Mutex<Vec<Descriptor>>>> = OnceLock::new();
    let found = INHERITED.get_or_init(|| {
        let environment = Environment::of_process()?;
        take(&environment.announced(std::process::id())?).map(Mutex::new)
    });
    match found {
        Ok(descriptors) => Ok(descriptors.lock().unwrap_or_else(PoisonError::into_inner)),
        Err(error) => Err(error.clone()),
    }
}

fn take(announced: &Announced) -> Result<Vec<Descriptor>> {
    if announced.count == 0 {
        return Ok(Vec::new());
    }
    let fds = fyke_driver::take_inherited(announced.count).map_err(crate::inherited::refused)?;
    let mut names = announced.names.iter().cloned();
    let name = |fd| Descriptor { name: names.next().unwrap_or_else(|| UNNAMED.into()), fd };
    Ok(fds.into_iter().map(name).collect())
}

/// The three environment variables.
#[derive(Debug, Default)]
struct Environment {
    pid: Option<String>,
    fds: Option<String>,
    /// Read only after it is known that the variables are meant for this process.
    names: Option<OsString>,
}

/// The contents of the variables.
#[derive(Debug, Default, PartialEq, Eq)]
struct Announced {
    count: usize,
    /// Either one name per descriptor, or empty.
    names: Vec<String>,
}

impl Environment {
    fn of_process() -> Result<Self> {
        let text = |name: &'static str| {
            let not_text = |_: OsString| malformed(name);
            std::env::var_os(name).map(|value| value.into_string().map_err(not_text)).transpose()
        };
        Ok(Self {
            pid: text("LISTEN_PID")?,
            fds: text("LISTEN_FDS")?,
            names: std::env::var_os("LISTEN_FDNAMES"),
        })
    }

    /// Parses the variables, if they are meant for this process.
    fn announced(&self, pid: u32) -> Result<Announced> {
        let (Some(for_pid), Some(count)) = (&self.pid, &self.fds) else {
            return Ok(Announced::default());
        };
        // The variables are meant for a parent process, whose descriptors this process does not have.
        if number(for_pid).ok_or_else(|| malformed("LISTEN_PID"))? != pid {
            return Ok(Announced::default());
        }
        if count == "0" {
            return Ok(Announced::default());
        }
        let count = number(count).and_then(|count| usize::try_from(count).ok());
        let count = count.ok_or_else(|| malformed("LISTEN_FDS"))?;
        let Some(names) = &self.names else { return Ok(Announced { count, names: Vec::new() }) };
        let names = names.to_str().ok_or_else(|| malformed("LISTEN_FDNAMES"))?;
        let names: Vec<String> = names.split(':').map(str::to_owned).collect();
        match names.len() == count {
            true => Ok(Announced { count, names }),
            false => Err(malformed("LISTEN_FDNAMES")),
        }
    }
}

/// Parses decimal digits. Zero and all other text return `None`.
fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number != 0 && *number <= i32::MAX as u32)
}

fn malformed(name: &str) -> Error {
    let message = format!("the environment variable {name} is not valid");
    Error::new(ErrorCode::ERR_INVALID_ARG_VALUE, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PID: u32 = 4711;

    fn announced(pid: Option<&str>, fds: Option<&str>, names: Option<&str>) -> Result<Announced> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let names = names.map(OsString::from);
        Environment { pid: owned(pid), fds: owned(fds), names }.announced(PID)
    }

    #[test]
    fn descriptors_are_announced_with_or_without_names() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let found = announced(Some("4711"), Some("2"), None).unwrap();
        assert_eq!(found, Announced { count: 2, names: names(&[]) });
        let found = announced(Some("4711"), Some("2"), Some("web:")).unwrap();
        assert_eq!(found, Announced { count: 2, names: names(&["web", ""]) });
    }

    #[test]
    fn without_an_announcement_for_this_process_there_are_no_descriptors() {
        for (pid, fds) in [(None, None), (Some("4711"), None), (None, Some("1"))] {
            assert_eq!(announced(pid, fds, None).unwrap(), Announced::default());
        }
        // No descriptors have no names, and one empty name is how the variable is read then.
        for names in [None, Some(""), Some("web")] {
            let found = announced(Some("4711"), Some("0"), names).unwrap();
            assert_eq!(found, Announced::default());
        }
        // The variables are meant for a parent process that did not remove them: they are not even parsed.
        let theirs = announced(Some("4712"), Some("nonsense"), Some(":::"));
        assert_eq!(theirs.unwrap(), Announced::default());
    }

    #[test]
    fn names_that_are_not_unicode_fail_only_if_they_are_for_this_process() {
        use std::os::unix::ffi::OsStringExt;

        for (pid, is_err) in [("4711", true), ("4712", false)] {
            let names = Some(OsString::from_vec(vec![0xff]));
            let environment = Environment { pid: Some(pid.into()), fds: Some("1".into()), names };
            assert_eq!(environment.announced(PID).is_err(), is_err);
        }
    }

    #[test]
    fn an_invalid_announcement_is_an_error_with_a_code() {
        let huge = "9".repeat(1000);
        for bad in ["", "00", "-1", "+1", " 1", "1 ", "1.0", "0x1", "one", "2147483648", &huge] {
            for result in
                [announced(Some(bad), Some("1"), None), announced(Some("4711"), Some(bad), None)]
            {
                let code = result.map(drop).unwrap_err().code();
                assert_eq!(code, ErrorCode::ERR_INVALID_ARG_VALUE, "{bad:?}");
            }
        }
        for names in ["", "a:b", &":".repeat(100_000)] {
            let fds = if names.is_empty() { "2" } else { "1" };
            let code = announced(Some("4711"), Some(fds), Some(names)).unwrap_err().code();
            assert_eq!(code, ErrorCode::ERR_INVALID_ARG_VALUE);
        }
    }

    #[test]
    fn the_highest_count_allocates_nothing() {
        let found = announced(Some("4711"), Some("2147483647"), None).unwrap();
        assert_eq!((found.count, found.names.len()), (i32::MAX as usize, 0));
        let code = take(&found).unwrap_err().code();
        assert!([ErrorCode::ERR_INVALID_FD_TYPE, ErrorCode::EBADF].contains(&code));
    }
}
