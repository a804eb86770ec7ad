//! Adopts descriptors from outside, and detaches them.
//!
//! Epoll watches the open file description, not the descriptor. While another descriptor refers to the same
//! socket, closing ours does not end the watching (epoll(7), "Questions and answers" 6). So a descriptor that
//! may be shared is deregistered before it is closed.

use std::io;
use std::os::fd::{IntoRawFd, OwnedFd};

use super::{Ready, Registered};
use crate::completion::dead;
use crate::system;
use crate::table::{Slot, SystemBackend};
use crate::{Adopted, SocketId};

impl Ready {
    pub(super) fn adopt(&self, fd: OwnedFd) -> io::Result<(SocketId, Adopted)> {
        let (fd, found) = system::take_over(fd)?;
        let pipe = system::is_pipe(system::borrow(&fd));
        let mut slot = Slot::new(fd, Registered(false));
        slot.flags.listener = found == Adopted::Listener;
        slot.flags.shared = true;
        // Reading is tried once, because the writing end of a pipe makes no edge that would show that it
        // cannot be read.
        (slot.flags.reading.pipe, slot.flags.reading.readable) = (pipe, pipe);
        let mut sockets = self.table.sockets.borrow_mut();
        let id = sockets.insert(slot);
        // A socket that is not connected is not watched yet, because epoll reports it as hung up
        // (epoll_ctl(2)).
        let watched = match (&found, sockets.get_mut(id)) {
            (Adopted::Listener | Adopted::Connection { .. }, Some(slot)) => self.watch(id, slot),
            _ => Ok(()),
        };
        if let Err(error) = watched {
            match sockets.remove(id) {
                // The descriptor belongs to another socket of this driver, and stays open (FD-07).
                Some(slot) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let _ = slot.fd.into_raw_fd();
                }
                Some(slot) => system::close_from_outside(slot.fd),
                None => {}
            }
            return Err(error);
        }
        Ok((id, found))
    }

    pub(super) fn detach(&self, socket: SocketId) -> io::Result<OwnedFd> {
        if self.table.sockets.borrow().get(socket).ok_or_else(dead)?.is_busy() {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        let slot = self.table.give_away(socket).ok_or_else(dead)?;
        self.unwatch(&slot);
        Ok(slot.fd)
    }

    pub(super) fn unwatch(&self, slot: &Slot<Registered>) {
        if slot.watch.0 {
            // This fails only if the descriptor is not watched.
            let _ = system::deregister(self.poll.borrow().registry(), &slot.fd);
        }
    }
}

#[cfg(test)]
mod tests;
