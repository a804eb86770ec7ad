//! Sockets over existing descriptors.
// FD-01 … FD-04

use std::os::fd::OwnedFd;

use fyke_driver::{Adopted, SocketId};

use super::{Socket, State};
use crate::bound_socket::adopt_error;
use crate::socket_options::SocketOptions;
use crate::wiring::{Core, current};
use crate::{BoundSocket, Error, ErrorCode, Result};
use fyke_machine::connection::Phase;

/// # Adopting
impl Socket {
    /// Makes a socket over an existing descriptor: one that was inherited (see
    /// [`inherited_fd`](crate::inherited_fd)), received from another process, or one half of a socket pair.
    ///
    /// The socket owns the descriptor from now on; the descriptor is closed if this function fails. It
    /// becomes non-blocking and gets FD_CLOEXEC, so that child processes do not inherit it. The standard
    /// descriptors (0, 1, 2) are never closed and do not get FD_CLOEXEC.
    ///
    /// - If the descriptor is a connection, a pipe or a FIFO, the socket is open and starts to read. For a
    ///   pipe that is write-only, set [`readable(false)`](SocketOptions::readable). When the reader of a
    ///   pipe is gone, the process gets SIGPIPE unless it ignores that signal; Rust programs ignore it by
    ///   default.
    /// - If the descriptor is a stream socket that is not connected, bound or not, the socket is pending,
    ///   and [`connect`](Self::connect) uses that descriptor.
    ///
    /// [`SocketOptions::build_from_fd`] also takes options. Node: `new net.Socket({ fd })`.
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    ///
    /// # fn main() -> fyke::Result<()> {
    /// let (ours, theirs) = UnixStream::pair().unwrap();
    /// fyke::run(|| {
    ///     let (a, b) = (fyke::Socket::from_fd(ours.into())?, fyke::Socket::from_fd(theirs.into())?);
    ///     a.end_with("hello");
    ///     b.on_data(|_, data| assert_eq!(data, b"hello"));
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// - `ERR_INVALID_FD_TYPE` if the descriptor is neither a stream socket nor a pipe, or if it is
    ///   listening.
    /// - `EEXIST` if the descriptor belongs to another socket of this loop.
    /// - The system's error (`ENOMEM`, `ENOSPC`, `EMFILE`), with the syscall `open`, if it cannot watch the
    ///   descriptor.
    /// - `ERR_NO_EVENT_LOOP` outside of a loop.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        SocketOptions::new().build_from_fd(fd)
    }

    /// Makes the socket of an open connection, which reads unless the options disable that.
    // FD-02
    fn with_connection(core: std::rc::Rc<Core>, id: SocketId, state: State, paused: bool) -> Self {
        let socket = Self::from_state(state);
        core.own(id, socket.actor());
        socket.join(core);
        socket.apply_wishes(false);
        if paused {
            socket.pause();
        } else {
            socket.start_receiving();
        }
        socket.sync();
        socket
    }
}

impl SocketOptions {
    /// Makes a socket with these options over an existing descriptor, see [`Socket::from_fd`]. Node:
    /// `new net.Socket({ fd, … })`.
    ///
    /// # Errors
    /// The errors of [`Socket::from_fd`], and `ERR_OUT_OF_RANGE` if the options contain a
    /// [`keep_alive`](SocketOptions::keep_alive) delay that is not valid.
    pub fn build_from_fd(self, fd: OwnedFd) -> Result<Socket> {
        self.wishes.check()?;
        let core = current()?;
        core.check_open()?;
        let (id, adopted) = core.driver.adopt(fd).map_err(|source| adopt_error(source, refused))?;
        let (peer, writable) = match adopted {
            Adopted::Connection { peer, writable } => (peer, writable),
            Adopted::Unconnected => {
                return Ok(Socket::with_bound(&self, BoundSocket::own(core, id)));
            }
            Adopted::Listener => {
                core.close(id);
                return Err(refused());
            }
        };
        self.wishes.size_buffers_of(&core.driver, id);
        let mut state = State::new(&self);
        state.id = Some(id);
        state.change().phase = Phase::Open;
        state.change().unix = peer.is_unix();
        state.set_peer(peer.ip());
        let socket = Socket::with_connection(core, id, state, self.pause_on_create);
        if !writable {
            // The descriptor is read-only, so the writing side ends at once (CON-23).
            socket.end();
        }
        socket.watch_signal(&self);
        Ok(socket)
    }
}

fn refused() -> Error {
    let message = "the descriptor must be a pipe or a stream socket that does not listen";
    Error::new(ErrorCode::ERR_INVALID_FD_TYPE, message)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::io;

    use super::*;

    /// The kernel cannot watch another descriptor. That error must not be reported as a fault of the
    /// descriptor.
    #[test]
    fn fd_03_a_failure_of_the_system_keeps_its_own_code() {
        const EBADF: i32 = 9;
        const ENOMEM: i32 = 12;
        const EINVAL: i32 = 22;
        const EMFILE: i32 = 24;
        const ENOSPC: i32 = 28;
        const ENOTSOCK: i32 = 88;
        for (number, code, syscall) in [
            (ENOMEM, "ENOMEM", Some("open")),
            (EMFILE, "EMFILE", Some("open")),
            (ENOSPC, "ENOSPC", Some("open")),
            (EBADF, "ERR_INVALID_FD_TYPE", None),
            (EINVAL, "ERR_INVALID_FD_TYPE", None),
            (ENOTSOCK, "ERR_INVALID_FD_TYPE", None),
        ] {
            let error = adopt_error(io::Error::from_raw_os_error(number), refused);
            assert_eq!((error.code().as_str(), error.syscall()), (code, syscall));
        }
    }
}
