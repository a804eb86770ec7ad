//! Ending our side: sends everything that was written, then end-of-stream.
// END-01 … END-17

use crate::connection::{Connection, Context, Effect, Effects, Event, Then, Tick, When};
use crate::transitions::write::queue_is_full;
use crate::writing::{NoSpares, Side, Spares};
use crate::{Error, ErrorCode, Payload};

impl<C> Connection<C> {
    /// Ends our side, after a last write if there is one. The caller drops the remaining payload.
    pub fn end(
        &mut self,
        payload: &mut Option<Payload<'_>>,
        callback: Option<C>,
        spares: &mut impl Spares<C>,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) {
        let refused = match payload {
            Some(_) => self.last_write(payload, spares, cx, fx),
            None => None,
        };
        fx.then(Then::EndUncork(callback, refused));
    }

    pub(crate) fn end_uncork(
        &mut self,
        callback: Option<C>,
        refused: Option<Error>,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) {
        let corked = self.write.corked() > 0;
        self.write.uncork_all();
        self.park_first_write(cx.policy);
        if corked && self.is_connected() && self.write.can_submit() {
            // The same as in `uncork` (TMO-02).
            self.touch(cx);
        }
        if cx.policy.offers_writes_at_once {
            // If this shows an error, the end does not take place (WR-17).
            fx.push(Effect::Flush);
        }
        fx.then(Then::EndBegin(callback, refused));
    }

    pub(crate) fn end_begin(
        &mut self,
        callback: Option<C>,
        refused: Option<Error>,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) {
        let failed = refused.or_else(|| self.begin_end(cx, fx));
        if callback.is_some() {
            fx.then(Then::EndCallback(callback, failed));
        }
    }

    /// Returns the error if our side cannot be ended.
    fn begin_end(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) -> Option<Error> {
        let over = |code| Some(Error::new(code, "the socket has already ended"));
        if self.write.is_finished() {
            return over(ErrorCode::ERR_STREAM_ALREADY_FINISHED);
        }
        let first = !self.has_failed() && self.write.side == Side::Open;
        if first {
            // Applies to later writes even if the socket is destroyed (WR-16).
            self.write.side = Side::Ended;
        }
        if self.destroyed() {
            // The callback is never called, or gets an error (DST-18).
            let forgotten = first && !cx.policy.answers_end_after_destroy;
            return if forgotten { None } else { over(ErrorCode::ERR_STREAM_DESTROYED) };
        }
        if self.has_failed() {
            return self.errored().cloned();
        }
        fx.push(Effect::Flush);
        fx.then(Then::FinishIfDone);
        None
    }

    pub(crate) fn end_callback(
        &mut self,
        callback: Option<C>,
        failed: Option<Error>,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) {
        let Some(callback) = callback else { return };
        match failed {
            Some(error) => self.reply(callback, Err(error), fx),
            None if self.write.is_finished() => self.reply(callback, Ok(()), fx),
            None if self.has_too_many_end_callbacks(cx.policy) => {
                self.refused(queue_is_full(), Some(callback), cx, fx);
            }
            None => self.write.push_end_callback(callback),
        }
    }

    /// Ends our side when everything that was written is sent, and then destroys the connection without
    /// waiting for the peer.
    pub fn destroy_soon(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        if self.writable() {
            self.end(&mut None, None, &mut NoSpares, cx, fx);
        }
        fx.then(Then::DestroySoon);
    }

    pub(crate) fn destroy_soon_ended(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        self.destroy_on_finish = true;
        if self.write.is_finished() {
            self.destroy(None, false, cx, fx);
        }
    }

    /// Whether the connection never finishes by itself. After a connect before the old `close`, Node's
    /// stream considers itself closed; a connect while the connection is being ended replaces the end.
    fn never_finishes(&self) -> bool {
        self.cold.as_ref().is_some_and(|cold| cold.end_is_lost)
    }

    /// Shuts down the sending side if `end` was called and everything is sent.
    pub(crate) fn finish_if_done(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        // Completions of the last writes may be due in the next turn (`When::Fair`), and come first.
        let reported = !cx.policy.shares_turns || !self.write.owes_callbacks();
        let can = self.write.can_finish() && !self.destroyed() && !self.has_failed();
        if !can || !reported || self.write.side != Side::Ended || self.never_finishes() {
            return;
        }
        self.write.side = Side::ShuttingDown;
        if self.connecting() {
            // Continues when the connection is established (END-04).
        } else if self.is_live() {
            self.shut_down(cx, fx);
        } else {
            // Never connected, so there is nothing to wait for (END-05).
            fx.defer(When::Tick, Tick::FinishAlone);
        }
    }

    fn shut_down(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        if cx.policy.defers_shutdown {
            fx.defer(When::NextTurn, Tick::ShutdownDue(self.round));
        } else if cx.policy.closes_without_shutdown && self.closes_next() {
            fx.defer(When::Tick, Tick::ShutDown);
        } else {
            fx.push(Effect::Shutdown);
        }
    }

    /// Shuts down in the next turn (policy `defers_shutdown`). A connect on the open connection replaces
    /// its end, which is lost.
    pub(crate) fn shutdown_due(&mut self, round: u32, fx: &mut Effects<C>) {
        if self.round == round && self.is_live() && !self.never_finishes() {
            fx.push(Effect::Shutdown);
        }
    }

    /// Whether only `finish` is left, after which the connection is closed. Because everything was
    /// received, closing also ends the connection with a FIN (RFC 9293, 3.6), which saves a system call.
    /// Not for a descriptor from outside, which other processes may hold open, and not below a layer, which
    /// may mark the end.
    // END-13.
    fn closes_next(&self) -> bool {
        self.served && !self.layered && self.read.has_emitted_end() && self.read.has_ended()
    }

    /// The connection is established, and an end was waiting for it.
    pub(crate) fn end_after_connect(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        // `finish` may have been emitted before it.
        let ends = matches!(self.write.side, Side::ShuttingDown | Side::Finished);
        if self.is_connected() && ends && !self.never_finishes() {
            self.shut_down(cx, fx);
        }
    }

    /// Our side is shut down: the system has accepted everything, including end-of-stream.
    pub fn was_shut_down(&mut self, fx: &mut Effects<C>) {
        if self.write.can_finish() && !self.destroyed() && !self.has_failed() {
            fx.emit(Event::Prefinish);
            fx.then(Then::PrefinishHeard);
        }
    }

    /// Shutting down our side has failed.
    pub fn shutdown_failed(&mut self, error: Error, fx: &mut Effects<C>) {
        self.call_ends(&Err(error.clone()), fx);
        fx.then(Then::Fail(error));
    }

    /// The tick of `finish` of a socket that was never connected.
    pub(crate) fn finish_alone(&mut self, fx: &mut Effects<C>) {
        if !self.destroyed() {
            fx.emit(Event::Prefinish);
            fx.then(Then::Finish);
        }
    }

    /// The tick of `finish`: calls the callbacks of `end`, emits the event, and then destroys the socket if
    /// the peer has also ended.
    // END-13.
    pub(crate) fn finish(&mut self, fx: &mut Effects<C>) {
        if self.destroyed() {
            return;
        }
        self.write.side = Side::Finished;
        self.call_ends(&Ok(()), fx);
        fx.emit(Event::Finish);
        fx.then(Then::FinishHeard);
    }

    pub(crate) fn finish_heard(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        if self.read.has_emitted_end() || self.destroy_on_finish {
            self.destroy(None, false, cx, fx);
        }
    }
}
