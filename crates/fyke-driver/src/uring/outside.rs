//! Descriptors that come from outside, and those that go there.

use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};

use super::{Slot, Uring, Watched};
use crate::completion::dead;
use crate::system;
use crate::{Adopted, SocketId};

impl Uring {
    pub(super) fn adopt(&self, fd: OwnedFd) -> io::Result<(SocketId, Adopted)> {
        let (fd, found) = system::take_over(fd)?;
        if self.table.sockets.borrow().values().any(|slot| slot.fd.as_raw_fd() == fd.as_raw_fd()) {
            // It is the descriptor of another socket of ours, and stays that (FD-07).
            let _ = fd.into_raw_fd();
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let pipe = system::is_pipe(system::borrow(&fd));
        let by_call = match system::local_address(system::borrow(&fd)) {
            _ if pipe => true,
            Ok(address) => address.is_unix(),
            Err(error) => {
                system::close_from_outside(fd);
                return Err(error);
            }
        };
        let mut slot = Slot::new(fd, Watched { by_call, ..Watched::default() });
        // A pipe that is only for writing makes no edge when it is read: so that is tried once.
        (slot.flags.reading.pipe, slot.flags.reading.readable) = (pipe, pipe);
        slot.flags.shared = true;
        slot.flags.listener = found == Adopted::Listener;
        let socket = self.add(slot)?;
        Ok((socket, found))
    }

    pub(super) fn detach(&self, socket: SocketId) -> io::Result<OwnedFd> {
        self.may_be_detached(socket)?;
        // What is in the ring holds the socket, and would take bytes that are not ours any more.
        self.stop(socket)?;
        self.may_be_detached(socket)?;
        let slot = self.table.give_away(socket).ok_or_else(dead)?;
        self.held.borrow_mut().remove(&socket);
        Ok(slot.fd)
    }

    fn may_be_detached(&self, socket: SocketId) -> io::Result<()> {
        let sockets = self.table.sockets.borrow();
        let slot = sockets.get(socket).ok_or_else(dead)?;
        let untold = self.has_unread(socket, slot) || self.has_untold_failure(socket, slot);
        if slot.is_busy() || untold {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        Ok(())
    }

    /// Ends what a living socket has in flight. What it wants is started again in the next turn.
    fn stop(&self, socket: SocketId) -> io::Result<()> {
        loop {
            {
                let mut sockets = self.table.sockets.borrow_mut();
                let slot = sockets.get_mut(socket).ok_or_else(dead)?;
                for kind in slot.watch.kernel.iter() {
                    self.submit_cancel(socket, slot, kind)?;
                }
                if slot.watch.kernel.is_empty() {
                    return Ok(());
                }
                self.note_change(socket, slot);
            }
            let before = self.ring.waiting();
            self.ring.enter(0, None)?;
            self.see_ended();
            if self.ring.waiting() == before {
                return Err(io::ErrorKind::ResourceBusy.into());
            }
        }
    }
}
