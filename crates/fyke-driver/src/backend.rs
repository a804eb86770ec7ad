//! The operations that a backend implements. The contract is in the [crate's documentation](crate); each
//! operation is described in [`Driver`](crate::Driver).

use std::io::{self, IoSlice};
use std::net::IpAddr;
#[cfg(unix)]
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

#[cfg(unix)]
use crate::Adopted;
use crate::pool::Pool;
use crate::uninit::Unfilled;
use crate::{
    Address, Batch, Completion, KeepAliveProbes, Moment, Open, OpenError, PeerCredentials,
    SocketId, SocketOption, Waker,
};

/// A backend: its sockets and the operations on them.
///
/// Only [`turn`](Self::turn) may emit trace events, because the subscriber is user code. For the other
/// operations, [`Driver`](crate::Driver) emits them when nothing is borrowed.
pub(crate) trait Backend: Properties {
    fn name(&self) -> &'static str;

    /// Returns the time on the driver's clock, which is its only clock.
    fn now(&self) -> Moment;

    fn waker(&self) -> Waker;

    fn pool(&self) -> &Pool;

    fn open(&self, request: &Open) -> Result<SocketId, OpenError>;

    fn listen(&self, socket: SocketId, backlog: i32) -> io::Result<()>;

    fn accept_start(&self, listener: SocketId) -> io::Result<()>;

    fn accept_stop(&self, listener: SocketId);

    fn connect(&self, socket: SocketId, target: &Address);

    fn receive_start(&self, socket: SocketId) -> io::Result<()>;

    fn receive_stop(&self, socket: SocketId);

    fn readable_start(&self, socket: SocketId) -> io::Result<()>;

    /// Returns `true` if it is known that a read would fail with `WouldBlock`.
    fn is_drained(&self, _socket: SocketId) -> bool {
        false
    }

    /// The returned bytes are the first ones of `buffer`, which is not empty.
    fn read_into<'a>(&self, socket: SocketId, buffer: Unfilled<'a>) -> io::Result<&'a mut [u8]>;

    /// Copies what [`read_into`](Self::read_into) would return, without consuming it.
    fn peek_into<'a>(&self, socket: SocketId, buffer: Unfilled<'a>) -> io::Result<&'a mut [u8]>;

    fn send(&self, socket: SocketId, batch: Batch) -> io::Result<usize>;

    /// Drops no value of the user.
    fn send_at_once(&self, socket: SocketId, bytes: &[u8]) -> io::Result<usize>;

    fn send_vectored_at_once(&self, socket: SocketId, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    fn writable_start(&self, socket: SocketId) -> io::Result<()>;

    /// Returns whether the system call succeeded.
    fn shutdown(&self, socket: SocketId) -> bool;

    /// Returns whether the socket existed.
    fn close(&self, socket: SocketId) -> bool;

    /// Returns whether the socket existed.
    fn reset(&self, socket: SocketId) -> bool;

    fn has_work(&self) -> bool;

    fn next_deadline(&self) -> Option<Moment>;

    fn turn(&self, until: Option<Moment>, on: &mut dyn FnMut(Completion<'_>)) -> io::Result<()>;

    /// Resolves a host name, in a network that defines its own names.
    fn resolve(&self, _host: &str) -> Option<(Duration, Vec<IpAddr>)> {
        None
    }

    /// Does nothing if the names of Unix sockets are not files.
    fn remove_stale(&self, _address: &Address) -> bool {
        false
    }

    /// Does nothing if there are no files.
    fn set_mode(&self, _socket: SocketId, _mode: u32) -> io::Result<()> {
        Ok(())
    }

    #[cfg(unix)]
    fn adopt(&self, _fd: OwnedFd) -> io::Result<(SocketId, Adopted)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[cfg(unix)]
    fn detach(&self, _socket: SocketId) -> io::Result<OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[cfg(unix)]
    fn duplicate(&self, _socket: SocketId) -> io::Result<OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[cfg(unix)]
    fn raw_fd(&self, _socket: SocketId) -> Option<RawFd> {
        None
    }

    /// Returns the descriptor that a host's own loop can watch.
    #[cfg(unix)]
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Options and properties of an existing socket. Every operation fails with ENOTCONN for a dead id.
pub(crate) trait Properties {
    fn local_address(&self, socket: SocketId) -> io::Result<Address>;

    fn peer_address(&self, socket: SocketId) -> io::Result<Address>;

    fn set_option(&self, socket: SocketId, option: SocketOption) -> io::Result<()>;

    fn no_delay(&self, socket: SocketId) -> io::Result<bool>;

    fn keep_alive(&self, socket: SocketId) -> io::Result<Option<KeepAliveProbes>>;

    fn user_timeout(&self, socket: SocketId) -> io::Result<Option<Duration>>;

    /// Returns the sizes of the send buffer and of the receive buffer.
    fn buffer_bytes(&self, socket: SocketId) -> io::Result<(usize, usize)>;

    fn unacknowledged_bytes(&self, socket: SocketId) -> io::Result<usize>;

    fn type_of_service(&self, socket: SocketId) -> io::Result<u8>;

    /// Not supported by a backend without processes.
    fn peer_credentials(&self, _socket: SocketId) -> io::Result<PeerCredentials> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
