//! The operations of a backend, each once. The contract is in the [crate's documentation](crate), and
//! each operation is described at [`Driver`](crate::Driver).

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

/// A backend: sockets, and the operations on them.
///
/// No operation but [`turn`](Self::turn) emits trace events: the subscriber is the user's code, and
/// [`Driver`](crate::Driver) emits them when nothing is borrowed.
pub(crate) trait Backend: Properties {
    fn name(&self) -> &'static str;

    /// The only clock.
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

    /// The bytes are the first ones of `buffer`, which is not empty.
    /// Whether it is known that there is nothing to read.
    fn is_drained(&self, _socket: SocketId) -> bool {
        false
    }

    fn read_into<'a>(&self, socket: SocketId, buffer: Unfilled<'a>) -> io::Result<&'a mut [u8]>;

    /// As [`read_into`](Self::read_into), and takes nothing.
    fn peek_into<'a>(&self, socket: SocketId, buffer: Unfilled<'a>) -> io::Result<&'a mut [u8]>;

    fn send(&self, socket: SocketId, batch: Batch) -> io::Result<usize>;

    /// Drops no user value.
    fn send_at_once(&self, socket: SocketId, bytes: &[u8]) -> io::Result<usize>;

    fn send_vectored_at_once(&self, socket: SocketId, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    fn writable_start(&self, socket: SocketId) -> io::Result<()>;

    /// Returns whether the system has ended our side.
    fn shutdown(&self, socket: SocketId) -> bool;

    /// Returns whether there was such a socket.
    fn close(&self, socket: SocketId) -> bool;

    /// Returns whether there was such a socket.
    fn reset(&self, socket: SocketId) -> bool;

    fn has_work(&self) -> bool;

    fn next_deadline(&self) -> Option<Moment>;

    fn turn(&self, until: Option<Moment>, on: &mut dyn FnMut(Completion<'_>)) -> io::Result<()>;

    /// The answer of a network that defines its own names.
    fn resolve(&self, _host: &str) -> Option<(Duration, Vec<IpAddr>)> {
        None
    }

    /// Where the names of Unix sockets are not files, no file is stale.
    fn remove_stale(&self, _address: &Address) -> bool {
        false
    }

    /// Without files there is no mode to set.
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

    /// The descriptor for a host's own loop.
    #[cfg(unix)]
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Options and properties of an existing socket. ENOTCONN for a dead id.
pub(crate) trait Properties {
    fn local_address(&self, socket: SocketId) -> io::Result<Address>;

    fn peer_address(&self, socket: SocketId) -> io::Result<Address>;

    fn set_option(&self, socket: SocketId, option: SocketOption) -> io::Result<()>;

    fn no_delay(&self, socket: SocketId) -> io::Result<bool>;

    fn keep_alive(&self, socket: SocketId) -> io::Result<Option<KeepAliveProbes>>;

    fn user_timeout(&self, socket: SocketId) -> io::Result<Option<Duration>>;

    /// The sizes of the send buffer and the receive buffer.
    fn buffer_bytes(&self, socket: SocketId) -> io::Result<(usize, usize)>;

    fn unacknowledged_bytes(&self, socket: SocketId) -> io::Result<usize>;

    fn type_of_service(&self, socket: SocketId) -> io::Result<u8>;

    /// Not supported where there are no processes.
    fn peer_credentials(&self, _socket: SocketId) -> io::Result<PeerCredentials> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
