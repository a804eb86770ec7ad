//! Work that is deferred: to the end of the running callback, or to the close phase.

use crate::Error;
use crate::server::{Server, ServerTick};
use crate::socket::{Socket, SocketTick};

/// One entry of the tick queue, which is emptied after every callback (Node's `nextTick`).
pub(crate) enum Tick {
    /// Something about a socket.
    Socket(Socket, SocketTick),
    /// Something about a server.
    Server(Server, ServerTick),
    /// The user's own.
    Call(Box<dyn FnOnce()>),
}

/// A socket whose `close` event is due in the close phase (phase 6).
pub(crate) struct Closing {
    pub(crate) socket: Socket,
    /// What the writes that were in flight are told.
    pub(crate) cancelled: Option<Error>,
}

// Several are moved for every connection.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Tick>() <= 64);
