//! The calls of Unix systems. Those of a socket's options are in [`options`].

mod alarm;
mod bound_file;
mod credentials;
mod opening;
mod options;
mod service;
mod shedding;
mod unacknowledged;

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
pub(crate) use rustix::io::Errno;
use rustix::io::retry_on_intr;
use rustix::net::{self, AddressFamily, SocketAddrAny, SocketAddrUnix, SocketType, sockopt};

use super::Check;
use crate::faults::{Call, fault};
use crate::uninit::Unfilled;
use crate::zone::with_zone;
use crate::{Address, Adopted, Family, Transport};
pub(crate) use alarm::Alarm;
pub(crate) use bound_file::{BoundFile, set_mode};
pub(crate) use credentials::peer_credentials;
pub(crate) use opening::{open, remove_stale};
pub(crate) use options::{buffer_bytes, keep_alive, no_delay, set_option, user_timeout};
pub(crate) use service::type_of_service;
pub(crate) use shedding::Spare;
pub(crate) use unacknowledged::unacknowledged_bytes;

#[cfg(not(any(target_os = "macos", target_os = "ios")))]
const FLAGS: net::SocketFlags = net::SocketFlags::NONBLOCK.union(net::SocketFlags::CLOEXEC);

/// MSG_NOSIGNAL: a closed peer is EPIPE, never SIGPIPE (contract rule 10). Apple's systems have a
/// socket option instead, see [`prepare`].
#[cfg(not(any(target_os = "macos", target_os = "ios")))]
const SEND: net::SendFlags = net::SendFlags::NOSIGNAL;
#[cfg(any(target_os = "macos", target_os = "ios"))]
const SEND: net::SendFlags = net::SendFlags::empty();

/// A descriptor that is owned.
pub(crate) type Fd = OwnedFd;

/// A descriptor that is owned elsewhere.
pub(crate) type Borrowed<'a> = BorrowedFd<'a>;

/// A short read of a stream socket means that it is drained (epoll(7), "Questions and answers" 9).
pub(crate) const SHORT_READ_DRAINS: bool = true;

/// Makes the poller report the events of a descriptor. Returns whether it does from now on.
pub(crate) fn register(
    registry: &Registry,
    fd: &mut OwnedFd,
    token: Token,
    interest: Interest,
) -> io::Result<bool> {
    registry.register(&mut SourceFd(&fd.as_raw_fd()), token, interest).map(|()| true)
}

/// The opposite of [`register`].
pub(crate) fn deregister(registry: &Registry, fd: &OwnedFd) -> io::Result<()> {
    registry.deregister(&mut SourceFd(&fd.as_raw_fd()))
}

/// The kernel's events are complete: nothing is learnt from them here.
#[inline(always)]
pub(crate) const fn note_event(_: &OwnedFd, _: &Event) {}

/// Every change of a descriptor makes an event.
#[inline(always)]
pub(crate) const fn check(_: &OwnedFd) -> Check {
    Check { changed: false, shut_down: false, again: None }
}

fn socket(transport: Transport) -> Result<OwnedFd, Errno> {
    let family = match transport {
        Transport::Tcp(Family::V4) => AddressFamily::INET,
        Transport::Tcp(Family::V6) => AddressFamily::INET6,
        Transport::Unix => AddressFamily::UNIX,
    };
    #[cfg(not(any(target_os = "macos", target_os = "ios")))]
    return net::socket_with(family, SocketType::STREAM, FLAGS, None);
    #[cfg(any(target_os = "macos", target_os = "ios"))]
    net::socket(family, SocketType::STREAM, None).and_then(prepare)
}

pub(crate) fn accept(listener: BorrowedFd<'_>) -> Result<(OwnedFd, Option<SocketAddr>), Errno> {
    fault(Call::Accept)?;
    #[cfg(not(any(target_os = "macos", target_os = "ios")))]
    let (socket, peer) = net::acceptfrom_with(listener, FLAGS)?;
    #[cfg(any(target_os = "macos", target_os = "ios"))]
    let (socket, peer) = net::acceptfrom(listener).and_then(|(s, p)| Ok((prepare(s)?, p)))?;
    Ok((socket, peer.and_then(|peer| SocketAddr::try_from(peer).ok())))
}

/// Whether [`accept`] would have a result: a connection is waiting, or the listener has failed. An
/// `accept` that returns `EAGAIN` costs ten times as much, because Linux creates a socket and a file
/// before it looks for a connection.
pub(crate) fn is_acceptable(listener: BorrowedFd<'_>) -> bool {
    let mut watched = [PollFd::new(&listener, PollFlags::IN)];
    poll(&mut watched, Some(&Timespec::default())) != Ok(0)
}

/// Whether an accepted connection without a peer address is a Unix socket. Linux has an address for
/// every TCP connection; other systems have none for one that has already vanished.
pub(crate) fn is_unix(socket: BorrowedFd<'_>) -> bool {
    let family = |name: SocketAddrAny| name.address_family() == AddressFamily::UNIX;
    cfg!(any(target_os = "linux", target_os = "android"))
        || net::getsockname(socket).is_ok_and(family)
}

/// What other systems do without the flags of `socket` and `accept`.
#[cfg(any(target_os = "macos", target_os = "ios"))]
fn prepare(socket: OwnedFd) -> Result<OwnedFd, Errno> {
    rustix::io::ioctl_fionbio(&socket, true)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    sockopt::set_socket_nosigpipe(&socket, true)?;
    Ok(socket)
}

fn bind(socket: BorrowedFd<'_>, address: &Address) -> Result<(), Errno> {
    match address {
        Address::Ip(address) => net::bind(socket, address),
        unix => net::bind(socket, &unix_address(unix)?),
    }
}

pub(crate) fn listen(socket: BorrowedFd<'_>, backlog: i32) -> Result<(), Errno> {
    net::listen(socket, backlog)
}

pub(crate) fn connect(socket: BorrowedFd<'_>, address: &Address) -> Result<(), Errno> {
    fault(Call::Connect)?;
    let begun = match address {
        Address::Ip(address) => net::connect(socket, &with_zone(*address)),
        unix => net::connect(socket, &unix_address(unix)?),
    };
    // A connect that a signal interrupts continues (POSIX, connect()).
    begun.map_err(|errno| if errno == Errno::INTR { Errno::INPROGRESS } else { errno })
}

/// The result of a connect that was in progress: SO_ERROR, which reading clears (socket(7)).
pub(crate) fn connect_result(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    fault(Call::ConnectResult)?;
    sockopt::socket_error(socket)?
}

/// Whether the socket is connected; distinguishes "writable because connected" from "writable because
/// the event is old".
pub(crate) fn is_connected(socket: BorrowedFd<'_>) -> bool {
    net::getpeername(socket).is_ok()
}

pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    retry_on_intr(|| {
        fault(Call::Receive)?;
        net::recv(socket, &mut *buffer, net::RecvFlags::empty())
    })
    .map(|(_, count)| count)
}

pub(crate) fn receive_into<'a>(
    socket: BorrowedFd<'_>,
    buffer: Unfilled<'a>,
) -> Result<&'a mut [u8], Errno> {
    receive_with(socket, buffer, net::RecvFlags::empty())
}

/// Like [`receive_into`], but the kernel keeps the bytes, and the next receive returns them again. An error
/// is consumed.
pub(crate) fn peek_into<'a>(
    socket: BorrowedFd<'_>,
    buffer: Unfilled<'a>,
) -> Result<&'a mut [u8], Errno> {
    receive_with(socket, buffer, net::RecvFlags::PEEK)
}

#[allow(unsafe_code, reason = "memory that is not initialised")]
fn receive_with<'a>(
    socket: BorrowedFd<'_>,
    buffer: Unfilled<'a>,
    flags: net::RecvFlags,
) -> Result<&'a mut [u8], Errno> {
    let receive = |buffer: &mut [MaybeUninit<u8>]| {
        fault(Call::Receive)?;
        net::recv(socket, buffer, flags).map(|((filled, _), _)| filled.len())
    };
    // SAFETY: only the kernel writes to the memory, and these are the bytes that it has written.
    unsafe { fill(buffer, receive) }
}

/// Fills memory by a call that returns how many bytes of it are filled.
///
/// # Safety
/// The call must initialise the memory from its beginning up to the number of bytes that it returns, and must
/// not write uninitialised bytes.
#[allow(unsafe_code, reason = "memory that is not initialised")]
unsafe fn fill(
    mut buffer: Unfilled<'_>,
    call: impl Fn(&mut [MaybeUninit<u8>]) -> Result<usize, Errno>,
) -> Result<&mut [u8], Errno> {
    // SAFETY: what the caller promises.
    let memory = unsafe { buffer.as_mut() };
    let count = retry_on_intr(|| call(memory))?;
    // SAFETY: what the caller promises.
    Ok(unsafe { buffer.assume_init(count) })
}

pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    retry_on_intr(|| {
        fault(Call::Send)?;
        net::send(socket, bytes, SEND)
    })
}

pub(crate) fn send_gathered(
    socket: BorrowedFd<'_>,
    slices: &[IoSlice<'_>],
) -> Result<usize, Errno> {
    retry_on_intr(|| {
        fault(Call::Send)?;
        net::sendmsg(socket, slices, &mut net::SendAncillaryBuffer::default(), SEND)
    })
}

/// Whether sending has something to tell: there is room, or it fails.
pub(crate) fn is_writable(socket: BorrowedFd<'_>) -> bool {
    let mut watched = [PollFd::new(&socket, PollFlags::OUT)];
    poll(&mut watched, Some(&Timespec::default())) != Ok(0)
}

pub(crate) fn shutdown_write(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    fault(Call::Shutdown)?;
    net::shutdown(socket, net::Shutdown::Write)
}

/// Makes the close that follows send RST instead of FIN: SO_LINGER with a time of zero
/// (socket(7), tcp(7)).
pub(crate) fn reset_on_close(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    sockopt::set_socket_linger(socket, Some(Duration::ZERO))
}

pub(crate) fn local_address(socket: BorrowedFd<'_>) -> io::Result<Address> {
    let found = net::getsockname(socket)?;
    match fills_its_field(&found) {
        true => Ok(name(&standard(socket)?.local_addr()?)),
        false => Ok(address(found)),
    }
}

pub(crate) fn peer_address(socket: BorrowedFd<'_>) -> io::Result<Address> {
    let found = net::getpeername(socket)?;
    match found.as_ref().is_some_and(fills_its_field) {
        true => Ok(name(&standard(socket)?.peer_addr()?)),
        false => Ok(found.map_or(Address::Unnamed, address)),
    }
}

/// The size of `sockaddr_un` on Linux; elsewhere it is smaller.
const UNIX_ADDRESS_BYTES: usize = 110;

/// A path may fill its field, and the kernel counts a NUL after it (unix(7), BUGS). That is one byte
/// too many for rustix 1.1, which panics; the standard library can read it. A client that connects may
/// have such a name.
fn fills_its_field(address: &SocketAddrAny) -> bool {
    address.address_family() == AddressFamily::UNIX
        && usize::try_from(address.addr_len()).is_ok_and(|bytes| bytes > UNIX_ADDRESS_BYTES)
}

fn standard(socket: BorrowedFd<'_>) -> io::Result<std::os::unix::net::UnixStream> {
    Ok(socket.try_clone_to_owned()?.into())
}

fn name(address: &std::os::unix::net::SocketAddr) -> Address {
    let path = address.as_pathname().map(|path| Address::Path(path.to_owned()));
    path.unwrap_or(Address::Unnamed)
}

fn address(address: SocketAddrAny) -> Address {
    if let Ok(ip) = SocketAddr::try_from(address.clone()) {
        return Address::Ip(ip);
    }
    let Ok(unix) = SocketAddrUnix::try_from(address) else { return Address::Unnamed };
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // rustix returns an empty name for a socket without one.
    if let Some(name) = unix.abstract_name().filter(|name| !name.is_empty()) {
        return Address::Abstract(name.to_vec());
    }
    unix.path_bytes().filter(|path| !path.is_empty()).map_or(Address::Unnamed, |path| {
        Address::Path(PathBuf::from(std::ffi::OsString::from_vec(path.to_vec())))
    })
}

/// A path that is too long or has a NUL byte is EINVAL, and never truncated.
// IPC-10, IPC-11.
fn unix_address(address: &Address) -> Result<SocketAddrUnix, Errno> {
    match address {
        Address::Path(path) if path.as_os_str().as_bytes().contains(&0) => Err(Errno::INVAL),
        Address::Path(path) => SocketAddrUnix::new(path).map_err(|_| Errno::INVAL),
        #[cfg(any(target_os = "linux", target_os = "android"))]
        Address::Abstract(name) => {
            SocketAddrUnix::new_abstract_name(name).map_err(|_| Errno::INVAL)
        }
        // The kernel chooses a name (unix(7), "Autobind feature").
        #[cfg(any(target_os = "linux", target_os = "android"))]
        Address::Unnamed => Ok(SocketAddrUnix::new_unnamed()),
        #[allow(unreachable_patterns, reason = "on Linux all are known")]
        _ => Err(Errno::INVAL),
    }
}

fn set_reuse_address(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    sockopt::set_socket_reuseaddr(socket, true)
}

#[cfg(not(any(target_os = "solaris", target_os = "illumos")))]
fn set_reuse_port(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    sockopt::set_socket_reuseport(socket, true)
}

#[cfg(any(target_os = "solaris", target_os = "illumos"))]
fn set_reuse_port(_: BorrowedFd<'_>) -> Result<(), Errno> {
    Err(Errno::OPNOTSUPP)
}

fn set_ipv6_only(socket: BorrowedFd<'_>, only: bool) -> Result<(), Errno> {
    sockopt::set_ipv6_v6only(socket, only)
}

fn spare_descriptor() -> Option<OwnedFd> {
    std::fs::File::open("/dev/null").ok().map(OwnedFd::from)
}

/// The file that a path names, by device and inode; `None` if it does not exist.
fn file_identity(path: &std::path::Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Reads from a pipe. A write-only pipe is "not connected", as in libuv.
pub(crate) fn read_pipe(pipe: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    read_pipe_into(pipe, buffer.into()).map(|bytes| bytes.len())
}

#[allow(unsafe_code, reason = "memory that is not initialised")]
pub(crate) fn read_pipe_into<'a>(
    pipe: BorrowedFd<'_>,
    buffer: Unfilled<'a>,
) -> Result<&'a mut [u8], Errno> {
    let read = |buffer: &mut [MaybeUninit<u8>]| {
        rustix::io::read(pipe, buffer).map(|(filled, _)| filled.len())
    };
    // SAFETY: only the kernel writes to the memory, and these are the bytes that it has written.
    let read = unsafe { fill(buffer, read) };
    read.map_err(|errno| if errno == Errno::BADF { Errno::NOTCONN } else { errno })
}

/// Writes to a pipe. A read-only pipe is broken, as in libuv. Unlike for a socket, SIGPIPE cannot be
/// disabled for a pipe: a process that is not written in Rust must ignore the signal.
pub(crate) fn write_pipe(pipe: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> Result<usize, Errno> {
    retry_on_intr(|| rustix::io::writev(pipe, slices)).map_err(|errno| match errno {
        Errno::BADF => Errno::PIPE,
        errno => errno,
    })
}

pub(crate) fn is_pipe(fd: BorrowedFd<'_>) -> bool {
    let mode = rustix::fs::fstat(fd).map(|stat| stat.st_mode);
    mode.is_ok_and(|mode| rustix::fs::FileType::from_raw_mode(mode).is_fifo())
}

/// Determines what a descriptor from outside refers to, and makes it non-blocking.
///
/// # Errors
/// ENOTSOCK, or EINVAL for a socket of another kind; EBADF for a descriptor that allows no calls,
/// opened with O_PATH (open(2)). Any other error is a failure of the system.
fn inspect(fd: BorrowedFd<'_>) -> io::Result<Adopted> {
    if is_pipe(fd) {
        rustix::io::ioctl_fionbio(fd, true)?;
        return Ok(Adopted::Connection { peer: Address::Unnamed, writable: true });
    }
    if sockopt::socket_type(fd)? != SocketType::STREAM {
        return Err(Errno::INVAL.into());
    }
    rustix::io::ioctl_fionbio(fd, true)?;
    if listens(fd)? {
        return Ok(Adopted::Listener);
    }
    match peer_address(fd) {
        // This sends nothing: an empty piece is only refused if our side is shut down.
        Ok(peer) => Ok(Adopted::Connection { peer, writable: send(fd, &[]) != Err(Errno::PIPE) }),
        Err(_) => Ok(Adopted::Unconnected),
    }
}

#[cfg(not(any(target_os = "macos", target_os = "ios")))]
fn listens(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    sockopt::socket_acceptconn(fd)
}

/// Apple's systems do not report this: a listener looks like a socket that is not connected.
#[cfg(any(target_os = "macos", target_os = "ios"))]
fn listens(_: BorrowedFd<'_>) -> Result<bool, Errno> {
    Ok(false)
}

/// Takes over a descriptor from outside. Child processes must not inherit it, so it gets FD_CLOEXEC.
/// The standard descriptors do not, because a child without them would use the next file that it opens
/// for one of them. A refused descriptor is closed.
///
/// # Errors
/// Those of [`inspect`].
pub(crate) fn take_over(fd: OwnedFd) -> io::Result<(OwnedFd, Adopted)> {
    let kept = match is_standard(&fd) {
        true => Ok(()),
        false => rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC),
    };
    match kept.map_err(io::Error::from).and_then(|()| inspect(fd.as_fd())) {
        Ok(found) => Ok((fd, found)),
        Err(error) => {
            close_from_outside(fd);
            Err(error)
        }
    }
}

/// Closes a descriptor from outside, except for the standard ones: the next file that is opened would
/// be used as standard input or output.
pub(crate) fn close_from_outside(fd: OwnedFd) {
    if is_standard(&fd) {
        let _ = fd.into_raw_fd();
    }
}

fn is_standard(fd: &OwnedFd) -> bool {
    // 0, 1 and 2.
    fd.as_raw_fd() <= 2
}

/// Duplicates the descriptor of a socket, closed on exec; the result is not a standard descriptor.
pub(crate) fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    rustix::io::fcntl_dupfd_cloexec(fd, 3)
}

fn is_socket(path: &std::path::Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

fn unlink(path: &std::path::Path) {
    // A failure cannot be handled, and there is no caller to report it to.
    let _ = std::fs::remove_file(path);
}

/// A borrowed view of a descriptor that is owned elsewhere.
pub(crate) fn borrow(fd: &OwnedFd) -> BorrowedFd<'_> {
    fd.as_fd()
}
