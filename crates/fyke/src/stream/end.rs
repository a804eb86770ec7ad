//! The connection of a stream to its socket.

use std::cell::Cell;
use std::rc::Rc;

use crate::Result;
use crate::listeners::ListenerId;
use crate::socket::{Socket, Wakers};

/// A stream's hold on its socket. Dropping it destroys the socket.
pub(super) struct End {
    socket: Socket,
    wakers: Rc<Wakers>,
    listener: ListenerId,
    released: Cell<bool>,
}

impl End {
    pub(super) fn new(socket: &Socket) -> Result<Self> {
        let wakers = Rc::<Wakers>::default();
        let listener = socket.begin_pulling(&wakers)?;
        Ok(Self { socket: socket.clone(), wakers, listener, released: Cell::new(false) })
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(super) fn wakers(&self) -> &Wakers {
        &self.wakers
    }

    /// Gives the socket back to its listeners.
    pub(super) fn release(self) -> Socket {
        self.released.set(true);
        self.socket.end_pulling(self.listener);
        self.socket.clone()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if !self.released.get() {
            self.socket.off(self.listener);
            self.socket.destroy();
        }
    }
}
