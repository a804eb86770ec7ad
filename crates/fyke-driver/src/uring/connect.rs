//! Connecting uses a system call, so that immediate failures are known at once and the attempt begins now
//! instead of in the next turn. The ring then polls for the outcome.

use rustix::io::Errno;

use super::Uring;
use crate::completion::Deferred;
use crate::system;
use crate::table::SystemBackend;
use crate::{Address, Operation, SocketId};

impl Uring {
    pub(super) fn connect(&self, socket: SocketId, target: &Address) {
        let mut sockets = self.table.sockets.borrow_mut();
        let Some(slot) = sockets.get_mut(socket) else { return };
        match system::connect(system::borrow(&slot.fd), target) {
            // Reported in the next turn, after the listener that the connection reached.
            Ok(()) => {
                slot.flags.reading.connecting = true;
                self.writable.borrow_mut().push_back(socket);
                self.signal();
            }
            Err(Errno::INPROGRESS) => {
                slot.flags.reading.connecting = true;
                self.note_change(socket, slot);
            }
            Err(errno) => self.defer(socket, Deferred::Failed(Operation::Connect, errno.into())),
        }
    }
}
