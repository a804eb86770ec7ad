//! The functions of a server that the loop calls, and its deferred calls.

use std::any::Any;
use std::rc::Rc;

use fyke_driver::Completion;
use fyke_machine::error::MakeError;

use super::{Inner, Server};
use crate::Error;
use crate::abort::Abort;
use crate::runtime::Actor;
use crate::wiring::{Deferred, Tick};

impl Actor<Tick> for Inner {
    fn complete(self: Rc<Self>, completion: Completion<'_>) {
        let server = Server { inner: self };
        match completion {
            Completion::Accepted { socket, peer, unix, .. } => server.accepted(socket, peer, unix),
            Completion::Shed { count, .. } => server.shed(count),
            Completion::Failed { error, .. } => server.emit_error(&Error::system("accept", error)),
            _ => {}
        }
    }

    fn wake(self: Rc<Self>) {
        Server { inner: self }.wake();
    }

    fn is_closed_last(&self) -> bool {
        true
    }

    fn abandon(self: Rc<Self>) {
        let drain = {
            let mut state = self.state.borrow_mut();
            state.acceptor.abandon();
            state.listener = None;
            state.address = None;
            state.lookup = None;
            state.holding = false;
            (state.drain.take(), state.origin.take())
        };
        Server { inner: Rc::clone(&self) }.abandon_waiting();
        drop((drain, self.listeners.clear()));
    }

    fn as_any(self: Rc<Self>) -> Rc<dyn Any> {
        self
    }
}

impl Abort for Inner {
    fn abort(self: Rc<Self>, _error: &Error, round: u64) {
        Server { inner: self }.abort(round);
    }
}

impl Server {
    /// Returns this server in the form in which the loop stores it.
    pub(super) fn actor(&self) -> Rc<dyn Actor<Tick>> {
        self.inner.clone()
    }

    /// Runs `call` when the running callback has returned.
    pub(super) fn tick(&self, call: impl FnOnce(&Self) + 'static) {
        if let Some(core) = self.core() {
            let server = self.clone();
            core.push_tick(Deferred::Call(Box::new(move || call(&server))));
        }
    }
}
