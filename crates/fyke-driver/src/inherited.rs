//! Descriptors that the process was started with.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

/// The first descriptor after the standard ones: SD_LISTEN_FDS_START of sd_listen_fds(3).
const FIRST: RawFd = 3;

/// They can be owned once.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Takes the descriptors 3 to 3 + `count` - 1, which whoever started the process has put there, and
/// sets CLOEXEC on them. They are looked at first: each must be open, and must have come through
/// exec, which nothing with CLOEXEC does. Since whatever Rust opens has it, no descriptor that
/// belongs to somebody in this process passes. All are taken or none.
///
/// # Errors
/// EBADF for one that is not open; EINVAL for one that was opened here, and for a count past the
/// last number there is; EEXIST when they were taken before.
pub fn take_inherited(count: usize) -> io::Result<Vec<OwnedFd>> {
    let count = RawFd::try_from(count).ok();
    let end =
        count.and_then(|count| FIRST.checked_add(count)).ok_or(io::ErrorKind::InvalidInput)?;
    for number in FIRST..end {
        if look_at(number)?.contains(FdFlags::CLOEXEC) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
    }
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    (FIRST..end)
        .map(|number| {
            let fd = own(number);
            fcntl_setfd(fd.as_fd(), FdFlags::CLOEXEC)?;
            Ok(fd)
        })
        .collect()
}

#[allow(unsafe_code, reason = "a descriptor that is only known by its number")]
fn look_at(number: RawFd) -> io::Result<FdFlags> {
    // SAFETY: the number is at least 3, so it is not -1, and the borrow lives for one fcntl, which
    // neither reads nor closes anything and answers EBADF if nothing is open there.
    Ok(fcntl_getfd(unsafe { BorrowedFd::borrow_raw(number) })?)
}

#[allow(unsafe_code, reason = "a descriptor that is only known by its number")]
fn own(number: RawFd) -> OwnedFd {
    // SAFETY: it is open and was there before this process's program began, see `look_at`; by
    // the protocol of sd_listen_fds(3) it is for whoever asks first, and `TAKEN` lets only one.
    unsafe { OwnedFd::from_raw_fd(number) }
}
