//! Properties that can be read at any time, also after `close`.

use std::rc::Rc;

use super::origin::Accepts;
use super::{ReadyState, Socket};
use crate::Error;

/// # State
impl Socket {
    /// Returns whether the socket is connecting: true from `connect` until the connection is established or
    /// has failed. Node: `connecting`.
    #[doc(alias = "connecting")]
    pub fn is_connecting(&self) -> bool {
        self.inner.state.borrow().connecting()
    }

    /// Returns whether the socket has no connection, because it is not established yet or has ended. Node:
    /// `pending`.
    #[doc(alias = "pending")]
    pub fn is_pending(&self) -> bool {
        let state = self.inner.state.borrow();
        state.connecting() || state.id.is_none()
    }

    /// Returns whether the socket was destroyed: true as soon as `destroy` is called, before `close` is
    /// emitted. Node: `destroyed`.
    #[doc(alias = "destroyed")]
    pub fn is_destroyed(&self) -> bool {
        self.inner.state.borrow().destroyed()
    }

    /// Returns whether the socket is closed in Node's sense: true as soon as `destroy` is called, before
    /// `close` is emitted, like [`is_destroyed`](Self::is_destroyed). Node: `closed`.
    #[doc(alias = "closed")]
    pub fn is_closed(&self) -> bool {
        self.is_destroyed()
    }

    /// Returns whether data may still be received. Node: `readable`.
    #[doc(alias = "readable")]
    pub fn is_readable(&self) -> bool {
        self.inner.state.borrow().readable()
    }

    /// Returns whether data may still be written. Node: `writable`.
    #[doc(alias = "writable")]
    pub fn is_writable(&self) -> bool {
        self.inner.state.borrow().writable()
    }

    /// Returns Node's `readyState`. A socket that was never connected returns [`Open`](ReadyState::Open),
    /// as in Node.
    pub fn ready_state(&self) -> ReadyState {
        self.inner.state.borrow().ready_state()
    }

    /// Returns whether `end` was emitted. Node: `readableEnded`.
    #[doc(alias = "readableEnded")]
    pub fn is_readable_ended(&self) -> bool {
        self.inner.state.borrow().read.has_emitted_end()
    }

    /// Returns whether the socket was destroyed or failed before `end` was emitted. Node:
    /// `readableAborted`.
    #[doc(alias = "readableAborted")]
    pub fn is_readable_aborted(&self) -> bool {
        let state = self.inner.state.borrow();
        !state.read.has_emitted_end() && (state.destroyed() || state.has_failed())
    }

    /// Returns whether data was ever delivered. Node: `readableDidRead`.
    #[doc(alias = "readableDidRead")]
    pub fn has_delivered(&self) -> bool {
        self.inner.state.borrow().read.did_read
    }

    /// Returns whether `end` was called. Node: `writableEnded`.
    #[doc(alias = "writableEnded")]
    pub fn is_writable_ended(&self) -> bool {
        self.inner.state.borrow().write.is_ended()
    }

    /// Returns whether this side has ended: true from just before `finish` is emitted. Node:
    /// `writableFinished`.
    #[doc(alias = "writableFinished")]
    pub fn is_writable_finished(&self) -> bool {
        self.inner.state.borrow().write.is_finished()
    }

    /// Returns whether the socket was destroyed or failed before `finish` was emitted. Node:
    /// `writableAborted`.
    #[doc(alias = "writableAborted")]
    pub fn is_writable_aborted(&self) -> bool {
        let state = self.inner.state.borrow();
        !state.write.is_finished() && (state.destroyed() || state.has_failed())
    }

    /// Returns the error that the socket was destroyed with, if any. Node: `errored`.
    #[doc(alias = "errored")]
    pub fn error(&self) -> Option<Error> {
        self.inner.state.borrow().errored().cloned()
    }

    /// Returns the server that accepted this socket. `None` for outgoing sockets, and if the server no
    /// longer exists.
    pub(crate) fn accepted_by(&self) -> Option<Rc<dyn Accepts>> {
        self.inner.state.borrow().accepted_by()
    }
}
