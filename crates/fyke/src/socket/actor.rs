//! What the loop calls of a socket, and what it defers.

use std::any::Any;
use std::rc::Rc;

use fyke_driver::{Completion, Operation};

use super::callback::Done;
use super::{Event, Inner, Socket};
use crate::abort::Abort;
use crate::runtime::Actor;
use crate::wiring::{Deferred, Tick};
use crate::{Error, Result};

impl Actor<Tick> for Inner {
    #[inline]
    fn receive(self: Rc<Self>, bytes: &[u8]) {
        Socket::from_inner(self).receive(bytes);
    }

    fn complete(self: Rc<Self>, completion: Completion<'_>) {
        Socket::from_inner(self).complete(completion);
    }

    fn tick(self: Rc<Self>, tick: Tick) {
        Socket::from_inner(self).run_tick(tick);
    }

    fn flush(self: Rc<Self>) {
        Socket::from_inner(self).hand_over_dirty();
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
    /// This socket, as the loop knows it.
    pub(super) fn actor(&self) -> Rc<dyn Actor<Tick>> {
        self.inner.clone()
    }

    /// Where it lies, by which it is found in lists of others.
    pub(super) fn place(&self) -> *const () {
        Rc::as_ptr(&self.inner).cast()
    }

    /// Something happened to the connection.
    pub(super) fn complete(&self, completion: Completion<'_>) {
        self.guarded(|| self.handle(completion));
        self.sync_hold();
    }

    /// Bytes were received.
    fn receive(&self, bytes: &[u8]) {
        self.guarded(|| {
            if !self.received_plainly(bytes) {
                self.note_turn();
                self.received(bytes);
            }
        });
        self.sync_hold();
    }

    fn handle(&self, completion: Completion<'_>) {
        match completion {
            Completion::EndOfStream { .. } if self.had_bytes_now() => self.end_later(None),
            Completion::EndOfStream { .. } => {
                if !self.ended_plainly() {
                    self.end_of_stream();
                }
            }
            Completion::Sent { bytes, .. } => self.sent(bytes),
            Completion::Connected { socket } => self.connected(socket),
            Completion::ShutDown { .. } => self.was_shut_down(),
            Completion::Failed { socket, operation, error } => match operation {
                Operation::Connect => self.connect_failed(socket, error),
                Operation::Receive if self.had_bytes_now() => {
                    self.end_later(Some(Error::system("read", error)));
                }
                Operation::Receive => self.receive_failed(Error::system("read", error)),
                Operation::Send => self.write_failed(Error::system("write", error)),
                Operation::Shutdown => self.shutdown_failed(error),
                Operation::Accept => {}
            },
            Completion::Received { bytes, .. } => self.received(bytes),
            Completion::Accepted { .. } | Completion::Shed { .. } | Completion::Woken => {}
        }
    }

    pub(super) fn run_tick(&self, tick: Tick) {
        self.guarded(|| self.handle_tick(tick));
        self.sync_hold();
    }

    pub(super) fn handle_tick(&self, tick: Tick) {
        match tick {
            Tick::Lookup => self.run_lookup(),
            Tick::Attempt => self.next_attempt(),
            Tick::Resume => self.run_resume(),
            Tick::Readable => self.run_readable(),
            Tick::Receive => self.receive_on_demand(),
            Tick::Data => self.emit_taken(),
            Tick::End => self.run_end(),
            Tick::EndItself => self.run_end_itself(),
            Tick::FinishAlone => self.run_finish_alone(),
            Tick::ShutDown => self.was_shut_down(),
            Tick::Finish => self.run_finish(),
            Tick::Written(number) => {
                self.tell_owed();
                self.written(number);
            }
            Tick::FailQueue => {
                self.tell_owed();
                self.fail_queue();
            }
            Tick::Owed => self.tell_owed(),
            Tick::Piped => _ = self.run_piped(Event::Pipe),
            Tick::Unpiped => _ = self.run_piped(Event::Unpipe),
            Tick::Shutdown => self.run_shutdown(),
            Tick::Close => self.finish_close(None),
        }
    }

    /// The last thing that is done for a completion or a tick of this socket: what would be the next
    /// tick then is run at once, if no other is before it.
    pub(super) fn tick_now(&self, tick: Tick) {
        if self.core().is_some_and(|core| !core.has_ticks()) {
            self.handle_tick(tick);
        } else {
            self.tick(tick);
        }
    }

    pub(super) fn tick(&self, tick: Tick) {
        if let Some(core) = self.core() {
            core.push_tick(Deferred::Actor(self.actor(), tick));
        }
    }

    /// Defers what needs more than a number.
    pub(super) fn tick_with(&self, call: impl FnOnce(&Self) + 'static) {
        let Some(core) = self.core() else { return };
        let socket = self.clone();
        let call = move || {
            socket.guarded(|| call(&socket));
            socket.sync_hold();
        };
        core.push_tick(Deferred::Call(Box::new(call)));
    }

    /// Tells one callback on the tick.
    pub(super) fn reply(&self, callback: Done, result: Result<()>) {
        self.tick_with(move |socket| callback(socket, result));
    }
}
