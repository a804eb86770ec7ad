//! Making, binding, connecting and closing sockets.

use rustix::io::Errno;

use super::{Flags, Ready, Slot};
use crate::completion::{Deferred, dead};
use crate::system;
use crate::{Address, Completion, Open, OpenError, Operation, SocketId};

impl Ready {
    pub(crate) fn open(&self, request: &Open) -> Result<SocketId, OpenError> {
        let (fd, file) = system::open(request)?;
        let id = self.sockets.borrow_mut().insert(Slot { fd, flags: Flags::default() });
        if let Some(file) = file {
            self.files.borrow_mut().insert(id, file);
        }
        Ok(id)
    }

    pub(crate) fn listen(&self, socket: SocketId, backlog: i32) -> std::io::Result<()> {
        let mut sockets = self.sockets.borrow_mut();
        let slot = sockets.get_mut(socket).ok_or_else(dead)?;
        system::listen(system::borrow(&slot.fd), backlog)?;
        slot.flags.listener = true;
        Ok(())
    }

    pub(crate) fn set_mode(&self, socket: SocketId, mode: u32) -> std::io::Result<()> {
        if !self.sockets.borrow().contains_key(socket) {
            return Err(dead());
        }
        self.files.borrow().get(&socket).map_or(Ok(()), |file| file.set_mode(mode))
    }

    pub(crate) fn connect(&self, socket: SocketId, target: &Address) {
        let mut sockets = self.sockets.borrow_mut();
        let Some(slot) = sockets.get_mut(socket) else { return };
        let outcome = match system::connect(system::borrow(&slot.fd), target) {
            // Also what stands at once is told by an event, after that of the listener it reached.
            Ok(()) | Err(Errno::INPROGRESS) => {
                slot.flags.reading.connecting = true;
                self.register(socket, slot).map(|()| None)
            }
            Err(errno) => Err(errno.into()),
        };
        let outcome = outcome.unwrap_or_else(|error| {
            slot.flags.reading.connecting = false;
            Some(Deferred::Failed(Operation::Connect, error))
        });
        if let Some(completion) = outcome {
            self.defer(socket, completion);
        }
    }

    /// An event on a socket that is connecting: it stands, or has failed, or the event is about
    /// something else.
    pub(super) fn finish_connect(&self, socket: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        let result = {
            let mut sockets = self.sockets.borrow_mut();
            let Some(slot) = sockets.get_mut(socket) else { return };
            let fd = system::borrow(&slot.fd);
            match system::connect_result(fd) {
                Ok(()) if !system::is_connected(fd) => return,
                result => {
                    slot.flags.reading.connecting = false;
                    result
                }
            }
        };
        match result {
            Ok(()) => on(Completion::Connected { socket }),
            Err(errno) => on(Completion::Failed {
                socket,
                operation: Operation::Connect,
                error: errno.into(),
            }),
        }
    }

    /// Returns whether the system has ended our side.
    pub(crate) fn shutdown(&self, socket: SocketId) -> bool {
        let sockets = self.sockets.borrow();
        let Some(slot) = sockets.get(socket) else { return false };
        let result = system::shutdown_write(system::borrow(&slot.fd));
        let shut_down = result.is_ok();
        // A pipe's reader sees the end when it is closed.
        let completion = match result {
            Err(Errno::NOTSOCK) if slot.flags.reading.pipe => Deferred::ShutDown,
            Ok(()) => Deferred::ShutDown,
            Err(errno) => Deferred::Failed(Operation::Shutdown, errno.into()),
        };
        self.defer(socket, completion);
        shut_down
    }

    pub(crate) fn reset(&self, socket: SocketId) -> bool {
        if let Some(slot) = self.sockets.borrow().get(socket) {
            // Where it cannot be set the connection ends with FIN, the next best thing.
            let _ = system::reset_on_close(system::borrow(&slot.fd));
        }
        self.close(socket)
    }

    /// Returns whether there was such a socket.
    pub(crate) fn close(&self, socket: SocketId) -> bool {
        let Some(mut slot) = self.sockets.borrow_mut().remove(socket) else { return false };
        self.reader.forget(socket, &mut slot.flags.reading);
        // The name goes before the descriptor, so that no connect finds a dead socket (IPC-04).
        if let Some(file) = self.files.borrow_mut().remove(&socket) {
            file.unlink();
        }
        if slot.flags.sending {
            let batch = self.in_flight.borrow_mut().remove(&socket);
            if let Some(batch) = batch {
                // Nothing is borrowed here.
                batch.dismantle(|chunk| drop(self.pool.give_back(chunk)));
            }
        }
        self.close_descriptor(slot);
        true
    }
}
