//! A descriptor that a runtime of tokio watches.

use std::io;
use std::os::fd::BorrowedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has the current runtime of tokio report when `fd` is readable.
///
/// # Errors
/// If the system cannot watch the descriptor.
///
/// # Panics
/// Outside of a runtime whose I/O driver is enabled.
#[allow(unsafe_code, reason = "tokio's call takes descriptors that nothing keeps open")]
pub fn watch_with_tokio(fd: BorrowedFd<'_>) -> io::Result<AsyncFd<BorrowedFd<'_>>> {
    // SAFETY: the descriptor stays open as long as it is borrowed, and the result borrows it.
    let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    watched.map_err(io::Error::from)
}
