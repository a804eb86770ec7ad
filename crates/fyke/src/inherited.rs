//! Descriptors that the process was started with.

use std::os::fd::{OwnedFd, RawFd};

use crate::{Error, ErrorCode, Result};
use fyke_machine::error::MakeError;

/// Takes over a descriptor that this process was started with, by its number: for
/// [`Server::listen_fd`](crate::Server::listen_fd) if it listens, or for
/// [`Socket::from_fd`](crate::Socket::from_fd) if it is a connection.
///
/// The descriptor gets FD_CLOEXEC, so that no child of this process inherits it. Dropping the result
/// closes it. Each descriptor can be taken once. For descriptors that systemd passes, see
/// [`systemd`](crate::systemd). The counterpart of a bare number in Node: `server.listen({ fd: 3 })`.
///
/// ```no_run
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     let server = fyke::create_server(|socket| { socket.end_with("hello"); });
///     server.listen_fd(fyke::inherited_fd(3)?)
/// })
/// # }
/// ```
///
/// # Errors
/// - `EBADF` if there is no open descriptor with that number.
/// - `EEXIST` if it was taken before.
/// - `ERR_INVALID_FD_TYPE` if this process has opened it itself, which is known by its FD_CLOEXEC,
///   and for the standard descriptors 0, 1 and 2.
#[doc(alias = "listen")]
pub fn inherited_fd(number: RawFd) -> Result<OwnedFd> {
    fyke_driver::take_inherited_fd(number).map_err(refused)
}

pub(crate) fn refused(source: std::io::Error) -> Error {
    let ours = source.kind() == std::io::ErrorKind::InvalidInput;
    let error = Error::system("fcntl", source);
    if ours { error.with_code(ErrorCode::ERR_INVALID_FD_TYPE) } else { error }
}
