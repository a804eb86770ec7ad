//! The link between a stream and its socket.

use crate::Result;
use crate::listeners::ListenerId;
use crate::socket::Socket;

/// The link of a whole stream or of one half. Dropping the last one destroys the socket.
pub(super) struct End {
    socket: Socket,
    /// The listener that wakes the tasks.
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

    /// Splits the stream, and returns the link of its other half.
    pub(super) fn split(&self) -> Self {
        self.socket.split_pulling();
        Self { socket: self.socket.clone(), listener: self.listener }
    }

    /// Ends the stream: the socket's data goes to its listeners again.
    pub(super) fn release(self) -> Socket {
        self.socket.end_pulling(self.listener);
        // The listener is removed, so dropping this link does nothing.
        self.socket.clone()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.socket.leave_pulling(self.listener);
    }
}
