//! Connects a socket to its state machine. A transition of the state machine runs no user code. The effects
//! that it returns are carried out here, while nothing is borrowed. This is the only place that runs the
//! listeners and callbacks that the state machine asks for.

use fyke_machine::connection::{
    Connection, Context, Effect, Effects, Event, Gone, Heard, Then, Tick, When,
};
use fyke_machine::error::MakeError;
use fyke_machine::{Moment, policy};

use super::Callback;
use super::Socket;
use super::layer_flow::Layered;
use super::spares;
use crate::wiring::{Core, Deferred, Tick as LoopTick};
use crate::{Error, ErrorCode};

impl Socket {
    /// Runs one transition, carries out its effects, and updates the loop.
    pub(super) fn step<R>(
        &self,
        transition: impl FnOnce(&mut Connection<Callback>, &Context<'_>, &mut Effects<Callback>) -> R,
    ) -> R {
        let result = self.ask(transition);
        self.sync();
        result
    }

    /// Runs one transition, and carries out its effects.
    pub(super) fn ask<R>(
        &self,
        transition: impl FnOnce(&mut Connection<Callback>, &Context<'_>, &mut Effects<Callback>) -> R,
    ) -> R {
        let mut effects = Effects::default();
        let result = self.ask_into(&mut effects, transition);
        if !effects.is_empty() {
            self.perform(&mut effects);
        }
        effects.finish();
        result
    }

    fn ask_into<R>(
        &self,
        effects: &mut Effects<Callback>,
        transition: impl FnOnce(&mut Connection<Callback>, &Context<'_>, &mut Effects<Callback>) -> R,
    ) -> R {
        let core = self.core();
        let context = Context {
            now: core.map_or(Moment::ZERO, |core| core.moment()),
            turn: core.map_or(0, |core| core.turns.get()),
            policy: self.inner.core.get().map_or(&policy::DEFAULT, |core| &core.policy),
            heard: Heard(self.inner.listeners.heard()),
        };
        transition(&mut self.inner.state.borrow_mut().change(), &context, effects)
    }

    /// Carries out the effects in order. The effects that follow from one effect come before the next one.
    pub(super) fn perform(&self, effects: &mut Effects<Callback>) {
        while let Some(effect) = effects.take_next() {
            match effect {
                // The last effect reuses the list, so that a long chain needs no stack.
                Effect::Then(then) if effects.is_empty() => {
                    self.ask_into(effects, |machine, cx, fx| machine.then(then, cx, fx));
                }
                effect => self.execute(effect),
            }
        }
    }

    fn execute(&self, effect: Effect<Callback>) {
        match effect {
            Effect::Emit(Event::Shutdown) => self.emit_shutdown(),
            Effect::Emit(event) => self.emit(event),
            Effect::Data(bytes) => self.emit_data(&bytes),
            Effect::SinkStored => {
                self.give_sink_stored();
                self.ask(|machine, _, fx| machine.sink_took_stored(fx));
            }
            Effect::FinishText => self.finish_text(),
            Effect::Error(error) => {
                self.leave_pipes();
                self.emit_error(&error);
            }
            Effect::Close { had_error } => {
                self.leave_pipes();
                // Only the existing pipes, not those that a listener makes when it connects the socket
                // again.
                self.drop_pipes();
                self.emit_close(had_error);
            }
            Effect::CloseBefore { had_error } => self.emit_close(had_error),
            Effect::Call(call) => (call.callback)(self, call.result),
            Effect::Defer(when, tick) => self.defer(when, tick),
            Effect::Then(then) => self.ask(|machine, cx, fx| machine.then(then, cx, fx)),
            Effect::CloseLater { cancelled } => {
                if let Some(core) = self.core() {
                    core.push_closing(self.actor(), cancelled);
                }
            }
            Effect::FlushLater => {
                if let Some(core) = self.core() {
                    self.flush_later(core, &mut self.inner.state.borrow_mut());
                }
            }
            Effect::Flush => self.flush(Connection::flushed),
            Effect::FlushFirst => self.flush(Connection::flushed_first),
            Effect::FlushParked => self.flush_parked(),
            Effect::Shutdown => {
                if let Some(layered) = self.layered() {
                    self.shutdown_layered(&layered);
                } else if let (Some(core), Some(id)) = (self.core(), self.id()) {
                    core.driver.shutdown(id);
                }
            }
            Effect::Receive => self.receive_start(),
            Effect::StopReceiving => self.receive_stop(),
            Effect::CaptureAddresses => self.capture_addresses(),
            Effect::Release { reset } => self.release(reset),
            Effect::RefuseReset => {
                self.emit_error(&Error::named(ErrorCode::EINVAL, "reset"));
            }
            Effect::Leave(gone) => self.leave(gone),
            Effect::LetGoOfServer => {
                let server = self.inner.state.borrow_mut().let_go_of_server();
                drop(server);
            }
            Effect::Resolve { host, all } => self.resolve(&host, all),
            Effect::Lookup(lookup) => self.emit_lookup(&lookup),
            Effect::HasSeveralAddresses => {
                // The list may stay empty (HE-14).
                self.inner.state.borrow_mut().rare().attempted = Some(Vec::new());
            }
            Effect::Attempt(event) => self.emit_attempt_event(&event),
            Effect::Open(attempt) => self.open_attempt(attempt),
            Effect::Dial(attempt) => self.dial(attempt),
            Effect::HangUp(attempt) => self.hang_up(attempt),
            Effect::Take(attempt) => self.take_over(attempt),
            Effect::Probe(attempt) => self.probe(attempt),
            Effect::Established => self.use_connection(),
            Effect::Renew => self.inner.state.borrow_mut().renew(),
            Effect::Drop(spent) => drop(spent),
        }
    }

    /// In the plain lane: the kernel has every write up to this number. Calls the callback that is due.
    /// Returns whether it did; if not, nothing has changed.
    pub(super) fn written_plain(&self, number: u64) -> bool {
        let callback = self.inner.state.borrow_mut().machine.written_plain(number);
        let Some(callback) = callback else { return false };
        callback(self, Ok(()));
        let goes_on = self.inner.state.borrow().machine.written_goes_on();
        if goes_on {
            self.ask(|machine, cx, fx| machine.then(Then::WrittenReported, cx, fx));
        }
        true
    }

    pub(super) fn defer(&self, when: When, tick: Tick) {
        let Some(core) = self.core() else {
            let forgotten = self.inner.state.borrow_mut().change().take_waiting();
            return drop(forgotten);
        };
        match (when, tick) {
            (When::Now, tick) if !core.has_ticks() => {
                self.ask(|machine, cx, fx| machine.tick(tick, cx, fx));
            }
            (When::Fair, Tick::Written(number)) if self.waits_for_its_turn() => {
                let round = self.inner.state.borrow().round();
                self.defer(When::NextTurn, Tick::WrittenLate(number, round));
            }
            (When::Tick | When::Now | When::Fair, tick) => self.tick(LoopTick::Machine(tick)),
            (When::NextTurn, tick) => {
                core.push_next_turn(Deferred::Actor(self.actor(), LoopTick::Machine(tick)));
            }
        }
    }

    /// Returns whether callbacks of writes must wait so that other sockets get time, see [`When::Fair`].
    fn waits_for_its_turn(&self) -> bool {
        self.core().is_some_and(|core| core.policy.shares_turns && !core.budget.may_report())
    }

    /// Prepares for the callbacks of writes that were deferred to this turn. No further callbacks of writes
    /// run in the same batch, so writes that these callbacks make are reported later.
    pub(super) fn begin_late_news(&self, round: u32) {
        let is_due = {
            let state = self.inner.state.borrow();
            state.round() == round && state.is_live()
        };
        if let Some(core) = self.core().filter(|_| is_due) {
            core.budget.report_no_more();
        }
    }

    /// Updates whether this socket keeps the loop alive, and when the loop checks its idle timeout.
    #[inline]
    pub(super) fn sync(&self) {
        let Some(core) = self.core() else { return };
        let mut state = self.inner.state.borrow_mut();
        let holds = state.machine.holds();
        if std::mem::replace(&mut state.holding, holds) != holds {
            match holds {
                true => core.hold(),
                false => core.release(),
            }
        }
        let wants_care = state.machine.wants_care();
        drop(state);
        if wants_care {
            self.care(core);
        }
    }

    fn care(&self, core: &Core) {
        let mut state = self.inner.state.borrow_mut();
        let (queue, deadline) = {
            let mut machine = state.change();
            machine.tidy();
            (machine.write.reclaim(), machine.take_idle_deadline(core.now()))
        };
        let connected = state.connected();
        self.sync_wake(core, &mut state);
        drop(state);
        if let Some(queue) = queue {
            spares::give_back(core, queue);
        }
        if let Some(deadline) = deadline {
            match connected {
                Some(id) => core.list_idle(deadline, id),
                None => core.list_idle_unopened(deadline, self.downgrade()),
            }
        }
    }

    /// Runs in the close phase (phase 6), or on the tick if the socket never had a descriptor.
    pub(crate) fn finish_close(&self, cancelled: Option<Error>) {
        // A close of an earlier connection: the present one continues.
        let closes_this = !self.inner.state.borrow().owes_close();
        // Also when a callback panics, so that the socket is fully released.
        let _closed = closes_this.then(|| Closed(self));
        if cancelled.is_none() && self.close_plain() {
            return;
        }
        self.step(|machine, _, fx| machine.close(cancelled, fx));
    }

    /// Closes in the plain lane, see [`Machine::close_plain`](fyke_machine::Machine::close_plain).
    fn close_plain(&self) -> bool {
        const HEARD: [Event; 3] = [Event::Gone, Event::Unpipe, Event::Close];
        let heard = Heard(self.inner.listeners.heard());
        !heard.has_any(&HEARD) && self.inner.state.borrow_mut().machine.close_plain()
    }

    /// Ends in the plain lane, see [`Machine::end_plain`](fyke_machine::Machine::end_plain).
    pub(super) fn end_plain(&self) -> bool {
        let Some(core) = self.core().filter(|core| !core.has_ticks()) else {
            return false;
        };
        let heard = Heard(self.inner.listeners.heard());
        let (ended, draining) = {
            let mut state = self.inner.state.borrow_mut();
            (state.machine.end_plain(&core.policy, heard), state.idle.draining)
        };
        if ended {
            self.capture_addresses();
            self.release(false);
            core.push_closing(self.actor(), None);
            self.leave(draining.then_some(Gone::Ended));
        }
        ended
    }

    /// Tells the server that its connection is gone.
    fn leave(&self, gone: Option<Gone>) {
        let (server, peer) = {
            let state = self.inner.state.borrow();
            (state.accepted_by(), state.peer())
        };
        if let Some(server) = server {
            server.connection_gone(peer, gone);
        }
    }

    /// The loop is gone: emits no event, and frees everything that the callbacks captured.
    pub(crate) fn abandon(&self) {
        let mut effects = Effects::default();
        let (before, layered) = {
            let mut state = self.inner.state.borrow_mut();
            state.change().abandon(&mut effects);
            state.id = None;
            state.holding = false;
            let server = state.let_go_of_server();
            let layered = state.rare_if_any_mut().and_then(|rare| rare.layered.take());
            let rare = state.rare_if_any_mut().map(|rare| {
                (std::mem::take(&mut rare.piped), rare.connecting.take(), rare.bound.take())
            });
            ((server, rare), layered)
        };
        let listeners = self.inner.listeners.clear();
        Layered::remove(layered);
        drop((effects, before, listeners, self.take_sink()));
    }
}

struct Closed<'a>(&'a Socket);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.let_go();
    }
}
