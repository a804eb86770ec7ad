//! Sockets over descriptors that come from outside (FD-02, FD-03).

use std::os::fd::OwnedFd;

use fyke_driver::Adopted;

use super::state::Phase;
use super::{Socket, SocketOptions, State};
use crate::event_loop::{Owner, current};
use crate::{Error, ErrorCode, Result};

/// # Adopting
impl Socket {
    /// A socket over a connection that exists: inherited, received from another process, or one half
    /// of a socket pair. It is open at once and begins to read; the descriptor belongs to it from
    /// here on, and is closed also when this fails. Node: `new net.Socket({ fd })`.
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    ///
    /// let (ours, theirs) = UnixStream::pair().unwrap();
    /// fyke::run(|| {
    ///     let (a, b) = (fyke::Socket::from_fd(ours.into())?, fyke::Socket::from_fd(theirs.into())?);
    ///     a.end_with("hello");
    ///     b.on_data(|_, data| assert_eq!(data, b"hello"));
    ///     Ok(())
    /// })?;
    /// # Ok::<(), fyke::Error>(())
    /// ```
    ///
    /// # Errors
    /// `ERR_INVALID_FD_TYPE` for what is no connected stream socket; `ERR_NO_EVENT_LOOP` outside
    /// of a loop.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        let core = current()?;
        let message = "the descriptor is not a connected stream socket";
        let refused = || Error::new(ErrorCode::ERR_INVALID_FD_TYPE, message);
        let (id, adopted) = core.driver.adopt(fd).map_err(|_| refused())?;
        let Adopted::Connection { peer, writable } = adopted else {
            core.close(id);
            return Err(refused());
        };
        let mut state = State::new(&SocketOptions::new());
        state.id = Some(id);
        state.phase = Phase::Live;
        state.unix = peer.is_unix();
        state.peer = peer.ip();
        let socket = Self::from_state(state);
        core.own(id, Owner::Socket(socket.clone()));
        socket.join(core);
        socket.start_receiving();
        if !writable {
            // Open in one direction: the other is ended at once (CON-23).
            socket.end();
        }
        socket.sync_hold();
        Ok(socket)
    }
}
