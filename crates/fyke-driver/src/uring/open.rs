//! Making, binding, connecting and ending sockets: by calls that do not wait.

use std::io;

use rustix::io::Errno;

use super::{Slot, Uring};
use crate::completion::{Deferred, dead};
use crate::system::{self, BoundFile};
use crate::{Address, Completion, Open, OpenError, Operation, SocketId, Transport};

impl Uring {
    pub(crate) fn open(&self, request: &Open) -> Result<SocketId, OpenError> {
        let (fd, file) = system::open(request)?;
        let inserted = self.insert(Slot::new(fd, request.transport == Transport::Unix));
        let socket = inserted.map_err(|source| {
            file.iter().for_each(BoundFile::unlink);
            OpenError { at_bind: false, source }
        })?;
        if let Some(file) = file {
            self.files.borrow_mut().insert(socket, file);
        }
        Ok(socket)
    }

    pub(crate) fn listen(&self, socket: SocketId, backlog: i32) -> io::Result<()> {
        let mut sockets = self.sockets.borrow_mut();
        let slot = sockets.get_mut(socket).ok_or_else(dead)?;
        system::listen(system::borrow(&slot.fd), backlog)?;
        slot.flags.listener = true;
        Ok(())
    }

    pub(crate) fn set_mode(&self, socket: SocketId, mode: u32) -> io::Result<()> {
        if !self.sockets.borrow().contains_key(socket) {
            return Err(dead());
        }
        self.files.borrow().get(&socket).map_or(Ok(()), |file| file.set_mode(mode))
    }

    /// By a call, which reports at once what can be reported at once, and lets the attempt begin
    /// now and not in the next turn. The ring then waits for the outcome.
    pub(crate) fn connect(&self, socket: SocketId, target: &Address) {
        let mut sockets = self.sockets.borrow_mut();
        let Some(slot) = sockets.get_mut(socket) else { return };
        match system::connect(system::borrow(&slot.fd), target) {
            // Told in the next turn, after the listener it reached.
            Ok(()) => {
                slot.flags.reading.connecting = true;
                self.writable.borrow_mut().push_back(socket);
                self.host.signal_unless(self.turning.get());
            }
            Err(Errno::INPROGRESS) => {
                slot.flags.reading.connecting = true;
                self.note_change(socket, slot);
            }
            Err(errno) => self.defer(socket, Deferred::Failed(Operation::Connect, errno.into())),
        }
    }

    /// A socket that is connecting became writable: it stands, or has failed.
    pub(super) fn finish_connect(&self, socket: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        let result = {
            let mut sockets = self.sockets.borrow_mut();
            let Some(slot) = sockets.get_mut(socket) else { return };
            self.note_change(socket, slot);
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

    /// By a call: the ring would hand it to a thread. Returns whether the system has ended our side.
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
}
