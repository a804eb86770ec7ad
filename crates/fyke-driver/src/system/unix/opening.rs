//! Creating a socket from a request, step by step.

use std::os::fd::OwnedFd;

use rustix::io::Errno;

use super::BoundFile;
use crate::{Address, Open, OpenError, Transport};

/// Creates a socket, sets its options, and binds it if requested; also returns the file that the bind
/// created.
pub(crate) fn open(request: &Open) -> Result<(OwnedFd, Option<BoundFile>), OpenError> {
    let before_bind = |errno: Errno| OpenError { at_bind: false, source: errno.into() };
    let fd = super::socket(request.transport).map_err(before_bind)?;
    set_options(&fd, request).map_err(before_bind)?;
    let mut file = None;
    if request.closed_to_all && matches!(request.bind, Some(Address::Path(_))) {
        super::bound_file::close_to_all(super::borrow(&fd)).map_err(before_bind)?;
    }
    if let Some(address) = &request.bind {
        bind(&fd, address).map_err(|errno| OpenError { at_bind: true, source: errno.into() })?;
        if let Address::Path(path) = address {
            file = BoundFile::new(path);
        }
    }
    Ok((fd, file))
}

fn set_options(fd: &OwnedFd, request: &Open) -> Result<(), Errno> {
    let fd = super::borrow(fd);
    if request.reuse_address {
        super::set_reuse_address(fd)?;
    }
    if request.reuse_port {
        super::set_reuse_port(fd)?;
    }
    if let Some(bytes) = request.send_buffer_bytes {
        super::options::set_send_buffer(fd, bytes)?;
    }
    if let Some(bytes) = request.receive_buffer_bytes {
        super::options::set_receive_buffer(fd, bytes)?;
    }
    match (request.transport, request.ipv6_only) {
        (Transport::Tcp(crate::Family::V6), Some(only)) => super::set_ipv6_only(fd, only),
        _ => Ok(()),
    }
}

fn bind(fd: &OwnedFd, address: &Address) -> Result<(), Errno> {
    super::bind(super::borrow(fd), address).map_err(|errno| match errno {
        // For an address of the other family, the same as libuv (CON-13).
        Errno::AFNOSUPPORT => Errno::INVAL,
        errno => errno,
    })
}

/// There is a moment between the check and the removal: a server that begins to listen in it loses its
/// file. Two servers that start at the same time must not both request this.
pub(crate) fn remove_stale(address: &Address) -> bool {
    let Address::Path(path) = address else { return false };
    let stale = super::is_socket(path)
        && super::socket(Transport::Unix).is_ok_and(|probe| {
            // Non-blocking: a server that is only busy returns EAGAIN.
            super::connect(super::borrow(&probe), address) == Err(Errno::CONNREFUSED)
        });
    if stale {
        super::unlink(path);
    }
    stale
}
