//! The public driver type. Only this module knows which backend runs.
//!
//! Trace events are emitted here, after the backend's operation has returned. The subscriber is user code,
//! which may call any operation, so nothing may be borrowed at that point.

use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

#[cfg(unix)]
use crate::Adopted;
use crate::backend::{Backend, Properties};
use crate::sim::{Sim, SimOptions};
use crate::trace::step;
use crate::{
    Address, Batch, Completion, KeepAliveProbes, Moment, Open, OpenError, PeerCredentials,
    SocketId, SocketOption, Waker,
};

/// Which backend to use.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum DriverKind {
    /// The best backend for the machine. Currently always [`Ready`](Self::Ready), see `docs/PLATFORM.md`.
    #[default]
    Auto,
    /// Readiness through mio: epoll on Linux, kqueue on macOS and the BSDs, IOCP on Windows.
    Ready,
    /// io_uring, on Linux 6.1 and later. If the system does not support it or forbids it, as many containers
    /// do, [`Ready`](Self::Ready) is used, and one log line reports the reason.
    Uring,
    /// A simulated network in memory, with a seed and a virtual clock.
    Sim(SimOptions),
}

/// A driver: it owns sockets, performs operations on them, and reports completions. See the [crate's
/// documentation](crate) for the contract.
#[derive(Debug)]
pub struct Driver {
    backend: Chosen,
}

/// The backend that runs.
#[derive(Debug)]
enum Chosen {
    #[cfg(any(unix, windows))]
    Ready(Box<crate::ready::Ready>),
    #[cfg(uring)]
    Uring(Box<crate::uring::Uring>),
    Sim(Box<Sim>),
}

/// Calls an operation of the running backend: `delegate!(self.listen(socket, backlog))`.
macro_rules! delegate {
    ($driver:ident.$operation:ident($($argument:expr),*)) => {
        match &$driver.backend {
            #[cfg(any(unix, windows))]
            Chosen::Ready(backend) => backend.$operation($($argument),*),
            #[cfg(uring)]
            Chosen::Uring(backend) => backend.$operation($($argument),*),
            Chosen::Sim(backend) => backend.$operation($($argument),*),
        }
    };
}

mod callers_memory;

impl Driver {
    /// Creates a driver with the given backend.
    ///
    /// # Errors
    /// If descriptors or memory are exhausted, or if the backend does not exist on this system.
    pub fn new(kind: &DriverKind) -> io::Result<Self> {
        let backend = match kind {
            DriverKind::Auto | DriverKind::Ready => ready()?,
            DriverKind::Uring => uring().map_or_else(ready, Ok)?,
            DriverKind::Sim(options) => Chosen::Sim(Box::new(Sim::new(options.clone()))),
        };
        Ok(Self { backend })
    }

    /// Returns the backend's name: `ready`, `uring` or `sim`.
    pub fn name(&self) -> &'static str {
        delegate!(self.name())
    }

    /// Returns the time since the driver was created, on the driver's clock.
    #[inline]
    pub fn now(&self) -> Moment {
        delegate!(self.now())
    }

    /// Returns a handle that can end the wait of [`turn`](Self::turn) from any thread.
    pub fn waker(&self) -> Waker {
        delegate!(self.waker())
    }

    /// Creates a socket, sets its options, and binds it if `request` has an address.
    ///
    /// # Errors
    /// The error of the system call; [`OpenError::at_bind`] is true if binding failed.
    pub fn open(&self, request: &Open) -> Result<SocketId, OpenError> {
        let opened = delegate!(self.open(request));
        if opened.as_ref().map_or_else(|error| error.at_bind, |_| true) {
            step!("socket", transport = ?request.transport);
        }
        if let (Ok(_), Some(_address)) = (&opened, &request.bind) {
            step!("bind", address = %_address);
        }
        opened
    }

    /// Makes a bound socket listen, with a queue of at most `backlog` connections.
    ///
    /// # Errors
    /// The errors of listen(2).
    pub fn listen(&self, socket: SocketId, backlog: i32) -> io::Result<()> {
        delegate!(self.listen(socket, backlog))?;
        step!("listen", backlog);
        Ok(())
    }

    /// Starts accepting connections, each reported as [`Completion::Accepted`].
    ///
    /// # Errors
    /// If the system cannot watch the listener.
    pub fn accept_start(&self, listener: SocketId) -> io::Result<()> {
        delegate!(self.accept_start(listener))
    }

    /// Stops accepting connections. New connections wait in the kernel's queue.
    pub fn accept_stop(&self, listener: SocketId) {
        delegate!(self.accept_stop(listener));
    }

    /// Starts connecting. A later turn reports [`Completion::Connected`] or [`Completion::Failed`].
    pub fn connect(&self, socket: SocketId, target: &Address) {
        step!("connect", address = %target);
        delegate!(self.connect(socket, target));
    }

    /// Starts receiving. The bytes are reported as [`Completion::Received`].
    ///
    /// # Errors
    /// If the system cannot watch the socket.
    pub fn receive_start(&self, socket: SocketId) -> io::Result<()> {
        delegate!(self.receive_start(socket))
    }

    /// Stops receiving, or cancels a request for `Readable`. New bytes wait in the kernel.
    pub fn receive_stop(&self, socket: SocketId) {
        delegate!(self.receive_stop(socket));
    }

    /// Offers a batch to the kernel. Returns how many of its bytes the kernel accepted at once. The rest is
    /// sent in the background and reported as [`Completion::Sent`].
    ///
    /// # Errors
    /// The error of the system call. The batch is dropped in that case.
    #[inline]
    pub fn send(&self, socket: SocketId, batch: Batch) -> io::Result<usize> {
        delegate!(self.send(socket, batch))
    }

    /// Offers bytes to the kernel with one system call. Call it only with no batch in flight. It is cheaper
    /// than a [`Batch`] for small messages, and avoids a copy for large ones. Returns how many bytes the
    /// kernel accepted, 0 if its buffer is full. The rest stays with the caller, and no completion follows.
    ///
    /// # Errors
    /// The error of the system call.
    #[inline]
    pub fn send_at_once(&self, socket: SocketId, bytes: &[u8]) -> io::Result<usize> {
        delegate!(self.send_at_once(socket, bytes))
    }

    /// Ends our side of the connection: the peer receives end-of-stream after everything that was sent.
    pub fn shutdown(&self, socket: SocketId) {
        if delegate!(self.shutdown(socket)) {
            step!("shutdown", side = "write");
        }
    }

    /// Closes the socket. Its id is dead from now on, and a batch in flight is abandoned. The file of a Unix
    /// listener is removed if it is still the file that was bound.
    pub fn close(&self, socket: SocketId) {
        if delegate!(self.close(socket)) {
            step!("close",);
        }
    }

    /// Closes the connection with RST. Bytes that were sent or received but not read yet are lost.
    pub fn reset(&self, socket: SocketId) {
        if delegate!(self.reset(socket)) {
            step!("close",);
        }
    }

    /// Returns the address of our end.
    ///
    /// # Errors
    /// The error of the system call; ENOTCONN for a dead id.
    pub fn local_address(&self, socket: SocketId) -> io::Result<Address> {
        delegate!(self.local_address(socket))
    }

    /// Returns the address of the peer.
    ///
    /// # Errors
    /// The error of the system call; ENOTCONN for a dead id or a socket that is not connected.
    pub fn peer_address(&self, socket: SocketId) -> io::Result<Address> {
        delegate!(self.peer_address(socket))
    }

    /// Returns the peer's address of an accepted TCP connection whose `Accepted` completion contained none.
    /// Returns `None` for a Unix socket, for a dead id, and if the system call fails.
    pub fn accepted_peer(&self, socket: SocketId) -> Option<SocketAddr> {
        self.peer_address(socket).ok()?.ip()
    }

    /// Sets a socket option.
    ///
    /// # Errors
    /// The error of the system call; ENOTCONN for a dead id.
    pub fn set_option(&self, socket: SocketId, option: SocketOption) -> io::Result<()> {
        delegate!(self.set_option(socket, option))?;
        step!("setsockopt", option = ?option);
        Ok(())
    }

    /// Returns whether the system sends small writes at once (TCP_NODELAY).
    ///
    /// # Errors
    /// The error of the system call, which fails for Unix sockets; ENOTCONN for a dead id.
    pub fn no_delay(&self, socket: SocketId) -> io::Result<bool> {
        delegate!(self.no_delay(socket))
    }

    /// Returns how the system probes the idle connection (keep-alive), or `None` if it does not.
    ///
    /// # Errors
    /// The error of the system call; ENOTCONN for a dead id.
    pub fn keep_alive(&self, socket: SocketId) -> io::Result<Option<KeepAliveProbes>> {
        delegate!(self.keep_alive(socket))
    }

    /// Returns how long sent bytes may stay unacknowledged (TCP_USER_TIMEOUT), or `None` for the system's
    /// default.
    ///
    /// # Errors
    /// The error of the system call. ENOTCONN for a dead id. `Unsupported` if the system does not have this
    /// option.
    pub fn user_timeout(&self, socket: SocketId) -> io::Result<Option<Duration>> {
        delegate!(self.user_timeout(socket))
    }

    /// Returns the sizes of the socket's kernel buffers in bytes: the send buffer, then the receive buffer.
    ///
    /// # Errors
    /// The error of the system call; ENOTCONN for a dead id.
    pub fn buffer_bytes(&self, socket: SocketId) -> io::Result<(usize, usize)> {
        delegate!(self.buffer_bytes(socket))
    }

    /// Returns how many sent bytes the peer's system has not acknowledged yet.
    ///
    /// # Errors
    /// The error of the system call. ENOTCONN for a dead id. `Unsupported` if the system does not report
    /// this.
    pub fn unacknowledged_bytes(&self, socket: SocketId) -> io::Result<usize> {
        delegate!(self.unacknowledged_bytes(socket))
    }

    /// Returns the type-of-service byte (IPv4) or the traffic class (IPv6).
    ///
    /// # Errors
    /// The error of the system call, which fails for Unix sockets; ENOTCONN for a dead id.
    pub fn type_of_service(&self, socket: SocketId) -> io::Result<u8> {
        delegate!(self.type_of_service(socket))
    }

    /// Returns the process at the other end of a Unix socket.
    ///
    /// # Errors
    /// The error of the system call. ENOTCONN for a dead id. `Unsupported` on TCP, in the simulated network,
    /// and if the system does not report this.
    pub fn peer_credentials(&self, socket: SocketId) -> io::Result<PeerCredentials> {
        delegate!(self.peer_credentials(socket))
    }

    /// Removes the file of a Unix socket if no server listens on it, which means that the file is a socket
    /// and refuses connections. Returns whether it was removed.
    pub fn remove_stale(&self, address: &Address) -> bool {
        delegate!(self.remove_stale(address))
    }

    /// Sets the mode of the file of a Unix socket that was opened with
    /// [`closed_to_all`](Open::closed_to_all). Does nothing for a socket without a file.
    ///
    /// # Errors
    /// The error of the system call. ENOENT if the path refers to another file by now; that file is not
    /// changed. ENOTCONN for a dead id.
    pub fn set_mode(&self, socket: SocketId, mode: u32) -> io::Result<()> {
        delegate!(self.set_mode(socket, mode))
    }

    /// Returns an empty buffer for [`Chunk::Buffer`](crate::Chunk::Buffer). It comes from the pool to which
    /// sent buffers return.
    pub fn take_buffer(&self) -> Vec<u8> {
        delegate!(self.pool()).take()
    }

    /// Returns a buffer to the pool that was not sent as a chunk.
    pub fn give_back_buffer(&self, buffer: Vec<u8>) {
        delegate!(self.pool()).keep(buffer);
    }

    /// Returns whether the next turn has work, so that it does not wait.
    #[inline]
    pub fn has_work(&self) -> bool {
        delegate!(self.has_work())
    }

    /// Returns the latest time for the next turn, on the driver's clock, or `None` if the driver has no
    /// deadline.
    #[inline]
    pub fn next_deadline(&self) -> Option<Moment> {
        delegate!(self.next_deadline())
    }

    /// Waits for completions, and calls `on` with each. It waits at most until `until` on the driver's clock,
    /// or without a limit if that is `None`; it may return earlier, without a completion. With a time in the
    /// past, such as [`Moment::ZERO`], it does not wait.
    ///
    /// # Errors
    /// If waiting fails. `ResourceBusy` if it is called from `on`.
    #[inline]
    pub fn turn(
        &self,
        until: Option<Moment>,
        on: &mut dyn FnMut(Completion<'_>),
    ) -> io::Result<()> {
        delegate!(self.turn(until, on))
    }

    /// Returns how long the lookup of a host name takes in the simulated network, and its addresses there.
    /// Returns `None` with the other backends, where the system resolves names.
    pub fn resolve(&self, host: &str) -> Option<(Duration, Vec<std::net::IpAddr>)> {
        delegate!(self.resolve(host))
    }
}

/// Operations on descriptors.
#[cfg(unix)]
impl Driver {
    /// Takes over a descriptor: a stream socket that is listening, bound or connected, or a pipe or FIFO,
    /// which becomes a connection. The descriptor is made non-blocking and gets FD_CLOEXEC. A standard
    /// descriptor (0, 1, 2) does not get FD_CLOEXEC, and is never closed.
    ///
    /// # Errors
    /// If this fails, the descriptor is closed, except with EEXIST. ENOTSOCK if it is neither a socket nor a
    /// pipe. EINVAL for a socket of another kind. EBADF for a descriptor that was opened with O_PATH.
    /// `Unsupported` in the simulated network. ENOMEM, ENOSPC and similar if the system cannot watch it.
    /// EEXIST if it is the descriptor of a socket of this driver, which stays open.
    pub fn adopt(&self, fd: OwnedFd) -> io::Result<(SocketId, Adopted)> {
        let adopted = delegate!(self.adopt(fd))?;
        step!("adopt", found = ?adopted.1);
        Ok(adopted)
    }

    /// Removes a socket from the driver, and returns its descriptor. The id is dead from now on. Neither the
    /// connection nor the file of a Unix socket is changed. The descriptor stays non-blocking.
    ///
    /// # Errors
    /// ENOTCONN for a dead id. EBUSY while the socket is connecting or sending, or while bytes or an error
    /// that the driver has received are not delivered yet. `Unsupported` in the simulated network. If this
    /// fails, the socket is unchanged.
    pub fn detach(&self, socket: SocketId) -> io::Result<OwnedFd> {
        let fd = delegate!(self.detach(socket))?;
        step!("detach",);
        Ok(fd)
    }

    /// Returns another descriptor for the same socket.
    ///
    /// # Errors
    /// The error of the system call. ENOTCONN for a dead id. `Unsupported` in the simulated network.
    pub fn duplicate(&self, socket: SocketId) -> io::Result<OwnedFd> {
        delegate!(self.duplicate(socket))
    }

    /// Returns the number of a socket's descriptor, or `None` for a dead id and in the simulated network.
    pub fn raw_fd(&self, socket: SocketId) -> Option<RawFd> {
        delegate!(self.raw_fd(socket))
    }

    /// Returns the descriptor that becomes readable when [`turn`](Self::turn) has work, or `None` if the
    /// backend has none. It does not cover timers: see [`next_deadline`](Self::next_deadline).
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        delegate!(self.as_fd())
    }
}

#[cfg(any(unix, windows))]
fn ready() -> io::Result<Chosen> {
    Ok(Chosen::Ready(Box::new(crate::ready::Ready::new()?)))
}

#[cfg(not(any(unix, windows)))]
fn ready() -> io::Result<Chosen> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns `None` if io_uring cannot be used: the system does not support it, or descriptors or memory are
/// exhausted.
#[cfg(uring)]
fn uring() -> Option<Chosen> {
    match crate::uring::Uring::new() {
        Ok(backend) => Some(Chosen::Uring(Box::new(backend))),
        // If the probe has failed, it has logged the reason.
        Err(error) => {
            #[cfg(feature = "tracing")]
            tracing::debug!(target: "fyke", reason = %error,
                "no io_uring ring could be created: the readiness driver is used");
            let _ = error;
            None
        }
    }
}

#[cfg(not(uring))]
fn uring() -> Option<Chosen> {
    #[cfg(feature = "tracing")]
    tracing::info!(target: "fyke", "this system has no io_uring: the readiness driver is used");
    None
}
