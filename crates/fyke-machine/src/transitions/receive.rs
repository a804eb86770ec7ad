//! What comes from the peer: bytes, its end, a failure.

use crate::connection::{
    Connection, Context, Effect, Effects, Event, Heard, Phase, Then, Tick, When,
};
use crate::reading::Arrival;
use crate::{Error, Moment, Policy};

/// What to do with bytes that have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Give them to the listeners.
    Deliver,
    /// Give them to the sink.
    Feed,
    /// Nothing: they are kept, or thrown away.
    Done,
}

impl<C> Connection<C> {
    /// The short way for what comes most: bytes for those who listen, on a connection in its usual state.
    /// Says whether it was that; if not, nothing has changed.
    #[inline]
    pub fn receive_plain(&mut self, bytes: usize, now: Moment, policy: &Policy) -> bool {
        let usual = self.is_live() && self.cold.is_none() && !self.sink;
        if !usual || policy.defers_end_behind_bytes || !self.read.passes_on() {
            return false;
        }
        if self.idle.note_activity(now) {
            return false;
        }
        self.read.count(bytes);
        self.idle.declared = false;
        true
    }

    /// Bytes have come. They are lent: the answer says what to do with them, after the effects.
    pub fn receive(&mut self, bytes: &[u8], cx: &Context<'_>, fx: &mut Effects<C>) -> Received {
        if cx.policy.defers_end_behind_bytes {
            self.cold().received_in_turn = cx.turn;
        }
        self.touch(cx);
        if self.sink {
            self.idle.declared = false;
            return Received::Feed;
        }
        if !self.is_live() {
            return Received::Done;
        }
        let arrival = self.read.received(bytes, cx.heard.has_data());
        // Of what is thrown away nobody knows.
        self.idle.declared &= matches!(arrival, Arrival::Discard);
        match arrival {
            Arrival::Deliver => {
                fx.then(Then::EmitTaken);
                Received::Deliver
            }
            Arrival::Discard => Received::Done,
            Arrival::Kept { stop } => {
                let next = self.read.kept_more();
                self.follow(next, fx);
                if stop {
                    self.stop_receiving(fx);
                }
                Received::Done
            }
        }
    }

    /// Receives if the connection stands and there is room.
    pub fn start_receiving(&mut self, fx: &mut Effects<C>) {
        if self.begins_to_receive() {
            fx.push(Effect::Receive);
        }
    }

    /// The same, as an answer: whether the driver is to receive from here on.
    pub fn begins_to_receive(&mut self) -> bool {
        // Nothing is kept for a sink (RD-24).
        let held = self.sink && self.read.is_paused();
        let may = !held && self.is_connected() && !self.has_received_all();
        let begins = may && !self.read.receiving && self.read.has_room();
        self.read.receiving |= begins;
        begins
    }

    /// Somebody asks for bytes: now, or as soon as the connection stands.
    pub fn receive_on_demand(&mut self, fx: &mut Effects<C>) {
        if self.connecting() {
            self.read.want_on_connect();
        }
        self.start_receiving(fx);
    }

    /// Receives no more, until asked again.
    pub fn stop_receiving(&mut self, fx: &mut Effects<C>) {
        self.read.receiving = false;
        fx.push(Effect::StopReceiving);
    }

    /// Whether bytes came in this turn: what follows them, Node's next poll tells.
    fn had_bytes_now(&self, cx: &Context<'_>) -> bool {
        let defers = cx.policy.defers_end_behind_bytes;
        defers && self.cold.as_ref().is_some_and(|cold| cold.received_in_turn == cx.turn)
    }

    /// The peer has ended, or receiving has failed.
    pub fn received_all(&mut self, error: Option<Error>, cx: &Context<'_>, fx: &mut Effects<C>) {
        if self.had_bytes_now(cx) {
            // Behind the completion of an end of our own side, which is deferred too.
            self.cold().late_error = error;
            return fx.defer(When::NextTurn, Tick::EndBehindBytes(self.round));
        }
        match error {
            Some(error) => self.receive_failed(error, cx, fx),
            None => self.end_of_stream(cx, fx),
        }
    }

    pub(crate) fn late_end_of_stream(&mut self, round: u32, cx: &Context<'_>, fx: &mut Effects<C>) {
        let error = self.cold.as_mut().and_then(|cold| cold.late_error.take());
        if self.round != round || !self.is_live() {
            return;
        }
        match error {
            Some(error) => self.destroy(Some(error), false, cx, fx),
            None => self.end_of_stream(cx, fx),
        }
    }

    /// The short way of the end that most accepted connections come to: the peer has ended, everything
    /// was given and sent, and nobody listens to the steps in between. Goes to the close phase at once
    /// (END-06, END-13): the connection is to be released, and its server to be told; then comes the
    /// close phase. Says whether it was so; if not, nothing has changed. Only when no tick waits.
    pub fn ended_plainly(&mut self, policy: &Policy, heard: Heard) -> bool {
        const SEEN: [Event; 8] = [
            Event::Text,
            Event::Readable,
            Event::End,
            Event::Prefinish,
            Event::Finish,
            Event::Unpipe,
            Event::Gone,
            Event::Close,
        ];
        let usual = self.phase == Phase::Open && self.served && self.cold.is_none() && !self.sink;
        let nothing_left = self.read.passes_on() && !self.write.has_queue();
        // Told to end, and not yet shut down: that comes in a turn of its own.
        let ends = !self.half_open && self.write.ending == self.write.finished;
        let unseen = !heard.has_any(&SEEN) && policy.allows_plain_end();
        let plain = usual && nothing_left && ends && unseen && !self.left_server;
        if plain {
            // As if each step had been taken.
            self.read.end_of_stream();
            self.read.take_end();
            (self.write.ending, self.write.shutting_down, self.write.finished) = (true, true, true);
            self.phase = Phase::Destroyed;
            self.idle.turn_off();
        }
        plain
    }

    fn end_of_stream(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        self.touch(cx);
        if self.fail_if_delivered(true, cx, fx) {
            return;
        }
        let due = self.read.end_of_stream();
        if self.read.is_readable_listening() {
            // In the same callback, before `end` (RD-12).
            self.run_readable(fx);
        }
        if due {
            fx.defer(When::Now, Tick::End);
        }
    }

    /// The tick of `readable`.
    pub(crate) fn run_readable(&mut self, fx: &mut Effects<C>) {
        if self.is_live() && !self.has_failed() && self.read.is_readable() {
            fx.emit(Event::Readable);
        }
        fx.then(Then::ReadableHeard);
    }
}
