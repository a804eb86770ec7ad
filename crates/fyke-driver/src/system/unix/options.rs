//! The options of a socket, as system calls.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt;

use crate::{KeepAliveProbes, SocketOption};

pub(crate) fn no_delay(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    sockopt::tcp_nodelay(fd)
}

pub(crate) fn keep_alive(fd: BorrowedFd<'_>) -> Result<Option<KeepAliveProbes>, Errno> {
    sockopt::socket_keepalive(fd)?.then(|| probes(fd)).transpose()
}

/// The sizes of the send buffer and the receive buffer.
pub(crate) fn buffer_bytes(fd: BorrowedFd<'_>) -> Result<(usize, usize), Errno> {
    Ok((sockopt::socket_send_buffer_size(fd)?, sockopt::socket_recv_buffer_size(fd)?))
}

pub(crate) fn set_option(fd: BorrowedFd<'_>, option: SocketOption) -> Result<(), Errno> {
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

/// Reduced to a C `int`; the system reduces it further anyway (socket(7)).
pub(super) fn set_send_buffer(fd: BorrowedFd<'_>, bytes: usize) -> Result<(), Errno> {
    sockopt::set_socket_send_buffer_size(fd, bytes.min(i32::MAX as usize))
}

/// See [`set_send_buffer`]; this is the receive buffer.
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

/// Sets all three or none: if a value is refused, the previous ones are restored.
fn set_keep_alive(fd: BorrowedFd<'_>, wanted: KeepAliveProbes) -> Result<(), Errno> {
    if wanted.initial_delay.as_secs() > 0 {
        let before = probes(fd)?;
        set_probes(fd, wanted).inspect_err(|_| {
            // These values were accepted before.
            let _ = set_probes(fd, before);
        })?;
    }
    sockopt::set_socket_keepalive(fd, true)
}

/// Truncated to whole seconds; rustix would round up.
#[cfg(not(target_os = "openbsd"))]
fn set_probes(fd: BorrowedFd<'_>, probes: KeepAliveProbes) -> Result<(), Errno> {
    let whole = |time: Duration| Duration::from_secs(time.as_secs());
    sockopt::set_tcp_keepidle(fd, whole(probes.initial_delay))?;
    sockopt::set_tcp_keepintvl(fd, whole(probes.interval))?;
    sockopt::set_tcp_keepcnt(fd, probes.count)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn user_timeout(fd: BorrowedFd<'_>) -> Result<Option<Duration>, Errno> {
    let milliseconds = sockopt::tcp_user_timeout(fd)?;
    Ok((milliseconds > 0).then(|| Duration::from_millis(milliseconds.into())))
}

/// Less than a millisecond becomes one, because zero would select the system's own time.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_user_timeout(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> Result<(), Errno> {
    let milliseconds = timeout.map_or(0, |timeout| timeout.as_millis().max(1));
    sockopt::set_tcp_user_timeout(fd, u32::try_from(milliseconds).map_err(|_| Errno::INVAL)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn user_timeout(_: BorrowedFd<'_>) -> Result<Option<Duration>, Errno> {
    Err(Errno::OPNOTSUPP)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_user_timeout(_: BorrowedFd<'_>, _: Option<Duration>) -> Result<(), Errno> {
    Err(Errno::OPNOTSUPP)
}
