//! The functions of a socket that the loop calls, and its deferred work.

use std::any::Any;
use std::rc::Rc;

use fyke_driver::{Completion, Operation};
use fyke_machine::connection::{self, Event};
use fyke_machine::error::MakeError;

use super::Callback;
use super::{Inner, Socket};
use crate::abort::Abort;
use crate::runtime::Actor;
use crate::wiring::{Deferred, Tick};
use crate::{Error, Result};

impl Actor<Tick> for Inner {
    #[inline]
    fn receive(self: Rc<Self>, bytes: &mut [u8]) {
        Socket::from_inner(self).receive(bytes);
    }

    fn readable(self: Rc<Self>) {
        Socket::from_inner(self).wake_reader();
    }

    fn complete(self: Rc<Self>, completion: Completion<'_>) {
        let socket = Socket::from_inner(self);
        match completion {
            // This changes nothing, and runs no listener.
            Completion::Writable { .. } => socket.wake_writer(),
            completion => socket.complete(completion),
        }
    }

    fn tick(self: Rc<Self>, tick: Tick) {
        Socket::from_inner(self).run_tick(tick);
    }

    fn flush(self: Rc<Self>) {
        Socket::from_inner(self).submit_dirty();
    }

    fn wake(self: Rc<Self>) {
        Socket::from_inner(self).wake();
    }

    fn check_idle(self: Rc<Self>) -> bool {
        Socket::from_inner(self).check_idle()
    }

    fn close(self: Rc<Self>, cancelled: Option<Error>) {
        Socket::from_inner(self).finish_close(cancelled);
    }

    fn before_abandon(self: Rc<Self>) {
        Socket::from_inner(self).capture_accepted_peer();
    }

    fn abandon(self: Rc<Self>) {
        Socket::from_inner(self).abandon();
    }

    fn as_any(self: Rc<Self>) -> Rc<dyn Any> {
        self
    }
}

impl Abort for Inner {
    fn abort(self: Rc<Self>, error: &Error, _round: u64) {
        Socket::from_inner(self).destroy_with(error.clone());
    }
}

impl Socket {
    /// Returns this socket in the form in which the loop stores it.
    pub(super) fn actor(&self) -> Rc<dyn Actor<Tick>> {
        self.inner.clone()
    }

    /// The address of the socket's memory, which identifies it in the lists of other modules.
    pub(super) fn place(&self) -> *const () {
        Rc::as_ptr(&self.inner).cast()
    }

    /// Handles a completion for this socket.
    pub(super) fn complete(&self, completion: Completion<'_>) {
        self.guarded(|| self.handle(completion));
        self.sync();
    }

    fn handle(&self, completion: Completion<'_>) {
        match completion {
            Completion::EndOfStream { .. } => {
                if !self.end_plain() {
                    self.ask(|machine, cx, fx| machine.received_all(None, cx, fx));
                }
            }
            Completion::Sent { bytes, .. } => {
                self.ask(|machine, cx, fx| machine.sent(bytes, cx, fx));
            }
            Completion::Connected { socket } => self.connected_by(socket),
            Completion::ShutDown { .. } => self.ask(|machine, _, fx| machine.was_shut_down(fx)),
            Completion::Failed { socket, operation, error } => match operation {
                Operation::Connect => self.connect_failed(socket, error),
                Operation::Receive => {
                    let error = Some(Error::system("read", error));
                    self.ask(|machine, cx, fx| machine.received_all(error, cx, fx));
                }
                Operation::Send => {
                    let error = Error::system("write", error);
                    self.ask(|machine, _, fx| machine.write_failed(error, fx));
                }
                Operation::Shutdown => self.shutdown_failed(error),
                Operation::Accept => {}
            },
            // Received bytes are passed to `receive` instead.
            Completion::Received { .. }
            | Completion::Readable { .. }
            | Completion::Writable { .. }
            | Completion::Accepted { .. }
            | Completion::Shed { .. }
            | Completion::Woken => {}
        }
    }

    pub(super) fn run_tick(&self, tick: Tick) {
        match tick {
            // The `close` of a socket that never had a descriptor. `finish_close` has its own guard.
            Tick::Machine(connection::Tick::Close) => self.finish_close(None),
            Tick::Machine(connection::Tick::WrittenLate(_, round)) => {
                self.begin_late_news(round);
                self.guarded(|| self.handle_tick(tick));
            }
            tick => self.guarded(|| self.handle_tick(tick)),
        }
        self.sync();
    }

    pub(super) fn handle_tick(&self, tick: Tick) {
        match tick {
            Tick::Machine(connection::Tick::Written(number)) if self.written_plain(number) => {}
            Tick::Machine(tick) => self.ask(|machine, cx, fx| machine.tick(tick, cx, fx)),
            Tick::Piped => _ = self.run_piped(Event::Pipe),
            Tick::Unpiped => _ = self.run_piped(Event::Unpipe),
            Tick::Layer => self.layer_continues(),
        }
    }

    pub(super) fn tick(&self, tick: Tick) {
        if let Some(core) = self.core() {
            core.push_tick(Deferred::Actor(self.actor(), tick));
        }
    }

    /// Calls one callback on the next tick.
    pub(super) fn reply(&self, callback: Callback, result: Result<()>) {
        self.step(|machine, _, fx| machine.reply(callback, result, fx));
    }
}
