//! The calls of Windows: Winsock for TCP, and named pipes, which take the place of Unix sockets. Options of a
//! socket are in [`options`], named pipes in [`pipe`].
//!
//! mio reports an event once, and again only after a call has returned `WouldBlock` inside of its `try_io`.
//! So every call that may return it is made in there.

mod alarm;
mod errno;
mod opening;
mod options;
mod pipe;
mod pipe_access;
mod pipe_flush;
mod pipe_name;
mod shedding;

use std::cell::Cell;
use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::windows::io::{AsRawSocket, AsSocket};
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{SockAddr, SockRef};
use windows_sys::Win32::Networking::WinSock::{
    MSG_PEEK, POLLERR, POLLHUP, POLLWRNORM, SIO_TCP_INITIAL_RTO,
    TCP_INITIAL_RTO_NO_SYN_RETRANSMISSIONS, TCP_INITIAL_RTO_PARAMETERS, WSAIoctl, WSAPOLLFD,
    WSAPoll,
};

use super::Check;
use crate::Address;
use crate::uninit::Unfilled;
use crate::zone::with_zone;
pub(crate) use alarm::Alarm;
pub(crate) use errno::Errno;
pub(crate) use opening::open;
pub(crate) use options::{
    buffer_bytes, keep_alive, no_delay, peer_credentials, set_option, type_of_service,
    unacknowledged_bytes, user_timeout,
};
use pipe::Pipe;
pub(crate) use shedding::Spare;

/// A socket or a named pipe.
#[derive(Debug)]
pub(crate) enum Fd {
    Socket(Socket),
    /// Boxed, because most sockets are of TCP.
    Pipe(Box<Pipe>),
}

/// A connection of TCP, a listener, or what may become one: mio watches all of them in the same way.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    /// mio has reported that the connection is aborted. The end of its stream is then ECONNRESET; Wine returns
    /// an end like any other.
    aborted: Cell<bool>,
}

impl From<socket2::Socket> for Fd {
    fn from(socket: socket2::Socket) -> Self {
        let stream = TcpStream::from_std(socket.into());
        Self::Socket(Socket { stream, aborted: Cell::new(false) })
    }
}

/// A socket that is owned elsewhere.
pub(crate) type Borrowed<'a> = &'a Fd;

/// mio reports new bytes only after a read that would block.
pub(crate) const SHORT_READ_DRAINS: bool = false;

/// Named pipes have no file.
#[derive(Debug)]
pub(crate) enum BoundFile {}

impl BoundFile {
    pub(crate) fn unlink(&self) {
        match *self {}
    }
}

pub(crate) fn borrow(fd: &Fd) -> Borrowed<'_> {
    fd
}

/// Makes the poller report the events of a socket. Returns whether it does from now on: a pipe without an
/// instance has nothing to report.
pub(crate) fn register(
    registry: &Registry,
    fd: &mut Fd,
    token: Token,
    interest: Interest,
) -> io::Result<bool> {
    match fd {
        Fd::Socket(socket) => registry.register(&mut socket.stream, token, interest).map(|()| true),
        Fd::Pipe(pipe) => pipe.register(registry, token),
    }
}

/// Notes that mio has reported an event.
pub(crate) fn note_event(fd: Borrowed<'_>, event: &Event) {
    match fd {
        // While a socket connects, this says that the connect has failed.
        Fd::Socket(socket) if event.is_write_closed() => socket.aborted.set(true),
        Fd::Pipe(pipe) if event.is_writable() => pipe.note_writable(),
        _ => {}
    }
}

/// Checks a pipe that waits for an instance or ends.
pub(crate) fn check(fd: Borrowed<'_>) -> Check {
    match fd {
        Fd::Socket(_) => Check::default(),
        Fd::Pipe(pipe) => pipe.check(),
    }
}

/// The socket of a descriptor. Fails with ENOTSOCK for a pipe, as on Unix.
fn tcp(fd: Borrowed<'_>) -> Result<&TcpStream, Errno> {
    match fd {
        Fd::Socket(socket) => Ok(&socket.stream),
        Fd::Pipe(_) => Err(Errno::NOTSOCK),
    }
}

fn pipe(fd: Borrowed<'_>) -> Result<&Pipe, Errno> {
    match fd {
        Fd::Pipe(pipe) => Ok(pipe),
        Fd::Socket(_) => Err(Errno::INVAL),
    }
}

pub(crate) fn accept(listener: Borrowed<'_>) -> Result<(Fd, Option<SocketAddr>), Errno> {
    let stream = match listener {
        Fd::Socket(socket) => &socket.stream,
        Fd::Pipe(pipe) => return Ok((Fd::Pipe(Box::new(pipe.accept()?)), None)),
    };
    let (socket, peer) = stream.try_io(|| SockRef::from(stream).accept())?;
    socket.set_nonblocking(true)?;
    Ok((socket.into(), peer.as_socket()))
}

/// An accept without a waiting connection costs little.
pub(crate) fn is_acceptable(_: Borrowed<'_>) -> bool {
    true
}

/// Whether an accepted connection without a peer address is a named pipe.
pub(crate) fn is_unix(fd: Borrowed<'_>) -> bool {
    matches!(fd, Fd::Pipe(_))
}

pub(crate) fn listen(fd: Borrowed<'_>, backlog: i32) -> Result<(), Errno> {
    match fd {
        Fd::Socket(Socket { stream, .. }) => Ok(SockRef::from(stream).listen(backlog)?),
        Fd::Pipe(pipe) => pipe.listen(),
    }
}

pub(crate) fn connect(fd: Borrowed<'_>, address: &Address) -> Result<(), Errno> {
    let (stream, address) = match (fd, address) {
        (Fd::Socket(Socket { stream, .. }), Address::Ip(address)) => (stream, with_zone(*address)),
        (Fd::Pipe(pipe), Address::Path(path)) => return pipe.connect(path),
        _ => return Err(Errno::INVAL),
    };
    if address.ip().is_loopback() {
        refuse_at_once(stream);
    }
    match SockRef::from(stream).connect(&address.into()).map_err(Errno::from) {
        Err(Errno::AGAIN) => Ok(()),
        begun => begun,
    }
}

/// Makes a connect to a closed port of this machine fail at once, as libuv does. Otherwise Windows tries again for two
/// seconds. Versions of Windows without this setting still do.
#[allow(unsafe_code, reason = "socket2 does not have this call")]
fn refuse_at_once(stream: &TcpStream) {
    let wanted = TCP_INITIAL_RTO_PARAMETERS {
        Rtt: TCP_INITIAL_RTO_NO_SYN_RETRANSMISSIONS,
        MaxSynRetransmissions: TCP_INITIAL_RTO_NO_SYN_RETRANSMISSIONS as u8,
    };
    let mut written = 0;
    // SAFETY: the socket is borrowed. The call reads `wanted` and writes `written`, which live through it, and
    // completes inside of it, because there is no OVERLAPPED.
    let _ = unsafe {
        WSAIoctl(
            stream.as_socket().as_raw_socket() as usize,
            SIO_TCP_INITIAL_RTO,
            (&raw const wanted).cast(),
            size_of_val(&wanted) as u32,
            std::ptr::null_mut(),
            0,
            &raw mut written,
            std::ptr::null_mut(),
            None,
        )
    };
}

/// The result of a connect that was in progress: SO_ERROR.
pub(crate) fn connect_result(fd: Borrowed<'_>) -> Result<(), Errno> {
    match fd {
        Fd::Socket(Socket { stream, .. }) => {
            SockRef::from(stream).take_error()?.map_or(Ok(()), |error| Err(error.into()))
        }
        Fd::Pipe(pipe) => pipe.connect_result(),
    }
}

/// Whether the socket is connected; distinguishes "writable because connected" from "writable because
/// the event is old".
pub(crate) fn is_connected(fd: Borrowed<'_>) -> bool {
    match fd {
        Fd::Socket(Socket { stream, .. }) => polled(stream) & POLLWRNORM != 0,
        Fd::Pipe(pipe) => pipe.is_connected(),
    }
}

/// Whether sending has something to tell: there is room, or it fails.
pub(crate) fn is_writable(fd: Borrowed<'_>) -> bool {
    match fd {
        Fd::Socket(Socket { stream, .. }) => polled(stream) & (POLLWRNORM | POLLERR | POLLHUP) != 0,
        Fd::Pipe(pipe) => pipe.is_writable(),
    }
}

/// The state of a socket's sending side, now.
#[allow(unsafe_code, reason = "socket2 does not have this call")]
fn polled(stream: &TcpStream) -> i16 {
    let fd = stream.as_socket().as_raw_socket() as usize;
    let mut watched = WSAPOLLFD { fd, events: POLLWRNORM, revents: 0 };
    // SAFETY: the socket is borrowed, and `watched` is one entry, which lives through the call.
    let count = unsafe { WSAPoll(&raw mut watched, 1, 0) };
    if count > 0 { watched.revents } else { 0 }
}

pub(crate) fn receive(fd: Borrowed<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut stream = tcp(fd)?;
    let received = stream.read(buffer).map_err(receive_error)?;
    unless_aborted(fd, received, buffer.len())
}

pub(crate) fn receive_into<'a>(
    fd: Borrowed<'_>,
    buffer: Unfilled<'a>,
) -> Result<&'a mut [u8], Errno> {
    receive_with(fd, buffer, 0)
}

/// Like [`receive_into`], but the system keeps the bytes, and the next receive returns them again. An error
/// is consumed.
pub(crate) fn peek_into<'a>(fd: Borrowed<'_>, buffer: Unfilled<'a>) -> Result<&'a mut [u8], Errno> {
    receive_with(fd, buffer, MSG_PEEK)
}

#[allow(unsafe_code, reason = "memory that is not initialised")]
fn receive_with<'a>(
    fd: Borrowed<'_>,
    mut buffer: Unfilled<'a>,
    flags: i32,
) -> Result<&'a mut [u8], Errno> {
    let stream = tcp(fd)?;
    // SAFETY: only the system writes to the memory.
    let memory: &mut [MaybeUninit<u8>] = unsafe { buffer.as_mut() };
    let received = stream.try_io(|| SockRef::from(stream).recv_with_flags(memory, flags));
    let count = received.map_err(receive_error)?;
    unless_aborted(fd, count, buffer.len())?;
    // SAFETY: the system has written this many bytes.
    Ok(unsafe { buffer.assume_init(count) })
}

/// Returns `count`, unless it is the end of the stream of an aborted connection.
fn unless_aborted(fd: Borrowed<'_>, count: usize, room: usize) -> Result<usize, Errno> {
    match fd {
        Fd::Socket(socket) if count == 0 && room > 0 && socket.aborted.get() => {
            Err(Errno::CONNRESET)
        }
        _ => Ok(count),
    }
}

/// A connection that the system has given up is "reset", as libuv reports it.
fn receive_error(error: io::Error) -> Errno {
    match error.kind() {
        io::ErrorKind::ConnectionAborted => Errno::CONNRESET,
        _ => error.into(),
    }
}

pub(crate) fn send(fd: Borrowed<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    let mut stream = tcp(fd)?;
    stream.write(bytes).map_err(send_error)
}

pub(crate) fn send_gathered(fd: Borrowed<'_>, slices: &[IoSlice<'_>]) -> Result<usize, Errno> {
    let mut stream = tcp(fd)?;
    stream.write_vectored(slices).map_err(send_error)
}

/// Our side has ended: EPIPE, for which the standard library has a kind only as an error of pipes.
fn send_error(error: io::Error) -> Errno {
    match Errno::from(error) {
        Errno::SHUTDOWN => Errno::PIPE,
        errno => errno,
    }
}

/// Ends our side. A pipe has no sides: this returns `EINPROGRESS`, and [`check`] reports the end.
pub(crate) fn shutdown_write(fd: Borrowed<'_>) -> Result<(), Errno> {
    match fd {
        Fd::Socket(Socket { stream, .. }) => {
            Ok(SockRef::from(stream).shutdown(std::net::Shutdown::Write)?)
        }
        Fd::Pipe(pipe) => pipe.end(),
    }
}

/// Makes the close that follows send RST instead of FIN: SO_LINGER with a time of zero. A pipe has no RST.
pub(crate) fn reset_on_close(fd: Borrowed<'_>) -> Result<(), Errno> {
    Ok(SockRef::from(tcp(fd)?).set_linger(Some(Duration::ZERO))?)
}

pub(crate) fn local_address(fd: Borrowed<'_>) -> io::Result<Address> {
    match fd {
        Fd::Socket(Socket { stream, .. }) => address(&SockRef::from(stream).local_addr()?),
        Fd::Pipe(pipe) => Ok(pipe.local_path().map_or(Address::Unnamed, Address::Path)),
    }
}

pub(crate) fn peer_address(fd: Borrowed<'_>) -> io::Result<Address> {
    match fd {
        Fd::Socket(Socket { stream, .. }) => address(&SockRef::from(stream).peer_addr()?),
        Fd::Pipe(pipe) => Ok(pipe.peer_path()?.map_or(Address::Unnamed, Address::Path)),
    }
}

fn address(found: &SockAddr) -> io::Result<Address> {
    found.as_socket().map(Address::Ip).ok_or_else(|| Errno::INVAL.into())
}

/// A pipe has no file that a process could leave behind.
pub(crate) fn remove_stale(_: &Address) -> bool {
    false
}

/// Sets who may connect to a pipe. A pipe has no modes, so only the modes that let everybody read, write or both are
/// supported.
pub(crate) fn set_mode(fd: Borrowed<'_>, _: Option<&BoundFile>, mode: u32) -> io::Result<()> {
    match (fd, mode) {
        (Fd::Socket(_), _) => Ok(()),
        (Fd::Pipe(pipe), 0o444 | 0o222 | 0o666) => Ok(pipe.set_mode(mode)?),
        (Fd::Pipe(_), _) => Err(Errno::OPNOTSUPP.into()),
    }
}

pub(crate) fn read_pipe(fd: Borrowed<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    pipe(fd)?.read(buffer)
}

#[allow(unsafe_code, reason = "memory that is not initialised")]
pub(crate) fn read_pipe_into<'a>(
    fd: Borrowed<'_>,
    mut buffer: Unfilled<'a>,
) -> Result<&'a mut [u8], Errno> {
    // SAFETY: only zeros are written to the memory here.
    unsafe { buffer.as_mut() }.fill(MaybeUninit::new(0));
    let len = buffer.len();
    // SAFETY: all of the memory is initialised.
    let bytes = unsafe { buffer.assume_init(len) };
    let count = pipe(fd)?.read(bytes)?;
    Ok(&mut bytes[..count])
}

pub(crate) fn write_pipe(fd: Borrowed<'_>, slices: &[IoSlice<'_>]) -> Result<usize, Errno> {
    pipe(fd)?.write(slices)
}
