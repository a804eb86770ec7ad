//! The type that users see, and the only place that knows which backend runs.
//!
//! Trace events are emitted here, after the call of the backend has returned: the subscriber is the user's
//! code, which may call anything, so nothing may be borrowed then.

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
    /// The best one for the machine; today always [`Ready`](Self::Ready), see `docs/PLATFORM.md`.
    #[default]
    Auto,
    /// Readiness through mio: epoll on Linux, kqueue on macOS and the BSDs.
    Ready,
    /// io_uring, on Linux 6.1 and later. If the system does not have it or forbids it, as many
    /// containers do, [`Ready`](Self::Ready) is used, and one log line tells why.
    Uring,
    /// A network in memory, with a seed and a virtual clock.
    Sim(SimOptions),
}

/// Sockets, and what happens to them. See the [crate's documentation](crate) for the contract.
#[derive(Debug)]
pub struct Driver {
    backend: Chosen,
}

/// The backend that runs.
#[derive(Debug)]
enum Chosen {
    #[cfg(unix)]
    Ready(Box<crate::ready::Ready>),
    #[cfg(uring)]
    Uring(Box<crate::uring::Uring>),
    Sim(Box<Sim>),
}

/// Calls an operation of the backend that runs: `delegate!(self.listen(socket, backlog))`.
macro_rules! delegate {
    ($driver:ident.$operation:ident($($argument:expr),*)) => {
        match &$driver.backend {
            #[cfg(unix)]
            Chosen::Ready(backend) => backend.$operation($($argument),*),
            #[cfg(uring)]
            Chosen::Uring(backend) => backend.$operation($($argument),*),
            Chosen::Sim(backend) => backend.$operation($($argument),*),
        }
    };
}

mod callers_memory;

impl Driver {
    /// Makes a driver.
    ///
    /// # Errors
    /// If the system has no descriptors or memory left, or the backend does not exist on this system.
    pub fn new(kind: &DriverKind) -> io::Result<Self> {
        let backend = match kind {
            DriverKind::Auto | DriverKind::Ready => ready()?,
            DriverKind::Uring => uring().map_or_else(ready, Ok)?,
            DriverKind::Sim(options) => Chosen::Sim(Box::new(Sim::new(options.clone()))),
        };
        Ok(Self { backend })
    }

    /// The backend's name: `ready`, `uring` or `sim`.
    pub fn name(&self) -> &'static str {
        delegate!(self.name())
    }

    /// The time since the driver was made, on its own clock.
    #[inline]
    pub fn now(&self) -> Moment {
        delegate!(self.now())
    }

    /// A handle that ends the wait of [`turn`](Self::turn) from any thread.
    pub fn waker(&self) -> Waker {
        delegate!(self.waker())
    }

    /// Creates a socket, sets its options, and binds it if `request` has an address.
    ///
    /// # Errors
    /// The error of the system call, and whether that was the bind.
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

    /// Makes a bound socket a listener.
    ///
    /// # Errors
    /// Those of listen(2).
    pub fn listen(&self, socket: SocketId, backlog: i32) -> io::Result<()> {
        delegate!(self.listen(socket, backlog))?;
        step!("listen", backlog);
        Ok(())
    }

    /// Begins to accept connections.
    ///
    /// # Errors
    /// If the system cannot watch the listener.
    pub fn accept_start(&self, listener: SocketId) -> io::Result<()> {
        delegate!(self.accept_start(listener))
    }

    /// Stops accepting. New connections wait in the kernel's queue.
    pub fn accept_stop(&self, listener: SocketId) {
        delegate!(self.accept_stop(listener));
    }

    /// Begins to connect. The outcome is always a completion of a later turn.
    pub fn connect(&self, socket: SocketId, target: &Address) {
        step!("connect", address = %target);
        delegate!(self.connect(socket, target));
    }

    /// Begins to receive.
    ///
    /// # Errors
    /// If the system cannot watch the socket.
    pub fn receive_start(&self, socket: SocketId) -> io::Result<()> {
        delegate!(self.receive_start(socket))
    }

    /// Stops receiving, or waiting for something to read. New bytes wait in the kernel.
    pub fn receive_stop(&self, socket: SocketId) {
        delegate!(self.receive_stop(socket));
    }

    /// Offers a batch to the kernel. Returns how many of its bytes the kernel took at once; the rest
    /// follows as [`Completion::Sent`].
    ///
    /// # Errors
    /// The error of the system call. The batch is dropped then.
    #[inline]
    pub fn send(&self, socket: SocketId, batch: Batch) -> io::Result<usize> {
        delegate!(self.send(socket, batch))
    }

    /// Offers bytes to the kernel by one call, if nothing is in flight: the short way for small messages,
    /// for which making a batch costs more than the rest, and for large ones that need not be copied.
    /// Returns how many bytes the kernel took. The rest, perhaps all, stays with the caller, and no
    /// completion follows.
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

    /// Closes the socket: the id is dead, and what was in flight is given up. The file of a Unix
    /// listener is removed if it is still the one that was bound.
    pub fn close(&self, socket: SocketId) {
        if delegate!(self.close(socket)) {
            step!("close",);
        }
    }

    /// Closes the connection by RST: bytes that were sent or received and not yet read are lost.
    pub fn reset(&self, socket: SocketId) {
        if delegate!(self.reset(socket)) {
            step!("close",);
        }
    }

    /// The address of our end.
    ///
    /// # Errors
    /// The error of the system call; ENOTCONN for a dead id.
    pub fn local_address(&self, socket: SocketId) -> io::Result<Address> {
        delegate!(self.local_address(socket))
    }

    /// The address of the peer.
    ///
    /// # Errors
    /// The error of the system call; ENOTCONN for a dead id or a socket that is not connected.
    pub fn peer_address(&self, socket: SocketId) -> io::Result<Address> {
        delegate!(self.peer_address(socket))
    }

    /// The address of the peer of an accepted TCP connection whose `Accepted` completion has none.
    /// `None` on Unix sockets and for a dead id.
    pub fn accepted_peer(&self, socket: SocketId) -> Option<SocketAddr> {
        self.peer_address(socket).ok()?.ip()
    }

    /// Sets an option.
    ///
    /// # Errors
    /// The error of the system call; ENOTCONN for a dead id.
    pub fn set_option(&self, socket: SocketId, option: SocketOption) -> io::Result<()> {
        delegate!(self.set_option(socket, option))?;
        step!("setsockopt", option = ?option);
        Ok(())
    }

    /// Whether the system sends small writes at once (TCP_NODELAY).
    ///
    /// # Errors
    /// The error of the system call, which fails for Unix sockets; ENOTCONN for a dead id.
    pub fn no_delay(&self, socket: SocketId) -> io::Result<bool> {
        delegate!(self.no_delay(socket))
    }

    /// How the system probes the connection; `None` if it does not.
    ///
    /// # Errors
    /// The error of the system call; ENOTCONN for a dead id.
    pub fn keep_alive(&self, socket: SocketId) -> io::Result<Option<KeepAliveProbes>> {
        delegate!(self.keep_alive(socket))
    }

    /// How long sent bytes may stay unacknowledged; `None` is the system's own time.
    ///
    /// # Errors
    /// The error of the system call; ENOTCONN for a dead id; unsupported where the system has no such
    /// option.
    pub fn user_timeout(&self, socket: SocketId) -> io::Result<Option<Duration>> {
        delegate!(self.user_timeout(socket))
    }

    /// The sizes of the system's buffers of the socket: for bytes to send, and for received bytes.
    ///
    /// # Errors
    /// The error of the system call; ENOTCONN for a dead id.
    pub fn buffer_bytes(&self, socket: SocketId) -> io::Result<(usize, usize)> {
        delegate!(self.buffer_bytes(socket))
    }

    /// How many bytes were sent and not acknowledged by the peer's system.
    ///
    /// # Errors
    /// The error of the system call; ENOTCONN for a dead id; unsupported where the system does not tell.
    pub fn unacknowledged_bytes(&self, socket: SocketId) -> io::Result<usize> {
        delegate!(self.unacknowledged_bytes(socket))
    }

    /// The type-of-service byte of IPv4, the traffic class of IPv6.
    ///
    /// # Errors
    /// The error of the system call, which fails for Unix sockets; ENOTCONN for a dead id.
    pub fn type_of_service(&self, socket: SocketId) -> io::Result<u8> {
        delegate!(self.type_of_service(socket))
    }

    /// The process at the other end of a Unix socket.
    ///
    /// # Errors
    /// The error of the system call; ENOTCONN for a dead id; unsupported on TCP, in the simulated network,
    /// and where the system does not tell.
    pub fn peer_credentials(&self, socket: SocketId) -> io::Result<PeerCredentials> {
        delegate!(self.peer_credentials(socket))
    }

    /// Removes the file of a Unix socket on which no server listens: it is a socket, and a connection
    /// to it is refused. Returns whether it was removed.
    pub fn remove_stale(&self, address: &Address) -> bool {
        delegate!(self.remove_stale(address))
    }

    /// Sets the mode of the file of a Unix socket that was opened with
    /// [`closed_to_all`](Open::closed_to_all). Does nothing for a socket without a file.
    ///
    /// # Errors
    /// The error of the system call; ENOENT if the path names another file by now, which is left alone;
    /// ENOTCONN for a dead id.
    pub fn set_mode(&self, socket: SocketId, mode: u32) -> io::Result<()> {
        delegate!(self.set_mode(socket, mode))
    }

    /// An empty buffer for [`Chunk::Buffer`](crate::Chunk::Buffer), from the pool to which sent
    /// buffers return.
    pub fn take_buffer(&self) -> Vec<u8> {
        delegate!(self.pool()).take()
    }

    /// Takes a buffer back that was not sent as a chunk.
    pub fn give_back_buffer(&self, buffer: Vec<u8>) {
        delegate!(self.pool()).keep(buffer);
    }

    /// Whether the next turn has something to do, and does not wait.
    #[inline]
    pub fn has_work(&self) -> bool {
        delegate!(self.has_work())
    }

    /// When the driver needs its next turn at the latest, on its clock.
    #[inline]
    pub fn next_deadline(&self) -> Option<Moment> {
        delegate!(self.next_deadline())
    }

    /// Waits for completions, at most until `until` on the driver's clock (`None`: without a limit; it may wait
    /// less), and calls `on` with each. A time that is over, such as [`Moment::ZERO`], does not wait.
    ///
    /// # Errors
    /// If waiting fails, or if called from `on`.
    #[inline]
    pub fn turn(
        &self,
        until: Option<Moment>,
        on: &mut dyn FnMut(Completion<'_>),
    ) -> io::Result<()> {
        delegate!(self.turn(until, on))
    }

    /// The addresses of a host name in the simulated network, and how long the lookup takes. `None` if the
    /// system resolves names.
    pub fn resolve(&self, host: &str) -> Option<(Duration, Vec<std::net::IpAddr>)> {
        delegate!(self.resolve(host))
    }
}

/// Descriptors: those that come from outside, those that go there, and the one for a host's own loop.
#[cfg(unix)]
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
        let adopted = delegate!(self.adopt(fd))?;
        step!("adopt", found = ?adopted.1);
        Ok(adopted)
    }

    /// Gives a socket's descriptor away: from here on the id is dead, and neither the connection
    /// nor the file of a Unix socket is touched. The descriptor stays non-blocking.
    ///
    /// # Errors
    /// ENOTCONN for a dead id; EBUSY while it connects or sends, or while bytes or an error that the driver has
    /// received are not delivered yet; unsupported in the simulated network. The socket is unchanged then.
    pub fn detach(&self, socket: SocketId) -> io::Result<OwnedFd> {
        let fd = delegate!(self.detach(socket))?;
        step!("detach",);
        Ok(fd)
    }

    /// Another descriptor for the same socket.
    ///
    /// # Errors
    /// The error of the system call; ENOTCONN for a dead id; unsupported in the simulated network.
    pub fn duplicate(&self, socket: SocketId) -> io::Result<OwnedFd> {
        delegate!(self.duplicate(socket))
    }

    /// The number of a socket's descriptor; `None` for a dead id, and in the simulated network.
    pub fn raw_fd(&self, socket: SocketId) -> Option<RawFd> {
        delegate!(self.raw_fd(socket))
    }

    /// The descriptor that becomes readable when [`turn`](Self::turn) has something to do, if the backend has
    /// one. Timers are not in it: see [`next_deadline`](Self::next_deadline).
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        delegate!(self.as_fd())
    }
}

#[cfg(unix)]
fn ready() -> io::Result<Chosen> {
    Ok(Chosen::Ready(Box::new(crate::ready::Ready::new()?)))
}

#[cfg(not(unix))]
fn ready() -> io::Result<Chosen> {
    Err(io::ErrorKind::Unsupported.into())
}

/// `None` if io_uring cannot be used: on this system, or because descriptors or memory are exhausted.
#[cfg(uring)]
fn uring() -> Option<Chosen> {
    match crate::uring::Uring::new() {
        Ok(backend) => Some(Chosen::Uring(Box::new(backend))),
        // If the probe has failed, it has logged why.
        Err(error) => {
            #[cfg(feature = "tracing")]
            tracing::debug!(target: "fyke", reason = %error, "no ring: readiness is used");
            let _ = error;
            None
        }
    }
}

#[cfg(not(uring))]
fn uring() -> Option<Chosen> {
    #[cfg(feature = "tracing")]
    tracing::info!(target: "fyke", "io_uring does not exist here: readiness is used");
    None
}
