//! Writing: what is accepted, and what is refused (WR-01 … WR-16).

use crate::connection::{Call, Connection, Context, Effect, Effects, Phase, Then, Value};
use crate::error::MakeError;
use crate::writing::{SMALL_BYTES_MAX, Spares};
use crate::{Error, ErrorCode, Moment, Payload, Policy};

/// What `write` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Whether there is room for more.
    Room(bool),
    /// To be asked when the queue was handed over, which is one of the effects.
    AfterFlush,
}

/// How a write of the most frequent kind goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainWrite {
    /// It is not of that kind, and nothing has changed.
    No,
    /// It is queued, and there is room for more. Whether the queue is to be handed over at the end of the
    /// batch, because it was empty.
    Queued(bool),
    /// Many bytes that nothing is before: the kernel may take them from where they are.
    Uncopied,
}

impl<C> Connection<C> {
    /// Accepts bytes, or refuses them. The payload that is left is to be dropped by the caller.
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
        // A write counts as activity when it is offered to the kernel, or already while it is corked.
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
        // Handed over when the batch of callbacks ends, or when the connection stands.
        if connected && !std::mem::replace(&mut self.write.dirty, true) {
            fx.push(Effect::FlushLater);
        }
        Written::Room(self.write.has_room())
    }

    /// The short way for what is written most: bytes to be copied, on a connection in its usual state.
    #[inline]
    pub fn write_plain(
        &mut self,
        bytes: &[u8],
        no_delay: bool,
        now: Moment,
        policy: &Policy,
        spares: &mut impl Spares<C>,
    ) -> PlainWrite {
        if !self.is_connected() || !self.writable() || !policy.allows_plain_writes() {
            return PlainWrite::No;
        }
        let small = bytes.len() <= SMALL_BYTES_MAX && self.write.has_room_behind(bytes.len());
        let large = !small && self.may_leave_alone(bytes.len(), no_delay) && self.write.is_clear();
        let full = !small && !large && !self.write.has_room_behind(bytes.len());
        let too_long = self.write.has_queue() && self.is_queue_too_long(policy);
        if full || too_long || self.idle.note_activity(now) {
            return PlainWrite::No;
        }
        if large {
            return PlainWrite::Uncopied;
        }
        self.write.push_copy(bytes, spares);
        PlainWrite::Queued(!std::mem::replace(&mut self.write.dirty, true))
    }

    /// What `write` answers when the kernel was offered the bytes.
    pub fn has_room(&mut self) -> bool {
        self.write.has_room() && !self.has_failed()
    }

    /// Why a write cannot even be queued (WR-15, WR-16, END-10).
    fn refuse_write(&self, policy: &Policy) -> Option<Error> {
        if self.write.ending {
            let ended = self.read.end_emitted && self.read.has_ended();
            let by_peer = ended && !self.half_open;
            return Some(match by_peer {
                true => Error::new(ErrorCode::EPIPE, "the other side has ended the connection"),
                false => Error::new(ErrorCode::ERR_STREAM_WRITE_AFTER_END, "write after end"),
            });
        }
        if self.destroyed() {
            let message = "write on a destroyed socket";
            return Some(Error::new(ErrorCode::ERR_STREAM_DESTROYED, message));
        }
        self.is_queue_too_long(policy).then(queue_is_full)
    }

    /// Tells the callback on the tick; the connection is destroyed with the error if it is not yet.
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

    /// The write in `end(data)`. Says why it was refused.
    pub(crate) fn last_write(
        &mut self,
        payload: &mut Option<Payload<'_>>,
        spares: &mut impl Spares<C>,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) -> Option<Error> {
        let code = match (self.write.ending, self.destroyed()) {
            // Not EPIPE, whoever ended first: that is for `write` alone (END-03).
            (true, _) => Some(ErrorCode::ERR_STREAM_WRITE_AFTER_END),
            (_, true) => Some(ErrorCode::ERR_STREAM_DESTROYED),
            _ => None,
        };
        let error = code.map(|code| Error::new(code, "the socket takes no more writes"));
        // What else there is: the queue is too long.
        let error = error.or_else(|| self.refuse_write(cx.policy));
        match &error {
            Some(error) => self.refused(error.clone(), None, cx, fx),
            None => _ = self.write(payload, None, spares, cx, fx),
        }
        error
    }

    /// A write on a socket that was never connected (WR-14): fails as a whole on the tick.
    fn write_without_connection(&mut self, fx: &mut Effects<C>) {
        if self.has_failed() {
            return;
        }
        let error = match self.bound {
            // As the system says it of a socket that there is (BND-09).
            true => Error::named(ErrorCode::EPIPE, "write"),
            false => Error::new(ErrorCode::ERR_SOCKET_CLOSED, "the socket is not connected"),
        };
        self.set_errored(&error);
        fx.drop_chunks(self.write.give_up_queue());
        self.tell_later(Value::WriteFailed(error), fx);
    }

    /// Before the connection stands, the first write waits by itself.
    pub(crate) fn park_first_write(&mut self, policy: &Policy) {
        if policy.parks_first_write && matches!(self.phase, Phase::Connecting | Phase::Reopening) {
            self.write.park();
        }
    }

    /// Tells a callback on the tick.
    pub fn reply(&mut self, callback: C, result: crate::Result<()>, fx: &mut Effects<C>) {
        self.tell_later(Value::Reply(Call { callback, result }), fx);
    }

    /// Holds writes back.
    pub fn cork(&mut self, fx: &mut Effects<C>) {
        // Only what comes after this is held back.
        fx.push(Effect::Flush);
        fx.then(Then::Cork);
    }

    /// Ends a `cork`; the outermost sends what was held back.
    pub fn uncork(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        self.write.uncork();
        self.park_first_write(cx.policy);
        if self.is_connected() && self.write.can_hand_over() {
            // What leaves now counts as activity, not only when it was written (TMO-02).
            self.touch(cx);
            fx.push(Effect::Flush);
            // Corked after `end`: that was all it waited for.
            fx.then(Then::FinishIfDone);
        }
    }
}

pub(crate) fn queue_is_full() -> Error {
    let message = "more is queued than write_queue_bytes_max allows";
    Error::new(ErrorCode::ERR_WRITE_QUEUE_FULL, message)
}
