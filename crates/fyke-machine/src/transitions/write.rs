//! Writing: which writes are accepted, and which are refused.
// WR-01 … WR-16

use crate::connection::{Call, Connection, Context, Effect, Effects, Phase, Then, Value};
use crate::error::MakeError;
use crate::writing::Spares;
use crate::{Error, ErrorCode, Payload, Policy};

/// The result of `write`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Whether there is room for more.
    Room(bool),
    /// Call [`has_room`](Connection::has_room) after the queue was sent, which is one of the effects.
    AfterFlush,
}

impl<C> Connection<C> {
    /// Accepts bytes, or refuses them. The caller drops the remaining payload.
    pub fn write(
        &mut self,
        payload: &mut Option<Payload<'_>>,
        callback: Option<C>,
        spares: &mut impl Spares<C>,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) -> Written {
        if let Some(error) = self.refuse_write(cx.policy) {
            self.refused(error, callback, cx, fx);
            return Written::Room(false);
        }
        // A write counts as activity when it is offered to the kernel, or even while it is corked.
        if !(cx.policy.corked_write_is_idle && self.write.corked() > 0) {
            self.touch(cx);
        }
        if let Some(data) = payload.take() {
            let excess = if cx.policy.counts_utf16 { data.excess_over_utf16() } else { 0 };
            *payload = self.write.push(data, callback, spares);
            self.write.add_excess(excess);
        }
        if self.has_failed() || !self.is_live() {
            self.write_without_connection(fx);
            return Written::Room(false);
        }
        let connected = self.is_connected();
        if !connected {
            self.park_first_write(cx.policy);
        }
        if cx.policy.offers_writes_at_once || (connected && self.write.is_full()) {
            fx.push(Effect::Flush);
            return Written::AfterFlush;
        }
        // Sent when the batch of callbacks ends, or when the connection is established.
        if connected && !std::mem::replace(&mut self.write.dirty, true) {
            fx.push(Effect::FlushLater);
        }
        Written::Room(self.write.has_room())
    }

    /// The result of `write` after the kernel was offered the bytes.
    pub fn has_room(&mut self) -> bool {
        self.write.has_room() && !self.has_failed()
    }

    /// The error of a write that cannot even be queued.
    // WR-15, WR-16, END-10.
    fn refuse_write(&self, policy: &Policy) -> Option<Error> {
        if self.write.is_ended() {
            let ended = self.read.has_emitted_end() && self.read.has_ended();
            let by_peer = ended && !self.half_open;
            return Some(match by_peer {
                true => Error::new(ErrorCode::EPIPE, "the peer has ended the connection"),
                false => Error::new(ErrorCode::ERR_STREAM_WRITE_AFTER_END, "write after end"),
            });
        }
        if self.destroyed() {
            let message = "write on a destroyed socket";
            return Some(Error::new(ErrorCode::ERR_STREAM_DESTROYED, message));
        }
        self.is_queue_too_long(policy).then(queue_is_full)
    }

    /// Passes the error to the callback on the tick, and destroys the connection with it, unless it is
    /// already destroyed.
    pub(crate) fn refused(
        &mut self,
        error: Error,
        callback: Option<C>,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) {
        if let Some(callback) = callback {
            self.reply(callback, Err(error.clone()), fx);
        }
        match error.code() {
            ErrorCode::ERR_WRITE_QUEUE_FULL => self.fail(error, cx, fx),
            _ => self.destroy(Some(error), false, cx, fx),
        }
    }

    /// Makes the write of `end(data)`. Returns the error if it was refused.
    pub(crate) fn last_write(
        &mut self,
        payload: &mut Option<Payload<'_>>,
        spares: &mut impl Spares<C>,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) -> Option<Error> {
        let code = match (self.write.is_ended(), self.destroyed()) {
            // Not EPIPE, whichever side ended first: that code is for `write` only (END-03).
            (true, _) => Some(ErrorCode::ERR_STREAM_WRITE_AFTER_END),
            (_, true) => Some(ErrorCode::ERR_STREAM_DESTROYED),
            _ => None,
        };
        let error = code.map(|code| Error::new(code, "the socket accepts no more writes"));
        // The other possible reason: the queue is too long.
        let error = error.or_else(|| self.refuse_write(cx.policy));
        match &error {
            Some(error) => self.refused(error.clone(), None, cx, fx),
            None => _ = self.write(payload, None, spares, cx, fx),
        }
        error
    }

    /// A write on a socket that was never connected: the whole write fails on the tick.
    // WR-14.
    fn write_without_connection(&mut self, fx: &mut Effects<C>) {
        if self.has_failed() {
            return;
        }
        let error = match self.bound {
            // The system returns the same code for an existing socket (BND-09).
            true => Error::named(ErrorCode::EPIPE, "write"),
            false => Error::new(ErrorCode::ERR_SOCKET_CLOSED, "the socket is not connected"),
        };
        self.set_errored(&error);
        fx.drop_chunks(self.write.give_up_queue());
        self.report_later(Value::WriteFailed(error), fx);
    }

    /// Before the connection is established, the first write waits separately.
    pub(crate) fn park_first_write(&mut self, policy: &Policy) {
        if policy.parks_first_write && matches!(self.phase, Phase::Connecting | Phase::Reopening) {
            self.write.park();
        }
    }

    /// Calls a callback on the tick.
    pub fn reply(&mut self, callback: C, result: crate::Result<()>, fx: &mut Effects<C>) {
        self.report_later(Value::Reply(Call { callback, result }), fx);
    }

    /// Holds later writes back.
    pub fn cork(&mut self, fx: &mut Effects<C>) {
        // Only later writes are held back.
        fx.push(Effect::Flush);
        fx.then(Then::Cork);
    }

    /// Ends a `cork`. The outermost one sends the writes that were held back.
    pub fn uncork(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        self.write.uncork();
        self.park_first_write(cx.policy);
        if self.is_connected() && self.write.can_submit() {
            // Bytes that are sent now count as activity, and not only when they were written (TMO-02).
            self.touch(cx);
            fx.push(Effect::Flush);
            // A cork after `end` was the only thing to wait for.
            fx.then(Then::FinishIfDone);
        }
    }
}

pub(crate) fn queue_is_full() -> Error {
    let message = "the write queue is longer than write_queue_bytes_max";
    Error::new(ErrorCode::ERR_WRITE_QUEUE_FULL, message)
}
