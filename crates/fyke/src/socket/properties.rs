//! What can be asked of a socket at any time, also when it is closed.

use std::rc::Rc;

use super::origin::Accepts;
use super::{ReadyState, Socket};
use crate::Error;

/// # State
impl Socket {
    /// Whether the socket is connecting: true from `connect` until the connection is established or has
    /// failed. Node: `connecting`.
    #[doc(alias = "connecting")]
    pub fn is_connecting(&self) -> bool {
        self.inner.state.borrow().connecting()
    }

    /// Whether the socket has no connection, because it is not established yet or is over. Node: `pending`.
    #[doc(alias = "pending")]
    pub fn is_pending(&self) -> bool {
        let state = self.inner.state.borrow();
        state.connecting() || state.id.is_none()
    }

    /// Whether the socket was destroyed: true from the call on, before `close` is emitted. Node:
    /// `destroyed`.
    #[doc(alias = "destroyed")]
    pub fn is_destroyed(&self) -> bool {
        self.inner.state.borrow().destroyed()
    }

    /// Whether the socket is closed in Node's sense: true from the call of `destroy` on, before `close` is
    /// emitted, as [`is_destroyed`](Self::is_destroyed) is. Node: `closed`.
    #[doc(alias = "closed")]
    pub fn is_closed(&self) -> bool {
        self.is_destroyed()
    }

    /// Whether data may still be received. Node: `readable`.
    #[doc(alias = "readable")]
    pub fn is_readable(&self) -> bool {
        self.inner.state.borrow().readable()
    }

    /// Whether data may still be written. Node: `writable`.
    #[doc(alias = "writable")]
    pub fn is_writable(&self) -> bool {
        self.inner.state.borrow().writable()
    }

    /// Node's `readyState`. A socket that was never connected says [`Open`](ReadyState::Open).
    pub fn ready_state(&self) -> ReadyState {
        self.inner.state.borrow().ready_state()
    }

    /// Whether `end` was emitted. Node: `readableEnded`.
    #[doc(alias = "readableEnded")]
    pub fn is_readable_ended(&self) -> bool {
        self.inner.state.borrow().read.has_emitted_end()
    }

    /// Whether it was destroyed, or failed, before `end` was emitted. Node: `readableAborted`.
    #[doc(alias = "readableAborted")]
    pub fn is_readable_aborted(&self) -> bool {
        let state = self.inner.state.borrow();
        !state.read.has_emitted_end() && (state.destroyed() || state.has_failed())
    }

    /// Whether data was ever delivered. Node: `readableDidRead`.
    #[doc(alias = "readableDidRead")]
    pub fn has_delivered(&self) -> bool {
        self.inner.state.borrow().read.did_read
    }

    /// Whether `end` was called. Node: `writableEnded`.
    #[doc(alias = "writableEnded")]
    pub fn is_writable_ended(&self) -> bool {
        self.inner.state.borrow().write.is_ended()
    }

    /// Whether our side is ended: true from just before `finish`. Node: `writableFinished`.
    #[doc(alias = "writableFinished")]
    pub fn is_writable_finished(&self) -> bool {
        self.inner.state.borrow().write.is_finished()
    }

    /// Whether it was destroyed, or failed, before `finish`. Node: `writableAborted`.
    #[doc(alias = "writableAborted")]
    pub fn is_writable_aborted(&self) -> bool {
        let state = self.inner.state.borrow();
        !state.write.is_finished() && (state.destroyed() || state.has_failed())
    }

    /// The error that it was destroyed with. Node: `errored`.
    pub fn errored(&self) -> Option<Error> {
        self.inner.state.borrow().errored().cloned()
    }

    /// The server that accepted it; none on clients, and when the server is gone.
    pub(crate) fn accepted_by(&self) -> Option<Rc<dyn Accepts>> {
        self.inner.state.borrow().accepted_by()
    }
}
