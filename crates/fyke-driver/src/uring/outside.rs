//! Adopts descriptors from outside of the driver, and detaches descriptors from it.

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
            // The descriptor belongs to another socket of this driver, and must not be closed here
            // (FD-07).
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
        // A pipe that is only for writing reports no edge for reading, so one read is attempted.
        (slot.flags.reading.pipe, slot.flags.reading.readable) = (pipe, pipe);
        slot.flags.shared = true;
        slot.flags.listener = found == Adopted::Listener;
        let socket = self.add(slot)?;
        Ok((socket, found))
    }

    pub(super) fn detach(&self, socket: SocketId) -> io::Result<OwnedFd> {
        self.may_be_detached(socket)?;
        // Operations in the ring keep the socket open, and would receive bytes that no longer belong to
        // this driver.
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

    /// Cancels the operations of an open socket. The next turn starts those again that it still wants.
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
