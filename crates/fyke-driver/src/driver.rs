//! The face of the backends: one type, and the only place that knows which of them runs.
//!
//! Steps are reported here, when the call of the backend has returned: the subscriber is the user's code,
//! which may call anything, so nothing may be borrowed then.

#[cfg(unix)]
mod descriptors;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::sim::{Sim, SimOptions};
#[cfg(unix)]
use crate::system::Descriptors;
use crate::trace::step;
use crate::{
    Address, Batch, Completion, KeepAliveProbes, Open, OpenError, PeerCredentials, SocketId,
    SocketOption,
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
    backend: Backend,
}

#[derive(Debug)]
enum Backend {
    #[cfg(unix)]
    Ready(Box<crate::ready::Ready>),
    #[cfg(uring)]
    Uring(Box<crate::uring::Uring>),
    Sim(Box<Sim>),
}

macro_rules! dispatch {
    ($driver:expr, $backend:ident => $call:expr) => {
        match &$driver.backend {
            #[cfg(unix)]
            Backend::Ready($backend) => $call,
            #[cfg(uring)]
            Backend::Uring($backend) => $call,
            Backend::Sim($backend) => $call,
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
            DriverKind::Sim(options) => Backend::Sim(Box::new(Sim::new(options.clone()))),
        };
        Ok(Self { backend })
    }

    /// The backend's name: `ready`, `uring` or `sim`.
    pub fn name(&self) -> &'static str {
        match &self.backend {
            #[cfg(unix)]
            Backend::Ready(_) => "ready",
            #[cfg(uring)]
            Backend::Uring(_) => "uring",
            Backend::Sim(_) => "sim",
        }
    }

    /// The time since the driver was made, on its own clock.
    pub fn now(&self) -> Duration {
        dispatch!(self, backend => backend.now())
    }

    /// Something that makes a waiting [`turn`](Self::turn) return, from any thread.
    pub fn waker(&self) -> Waker {
        match &self.backend {
            #[cfg(unix)]
            Backend::Ready(backend) => Waker(WakerKind::Ready(backend.waker())),
            #[cfg(uring)]
            Backend::Uring(backend) => Waker(WakerKind::Uring(backend.waker())),
            Backend::Sim(backend) => Waker(WakerKind::Sim(backend.waker())),
        }
    }

    /// Makes a socket, sets its options, binds it if asked.
    ///
    /// # Errors
    /// What the system says, and whether it was the bind.
    pub fn open(&self, request: &Open) -> Result<SocketId, OpenError> {
        let opened = dispatch!(self, backend => backend.open(request));
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
        dispatch!(self, backend => backend.listen(socket, backlog))?;
        step!("listen", backlog);
        Ok(())
    }

    /// Begins to accept connections.
    ///
    /// # Errors
    /// When the listener cannot be watched.
    pub fn accept_start(&self, listener: SocketId) -> io::Result<()> {
        dispatch!(self, backend => backend.accept_start(listener))
    }

    /// Stops accepting; connections wait in the kernel's queue.
    pub fn accept_stop(&self, listener: SocketId) {
        dispatch!(self, backend => backend.accept_stop(listener));
    }

    /// Begins to connect. The outcome is always a completion, never inside the call.
    pub fn connect(&self, socket: SocketId, target: &Address) {
        step!("connect", address = %target);
        dispatch!(self, backend => backend.connect(socket, target));
    }

    /// Begins to receive.
    ///
    /// # Errors
    /// When the socket cannot be watched.
    pub fn receive_start(&self, socket: SocketId) -> io::Result<()> {
        dispatch!(self, backend => backend.receive_start(socket))
    }

    /// Stops receiving; bytes wait in the kernel.
    pub fn receive_stop(&self, socket: SocketId) {
        dispatch!(self, backend => backend.receive_stop(socket));
    }

    /// Offers a batch to the kernel. Says how many of its bytes the kernel took at once; the rest
    /// follows as [`Completion::Sent`].
    ///
    /// # Errors
    /// What the system says; the batch is gone then.
    pub fn send(&self, socket: SocketId, batch: Batch) -> io::Result<usize> {
        dispatch!(self, backend => backend.send(socket, batch))
    }

    /// Offers bytes to the kernel by one call, if nothing is in flight: the short way for small messages,
    /// for which making a batch costs more than the rest, and for large ones that need not be copied.
    /// Says how many were taken; those that were not, perhaps all, are still the caller's, and nothing
    /// follows.
    ///
    /// # Errors
    /// What the system says.
    pub fn send_at_once(&self, socket: SocketId, bytes: &[u8]) -> io::Result<usize> {
        match &self.backend {
            #[cfg(unix)]
            Backend::Ready(backend) => crate::system::send_at_once(&**backend, socket, bytes),
            #[cfg(uring)]
            Backend::Uring(backend) => crate::system::send_at_once(&**backend, socket, bytes),
            Backend::Sim(backend) => backend.send_at_once(socket, bytes),
        }
    }

    /// Ends our side of the connection: the peer gets end-of-stream after all that was sent.
    pub fn shutdown(&self, socket: SocketId) {
        if dispatch!(self, backend => backend.shutdown(socket)) {
            step!("shutdown", side = "write");
        }
    }

    /// Closes the socket: the id is dead, what was in flight is given up. The file of a Unix
    /// listener is removed if it is still the one that was bound (IPC-04).
    pub fn close(&self, socket: SocketId) {
        if dispatch!(self, backend => backend.close(socket)) {
            step!("close",);
        }
    }

    /// Closes the connection by RST: what was sent or received and not yet read is lost.
    pub fn reset(&self, socket: SocketId) {
        if dispatch!(self, backend => backend.reset(socket)) {
            step!("close",);
        }
    }

    /// The address of our end.
    ///
    /// # Errors
    /// What the system says; ENOTCONN for a dead id.
    pub fn local_address(&self, socket: SocketId) -> io::Result<Address> {
        dispatch!(self, backend => backend.local_address(socket))
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// What the system says; ENOTCONN for a dead id or a socket that is not connected.
    pub fn peer_address(&self, socket: SocketId) -> io::Result<Address> {
        dispatch!(self, backend => backend.peer_address(socket))
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
        dispatch!(self, backend => backend.set_option(socket, option))?;
        step!("setsockopt", option = ?option);
        Ok(())
    }

    /// Whether the system sends small writes at once.
    ///
    /// # Errors
    /// What the system says, on a Unix socket too; ENOTCONN for a dead id. So with all options.
    pub fn no_delay(&self, socket: SocketId) -> io::Result<bool> {
        dispatch!(self, backend => backend.no_delay(socket))
    }

    /// How the system probes the connection, or none if it does not.
    ///
    /// # Errors
    /// As [`no_delay`](Self::no_delay).
    pub fn keep_alive(&self, socket: SocketId) -> io::Result<Option<KeepAliveProbes>> {
        dispatch!(self, backend => backend.keep_alive(socket))
    }

    /// How long what was sent may stay unacknowledged; none is the system's own time.
    ///
    /// # Errors
    /// As [`no_delay`](Self::no_delay); unsupported where the system does not have it.
    pub fn user_timeout(&self, socket: SocketId) -> io::Result<Option<Duration>> {
        dispatch!(self, backend => backend.user_timeout(socket))
    }

    /// How many bytes the system's buffers of the socket hold: to send, and received.
    ///
    /// # Errors
    /// As [`no_delay`](Self::no_delay), but Unix sockets have them.
    pub fn buffer_bytes(&self, socket: SocketId) -> io::Result<(usize, usize)> {
        dispatch!(self, backend => backend.buffer_bytes(socket))
    }

    /// How many bytes were sent and not acknowledged by the peer's system.
    ///
    /// # Errors
    /// What the system says; ENOTCONN for a dead id; unsupported where the system does not tell.
    pub fn unacknowledged_bytes(&self, socket: SocketId) -> io::Result<usize> {
        dispatch!(self, backend => backend.unacknowledged_bytes(socket))
    }

    /// The type of service that the system uses.
    ///
    /// # Errors
    /// As [`no_delay`](Self::no_delay).
    pub fn type_of_service(&self, socket: SocketId) -> io::Result<u8> {
        dispatch!(self, backend => backend.type_of_service(socket))
    }

    /// Who is at the other end of a Unix socket.
    ///
    /// # Errors
    /// What the system says; unsupported on TCP, in the simulated network, and where the system
    /// does not tell.
    pub fn peer_credentials(&self, socket: SocketId) -> io::Result<PeerCredentials> {
        dispatch!(self, backend => backend.peer_credentials(socket))
    }

    /// Removes the file of a Unix socket if nobody listens on it: it is a socket, and a connection
    /// to it is refused. Says whether it did.
    pub fn remove_stale(&self, address: &Address) -> bool {
        match &self.backend {
            #[cfg(unix)]
            Backend::Ready(_) => crate::system::remove_stale(address),
            #[cfg(uring)]
            Backend::Uring(_) => crate::system::remove_stale(address),
            Backend::Sim(backend) => backend.remove_stale(address),
        }
    }

    /// Sets the mode of the file of a Unix socket that was opened with
    /// [`closed_to_all`](Open::closed_to_all). Nothing to do without a file.
    ///
    /// # Errors
    /// What the system says; ENOENT if the path names another file by now, which is left alone;
    /// ENOTCONN for a dead id.
    pub fn set_mode(&self, socket: SocketId, mode: u32) -> io::Result<()> {
        dispatch!(self, backend => backend.set_mode(socket, mode))
    }

    /// An empty buffer for [`Chunk::Buffer`](crate::Chunk::Buffer), from the pool to which sent
    /// ones return.
    pub fn take_buffer(&self) -> Vec<u8> {
        dispatch!(self, backend => backend.pool().take())
    }

    /// Takes a buffer back that was not sent as a chunk.
    pub fn give_back_buffer(&self, buffer: Vec<u8>) {
        dispatch!(self, backend => backend.pool().keep(buffer));
    }

    /// Whether there is work that does not wait: the next turn must not sleep.
    pub fn has_work(&self) -> bool {
        dispatch!(self, backend => backend.has_work())
    }

    /// When the driver itself wants to be turned next, on its clock, whatever else happens.
    pub fn next_deadline(&self) -> Option<Duration> {
        dispatch!(self, backend => backend.next_deadline())
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
        dispatch!(self, backend => backend.turn(timeout, on))
    }

    /// What the simulated network answers for a host name, and after which delay; none if names
    /// are the system's business.
    pub fn resolve(&self, host: &str) -> Option<(Duration, Vec<std::net::IpAddr>)> {
        match &self.backend {
            #[cfg(unix)]
            Backend::Ready(_) => None,
            #[cfg(uring)]
            Backend::Uring(_) => None,
            Backend::Sim(backend) => Some(backend.resolve(host)),
        }
    }
}

#[cfg(unix)]
fn ready() -> io::Result<Backend> {
    Ok(Backend::Ready(Box::new(crate::ready::Ready::new()?)))
}

#[cfg(not(unix))]
fn ready() -> io::Result<Backend> {
    Err(io::ErrorKind::Unsupported.into())
}

/// None when io_uring cannot be used: here at all, or for want of something at the moment.
#[cfg(uring)]
fn uring() -> Option<Backend> {
    match crate::uring::Uring::new() {
        Ok(backend) => Some(Backend::Uring(Box::new(backend))),
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
fn uring() -> Option<Backend> {
    #[cfg(feature = "tracing")]
    tracing::info!(target: "fyke", "io_uring does not exist here: readiness is used");
    None
}

/// The descriptor that becomes readable when [`turn`](Driver::turn) has something to do, for a
/// host's own loop. Timers are not in it: see [`next_deadline`](Driver::next_deadline).
#[cfg(unix)]
impl Driver {
    /// The descriptor, if the backend has one.
    pub fn as_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        match &self.backend {
            Backend::Ready(backend) => Some(backend.as_fd()),
            #[cfg(uring)]
            Backend::Uring(backend) => backend.as_fd(),
            Backend::Sim(_) => None,
        }
    }
}

/// Wakes a driver that waits. Cheap to clone, and may be used from any thread; waking a driver
/// that is gone does nothing.
#[derive(Clone)]
pub struct Waker(WakerKind);

#[derive(Clone)]
enum WakerKind {
    #[cfg(unix)]
    Ready(std::sync::Arc<mio::Waker>),
    #[cfg(uring)]
    Uring(std::sync::Arc<std::os::fd::OwnedFd>),
    Sim(std::sync::Arc<crate::sim::Bell>),
}

impl Waker {
    /// Makes the driver's `turn` return with [`Completion::Woken`].
    pub fn wake(&self) {
        match &self.0 {
            // An eventfd write fails only when the counter is full: then it is awake already.
            #[cfg(unix)]
            WakerKind::Ready(waker) => drop(waker.wake()),
            #[cfg(uring)]
            WakerKind::Uring(waker) => crate::uring::wake(waker),
            WakerKind::Sim(bell) => bell.ring(),
        }
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waker").finish_non_exhaustive()
    }
}

/// The failure of a call on a dead id.
pub(crate) fn dead() -> io::Error {
    io::ErrorKind::NotConnected.into()
}
