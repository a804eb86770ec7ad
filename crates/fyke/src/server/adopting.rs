//! Servers over descriptors that come from outside (FD-05, FD-06).

use std::os::fd::OwnedFd;

use fyke_driver::{Adopted, SocketId};

use super::options::BACKLOG;
use super::{Event, Server, ServerTick};
use crate::event_loop::Core;
use crate::{Error, Result};

impl Server {
    /// Listens on a descriptor that is bound or listens already: inherited, or received from
    /// another process. It belongs to the server from here on. Listening at once, the event comes
    /// on the tick; a descriptor that cannot listen is an `error` with the syscall `listen`.
    /// Closing leaves the file of a Unix socket, which is not ours. Node: `server.listen({ fd })`.
    ///
    /// # Errors
    /// `ERR_SERVER_ALREADY_LISTEN`, `ERR_NO_EVENT_LOOP` outside of a loop; the descriptor is
    /// closed then.
    pub fn listen_fd(&self, fd: OwnedFd, f: impl FnOnce(&Server) + 'static) -> Result<()> {
        let core = self.bind_to_loop()?;
        core.check_open()?;
        self.check_not_listening()?;
        self.once(Event::Listening, f);
        let round = self.next_round();
        match self.adopt(&core, fd) {
            Ok(id) => {
                let address = core.driver.local_address(id).ok();
                // As Node: a name that came from outside is not known (FD-05).
                self.listens(round, id, address.filter(|address| !address.is_unix()));
            }
            Err(source) => self.tick(ServerTick::Error(Error::system("listen", source))),
        }
        Ok(())
    }

    fn adopt(&self, core: &Core, fd: OwnedFd) -> std::io::Result<SocketId> {
        let (id, adopted) = core.driver.adopt(fd)?;
        let mut state = self.inner.state.borrow_mut();
        state.inherits = false;
        state.options.socket.wishes.size_buffers_of(&core.driver, id);
        drop(state);
        let backlog = i32::try_from(BACKLOG).unwrap_or(i32::MAX);
        let listening = match adopted {
            Adopted::Connection { .. } => Err(std::io::ErrorKind::InvalidInput.into()),
            Adopted::Listener | Adopted::Unconnected => core.driver.listen(id, backlog),
        };
        listening.and_then(|()| core.driver.accept_start(id)).inspect_err(|_| core.close(id))?;
        Ok(id)
    }
}
