//! Making, connecting, ending and closing sockets.

use std::io;

use rustix::io::Errno;

use super::{Sending, Slot, SystemBackend, Table};
use crate::completion::{Deferred, dead};
use crate::system::{self, BoundFile};
use crate::{Completion, Open, OpenError, Operation, SocketId, Transport};

pub(crate) fn open(driver: &impl SystemBackend, request: &Open) -> Result<SocketId, OpenError> {
    let (fd, file) = system::open(request)?;
    let inserted = driver.insert(fd, request.transport == Transport::Unix);
    let socket = inserted.map_err(|source| {
        file.iter().for_each(BoundFile::unlink);
        OpenError { at_bind: false, source }
    })?;
    if let Some(file) = file {
        driver.table().files.borrow_mut().insert(socket, file);
    }
    Ok(socket)
}

/// The kernel reported something of a socket that is connecting: the connection is established, or has
/// failed, or the report is about something else.
pub(crate) fn connected(
    driver: &impl SystemBackend,
    socket: SocketId,
    on: &mut dyn FnMut(Completion<'_>),
) {
    let result = {
        let mut sockets = driver.table().sockets.borrow_mut();
        let Some(slot) = sockets.get_mut(socket) else { return };
        // It does not fail: the socket was watched before.
        let _ = driver.watch(socket, slot);
        let fd = system::borrow(&slot.fd);
        match system::connect_result(fd) {
            Ok(()) if !system::is_connected(fd) => return,
            result => {
                slot.flags.reading.connecting = false;
                // The same event may have said that there is something to read, or that there is room.
                if slot.flags.reading.may_notify() || slot.flags.sending == Sending::Notice {
                    driver.work_later(socket, slot);
                }
                result
            }
        }
    };
    match result {
        Ok(()) => on(Completion::Connected { socket }),
        Err(errno) => {
            let (operation, error) = (Operation::Connect, errno.into());
            on(Completion::Failed { socket, operation, error });
        }
    }
}

/// Returns whether the system has ended our side.
pub(crate) fn shutdown(driver: &impl SystemBackend, socket: SocketId) -> bool {
    let mut sockets = driver.table().sockets.borrow_mut();
    let Some(slot) = sockets.get_mut(socket) else { return false };
    let result = system::shutdown_write(system::borrow(&slot.fd));
    let shut_down = result.is_ok();
    let completion = match result {
        Ok(()) => Deferred::ShutDown,
        // The reader of a pipe sees the end when the pipe is closed.
        Err(Errno::NOTSOCK) if slot.flags.reading.pipe => Deferred::ShutDown,
        Err(errno) => Deferred::Failed(Operation::Shutdown, errno.into()),
    };
    driver.defer(socket, completion);
    if shut_down && slot.flags.sending == Sending::Notice {
        // Sending fails from now on, which the kernel does not report.
        slot.flags.sending = Sending::Nothing;
        driver.defer(socket, Deferred::Writable);
    }
    shut_down
}

impl<W> Table<W> {
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

    /// Makes the close that follows a reset.
    pub(crate) fn reset_on_close(&self, socket: SocketId) {
        if let Some(slot) = self.sockets.borrow().get(socket) {
            // Where it cannot be set the connection ends with FIN, the next best thing.
            let _ = system::reset_on_close(system::borrow(&slot.fd));
        }
    }

    /// Takes a socket out of the table, to close it. Its file is removed first, so that no connect finds a
    /// dead socket.
    // IPC-04.
    pub(crate) fn remove(&self, socket: SocketId) -> Option<Slot<W>> {
        let mut slot = self.sockets.borrow_mut().remove(socket)?;
        self.reader.forget(socket, &mut slot.flags.reading);
        if let Some(file) = self.files.borrow_mut().remove(&socket) {
            file.unlink();
        }
        Some(slot)
    }

    /// Takes a socket out of the table, to give it away together with its file.
    pub(crate) fn give_away(&self, socket: SocketId) -> Option<Slot<W>> {
        let mut slot = self.sockets.borrow_mut().remove(socket)?;
        self.reader.forget(socket, &mut slot.flags.reading);
        self.files.borrow_mut().remove(&socket);
        Some(slot)
    }

    /// Drops what a closed socket was to send. Called with nothing borrowed: it may run the user's code.
    pub(crate) fn drop_batch(&self, socket: SocketId, slot: &Slot<W>) {
        if slot.flags.sending == Sending::Batch {
            let batch = self.in_flight.borrow_mut().remove(&socket);
            if let Some(batch) = batch {
                batch.dismantle(|chunk| drop(self.pool.give_back(chunk)));
            }
        }
    }
}
