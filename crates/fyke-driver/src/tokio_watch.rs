//! Watches a descriptor with a tokio runtime.

use std::io;
use std::os::fd::BorrowedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Makes the current tokio runtime report when `fd` is readable.
///
/// # Errors
/// If the system cannot watch the descriptor.
///
/// # Panics
/// If it is called outside of a runtime, or if the I/O driver of the runtime is not enabled.
#[allow(unsafe_code, reason = "tokio's function also accepts descriptors that may be closed")]
pub fn watch_with_tokio(fd: BorrowedFd<'_>) -> io::Result<AsyncFd<BorrowedFd<'_>>> {
    // SAFETY: the descriptor stays open while it is borrowed, and the result borrows it.
    let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    watched.map_err(io::Error::from)
}
