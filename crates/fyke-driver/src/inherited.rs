//! Descriptors that the process has inherited.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

/// The first descriptor after the standard ones: SD_LISTEN_FDS_START of sd_listen_fds(3).
const FIRST: RawFd = 3;

/// The numbers that were taken: each descriptor can be owned once.
static TAKEN: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());

fn taken() -> MutexGuard<'static, BTreeSet<RawFd>> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the descriptors 3 to 3 + `count` - 1, which the parent process has passed, and sets FD_CLOEXEC
/// on them. Either all are taken or none; see [`take_inherited_fd`].
///
/// # Errors
/// Those of [`take_inherited_fd`]; also EINVAL if the range exceeds the valid numbers.
pub fn take_inherited(count: usize) -> io::Result<Vec<OwnedFd>> {
    let count = RawFd::try_from(count).ok();
    let end =
        count.and_then(|count| FIRST.checked_add(count)).ok_or(io::ErrorKind::InvalidInput)?;
    let mut taken = taken();
    (FIRST..end).try_for_each(|number| check(&taken, number))?;
    (FIRST..end).map(|number| take(&mut taken, number)).collect()
}

/// Takes one descriptor that the process has inherited, and sets FD_CLOEXEC on it.
///
/// The descriptor must be open and must have passed through `exec`, which closes descriptors with
/// FD_CLOEXEC. Rust opens all descriptors with that flag, so a descriptor that belongs to another part
/// of this process is refused.
///
/// # Errors
/// EBADF if it is not open; EINVAL for a standard descriptor (0, 1, 2) and for one that this process
/// has opened; EEXIST if it was taken before.
pub fn take_inherited_fd(number: RawFd) -> io::Result<OwnedFd> {
    if number < FIRST {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut taken = taken();
    check(&taken, number)?;
    take(&mut taken, number)
}

fn check(taken: &BTreeSet<RawFd>, number: RawFd) -> io::Result<()> {
    if taken.contains(&number) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    match look_at(number)?.contains(FdFlags::CLOEXEC) {
        true => Err(io::ErrorKind::InvalidInput.into()),
        false => Ok(()),
    }
}

fn take(taken: &mut BTreeSet<RawFd>, number: RawFd) -> io::Result<OwnedFd> {
    taken.insert(number);
    let fd = own(number);
    fcntl_setfd(fd.as_fd(), FdFlags::CLOEXEC)?;
    Ok(fd)
}

#[allow(unsafe_code, reason = "a descriptor that is only known by its number")]
fn look_at(number: RawFd) -> io::Result<FdFlags> {
    // SAFETY: the number is at least 3, so it is not -1, and the borrow lives for one fcntl, which
    // neither reads nor closes anything and answers EBADF if nothing is open there.
    Ok(fcntl_getfd(unsafe { BorrowedFd::borrow_raw(number) })?)
}

#[allow(unsafe_code, reason = "a descriptor that is only known by its number")]
fn own(number: RawFd) -> OwnedFd {
    // SAFETY: it is open and was there before this process's program began, see `check`, so it is
    // for the first part of the program that asks; and `TAKEN` lets only one have it.
    unsafe { OwnedFd::from_raw_fd(number) }
}
