//! The connection of a stream to its socket.

use crate::Result;
use crate::listeners::ListenerId;
use crate::socket::Socket;

/// A part of a stream: all of it, or a half. Dropping the last part destroys the socket.
pub(super) struct End {
    socket: Socket,
    /// Wakes the tasks.
    listener: ListenerId,
}

impl End {
    pub(super) fn new(socket: &Socket) -> Result<Self> {
        let listener = socket.begin_pulling()?;
        Ok(Self { socket: socket.clone(), listener })
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Splits the stream. Returns the end of its other half.
    pub(super) fn split(&self) -> Self {
        self.socket.split_pulling();
        Self { socket: self.socket.clone(), listener: self.listener }
    }

    /// Gives the socket back to its listeners.
    pub(super) fn release(self) -> Socket {
        self.socket.end_pulling(self.listener);
        // Without its listener, dropping this end does nothing.
        self.socket.clone()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.socket.leave_pulling(self.listener);
    }
}
