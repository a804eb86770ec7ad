//! Descriptors that this process inherited when it was started.

use std::os::fd::{OwnedFd, RawFd};

use crate::{Error, ErrorCode, Result};
use fyke_machine::error::MakeError;

/// Takes over a descriptor that this process inherited when it was started, by its number. If it listens,
/// pass it to [`Server::listen_fd`](crate::Server::listen_fd); if it is a connection, pass it to
/// [`Socket::from_fd`](crate::Socket::from_fd).
///
/// The descriptor gets FD_CLOEXEC, so that no child of this process inherits it. Dropping the result closes
/// it. Each descriptor can be taken once. For descriptors that systemd passes, see
/// [`systemd`](crate::systemd). Node: a descriptor number, as in `server.listen({ fd: 3 })`.
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
/// - `EEXIST` if the descriptor was already taken.
/// - `ERR_INVALID_FD_TYPE` if this process has opened the descriptor itself, which fyke detects by its
///   FD_CLOEXEC, and for the standard descriptors 0, 1 and 2.
#[doc(alias = "listen")]
pub fn inherited_fd(number: RawFd) -> Result<OwnedFd> {
    fyke_driver::take_inherited_fd(number).map_err(refused)
}

pub(crate) fn refused(source: std::io::Error) -> Error {
    let ours = source.kind() == std::io::ErrorKind::InvalidInput;
    let error = Error::system("fcntl", source);
    if ours { error.with_code(ErrorCode::ERR_INVALID_FD_TYPE) } else { error }
}
