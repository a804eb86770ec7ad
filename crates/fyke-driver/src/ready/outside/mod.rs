//! Descriptors that come from outside, and those that go there.
//!
//! Epoll watches what a descriptor stands for, not the descriptor: as long as anybody has another
//! one for the same socket, closing ours does not end the watching (epoll(7), "Questions and
//! answers" 6). So those that are shared, or may be, are taken out of it before they are closed.

use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};

use mio::unix::SourceFd;

use super::{Flags, Ready, Slot};
use crate::completion::dead;
use crate::system;
use crate::{Adopted, SocketId};

impl Ready {
    pub(crate) fn adopt(&self, fd: OwnedFd) -> io::Result<(SocketId, Adopted)> {
        let (fd, found) = system::take_over(fd)?;
        let listener = matches!(found, Adopted::Listener);
        let pipe = system::is_pipe(system::borrow(&fd));
        // A pipe that is only for writing makes no edge when it is read: so that is tried once.
        let mut flags = Flags { listener, shared: true, ..Flags::default() };
        (flags.reading.pipe, flags.reading.readable) = (pipe, pipe);
        let mut sockets = self.sockets.borrow_mut();
        let id = sockets.insert(Slot { fd, flags });
        // What is not connected is not watched yet: it counts as hung up (epoll_ctl(2)).
        let watched = match (&found, sockets.get_mut(id)) {
            (Adopted::Listener | Adopted::Connection { .. }, Some(slot)) => self.register(id, slot),
            _ => Ok(()),
        };
        if let Err(error) = watched {
            match sockets.remove(id) {
                // It is the descriptor of another socket of ours, and stays that (FD-07).
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

    pub(crate) fn detach(&self, socket: SocketId) -> io::Result<OwnedFd> {
        let mut sockets = self.sockets.borrow_mut();
        let slot = sockets.get(socket).ok_or_else(dead)?;
        if slot.flags.sending || slot.flags.reading.connecting || slot.flags.reading.is_broken() {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        let mut slot = sockets.remove(socket).ok_or_else(dead)?;
        self.reader.forget(socket, &mut slot.flags.reading);
        self.unwatch(&slot);
        // The name goes along with the descriptor.
        self.files.borrow_mut().remove(&socket);
        Ok(slot.fd)
    }

    pub(crate) fn duplicate(&self, socket: SocketId) -> io::Result<OwnedFd> {
        let mut sockets = self.sockets.borrow_mut();
        let slot = sockets.get_mut(socket).ok_or_else(dead)?;
        let copy = system::duplicate(system::borrow(&slot.fd))?;
        slot.flags.shared = true;
        Ok(copy)
    }

    /// The end of a descriptor, whose socket is out of the table.
    pub(super) fn close_descriptor(&self, slot: Slot) {
        if slot.flags.shared {
            self.unwatch(&slot);
            return system::close_from_outside(slot.fd);
        }
        // Closing takes it out of epoll and kqueue by itself.
        drop(slot.fd);
    }

    fn unwatch(&self, slot: &Slot) {
        if slot.flags.registered {
            // It fails only if it is not watched.
            let _ = self.poll.borrow().registry().deregister(&mut SourceFd(&slot.fd.as_raw_fd()));
        }
    }
}

#[cfg(test)]
mod tests;
