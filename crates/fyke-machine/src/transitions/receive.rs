//! Events from the peer: bytes, its end, a failure.

use crate::Error;
use crate::connection::{Connection, Context, Effect, Effects, Event, Phase, Then, Tick, When};
use crate::reading::{Arrival, Sink};
use crate::writing::Side;

/// What to do with received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Pass them to the listeners.
    Deliver,
    /// Pass them to the sink.
    Sink,
    /// Nothing: they are stored or discarded.
    Done,
}

impl<C> Connection<C> {
    /// Handles received bytes, which are borrowed. The caller performs the effects first, and then does
    /// what the result says.
    pub fn receive(&mut self, bytes: &[u8], cx: &Context<'_>, fx: &mut Effects<C>) -> Received {
        if cx.policy.defers_end_behind_bytes {
            self.cold().received_in_turn = cx.turn;
        }
        self.touch(cx);
        if self.sink == Sink::Pulled {
            // They were on their way when the owner began to ask.
            self.read.store(bytes);
            self.read.bytes_read += bytes.len() as u64;
            return Received::Done;
        }
        if self.sink != Sink::Absent {
            self.idle.busy = true;
            return Received::Sink;
        }
        if !self.is_live() {
            return Received::Done;
        }
        let arrival = self.read.received(bytes, cx.heard.has_data());
        // The application does not see bytes that are discarded.
        self.idle.busy |= !matches!(arrival, Arrival::Discard);
        match arrival {
            Arrival::Deliver => {
                fx.then(Then::EmitTaken);
                Received::Deliver
            }
            Arrival::Discard => Received::Done,
            Arrival::Stored { stop } => {
                let next = self.read.stored_more();
                self.follow(next, fx);
                if stop {
                    self.stop_receiving(fx);
                }
                Received::Done
            }
        }
    }

    /// Starts receiving if the connection is established and there is room.
    pub fn start_receiving(&mut self, fx: &mut Effects<C>) {
        if self.begins_to_receive() {
            fx.push(Effect::Receive);
        }
    }

    /// Returns whether the driver must start receiving, under the conditions of
    /// [`start_receiving`](Self::start_receiving).
    pub fn begins_to_receive(&mut self) -> bool {
        // Nothing is stored for a sink (RD-24).
        let held = match self.sink {
            Sink::Absent => false,
            Sink::Taking | Sink::Stopped => self.read.is_paused(),
            Sink::Pulled => true,
        };
        let may = !held && self.is_connected() && !self.has_received_all();
        may && self.read.begin_receiving()
    }

    /// Bytes are requested: starts receiving now, or as soon as the connection is established.
    pub fn receive_on_demand(&mut self, fx: &mut Effects<C>) {
        if self.connecting() {
            self.read.want_on_connect();
        }
        self.start_receiving(fx);
    }

    /// Stops receiving until the next request.
    pub fn stop_receiving(&mut self, fx: &mut Effects<C>) {
        self.read.stop_receiving();
        fx.push(Effect::StopReceiving);
    }

    /// Whether bytes were received in this turn: Node reports the following events after its next poll.
    fn had_bytes_now(&self, cx: &Context<'_>) -> bool {
        let defers = cx.policy.defers_end_behind_bytes;
        defers && self.cold.as_ref().is_some_and(|cold| cold.received_in_turn == cx.turn)
    }

    /// The peer has ended, or receiving has failed.
    pub fn received_all(&mut self, error: Option<Error>, cx: &Context<'_>, fx: &mut Effects<C>) {
        if self.had_bytes_now(cx) {
            // Deferred after the completion of our own end, which is deferred too.
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

    /// Whether nothing remains to be done but to close when the peer has ended, see
    /// [`Machine::end_plain`](crate::Machine::end_plain).
    pub(crate) fn ends_alone(&self) -> bool {
        // If `end` was called and our side is not yet shut down, that happens in a separate turn.
        let ends = !self.half_open && !matches!(self.write.side, Side::Ended | Side::ShuttingDown);
        ends && self.served && !self.left_server && !self.write.has_queue()
    }

    /// Changes the state as if each step of the end had been taken.
    pub(crate) fn end_in_one_step(&mut self) {
        self.read.end_of_stream();
        self.read.take_end();
        self.write.side = Side::Finished;
        self.phase = Phase::Destroyed;
        self.idle.turn_off();
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
