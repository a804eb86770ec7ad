//! The process at the other end of a Unix socket.

use std::io;
use std::os::fd::BorrowedFd;

use crate::PeerCredentials;

/// SO_PEERCRED (unix(7)). TCP sockets return it too, without a process, so they are refused here.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[allow(unsafe_code, reason = "rustix's type has no place for pid 0")]
pub(crate) fn peer_credentials(socket: BorrowedFd<'_>) -> io::Result<PeerCredentials> {
    if rustix::net::getsockname(socket)?.address_family() != rustix::net::AddressFamily::UNIX {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // Without rustix, whose type cannot represent the pid 0 of a process outside of our pid namespace
    // (pid_namespaces(7), "SCM_CREDENTIALS").
    let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = libc::socklen_t::try_from(size_of::<libc::ucred>()).unwrap_or(0);
    // SAFETY: `found` and `len` are ours and live through the call; the kernel writes at most `len`
    // bytes, the size of `found`, and every pattern of bits is a `ucred`. The descriptor is borrowed.
    let result = unsafe {
        libc::getsockopt(
            std::os::fd::AsRawFd::as_raw_fd(&socket),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &raw mut len,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(PeerCredentials::new(found.pid, found.uid, found.gid))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn peer_credentials(_: BorrowedFd<'_>) -> io::Result<PeerCredentials> {
    Err(io::ErrorKind::Unsupported.into())
}
