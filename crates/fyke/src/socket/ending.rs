//! Ending, destroying, closing.

use fyke_driver::SocketId;

use super::attempts::Connecting;
use super::state::{Done, Phase};
use super::{Event, Socket, SocketTick};
use crate::event_loop::Closing;
use crate::payload::Payload;
use crate::{Error, ErrorCode, Result};

/// # Ending
impl Socket {
    /// Ends our side: everything written is sent, then the peer gets end-of-stream. `finish` tells
    /// when the kernel has it all. The peer may go on sending; when it has ended too, the socket
    /// closes by itself. While connecting, the end waits for the connection. Repeating it does
    /// nothing. Node: `socket.end()`.
    pub fn end(&self) -> &Self {
        self.end_payload(None, None);
        self
    }

    /// Writes a last piece, and ends. Node: `socket.end(data)`.
    pub fn end_with<'a>(&self, data: impl Into<Payload<'a>>) -> &Self {
        self.end_payload(Some(data.into()), None);
        self
    }

    /// Ends, and tells `callback` just before `finish`, or why it will never come:
    /// `ERR_STREAM_ALREADY_FINISHED`, `ERR_STREAM_DESTROYED`, or the error of the connection.
    /// Node: `socket.end(callback)`.
    pub fn end_then(&self, callback: impl FnOnce(&Socket, Result<()>) + 'static) -> &Self {
        self.end_payload(None, Some(Box::new(callback)));
        self
    }

    /// Writes a last piece, ends, and tells `callback`. Node: `socket.end(data, callback)`.
    pub fn end_with_then<'a>(
        &self,
        data: impl Into<Payload<'a>>,
        callback: impl FnOnce(&Socket, Result<()>) + 'static,
    ) -> &Self {
        self.end_payload(Some(data.into()), Some(Box::new(callback)));
        self
    }

    fn end_payload(&self, payload: Option<Payload<'_>>, callback: Option<Done>) {
        let refused = match payload {
            Some(payload) => self.last_write(payload),
            None => None,
        };
        self.inner.state.borrow_mut().write.uncork_all();
        let failed = refused.or_else(|| self.begin_end());
        if let Some(callback) = callback {
            let finished = self.inner.state.borrow().write.finished;
            match failed {
                Some(error) => self.tick(SocketTick::Reply(callback, Err(error))),
                None if finished => self.tick(SocketTick::Reply(callback, Ok(()))),
                None => self.inner.state.borrow_mut().write.push_end_callback(callback),
            }
        }
        self.sync_hold();
    }

    /// The write in `end(data)`. Says why it was refused.
    fn last_write(&self, payload: Payload<'_>) -> Option<Error> {
        let code = {
            let state = self.inner.state.borrow();
            match (state.write.ending, state.destroyed()) {
                // Not EPIPE, whoever ended first: that is for `write` alone (END-03).
                (true, _) => Some(ErrorCode::ERR_STREAM_WRITE_AFTER_END),
                (_, true) => Some(ErrorCode::ERR_STREAM_DESTROYED),
                _ => None,
            }
        };
        let error = code.map(|code| Error::new(code, "the socket takes no more writes"));
        match &error {
            Some(error) => self.refused(error.clone(), None),
            None => _ = self.write_payload(payload, None),
        }
        error
    }

    /// Says why there is nothing to end.
    fn begin_end(&self) -> Option<Error> {
        let code = {
            let mut state = self.inner.state.borrow_mut();
            if state.write.finished {
                Some(ErrorCode::ERR_STREAM_ALREADY_FINISHED)
            } else if state.destroyed() {
                // Counts for later writes all the same (WR-16).
                state.write.ending |= !state.has_failed();
                // Always told, where Node forgets a callback (DST-18).
                Some(ErrorCode::ERR_STREAM_DESTROYED)
            } else {
                state.write.ending |= !state.has_failed();
                None
            }
        };
        if code.is_none() {
            self.hand_over();
            self.finish_if_done();
        }
        code.map(|code| Error::new(code, "the socket has ended already"))
    }

    /// Ends the connection's writing side when `end` was called and everything is sent.
    pub(super) fn finish_if_done(&self) {
        let id = {
            let mut state = self.inner.state.borrow_mut();
            let can = state.write.can_finish() && !state.destroyed() && !state.has_failed();
            if !can || state.write.shutting_down {
                return;
            }
            state.write.shutting_down = true;
            if state.connecting {
                // Goes on when the connection stands (END-04).
                return;
            }
            state.id
        };
        match id {
            Some(id) => self.shut_down(id),
            // Never connected: there is nothing to wait for (END-05).
            None => self.tick(SocketTick::Finish),
        }
    }

    fn shut_down(&self, id: SocketId) {
        if let Some(core) = self.core() {
            core.driver.shutdown(id);
        }
    }

    /// The connection stands, and an end waited for it.
    pub(super) fn end_after_connect(&self) {
        let id = {
            let state = self.inner.state.borrow();
            state.connected().filter(|_| state.write.shutting_down)
        };
        if let Some(id) = id {
            self.shut_down(id);
        }
    }

    pub(super) fn was_shut_down(&self) {
        let state = self.inner.state.borrow();
        let due = state.write.can_finish() && !state.destroyed() && !state.has_failed();
        drop(state);
        if due {
            self.tick(SocketTick::Finish);
        }
    }

    /// "Not connected" counts as done: the peer is gone (END-16).
    pub(super) fn shutdown_failed(&self, source: std::io::Error) {
        if source.kind() == std::io::ErrorKind::NotConnected {
            return self.was_shut_down();
        }
        let error = Error::system("shutdown", source);
        let callbacks = self.inner.state.borrow_mut().write.take_end_callbacks();
        for callback in callbacks {
            callback(self, Err(error.clone()));
        }
        self.destroy_with(error);
    }

    /// The tick of `finish`: the callbacks of `end`, then the event, then the end of the socket if
    /// the peer has ended too (END-13).
    pub(super) fn run_finish(&self) {
        {
            let mut state = self.inner.state.borrow_mut();
            if state.destroyed() {
                return;
            }
            state.write.finished = true;
        }
        let callbacks = self.inner.state.borrow_mut().write.take_end_callbacks();
        for callback in callbacks {
            callback(self, Ok(()));
        }
        self.emit(Event::Finish);
        let destroy = {
            let state = self.inner.state.borrow();
            state.read.end_emitted || state.destroy_on_finish
        };
        if destroy {
            self.destroy();
        }
    }

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

    pub(super) fn tear_down(&self, error: Option<Error>, reset: bool) {
        if self.destroyed() {
            return;
        }
        // What fits into the kernel's buffer still goes out (WR-20).
        self.hand_over();
        self.capture_local_address();
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
            state.read.clear();
            let waits = state.write.has_queued() || state.write.has_end_callbacks();
            let in_flight = state.write.in_flight_bytes() > 0;
            (state.id.take(), was_connecting, had_handle, waits, in_flight)
        };
        let attempts = self.forget_attempts();
        self.forget_deadlines(true);
        if fail_queue && !was_connecting {
            self.tick(SocketTick::FailQueue);
        }
        if let Some(core) = self.core() {
            let attempts = attempts.iter().flat_map(Connecting::ids);
            // The only attempt of a connect that failed is both.
            for id in id.into_iter().chain(attempts) {
                match reset {
                    true => core.reset(id),
                    false => core.close(id),
                }
            }
            let cancelled = match (&error, was_connecting) {
                (Some(error), true) => Some(error.clone()),
                (None, true) => Some(Error::new(
                    ErrorCode::ERR_SOCKET_CLOSED_BEFORE_CONNECTION,
                    "closed before the connection stood",
                )),
                (_, false) => in_flight.then(|| Error::named(ErrorCode::ECANCELED, "write")),
            };
            if let Some(error) = error {
                self.tick(SocketTick::Error(error));
            }
            if had_handle {
                let closing = Closing { socket: self.clone(), cancelled };
                core.closing.borrow_mut().push_back(closing);
            } else {
                self.tick(SocketTick::Close);
            }
        }
        if let Some(server) = self.server().filter(|_| self.inner.state.borrow().accepted) {
            server.connection_gone();
        }
        self.sync_hold();
    }

    /// The close phase (phase 6): what is left of the callbacks, and `close`, the last event.
    pub(crate) fn finish_close(&self, cancelled: Option<Error>) {
        // Also when a callback panics: nothing of the socket is left behind.
        let _closed = Closed(self);
        let number = {
            let mut state = self.inner.state.borrow_mut();
            state.write.give_up_flight();
            state.write.handed_over()
        };
        if let Some(cancelled) = cancelled {
            self.call_back(number, &Err(cancelled.clone()));
            let error = self.inner.state.borrow().errored().unwrap_or(cancelled);
            self.fail_queue_with(error);
        } else {
            self.fail_queue();
        }
        let had_error = {
            let mut state = self.inner.state.borrow_mut();
            state.phase = Phase::Closed;
            state.had_error
        };
        self.emit_close(had_error);
    }

    /// `close` was emitted: lets go of the server, the pipes, and the listeners, so that sockets
    /// which captured each other are freed; unless a listener has connected the socket again.
    fn let_go(&self) {
        let signal = {
            let state = self.inner.state.borrow();
            state.rare_if_any().and_then(|rare| rare.signal.clone())
        };
        if let Some(signal) = signal {
            signal.forget_socket(self);
        }
        let (server, keeps) = {
            let mut state = self.inner.state.borrow_mut();
            if state.phase == Phase::Destroyed {
                // A callback panicked before `close`.
                state.phase = Phase::Closed;
            }
            let keeps = state.keeps_listeners || state.phase != Phase::Closed;
            (state.let_go_of_server(), keeps)
        };
        drop(server);
        self.drop_pipes();
        if !keeps {
            drop(self.inner.listeners.clear());
        }
    }

    /// The loop is gone: no event, but everything that the callbacks captured is freed.
    pub(crate) fn abandon(&self) {
        let (callbacks, server) = {
            let mut state = self.inner.state.borrow_mut();
            state.phase = Phase::Closed;
            state.connecting = false;
            state.id = None;
            state.holding = false;
            state.read.clear();
            state.write.give_up_flight();
            state.write.give_up_queue();
            let mut callbacks = state.write.take_end_callbacks();
            while let Some(callback) = state.write.next_callback(u64::MAX) {
                callbacks.push(callback);
            }
            (callbacks, state.let_go_of_server())
        };
        let pipes = self
            .inner
            .state
            .borrow_mut()
            .rare_if_any_mut()
            .map(|rare| (std::mem::take(&mut rare.pipes), rare.connecting.take()));
        let listeners = self.inner.listeners.clear();
        drop((callbacks, server, pipes, listeners));
    }
}

struct Closed<'a>(&'a Socket);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.let_go();
    }
}
