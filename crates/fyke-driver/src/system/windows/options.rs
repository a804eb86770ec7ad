//! The options of a socket.

use std::io;
use std::os::windows::io::{AsRawSocket, AsSocket};
use std::time::Duration;

use mio::net::TcpStream;
use socket2::{SockRef, TcpKeepalive};
use windows_sys::Win32::Networking::WinSock::{
    IPPROTO_TCP, TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL, getsockopt, setsockopt,
};

use super::{Borrowed, Errno, tcp};
use crate::{KeepAliveProbes, PeerCredentials, SocketOption};

/// A pipe has no options.
fn socket(fd: Borrowed<'_>) -> Result<&TcpStream, Errno> {
    tcp(fd).map_err(|_| Errno::OPNOTSUPP)
}

pub(crate) fn no_delay(fd: Borrowed<'_>) -> Result<bool, Errno> {
    Ok(SockRef::from(socket(fd)?).tcp_nodelay()?)
}

pub(crate) fn keep_alive(fd: Borrowed<'_>) -> Result<Option<KeepAliveProbes>, Errno> {
    let socket = socket(fd)?;
    SockRef::from(socket).keepalive()?.then(|| probes(socket)).transpose()
}

/// The sizes of the send buffer and the receive buffer.
pub(crate) fn buffer_bytes(fd: Borrowed<'_>) -> Result<(usize, usize), Errno> {
    let socket = SockRef::from(socket(fd)?);
    Ok((socket.send_buffer_size()?, socket.recv_buffer_size()?))
}

pub(crate) fn set_option(fd: Borrowed<'_>, option: SocketOption) -> Result<(), Errno> {
    let stream = socket(fd)?;
    let socket = SockRef::from(stream);
    match option {
        SocketOption::NoDelay(on) => Ok(socket.set_tcp_nodelay(on)?),
        SocketOption::KeepAliveOff => Ok(socket.set_keepalive(false)?),
        SocketOption::KeepAlive(probes) => set_keep_alive(stream, probes),
        SocketOption::SendBuffer(bytes) => set_send_buffer(&socket, bytes),
        SocketOption::ReceiveBuffer(bytes) => set_receive_buffer(&socket, bytes),
        SocketOption::TypeOfService(_) | SocketOption::UserTimeout(_) => Err(Errno::OPNOTSUPP),
    }
}

/// Reduced to a C `int`.
pub(super) fn set_send_buffer(socket: &SockRef<'_>, bytes: usize) -> Result<(), Errno> {
    Ok(socket.set_send_buffer_size(bytes.min(i32::MAX as usize))?)
}

/// See [`set_send_buffer`]; this is the receive buffer.
pub(super) fn set_receive_buffer(socket: &SockRef<'_>, bytes: usize) -> Result<(), Errno> {
    Ok(socket.set_recv_buffer_size(bytes.min(i32::MAX as usize))?)
}

/// Windows drops the byte unless a policy of the machine allows it, so it is not set at all.
pub(crate) fn type_of_service(_: Borrowed<'_>) -> Result<u8, Errno> {
    Err(Errno::OPNOTSUPP)
}

pub(crate) fn user_timeout(_: Borrowed<'_>) -> Result<Option<Duration>, Errno> {
    Err(Errno::OPNOTSUPP)
}

pub(crate) fn unacknowledged_bytes(_: Borrowed<'_>) -> Result<usize, Errno> {
    Err(Errno::OPNOTSUPP)
}

pub(crate) fn peer_credentials(_: Borrowed<'_>) -> io::Result<PeerCredentials> {
    Err(Errno::OPNOTSUPP.into())
}

fn probes(socket: &TcpStream) -> Result<KeepAliveProbes, Errno> {
    let seconds = |option| Ok::<_, Errno>(Duration::from_secs(get(socket, option)?.into()));
    let probes = KeepAliveProbes::new(seconds(TCP_KEEPIDLE)?);
    Ok(probes.interval(seconds(TCP_KEEPINTVL)?).count(get(socket, TCP_KEEPCNT)?))
}

/// Sets all three or none: if a value is refused, the previous ones are restored.
fn set_keep_alive(socket: &TcpStream, wanted: KeepAliveProbes) -> Result<(), Errno> {
    if wanted.initial_delay.as_secs() > 0 {
        let Ok(before) = probes(socket) else { return set_times(socket, wanted) };
        set_probes(socket, wanted).inspect_err(|_| {
            // These values were accepted before.
            let _ = set_probes(socket, before);
        })?;
    }
    Ok(SockRef::from(socket).set_keepalive(true)?)
}

/// Where the options of [`set_probes`] are missing, an older call sets the times, and the count is the system's, as
/// in libuv.
fn set_times(socket: &TcpStream, wanted: KeepAliveProbes) -> Result<(), Errno> {
    let whole = |time: Duration| Duration::from_secs(time.as_secs());
    let times = TcpKeepalive::new().with_time(whole(wanted.initial_delay));
    let times = times.with_interval(whole(wanted.interval));
    Ok(SockRef::from(socket).set_tcp_keepalive(&times)?)
}

/// In whole seconds, on Windows 10 version 1709 and later.
fn set_probes(socket: &TcpStream, probes: KeepAliveProbes) -> Result<(), Errno> {
    let seconds = |time: Duration| u32::try_from(time.as_secs()).map_err(|_| Errno::INVAL);
    set(socket, TCP_KEEPIDLE, seconds(probes.initial_delay)?)?;
    set(socket, TCP_KEEPINTVL, seconds(probes.interval)?)?;
    set(socket, TCP_KEEPCNT, probes.count)
}

/// Windows refuses nothing here that it would not refuse as a signed number.
#[allow(unsafe_code, reason = "socket2 has no call that sets these options one by one")]
fn set(socket: &TcpStream, option: i32, value: u32) -> Result<(), Errno> {
    if i32::try_from(value).is_err() || value == 0 {
        return Err(Errno::INVAL);
    }
    let value = value.to_ne_bytes();
    // SAFETY: the socket is borrowed, and the value is four bytes that the call only reads.
    let result = unsafe {
        setsockopt(
            socket.as_socket().as_raw_socket() as usize,
            IPPROTO_TCP,
            option,
            value.as_ptr(),
            value.len() as i32,
        )
    };
    if result == 0 { Ok(()) } else { Err(Errno::last()) }
}

#[allow(unsafe_code, reason = "socket2 has no call that reads these options on Windows")]
fn get(socket: &TcpStream, option: i32) -> Result<u32, Errno> {
    let mut value = 0_u32;
    let mut len = size_of::<u32>() as i32;
    // SAFETY: the socket is borrowed. The call writes at most `len` bytes, the size of `value`.
    let result = unsafe {
        getsockopt(
            socket.as_socket().as_raw_socket() as usize,
            IPPROTO_TCP,
            option,
            (&raw mut value).cast(),
            &raw mut len,
        )
    };
    if result == 0 { Ok(value) } else { Err(Errno::last()) }
}
