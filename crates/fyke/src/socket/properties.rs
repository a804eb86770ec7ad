//! What can be asked of a socket at any time, also when it is closed.

use std::rc::Rc;

use super::origin::Accepts;
use super::{ReadyState, Socket};
use crate::Error;

/// # State
impl Socket {
    /// Whether it is connecting: from `connect` to its outcome.
    pub fn connecting(&self) -> bool {
        self.inner.state.borrow().connecting()
    }

    /// Whether there is no connection (yet, or any more). Node: `pending`.
    pub fn pending(&self) -> bool {
        let state = self.inner.state.borrow();
        state.connecting() || state.id.is_none()
    }

    /// Whether it was destroyed: true from the call on, before `close` is emitted.
    pub fn destroyed(&self) -> bool {
        self.inner.state.borrow().destroyed()
    }

    /// Whether it was destroyed; the same as [`destroyed`](Self::destroyed). Node: `closed`, which
    /// like it is true before `close` is emitted.
    pub fn closed(&self) -> bool {
        self.destroyed()
    }

    /// Whether data may still come.
    pub fn readable(&self) -> bool {
        self.inner.state.borrow().readable()
    }

    /// Whether data may still be written.
    pub fn writable(&self) -> bool {
        self.inner.state.borrow().writable()
    }

    /// Node's `readyState`. A socket that was never connected says [`Open`](ReadyState::Open).
    pub fn ready_state(&self) -> ReadyState {
        self.inner.state.borrow().ready_state()
    }

    /// Whether `end` was emitted. Node: `readableEnded`.
    pub fn readable_ended(&self) -> bool {
        self.inner.state.borrow().read.has_emitted_end()
    }

    /// Whether it was destroyed, or failed, before `end` was emitted. Node: `readableAborted`.
    pub fn readable_aborted(&self) -> bool {
        let state = self.inner.state.borrow();
        !state.read.has_emitted_end() && (state.destroyed() || state.has_failed())
    }

    /// Whether data was ever delivered. Node: `readableDidRead`.
    pub fn readable_did_read(&self) -> bool {
        self.inner.state.borrow().read.did_read
    }

    /// Whether `end` was called. Node: `writableEnded`.
    pub fn writable_ended(&self) -> bool {
        self.inner.state.borrow().write.is_ended()
    }

    /// Whether our side is ended: true from just before `finish`. Node: `writableFinished`.
    pub fn writable_finished(&self) -> bool {
        self.inner.state.borrow().write.is_finished()
    }

    /// Whether it was destroyed, or failed, before `finish`. Node: `writableAborted`.
    pub fn writable_aborted(&self) -> bool {
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
