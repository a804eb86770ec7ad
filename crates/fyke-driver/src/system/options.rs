//! The options of a socket, as system calls.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt;

use crate::backend::Properties;
use crate::{Address, KeepAliveProbes, PeerCredentials, SocketId, SocketOption};

/// A backend whose sockets have descriptors.
pub(crate) trait Descriptors {
    /// Calls `call` with the descriptor; ENOTCONN for a dead id.
    fn with_fd<T>(
        &self,
        socket: SocketId,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T>;
}

impl<D: Descriptors> Properties for D {
    fn set_option(&self, socket: SocketId, option: SocketOption) -> io::Result<()> {
        self.with_fd(socket, |fd| set_option(fd, option).map_err(Into::into))
    }

    fn no_delay(&self, socket: SocketId) -> io::Result<bool> {
        self.with_fd(socket, |fd| Ok(sockopt::tcp_nodelay(fd)?))
    }

    fn keep_alive(&self, socket: SocketId) -> io::Result<Option<KeepAliveProbes>> {
        self.with_fd(socket, |fd| {
            let on = sockopt::socket_keepalive(fd)?;
            Ok(on.then(|| probes(fd)).transpose()?)
        })
    }

    fn user_timeout(&self, socket: SocketId) -> io::Result<Option<Duration>> {
        self.with_fd(socket, |fd| Ok(user_timeout(fd)?))
    }

    fn buffer_bytes(&self, socket: SocketId) -> io::Result<(usize, usize)> {
        self.with_fd(socket, |fd| {
            let send = sockopt::socket_send_buffer_size(fd)?;
            Ok((send, sockopt::socket_recv_buffer_size(fd)?))
        })
    }

    fn unacknowledged_bytes(&self, socket: SocketId) -> io::Result<usize> {
        self.with_fd(socket, |fd| Ok(super::unacknowledged::bytes(fd)?))
    }

    fn type_of_service(&self, socket: SocketId) -> io::Result<u8> {
        self.with_fd(socket, |fd| Ok(super::service::type_of_service(fd)?))
    }

    fn peer_credentials(&self, socket: SocketId) -> io::Result<PeerCredentials> {
        self.with_fd(socket, super::credentials::peer_credentials)
    }

    fn local_address(&self, socket: SocketId) -> io::Result<Address> {
        self.with_fd(socket, super::local_address)
    }

    fn peer_address(&self, socket: SocketId) -> io::Result<Address> {
        self.with_fd(socket, super::peer_address)
    }
}

fn set_option(fd: BorrowedFd<'_>, option: SocketOption) -> Result<(), Errno> {
    match option {
        SocketOption::NoDelay(on) => sockopt::set_tcp_nodelay(fd, on),
        SocketOption::TypeOfService(value) => super::service::set_type_of_service(fd, value),
        SocketOption::KeepAliveOff => sockopt::set_socket_keepalive(fd, false),
        SocketOption::KeepAlive(probes) => set_keep_alive(fd, probes),
        SocketOption::UserTimeout(timeout) => set_user_timeout(fd, timeout),
        SocketOption::SendBuffer(bytes) => set_send_buffer(fd, bytes),
        SocketOption::ReceiveBuffer(bytes) => set_receive_buffer(fd, bytes),
    }
}

/// More than a C `int` is cut to that: the system cuts to less anyway (socket(7)).
pub(super) fn set_send_buffer(fd: BorrowedFd<'_>, bytes: usize) -> Result<(), Errno> {
    sockopt::set_socket_send_buffer_size(fd, bytes.min(i32::MAX as usize))
}

/// As [`set_send_buffer`].
pub(super) fn set_receive_buffer(fd: BorrowedFd<'_>, bytes: usize) -> Result<(), Errno> {
    sockopt::set_socket_recv_buffer_size(fd, bytes.min(i32::MAX as usize))
}

/// OpenBSD has one time for all sockets of the machine (sysctl(2), `net.inet.tcp.keepidle`).
#[cfg(target_os = "openbsd")]
fn probes(_: BorrowedFd<'_>) -> Result<KeepAliveProbes, Errno> {
    Err(Errno::OPNOTSUPP)
}

#[cfg(target_os = "openbsd")]
fn set_probes(_: BorrowedFd<'_>, _: KeepAliveProbes) -> Result<(), Errno> {
    Err(Errno::OPNOTSUPP)
}

#[cfg(not(target_os = "openbsd"))]
fn probes(fd: BorrowedFd<'_>) -> Result<KeepAliveProbes, Errno> {
    let probes = KeepAliveProbes::new(sockopt::tcp_keepidle(fd)?);
    Ok(probes.interval(sockopt::tcp_keepintvl(fd)?).count(sockopt::tcp_keepcnt(fd)?))
}

/// All three or none: a refused value brings those before it back.
fn set_keep_alive(fd: BorrowedFd<'_>, wanted: KeepAliveProbes) -> Result<(), Errno> {
    if wanted.initial_delay.as_secs() > 0 {
        let before = probes(fd)?;
        set_probes(fd, wanted).inspect_err(|_| {
            // They were accepted once.
            let _ = set_probes(fd, before);
        })?;
    }
    sockopt::set_socket_keepalive(fd, true)
}

/// Cut to whole seconds; rustix would round up.
#[cfg(not(target_os = "openbsd"))]
fn set_probes(fd: BorrowedFd<'_>, probes: KeepAliveProbes) -> Result<(), Errno> {
    let whole = |time: Duration| Duration::from_secs(time.as_secs());
    sockopt::set_tcp_keepidle(fd, whole(probes.initial_delay))?;
    sockopt::set_tcp_keepintvl(fd, whole(probes.interval))?;
    sockopt::set_tcp_keepcnt(fd, probes.count)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn user_timeout(fd: BorrowedFd<'_>) -> Result<Option<Duration>, Errno> {
    let milliseconds = sockopt::tcp_user_timeout(fd)?;
    Ok((milliseconds > 0).then(|| Duration::from_millis(milliseconds.into())))
}

/// Less than a millisecond is one: zero would be the system's own time.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_user_timeout(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> Result<(), Errno> {
    let milliseconds = timeout.map_or(0, |timeout| timeout.as_millis().max(1));
    sockopt::set_tcp_user_timeout(fd, u32::try_from(milliseconds).map_err(|_| Errno::INVAL)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn user_timeout(_: BorrowedFd<'_>) -> Result<Option<Duration>, Errno> {
    Err(Errno::OPNOTSUPP)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_user_timeout(_: BorrowedFd<'_>, _: Option<Duration>) -> Result<(), Errno> {
    Err(Errno::OPNOTSUPP)
}
