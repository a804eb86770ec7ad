//! The face of the backends: one type, and the only place that knows which of them runs.
//!
//! Steps are reported here, when the call of the backend has returned: the subscriber is the user's code,
//! which may call anything, so nothing may be borrowed then.

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
    Address, Batch, Completion, KeepAliveProbes, Open, OpenError, PeerCredentials, SocketId,
    SocketOption, Waker,
};

/// Which backend to use.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum DriverKind {
    /// What suits the machine best; today always [`Ready`](Self::Ready), see `docs/PLATFORM.md`.
    #[default]
    Auto,
    /// Readiness through mio: epoll on Linux, kqueue on macOS and the BSDs.
    Ready,
    /// io_uring, on Linux 6.1 and later. Where the system does not have it or forbids it, as many
    /// containers do, [`Ready`](Self::Ready) is used, and one log line says why.
    Uring,
    /// A network in memory, with a seed and a virtual clock.
    Sim(SimOptions),
}

/// A driver: sockets, and what happens to them. See the [crate's documentation](crate) for the
/// contract.
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

impl Driver {
    /// Makes a driver.
    ///
    /// # Errors
    /// When the system has no descriptors or memory left, or the backend does not exist here.
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
    pub fn now(&self) -> Duration {
        delegate!(self.now())
    }

    /// Something that makes a waiting [`turn`](Self::turn) return, from any thread.
    pub fn waker(&self) -> Waker {
        delegate!(self.waker())
    }

    /// Makes a socket, sets its options, binds it if asked.
    ///
    /// # Errors
    /// What the system says, and whether it was the bind.
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
    /// What `listen(2)` says.
    pub fn listen(&self, socket: SocketId, backlog: i32) -> io::Result<()> {
        delegate!(self.listen(socket, backlog))?;
        step!("listen", backlog);
        Ok(())
    }

    /// Begins to accept connections.
    ///
    /// # Errors
    /// When the listener cannot be watched.
    pub fn accept_start(&self, listener: SocketId) -> io::Result<()> {
        delegate!(self.accept_start(listener))
    }

    /// Stops accepting; connections wait in the kernel's queue.
    pub fn accept_stop(&self, listener: SocketId) {
        delegate!(self.accept_stop(listener));
    }

    /// Begins to connect. The outcome is always a completion, never inside the call.
    pub fn connect(&self, socket: SocketId, target: &Address) {
        step!("connect", address = %target);
        delegate!(self.connect(socket, target));
    }

    /// Begins to receive.
    ///
    /// # Errors
    /// When the socket cannot be watched.
    pub fn receive_start(&self, socket: SocketId) -> io::Result<()> {
        delegate!(self.receive_start(socket))
    }

    /// Stops receiving; bytes wait in the kernel.
    pub fn receive_stop(&self, socket: SocketId) {
        delegate!(self.receive_stop(socket));
    }

    /// Offers a batch to the kernel. Says how many of its bytes the kernel took at once; the rest
    /// follows as [`Completion::Sent`].
    ///
    /// # Errors
    /// What the system says; the batch is gone then.
    pub fn send(&self, socket: SocketId, batch: Batch) -> io::Result<usize> {
        delegate!(self.send(socket, batch))
    }

    /// Offers bytes to the kernel by one call, if nothing is in flight: the short way for small messages,
    /// for which making a batch costs more than the rest, and for large ones that need not be copied.
    /// Says how many were taken; those that were not, perhaps all, are still the caller's, and nothing
    /// follows.
    ///
    /// # Errors
    /// What the system says.
    pub fn send_at_once(&self, socket: SocketId, bytes: &[u8]) -> io::Result<usize> {
        delegate!(self.send_at_once(socket, bytes))
    }

    /// Ends our side of the connection: the peer gets end-of-stream after all that was sent.
    pub fn shutdown(&self, socket: SocketId) {
        if delegate!(self.shutdown(socket)) {
            step!("shutdown", side = "write");
        }
    }

    /// Closes the socket: the id is dead, what was in flight is given up. The file of a Unix
    /// listener is removed if it is still the one that was bound (IPC-04).
    pub fn close(&self, socket: SocketId) {
        if delegate!(self.close(socket)) {
            step!("close",);
        }
    }

    /// Closes the connection by RST: what was sent or received and not yet read is lost.
    pub fn reset(&self, socket: SocketId) {
        if delegate!(self.reset(socket)) {
            step!("close",);
        }
    }

    /// The address of our end.
    ///
    /// # Errors
    /// What the system says; ENOTCONN for a dead id.
    pub fn local_address(&self, socket: SocketId) -> io::Result<Address> {
        delegate!(self.local_address(socket))
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// What the system says; ENOTCONN for a dead id or a socket that is not connected.
    pub fn peer_address(&self, socket: SocketId) -> io::Result<Address> {
        delegate!(self.peer_address(socket))
    }

    /// The address of the other end of an accepted TCP connection whose `Accepted` completion has none.
    /// `None` on Unix sockets and for a dead id.
    pub fn accepted_peer(&self, socket: SocketId) -> Option<SocketAddr> {
        self.peer_address(socket).ok()?.ip()
    }

    /// Sets an option.
    ///
    /// # Errors
    /// What the system says; ENOTCONN for a dead id.
    pub fn set_option(&self, socket: SocketId, option: SocketOption) -> io::Result<()> {
        delegate!(self.set_option(socket, option))?;
        step!("setsockopt", option = ?option);
        Ok(())
    }

    /// Whether the system sends small writes at once.
    ///
    /// # Errors
    /// What the system says, on a Unix socket too; ENOTCONN for a dead id. So with all options.
    pub fn no_delay(&self, socket: SocketId) -> io::Result<bool> {
        delegate!(self.no_delay(socket))
    }

    /// How the system probes the connection, or none if it does not.
    ///
    /// # Errors
    /// As [`no_delay`](Self::no_delay).
    pub fn keep_alive(&self, socket: SocketId) -> io::Result<Option<KeepAliveProbes>> {
        delegate!(self.keep_alive(socket))
    }

    /// How long what was sent may stay unacknowledged; none is the system's own time.
    ///
    /// # Errors
    /// As [`no_delay`](Self::no_delay); unsupported where the system does not have it.
    pub fn user_timeout(&self, socket: SocketId) -> io::Result<Option<Duration>> {
        delegate!(self.user_timeout(socket))
    }

    /// How many bytes the system's buffers of the socket hold: to send, and received.
    ///
    /// # Errors
    /// As [`no_delay`](Self::no_delay), but Unix sockets have them.
    pub fn buffer_bytes(&self, socket: SocketId) -> io::Result<(usize, usize)> {
        delegate!(self.buffer_bytes(socket))
    }

    /// How many bytes were sent and not acknowledged by the peer's system.
    ///
    /// # Errors
    /// What the system says; ENOTCONN for a dead id; unsupported where the system does not tell.
    pub fn unacknowledged_bytes(&self, socket: SocketId) -> io::Result<usize> {
        delegate!(self.unacknowledged_bytes(socket))
    }

    /// The type of service that the system uses.
    ///
    /// # Errors
    /// As [`no_delay`](Self::no_delay).
    pub fn type_of_service(&self, socket: SocketId) -> io::Result<u8> {
        delegate!(self.type_of_service(socket))
    }

    /// Who is at the other end of a Unix socket.
    ///
    /// # Errors
    /// What the system says; unsupported on TCP, in the simulated network, and where the system
    /// does not tell.
    pub fn peer_credentials(&self, socket: SocketId) -> io::Result<PeerCredentials> {
        delegate!(self.peer_credentials(socket))
    }

    /// Removes the file of a Unix socket if nobody listens on it: it is a socket, and a connection
    /// to it is refused. Says whether it did.
    pub fn remove_stale(&self, address: &Address) -> bool {
        delegate!(self.remove_stale(address))
    }

    /// Sets the mode of the file of a Unix socket that was opened with
    /// [`closed_to_all`](Open::closed_to_all). Nothing to do without a file.
    ///
    /// # Errors
    /// What the system says; ENOENT if the path names another file by now, which is left alone;
    /// ENOTCONN for a dead id.
    pub fn set_mode(&self, socket: SocketId, mode: u32) -> io::Result<()> {
        delegate!(self.set_mode(socket, mode))
    }

    /// An empty buffer for [`Chunk::Buffer`](crate::Chunk::Buffer), from the pool to which sent
    /// ones return.
    pub fn take_buffer(&self) -> Vec<u8> {
        delegate!(self.pool()).take()
    }

    /// Takes a buffer back that was not sent as a chunk.
    pub fn give_back_buffer(&self, buffer: Vec<u8>) {
        delegate!(self.pool()).keep(buffer);
    }

    /// Whether there is work that does not wait: the next turn must not sleep.
    pub fn has_work(&self) -> bool {
        delegate!(self.has_work())
    }

    /// When the driver itself wants to be turned next, on its clock, whatever else happens.
    pub fn next_deadline(&self) -> Option<Duration> {
        delegate!(self.next_deadline())
    }

    /// Waits for completions, at most `timeout` (none: for ever; it may be less), and gives them to `on`.
    ///
    /// # Errors
    /// When waiting fails, or when called from `on`.
    pub fn turn(
        &self,
        timeout: Option<Duration>,
        on: &mut dyn FnMut(Completion<'_>),
    ) -> io::Result<()> {
        delegate!(self.turn(timeout, on))
    }

    /// What the simulated network answers for a host name, and after which delay; none if names
    /// are the system's business.
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
    /// received wait to be given; unsupported in the simulated
    /// network. The socket is as it was then.
    pub fn detach(&self, socket: SocketId) -> io::Result<OwnedFd> {
        let fd = delegate!(self.detach(socket))?;
        step!("detach",);
        Ok(fd)
    }

    /// Another descriptor for the same socket.
    ///
    /// # Errors
    /// What the system says; ENOTCONN for a dead id; unsupported in the simulated network.
    pub fn duplicate(&self, socket: SocketId) -> io::Result<OwnedFd> {
        delegate!(self.duplicate(socket))
    }

    /// The number of a socket's descriptor; none for a dead id, and in the simulated network.
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

/// None when io_uring cannot be used: here at all, or for want of something at the moment.
#[cfg(uring)]
fn uring() -> Option<Chosen> {
    match crate::uring::Uring::new() {
        Ok(backend) => Some(Chosen::Uring(Box::new(backend))),
        // The probe has said so, if it was the probe.
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
