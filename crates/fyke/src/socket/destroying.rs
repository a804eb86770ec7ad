//! Destroying, and the close phase: the end of a connection, whatever its state (DST-01 … DST-19).

use std::rc::Rc;

use super::attempts::Connecting;
use super::phase::Phase;
use super::{Event, Gone, Socket};
use crate::wiring::Tick;
use crate::{Error, ErrorCode, Result};

/// # Destroying
impl Socket {
    /// Closes the connection now. What was written and fits into the kernel's buffer is sent,
    /// the rest is given up, and nothing is delivered any more; `close` follows. Repeating it does
    /// nothing. Node: `socket.destroy()`.
    pub fn destroy(&self) -> &Self {
        self.tear_down(None, false);
        self
    }

    /// The same with an error: `on_error` gets it, then `close` follows. Node:
    /// `socket.destroy(error)`.
    pub fn destroy_with(&self, error: Error) -> &Self {
        self.tear_down(Some(error), false);
        self
    }

    /// Ends, and destroys when everything written is sent, without waiting for the peer. Node:
    /// `socket.destroySoon()`.
    pub fn destroy_soon(&self) -> &Self {
        if self.inner.state.borrow().writable() {
            self.end();
        }
        let finished = {
            let mut state = self.inner.state.borrow_mut();
            state.destroy_on_finish = true;
            state.write.finished
        };
        if finished {
            self.destroy();
        }
        self
    }

    /// Closes the connection by TCP's RST: the peer gets ECONNRESET, and what was not yet sent or
    /// read is lost. While connecting, this waits for the connection. A socket that was never
    /// connected is destroyed with `ERR_SOCKET_CLOSED`. Node: `socket.resetAndDestroy()`.
    ///
    /// # Errors
    /// `ERR_INVALID_HANDLE_TYPE` on a Unix socket, which knows no RST; nothing happens then.
    pub fn reset_and_destroy(&self) -> Result<()> {
        enum Next {
            Nothing,
            Reset,
            Fail,
        }
        let next = {
            let mut state = self.inner.state.borrow_mut();
            match state.phase {
                Phase::Live if state.unix => {
                    let message = "a Unix socket cannot be reset";
                    return Err(Error::new(ErrorCode::ERR_INVALID_HANDLE_TYPE, message));
                }
                Phase::Live if state.connecting => {
                    state.reset_on_connect = true;
                    Next::Nothing
                }
                Phase::Live => Next::Reset,
                Phase::Fresh => Next::Fail,
                Phase::Destroyed | Phase::Closed => Next::Nothing,
            }
        };
        match next {
            Next::Nothing => {}
            Next::Reset => self.tear_down(None, true),
            Next::Fail => {
                let message = "the socket is not connected";
                self.tear_down(Some(Error::new(ErrorCode::ERR_SOCKET_CLOSED, message)), false);
            }
        }
        Ok(())
    }

    /// On the tick of `finish`: none of the user's code runs.
    pub(super) fn destroy_finished(&self) {
        // The loop's handle and the tick's: nobody can ask any more, and the answer costs a system call.
        let forgotten = Rc::strong_count(&self.inner) == 2;
        match forgotten && !self.inner.listeners.has(Event::Close) {
            true => self.dismantle(None, false),
            false => self.tear_down(None, false),
        }
    }

    pub(super) fn tear_down(&self, error: Option<Error>, reset: bool) {
        if !self.destroyed() {
            self.capture_addresses();
            self.dismantle(error, reset);
        }
    }

    fn dismantle(&self, error: Option<Error>, reset: bool) {
        if self.destroyed() {
            return;
        }
        let exact = self.node_exact();
        let refused = reset && exact && self.shut_down_before_reset();
        if !exact {
            // What fits into the kernel's buffer still goes out (WR-20).
            self.hand_over();
        }
        let (id, was_connecting, had_handle, fail_queue, in_flight) = {
            let mut state = self.inner.state.borrow_mut();
            let was_connecting = std::mem::replace(&mut state.connecting, false);
            let had_handle = state.id.is_some() || was_connecting;
            state.phase = Phase::Destroyed;
            state.had_error = error.is_some();
            if let Some(error) = &error {
                state.set_errored(error);
            }
            state.idle.turn_off();
            if !exact {
                state.read.clear();
            }
            let waits = state.write.has_queued() || state.write.has_end_callbacks();
            let in_flight = state.write.in_flight_bytes() > 0;
            if !had_handle && exact {
                // Node forgets to say it (END-18).
                state.had_error = false;
            }
            (state.id.take(), was_connecting, had_handle, waits, in_flight)
        };
        let gone = match &error {
            Some(_) => Gone::Failed,
            None if reset => Gone::Reset,
            None => Gone::Ended,
        };
        let had_handle = self.drop_bound() || had_handle;
        let attempts = self.forget_attempts();
        if let (Some(attempts), true) = (&attempts, exact) {
            self.remember_cancelled_attempt(attempts);
        }
        self.stop_watching_writes();
        if !exact {
            self.tell_before_close();
        }
        if fail_queue && (exact || !was_connecting) {
            self.tick(Tick::FailQueue);
        }
        if let Some(core) = self.core() {
            let attempts = attempts.iter().flat_map(Connecting::ids);
            // The only attempt of a connect that failed is both.
            for id in id.into_iter().chain(attempts) {
                match reset && !refused {
                    true => core.reset(id),
                    false => core.close(id),
                }
            }
            let cancelled = match (&error, was_connecting && !exact) {
                (Some(error), true) => Some(error.clone()),
                (None, true) => Some(Error::new(
                    ErrorCode::ERR_SOCKET_CLOSED_BEFORE_CONNECTION,
                    "closed before the connection stood",
                )),
                (_, false) => in_flight.then(|| Error::named(ErrorCode::ECANCELED, "write")),
            };
            if let Some(error) = error {
                self.tick_with(move |socket| {
                    socket.leave_pipes();
                    socket.emit_error(&error);
                });
            }
            if refused {
                self.refuse_reset();
            } else if had_handle {
                core.push_closing(self.actor(), cancelled);
            } else {
                self.tick(Tick::Close);
            }
        }
        let (counted, peer, gone) = {
            let state = self.inner.state.borrow();
            let left = state.rare_if_any().is_some_and(|rare| rare.has_left_server);
            let gone = state.idle.draining.then_some(gone);
            (state.accepted && !left, state.peer.address(), gone)
        };
        if let Some(server) = self.accepted_by().filter(|_| counted) {
            server.connection_gone(peer, gone);
        }
        self.sync_hold();
    }

    /// The close phase (phase 6): what is left of the callbacks, and `close`, the last event.
    pub(crate) fn finish_close(&self, cancelled: Option<Error>) {
        if self.close_before_this(cancelled.clone()) {
            return;
        }
        // Also when a callback panics: nothing of the socket is left behind.
        let _closed = Closed(self);
        self.tell_cancelled_attempt();
        self.call_back_done();
        if self.closes_before_a_renewed_one() {
            return;
        }
        let number = {
            let mut state = self.inner.state.borrow_mut();
            state.write.give_up_flight();
            state.write.handed_over()
        };
        if let Some(cancelled) = cancelled {
            self.call_back(number, &Err(cancelled.clone()));
            if self.closes_before_a_renewed_one() {
                return;
            }
            let error = self.inner.state.borrow().errored().unwrap_or(cancelled);
            self.fail_queue_with(error);
        } else if !self.node_exact() {
            self.fail_queue();
        }
        if self.closes_before_a_renewed_one() {
            return;
        }
        let (had_error, parked) = {
            let mut state = self.inner.state.borrow_mut();
            state.phase = Phase::Closed;
            (state.had_error, state.write.take_parked())
        };
        self.leave_pipes();
        // Not those that a listener makes when it connects the socket again.
        self.drop_pipes();
        self.emit_close(had_error);
        if let Some(parked) = parked {
            self.fail_parked(parked, ErrorCode::ERR_SOCKET_CLOSED_BEFORE_CONNECTION);
        }
    }

    /// A callback that is told before `close` may connect the socket again (exact loops): then the `close`
    /// is that of the connection before, and the new one stays. Returns whether that is so.
    fn closes_before_a_renewed_one(&self) -> bool {
        let renewed = self.inner.state.borrow().phase != Phase::Destroyed;
        renewed && self.close_before_this(None)
    }

    /// `close` was emitted: lets go of the server, the pipes, and the listeners, so that sockets
    /// which captured each other are freed; unless a listener has connected the socket again.
    fn let_go(&self) {
        let signal = {
            let state = self.inner.state.borrow();
            state.rare_if_any().and_then(|rare| rare.signal.clone())
        };
        if let Some(signal) = signal {
            signal.forget(self.place());
        }
        let exact = self.node_exact();
        let (server, keeps, accepted, closed) = {
            let mut state = self.inner.state.borrow_mut();
            if state.phase == Phase::Destroyed {
                // A callback panicked before `close`.
                state.phase = Phase::Closed;
            }
            let keeps = state.keeps_listeners || exact || state.phase != Phase::Closed;
            // Ours is the last handle if nobody can ask for the server any more.
            let known = Rc::strong_count(&self.inner) > 1;
            let closed = state.phase == Phase::Closed;
            (state.let_go_of_server(known), keeps, state.accepted, closed)
        };
        drop(server);
        if closed {
            self.drop_pipes();
        }
        if keeps && self.has_closed() {
            // Of a connect that failed.
            self.forget_once(Event::Connect);
        }
        if !keeps {
            let read_buffer = self.take_read_buffer();
            drop((read_buffer, self.inner.listeners.clear()));
        } else if let (true, Some(core)) = (accepted, self.core()) {
            // Not open any more, and not made by the user: the loop would not free what they captured.
            core.remember(self.downgrade());
        }
    }

    /// The loop is gone: no event, but everything that the callbacks captured is freed.
    pub(crate) fn abandon(&self) {
        let (callbacks, bytes, server) = {
            let mut state = self.inner.state.borrow_mut();
            state.phase = Phase::Closed;
            state.connecting = false;
            state.id = None;
            state.holding = false;
            state.read.clear();
            state.write.give_up_flight();
            let bytes = state.write.give_up_queue();
            let mut callbacks = state.write.take_end_callbacks();
            while let Some(callback) = state.write.next_callback(u64::MAX) {
                callbacks.push(callback);
            }
            (callbacks, bytes, state.let_go_of_server(true))
        };
        let pipes = self.inner.state.borrow_mut().rare_if_any_mut().map(|rare| {
            (std::mem::take(&mut rare.pipes), rare.connecting.take(), rare.bound.take())
        });
        self.forget_owed();
        let listeners = self.inner.listeners.clear();
        drop((callbacks, bytes, server, pipes, listeners, self.take_read_buffer()));
    }
}

struct Closed<'a>(&'a Socket);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.let_go();
    }
}
