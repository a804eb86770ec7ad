//! Servers that listen on existing descriptors.
// FD-05, FD-06

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;

use fyke_driver::{Adopted, SocketId, errno_name};

use super::options::BACKLOG;
use super::{Event, Server};
use crate::wiring::Core;
use crate::{Error, Result};
use fyke_machine::error::MakeError;

impl Server {
    /// Listens on an existing descriptor that is bound or already listening: one that was inherited (see
    /// [`inherited_fd`](crate::inherited_fd) and [`systemd`](crate::systemd)), or received from another
    /// process.
    ///
    /// The server owns the descriptor from now on. The descriptor becomes non-blocking and gets FD_CLOEXEC,
    /// so that child processes do not inherit it. The server listens at once, and `listening` is emitted on
    /// the next tick. Closing the server does not remove the file of a Unix socket, because the server did
    /// not create it. Node: `server.listen({ fd })`.
    ///
    /// If the descriptor cannot listen, an `error` event with the syscall `listen` follows: `ENOTSOCK` for
    /// a pipe; `EINVAL` for a connection, another kind of socket, a file, a directory or a device.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     // From the standard library; or from `inherited_fd`, or from `systemd::listen_fds`.
    ///     let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    ///     let port = listener.local_addr()?.port();
    ///     let server = fyke::create_server(|_| {});
    ///     server.listen_fd(listener.into())?;
    ///     assert_eq!(server.port(), Some(port));
    ///     server.close();
    ///     Ok::<(), fyke::Error>(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// `ERR_SERVER_ALREADY_LISTEN` if the server is listening, `ERR_OUT_OF_RANGE` if it was made with a
    /// [`keep_alive`](crate::ServerOptions::keep_alive) delay that is not valid, `ERR_NO_EVENT_LOOP` outside
    /// of a loop. The descriptor is closed then.
    #[doc(alias = "listen")]
    pub fn listen_fd(&self, fd: OwnedFd) -> Result<()> {
        self.listen_fd_then(fd, |_| {})
    }

    /// Listens on an existing descriptor as [`listen_fd`](Self::listen_fd) does, and runs `f` once when the
    /// server starts to listen. Node: `server.listen({ fd }, callback)`.
    ///
    /// # Errors
    /// The errors of [`listen_fd`](Self::listen_fd); `f` is dropped then.
    pub fn listen_fd_then(&self, fd: OwnedFd, f: impl FnOnce(&Server) + 'static) -> Result<()> {
        let core = self.bind_to_loop()?;
        core.check_open()?;
        self.check_ready()?;
        self.once(Event::Listening, f);
        let round = self.next_round();
        match self.adopt(&core, fd) {
            Ok(id) => {
                let address = core.driver.local_address(id).ok();
                // As in Node, the path of an adopted listener is not reported (FD-05).
                self.listens(round, id, address.filter(|address| !address.is_unix()));
            }
            Err(source) => self.fail_later(Error::system("listen", source)),
        }
        Ok(())
    }

    fn adopt(&self, core: &Core, fd: OwnedFd) -> io::Result<SocketId> {
        // In Node, a descriptor that is neither a socket nor a pipe cannot become a handle: `EINVAL`.
        let (id, adopted) = core.driver.adopt(fd).map_err(|error| match errno_name(&error) {
            "ENOTSOCK" => ErrorKind::InvalidInput.into(),
            _ => error,
        })?;
        let wishes = {
            let mut state = self.inner.state.borrow_mut();
            state.inherits = false;
            state.options.socket.wishes
        };
        wishes.size_buffers_of(&core.driver, id);
        let backlog = i32::try_from(BACKLOG).unwrap_or(i32::MAX);
        let listening = match adopted {
            // For a pipe, asking for the address fails with `ENOTSOCK`, which is the error to report.
            Adopted::Connection { .. } => {
                Err(core.driver.local_address(id).err().unwrap_or(ErrorKind::InvalidInput.into()))
            }
            Adopted::Listener | Adopted::Unconnected => core.driver.listen(id, backlog),
        };
        listening.and_then(|()| core.driver.accept_start(id)).inspect_err(|_| core.close(id))?;
        Ok(id)
    }
}
