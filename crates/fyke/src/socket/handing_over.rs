//! Connections that go elsewhere: to another process, or to the loop of another thread (IPC-15,
//! PROC-18).

use std::os::fd::OwnedFd;

use fyke_machine::connection::Connection;

use super::Socket;
use crate::{Error, ErrorCode, Result};
use fyke_machine::error::MakeError;

/// # Handing over
impl Socket {
    /// Gives the descriptor of the connection out, for [`from_fd`](Self::from_fd) somewhere else.
    ///
    /// The connection goes on there; the peer notices nothing. Here the socket is destroyed: its
    /// server no longer counts it, and `close` follows. What was written is sent first. The
    /// descriptor stays non-blocking, and options like no-delay stay set. A socket whose bytes
    /// shall all be read elsewhere is best accepted with
    /// [`pause_on_connect`](crate::ServerOptions::pause_on_connect). Where Node has a message
    /// channel for it, send the descriptor as you like: as a child's standard input, by
    /// SCM_RIGHTS (unix(7)), or to a thread.
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
    /// The socket goes on as it was.
    /// `ERR_SOCKET_CLOSED` without a connection. `ERR_WORKER_HANDLE_NOT_TRANSFERABLE` if something
    /// would be lost: bytes that the kernel did not take yet, or that were received and not
    /// taken, half a character of [`on_text`](Self::on_text), an end that the peer was promised
    /// or has sent. `ENOTSUP` in the simulated network.
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
        // The id is dead: there is nothing left that could be closed.
        self.tear_down(None, false);
        Ok(fd)
    }

    /// What would be lost with the descriptor.
    fn stays_because(&self) -> Option<&'static str> {
        let state = self.inner.state.borrow();
        let decoder = state.rare_if_any().and_then(|rare| rare.decoder.as_ref());
        if state.write.queued_bytes() > 0 || state.write.has_queued() {
            Some("bytes are queued that were not sent yet")
        } else if state.read.stored_bytes() > 0 {
            Some("bytes were received that nobody has taken yet")
        } else if decoder.is_some_and(|(_, decoder)| decoder.holds_bytes()) {
            Some("half a character was received")
        } else if state.write.is_ended() || state.read.has_ended() {
            Some("the connection is ended, or about to be")
        } else {
            None
        }
    }
}
