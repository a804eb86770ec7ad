//! Descriptors that come from outside, and those that go there.

use std::io;
use std::os::fd::{OwnedFd, RawFd};

use super::{Backend, Driver};
use crate::trace::step;
use crate::{Adopted, SocketId};

impl Driver {
    /// Takes a descriptor over: a stream socket that listens, is bound, or is connected; a pipe or
    /// FIFO, as a connection. It is made non-blocking and gets FD_CLOEXEC. A standard descriptor
    /// (0, 1, 2) does not get FD_CLOEXEC, and is never closed.
    ///
    /// # Errors
    /// The descriptor is closed then. ENOTSOCK, EINVAL for a socket of another kind, EBADF for a
    /// descriptor that was opened with O_PATH, unsupported in the simulated network. ENOMEM, ENOSPC
    /// and the like if the system cannot watch it. EEXIST for the descriptor of a socket of this
    /// driver, which stays open.
    pub fn adopt(&self, fd: OwnedFd) -> io::Result<(SocketId, Adopted)> {
        let adopted = match &self.backend {
            Backend::Ready(backend) => backend.adopt(fd),
            #[cfg(uring)]
            Backend::Uring(backend) => backend.adopt(fd),
            Backend::Sim(_) => Err(io::ErrorKind::Unsupported.into()),
        }?;
        step!("adopt", found = ?adopted.1);
        Ok(adopted)
    }

    /// Gives a socket's descriptor away: from here on the id is dead, and neither the connection
    /// nor the file of a Unix socket is touched. The descriptor stays non-blocking.
    ///
    /// # Errors
    /// ENOTCONN for a dead id; EBUSY while it connects or sends, or while bytes or an error that the driver has
    /// received wait to be given; unsupported in the simulated
    /// network. The socket is as it was then.
    pub fn detach(&self, socket: SocketId) -> io::Result<OwnedFd> {
        let fd = match &self.backend {
            Backend::Ready(backend) => backend.detach(socket),
            #[cfg(uring)]
            Backend::Uring(backend) => backend.detach(socket),
            Backend::Sim(_) => Err(io::ErrorKind::Unsupported.into()),
        }?;
        step!("detach",);
        Ok(fd)
    }

    /// Another descriptor for the same socket.
    ///
    /// # Errors
    /// What the system says; ENOTCONN for a dead id; unsupported in the simulated network.
    pub fn duplicate(&self, socket: SocketId) -> io::Result<OwnedFd> {
        match &self.backend {
            Backend::Ready(backend) => backend.duplicate(socket),
            #[cfg(uring)]
            Backend::Uring(backend) => backend.duplicate(socket),
            Backend::Sim(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The number of a socket's descriptor; none for a dead id, and in the simulated network.
    pub fn raw_fd(&self, socket: SocketId) -> Option<RawFd> {
        match &self.backend {
            Backend::Ready(backend) => backend.raw_fd(socket),
            #[cfg(uring)]
            Backend::Uring(backend) => backend.raw_fd(socket),
            Backend::Sim(_) => None,
        }
    }
}
