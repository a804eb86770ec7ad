//! Opens, connects, shuts down and closes sockets.

use std::io;

use super::{Sending, Slot, SystemBackend, Table};
use crate::completion::{Deferred, dead};
use crate::system::{self, BoundFile, Errno};
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

/// Handles an event of a socket that is connecting: the connection is established, has failed, or the event
/// is about something else.
pub(crate) fn connected(
    driver: &impl SystemBackend,
    socket: SocketId,
    on: &mut dyn FnMut(Completion<'_>),
) {
    let result = {
        let mut sockets = driver.table().sockets.borrow_mut();
        let Some(slot) = sockets.get_mut(socket) else { return };
        // This cannot fail, because the socket was watched before.
        let _ = driver.watch(socket, slot);
        let fd = system::borrow(&slot.fd);
        match system::connect_result(fd) {
            Ok(()) if !system::is_connected(fd) => return,
            result => {
                slot.flags.reading.connecting = false;
                // The same event may have reported that the socket is readable or writable.
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

/// Ends our side of the connection. Returns whether the system call succeeded.
pub(crate) fn shutdown(driver: &impl SystemBackend, socket: SocketId) -> bool {
    let mut sockets = driver.table().sockets.borrow_mut();
    let Some(slot) = sockets.get_mut(socket) else { return false };
    let result = system::shutdown_write(system::borrow(&slot.fd));
    let shut_down = result.is_ok();
    let completion = match result {
        Ok(()) => Deferred::ShutDown,
        // A check reports when the peer has read everything.
        Err(Errno::INPROGRESS) if cfg!(windows) => {
            driver.table().check_soon(socket);
            return true;
        }
        // The reader of a pipe receives end-of-stream when the pipe is closed.
        Err(Errno::NOTSOCK) if slot.flags.reading.pipe => Deferred::ShutDown,
        Err(errno) => Deferred::Failed(Operation::Shutdown, errno.into()),
    };
    driver.defer(socket, completion);
    if shut_down && slot.flags.sending == Sending::Notice {
        // From now on sending fails, but the kernel does not report an event for that.
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
        let sockets = self.sockets.borrow();
        let slot = sockets.get(socket).ok_or_else(dead)?;
        system::set_mode(system::borrow(&slot.fd), self.files.borrow().get(&socket), mode)
    }

    /// Makes the following close send RST.
    pub(crate) fn reset_on_close(&self, socket: SocketId) {
        if let Some(slot) = self.sockets.borrow().get(socket) {
            // If the option cannot be set, the connection ends with FIN instead.
            let _ = system::reset_on_close(system::borrow(&slot.fd));
        }
    }

    /// Removes a socket from the table so that it can be closed. Its file is removed first, so that no client
    /// connects to a dead socket.
    // IPC-04.
    pub(crate) fn remove(&self, socket: SocketId) -> Option<Slot<W>> {
        let mut slot = self.sockets.borrow_mut().remove(socket)?;
        self.reader.forget(socket, &mut slot.flags.reading);
        if let Some(file) = self.files.borrow_mut().remove(&socket) {
            file.unlink();
        }
        Some(slot)
    }

    /// Removes a socket from the table so that it can be passed to another owner, together with its file.
    #[cfg(unix)]
    pub(crate) fn give_away(&self, socket: SocketId) -> Option<Slot<W>> {
        let mut slot = self.sockets.borrow_mut().remove(socket)?;
        self.reader.forget(socket, &mut slot.flags.reading);
        self.files.borrow_mut().remove(&socket);
        Some(slot)
    }

    /// Drops the batch in flight of a closed socket. Call it with nothing borrowed, because dropping may run
    /// user code.
    pub(crate) fn drop_batch(&self, socket: SocketId, slot: &Slot<W>) {
        if slot.flags.sending == Sending::Batch {
            let batch = self.in_flight.borrow_mut().remove(&socket);
            if let Some(batch) = batch {
                batch.dismantle(|chunk| drop(self.pool.give_back(chunk)));
            }
        }
    }
}
