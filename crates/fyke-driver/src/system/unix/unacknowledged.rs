//! The number of sent bytes that have not reached the peer's system (tcp(7), unix(7)).

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

#[cfg(any(target_os = "linux", target_os = "android"))]
#[allow(unsafe_code, reason = "rustix does not have this call")]
pub(crate) fn unacknowledged_bytes(fd: BorrowedFd<'_>) -> Result<usize, Errno> {
    use std::os::fd::AsRawFd;

    let mut bytes: libc::c_int = 0;
    // SAFETY: SIOCOUTQ, which is TIOCOUTQ by number, writes one int to the place that it is given.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result != 0 {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO));
    }
    Ok(usize::try_from(bytes).unwrap_or(0))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn unacknowledged_bytes(_: BorrowedFd<'_>) -> Result<usize, Errno> {
    Err(Errno::OPNOTSUPP)
}
