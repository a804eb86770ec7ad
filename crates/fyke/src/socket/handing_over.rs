//! Handing a connection over to another process, or to the loop of another thread.
// IPC-15, PROC-18

use std::os::fd::OwnedFd;

use fyke_machine::connection::Connection;

use super::Socket;
use crate::{Error, ErrorCode, Result};
use fyke_machine::error::MakeError;

/// # Handing over
impl Socket {
    /// Returns the descriptor of the connection, for [`from_fd`](Self::from_fd) in another loop or process.
    ///
    /// The connection continues there, and the peer notices nothing. This socket is destroyed: its server
    /// no longer counts it, and `close` follows. Written data is sent first. The descriptor stays
    /// non-blocking, and options such as no-delay stay set. If all received bytes must be read by the new
    /// owner, accept the socket with [`pause_on_connect`](crate::ServerOptions::pause_on_connect). fyke has
    /// no message channel as Node has; pass the descriptor in any way, for example as the standard input of
    /// a child, with SCM_RIGHTS (unix(7)), or to a thread.
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    ///
    /// # fn main() -> fyke::Result<()> {
    /// let (ours, theirs) = UnixStream::pair().unwrap();
    /// fyke::run(move || {
    ///     let here = fyke::SocketOptions::new().pause_on_create(true).build_from_fd(ours.into())?;
    ///     let fd = here.take_fd()?;
    ///     std::thread::spawn(|| fyke::run(|| -> fyke::Result<()> {
    ///         fyke::Socket::from_fd(fd)?.end_with("from another thread");
    ///         Ok(())
    ///     }));
    ///     let peer = fyke::Socket::from_fd(theirs.into())?;
    ///     peer.on_text(|_, text| assert_eq!(text, "from another thread"));
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// The socket is unchanged then.
    /// - `ERR_SOCKET_CLOSED` if there is no connection.
    /// - `ERR_WORKER_HANDLE_NOT_TRANSFERABLE` if data would be lost: bytes that the kernel has not accepted
    ///   yet, bytes that were received and not read, half a character of [`on_text`](Self::on_text), or an
    ///   end that was requested here or sent by the peer.
    /// - `ENOTSUP` in the simulated network.
    pub fn take_fd(&self) -> Result<OwnedFd> {
        self.flush(Connection::flushed);
        self.sync();
        let id = self.inner.state.borrow().connected();
        let (Some(core), Some(id)) = (self.core(), id) else {
            return Err(Error::new(ErrorCode::ERR_SOCKET_CLOSED, "the socket is not connected"));
        };
        if let Some(reason) = self.stays_because() {
            return Err(Error::new(ErrorCode::ERR_WORKER_HANDLE_NOT_TRANSFERABLE, reason));
        }
        self.capture_addresses();
        let fd = core.detach(id).map_err(|source| Error::system("detach", source))?;
        // The id is no longer valid, so there is nothing left to close.
        self.tear_down(None, false);
        Ok(fd)
    }

    /// Returns what would be lost with the descriptor, if anything.
    fn stays_because(&self) -> Option<&'static str> {
        let state = self.inner.state.borrow();
        if state.rare_if_any().is_some_and(|rare| rare.layered.is_some()) {
            return Some("a layer has state that does not belong to the descriptor");
        }
        let decoder = state.rare_if_any().and_then(|rare| rare.decoder.as_ref());
        if state.write.queued_bytes() > 0 || state.write.has_queued() {
            Some("queued data is not sent yet")
        } else if state.read.stored_bytes() > 0 {
            Some("received data is not read yet")
        } else if decoder.is_some_and(|(_, decoder)| decoder.holds_bytes()) {
            Some("the last received character is incomplete")
        } else if state.write.is_ended() || state.read.has_ended() {
            Some("one side of the connection has ended or is ending")
        } else {
            None
        }
    }
}
