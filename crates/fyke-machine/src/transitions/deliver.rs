//! Delivers received bytes to the listeners, or to the caller of `read`.

use crate::connection::{Connection, Context, Effect, Effects, Event, Then, Tick, When};
use crate::reading::Sink;
use crate::writing::NoSpares;
use crate::{Error, ErrorCode};

impl<C> Connection<C> {
    /// Stops delivering data.
    pub fn pause(&mut self, fx: &mut Effects<C>) {
        if self.destroyed() {
            return;
        }
        self.read.pause();
        if self.read.is_receiving() && matches!(self.sink, Sink::Taking | Sink::Stopped) {
            // Nothing is stored for a sink, so receiving stops at once (RD-24).
            self.stop_receiving(fx);
        }
    }

    /// Delivers data again, from the next tick on.
    pub fn resume(&mut self, fx: &mut Effects<C>) {
        let released = self.sink == Sink::Stopped;
        if released {
            self.sink = Sink::Taking;
        }
        if !self.destroyed() && (self.read.resume() || released) {
            fx.defer(When::Tick, Tick::Resume);
        }
    }

    /// Called when data gets a listener. Returns whether [`Tick::Resume`] must be deferred; nothing else
    /// needs to be done.
    #[must_use]
    pub fn data_listened(&mut self) -> bool {
        !self.destroyed() && self.read.listened()
    }

    /// Called when `readable` gets a listener.
    pub fn readable_listened(&mut self, fx: &mut Effects<C>) {
        if !self.destroyed() {
            let next = self.read.listen_readable();
            self.follow(next, fx);
        }
    }

    /// A listener was removed. If it was the last one for `readable`, data flows again as without it.
    pub fn listener_removed(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        let last = self.read.is_readable_listening() && !cx.heard.has(Event::Readable);
        if last && self.read.unlisten_readable(cx.heard.has_data()) {
            self.resume(fx);
        }
    }

    /// The tick of `resume`: delivers the stored bytes, and receives again.
    pub(crate) fn run_resume(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        self.read.begin_resume();
        if self.sink == Sink::Pulled {
            // The owner asks.
        } else if self.sink != Sink::Absent {
            if !self.read.is_paused() {
                fx.push(Effect::SinkStored);
            }
            fx.then(Then::SinkResumed);
        } else if self.read.stored_bytes() == 0 && self.cold.is_none() {
            // Most connections begin like this, with nothing stored.
            if self.read.taken() {
                fx.defer(When::Tick, Tick::End);
            }
            self.receive_more(cx, fx);
        } else {
            fx.then(Then::Deliver);
        }
    }

    pub(crate) fn sink_resumed(&mut self, fx: &mut Effects<C>) {
        if !self.read.is_paused() && self.sink != Sink::Stopped {
            self.receive_on_demand(fx);
        }
    }

    /// The sink has accepted all stored bytes, or has asked to stop.
    pub fn sink_took_stored(&mut self, fx: &mut Effects<C>) {
        if self.read.taken() {
            fx.defer(When::Tick, Tick::End);
        }
    }

    pub(crate) fn deliver_next(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        let Some(chunk) = self.read.next_stored() else { return self.delivered(cx, fx) };
        self.idle.busy |= cx.heard.has_data();
        if self.read.taken() {
            fx.defer(When::Tick, Tick::End);
        }
        fx.push(Effect::Data(chunk));
        fx.then(Then::Deliver);
    }

    fn delivered(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        // `read_exact` may have taken the last bytes without checking for the end.
        if self.read.taken() {
            fx.defer(When::Tick, Tick::End);
        }
        self.fail_if_delivered(false, cx, fx);
        fx.then(Then::Delivered);
    }

    pub(crate) fn receive_more(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        if self.destroyed() {
            return;
        }
        self.receive_on_demand(fx);
        // The pending bytes were discarded, and only they kept an idle socket from being ended.
        self.end_unless_busy(cx, fx);
    }

    /// Passes the bytes that `read` took to the data listeners, before any later bytes.
    pub(crate) fn emit_taken(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        let Some(cold) = &mut self.cold else { return };
        let Some(bytes) = cold.taken.pop_front() else { return };
        // Nothing is delivered after `destroy` (RD-21).
        if !self.destroyed() || cx.policy.delivers_after_destroy {
            fx.push(Effect::Data(bytes));
        }
        fx.then(Then::EmitTaken);
    }

    /// The tick of `end`: one tick later the socket ends its own side, unless it may stay half-open.
    // END-06.
    pub(crate) fn report_end(&mut self, fx: &mut Effects<C>) {
        if self.is_live() && !self.has_failed() && self.read.take_end() {
            fx.push(Effect::FinishText);
            fx.emit(Event::End);
            fx.then(Then::EndHeard);
        }
    }

    pub(crate) fn end_heard(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        // Half-open is checked here, after the listeners have run (END-20).
        if self.writable() && !self.half_open {
            fx.defer(When::Now, Tick::EndItself);
        } else if self.write.is_finished() {
            self.destroy(None, false, cx, fx);
        }
    }

    /// Takes received bytes: exactly `count` of them, or the first chunk.
    pub fn take(
        &mut self,
        count: Option<usize>,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) -> Option<Vec<u8>> {
        if self.destroyed() {
            let keeps = cx.policy.keeps_stored_after_destroy;
            return self.read.read(count).0.filter(|_| keeps);
        }
        if self.connecting() {
            self.read.want_on_connect();
        }
        let (taken, end) = self.read.read(count);
        self.idle.busy |= taken.is_some();
        if let Some(bytes) = taken.as_ref().filter(|_| cx.heard.has_data()) {
            // Not emitted inside this call (contract C1).
            self.cold().taken.push_back(bytes.clone());
            fx.defer(When::Tick, Tick::Data);
        }
        if end {
            fx.defer(When::Tick, Tick::End);
        }
        self.fail_if_delivered(false, cx, fx);
        fx.then(Then::StartReceiving);
        taken
    }

    /// Puts bytes back at the front. Returns whether there is room for more.
    pub fn unshift(&mut self, bytes: &[u8], cx: &Context<'_>, fx: &mut Effects<C>) -> bool {
        if self.destroyed() {
            return false;
        }
        if self.read.has_emitted_end() {
            let code = ErrorCode::ERR_STREAM_UNSHIFT_AFTER_END_EVENT;
            let error = Error::new(code, "unshift is not possible after `end` is emitted");
            self.destroy(Some(error), false, cx, fx);
            return false;
        }
        let room = self.read.unshift(bytes);
        let next = self.read.stored_more();
        self.follow(next, fx);
        if self.read.is_flowing() {
            fx.defer(When::Tick, Tick::Resume);
        }
        room
    }

    /// Declares whether the application works for the peer. Returns whether the connection must be ended
    /// now, after the bytes that have already arrived.
    pub fn set_busy(&mut self, busy: bool) -> bool {
        let busy = busy || self.destroyed();
        let was_busy = std::mem::replace(&mut self.idle.busy, busy);
        self.idle.draining && was_busy && !busy
    }

    /// Whether the application works for the peer. A destroyed connection is not busy.
    pub fn is_busy(&self) -> bool {
        self.idle.busy && !self.destroyed()
    }

    /// Ends the connection if its server is shutting down and the connection is not busy.
    pub fn end_unless_busy(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        let unread = self.read.stored_bytes() > 0;
        if self.idle.draining && !self.idle.busy && !unread && self.writable() {
            self.end(&mut None, None, &mut NoSpares, cx, fx);
        }
    }

    /// The server of this connection is shutting down. Returns whether the connection is not yet part of
    /// the shutdown.
    pub fn begin_draining(&mut self, fx: &mut Effects<C>) -> bool {
        let begins = self.is_live() && !self.idle.draining;
        if begins {
            self.idle.draining = true;
            fx.defer(When::Tick, Tick::Shutdown);
        }
        begins
    }

    /// Whether its server is shutting down.
    pub fn is_draining(&self) -> bool {
        self.idle.draining && !self.destroyed()
    }

    pub(crate) fn report_shutdown(&mut self, fx: &mut Effects<C>) {
        if self.is_draining() {
            fx.emit(Event::Shutdown);
        }
    }
}
