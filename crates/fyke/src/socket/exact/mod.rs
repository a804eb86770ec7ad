//! What only a loop does that is exact (`Builder::node_exact`): Node's order around writes, and
//! around a connection that never stood.

mod connecting;
mod renewing;

pub(super) use renewing::Owed;

use fyke_driver::SocketId;

use super::attempts::Connecting;
use super::callback::Done;
use super::phase::Phase;
use super::write_side::Parked;
use super::{Event, Socket};
use crate::wiring::Core;
use crate::{Decoder, Error, ErrorCode, Result};

impl Socket {
    /// Whether Node's accidents are copied too.
    pub(crate) fn node_exact(&self) -> bool {
        self.inner.core.get().is_some_and(|core| core.node_exact)
    }

    /// A write is offered inside the call; before the connection stands, the first one is parked.
    pub(super) fn offer_at_once(&self) {
        {
            let mut state = self.inner.state.borrow_mut();
            if state.connecting {
                state.write.park();
            }
        }
        self.hand_over();
    }

    /// The listeners of `connect` have run: in Node the parked write is one more of them.
    pub(super) fn send_parked(&self) {
        let (id, batch) = {
            let mut state = self.inner.state.borrow_mut();
            if !state.write.is_parked() {
                return;
            }
            let Some(id) = state.connected() else {
                drop(state);
                return self.fail_parked_now(ErrorCode::ERR_SOCKET_CLOSED);
            };
            (id, state.write.hand_over_parked())
        };
        match self.offer(id, batch) {
            Ok(Some(number)) => {
                self.hand_over();
                self.written(number);
            }
            Ok(None) => self.hand_over(),
            Err(error) => self.write_failed(error),
        }
    }

    /// The connection ended before it stood.
    pub(super) fn fail_parked_now(&self, code: ErrorCode) {
        let parked = self.inner.state.borrow_mut().write.take_parked();
        let Some(parked) = parked else { return };
        let bytes = self.inner.state.borrow_mut().write.give_up_queue();
        drop(bytes);
        self.tell_parked(parked, code);
    }

    /// The same after `close`, where a listener may have connected the socket again.
    pub(super) fn fail_parked(&self, parked: Parked<Done>, code: ErrorCode) {
        let bytes = {
            let mut state = self.inner.state.borrow_mut();
            let is_closed = state.phase == Phase::Closed;
            is_closed.then(|| state.write.give_up_parked())
        };
        drop(bytes);
        self.tell_parked(parked, code);
    }

    /// What was parked is told the code, the rest what the socket was destroyed with (WR-13).
    fn tell_parked(&self, parked: Parked<Done>, code: ErrorCode) {
        let error = Error::new(code, "the connection never stood");
        let rest: Result<()> = {
            let mut state = self.inner.state.borrow_mut();
            if state.destroyed() {
                state.set_errored(&error);
            }
            Err(state.errored().unwrap_or_else(|| error.clone()))
        };
        let round = self.inner.state.borrow().round();
        let set_behind = |bytes| {
            let mut state = self.inner.state.borrow_mut();
            // Not of the next connection.
            if state.round() == round && state.destroyed() {
                state.write.set_behind(bytes);
            }
        };
        for callback in parked.first {
            callback(self, Err(error.clone()));
        }
        for (behind, callback) in parked.queued {
            set_behind(behind);
            callback(self, rest.clone());
        }
        set_behind(0);
        for callback in parked.ends {
            callback(self, rest.clone());
        }
    }

    /// libuv ends a connection in its next round.
    pub(super) fn shut_down_later(&self, id: SocketId) {
        let (Some(core), socket) = (self.core(), self.clone()) else { return };
        let shut_down = move || {
            // A connect on the connection that stands takes the place of its end, which is lost.
            let stays = socket.inner.state.borrow().id == Some(id) && !socket.never_finishes();
            if let (true, Some(core)) = (stays, socket.core()) {
                core.driver.shutdown(id);
            }
        };
        core.push_next_turn(Box::new(shut_down));
    }

    /// Gives up what is queued; each callback finds what is behind its write still queued.
    pub(super) fn fail_one_by_one(&self, error: &Error) {
        let (accepted, bytes) = {
            let mut state = self.inner.state.borrow_mut();
            (state.write.accepted_bytes(), state.write.give_up_queue())
        };
        drop(bytes);
        loop {
            let callback = self.inner.state.borrow_mut().write.next_failing(accepted);
            let Some(callback) = callback else { break };
            callback(self, Err(error.clone()));
        }
        let callbacks = {
            let mut state = self.inner.state.borrow_mut();
            state.write.set_behind(0);
            state.write.take_end_callbacks()
        };
        for callback in callbacks {
            callback(self, Err(error.clone()));
        }
    }

    /// A write counts as activity when it is offered to the kernel, not while it is corked.
    pub(super) fn touch_by_write(&self, core: &Core) {
        if !core.node_exact || self.corked() == 0 {
            self.touch();
        }
    }

    /// Node counts what is kept by the UTF-16 units of its text, once there is an encoding (RD-16).
    pub(super) fn kept_units(&self) -> Option<usize> {
        let state = self.inner.state.borrow();
        let (encoding, _) = state.rare_if_any()?.decoder.as_ref()?;
        let mut text = String::new();
        Decoder::new(*encoding).decode(&state.read.copy_kept(), &mut text);
        Some(text.encode_utf16().count())
    }

    /// A connect before the old `close` lets Node's stream believe that it is closed, and one that
    /// comes while the connection is being ended takes the place of that: it never finishes by itself.
    pub(super) fn never_finishes(&self) -> bool {
        let state = self.inner.state.borrow();
        state.rare_if_any().is_some_and(|rare| rare.end_is_lost)
    }

    pub(super) fn note_turn(&self) {
        if let Some(core) = self.core().filter(|core| core.node_exact) {
            self.inner.state.borrow_mut().rare().received_in_turn = core.turns.get();
        }
    }

    /// Whether bytes came in this turn: what follows them, Node's next poll tells.
    pub(super) fn had_bytes_now(&self) -> bool {
        let Some(core) = self.core().filter(|core| core.node_exact) else { return false };
        let state = self.inner.state.borrow();
        state.rare_if_any().is_some_and(|rare| rare.received_in_turn == core.turns.get())
    }

    /// Ends the receiving side when what is pending now is through.
    pub(super) fn end_later(&self, error: Option<Error>) {
        let id = self.inner.state.borrow().id;
        let socket = self.clone();
        let end = move || {
            if socket.destroyed() || socket.inner.state.borrow().id != id {
                return;
            }
            match error {
                Some(error) => _ = socket.destroy_with(error),
                None => socket.guarded(|| socket.end_of_stream()),
            }
            socket.sync_hold();
        };
        let (Some(core), socket) = (self.core(), self.clone()) else { return };
        // Behind the completion of an end of our own side, which is pending too.
        let once_more = move || {
            if let Some(core) = socket.core() {
                core.push_next_turn(Box::new(end));
            }
        };
        core.push_next_turn(Box::new(once_more));
    }

    /// A reset while our side is being ended: libuv refuses it, so the end goes out.
    pub(super) fn shut_down_before_reset(&self) -> bool {
        let id = {
            let state = self.inner.state.borrow();
            let ending = state.write.shutting_down && !state.write.finished;
            state.connected().filter(|_| ending)
        };
        if let (Some(core), Some(id)) = (self.core(), id) {
            core.driver.shutdown(id);
        }
        id.is_some()
    }

    /// Node says so inside the call, and never emits `close` (DST-15). Its descriptor stays open;
    /// here it is closed.
    pub(super) fn refuse_reset(&self) {
        self.emit_error(&Error::named(ErrorCode::EINVAL, "reset"));
    }

    /// One of several attempts is cancelled by `destroy`, and Node tells it as failed.
    pub(super) fn remember_cancelled_attempt(&self, attempts: &Connecting) {
        let target = attempts.running_target().filter(|_| attempts.several());
        if let Some(target) = target {
            self.inner.state.borrow_mut().rare().cancelled_attempt = Some(Box::new(target.clone()));
        }
    }

    pub(super) fn tell_cancelled_attempt(&self) {
        let target = {
            let mut state = self.inner.state.borrow_mut();
            state.rare_if_any_mut().and_then(|rare| rare.cancelled_attempt.take())
        };
        if let Some(target) = target.map(|target| *target) {
            let error = Error::named(ErrorCode::ECANCELED, "connect").at(target.clone(), true);
            self.emit_attempt_failed(&target, &error);
        }
    }

    /// `ready` follows `connect` whatever a listener did (CON-05).
    pub(super) fn ready_though_destroyed(&self) {
        if self.node_exact() {
            self.send_parked();
            self.emit(Event::Ready);
        }
    }
}
