//! The other end of a connection that is gone.

use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};

/// SO_PEERNAME: what accept(2) says, in whatever state the connection is.
pub(super) fn peer_name(socket: BorrowedFd<'_>) -> Option<SocketAddr> {
    // The kernel refuses to write less than it is asked for, so the larger one is tried first.
    if let Some(v6) = ask::<libc::sockaddr_in6>(socket) {
        if i32::from(v6.sin6_family) == libc::AF_INET6 {
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            return Some(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into());
        }
    }
    let v4 = ask::<libc::sockaddr_in>(socket)?;
    let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
    (i32::from(v4.sin_family) == libc::AF_INET)
        .then(|| SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
}

/// `T` is one of C's address structs: integers, all of whose values are allowed.
#[allow(unsafe_code, reason = "rustix does not have this option")]
fn ask<T: Copy>(socket: BorrowedFd<'_>) -> Option<T> {
    let mut address = MaybeUninit::<T>::zeroed();
    let mut length = libc::socklen_t::try_from(size_of::<T>()).ok()?;
    // SAFETY: address and length live across the call, and the length is the address's. It is
    // initialised before, with zeros, which is a value of `T`.
    unsafe {
        let (socket, place) = (socket.as_raw_fd(), address.as_mut_ptr().cast());
        let result =
            libc::getsockopt(socket, libc::SOL_SOCKET, libc::SO_PEERNAME, place, &raw mut length);
        (result == 0).then(|| address.assume_init())
    }
}
