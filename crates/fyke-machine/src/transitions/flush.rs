//! What became of the bytes that the driver was given: the callbacks of writes, and `drain`.

use std::io;

use crate::connection::{Connection, Context, Effect, Effects, Event, Then, Tick, Value, When};
use crate::error::MakeError;
use crate::{Error, Policy, Result};

/// What the wire made of the queue.
#[derive(Debug)]
pub enum Flushed {
    /// The kernel has everything, and no callback or `drain` is due: nothing is left of the queue.
    Clear,
    /// Nothing was to be handed over, or the kernel has some of it.
    Quiet,
    /// The kernel has every write up to this number, and a callback or `drain` is due.
    Told(u64),
    /// The kernel refused.
    Refused(Error),
}

impl<C> Connection<C> {
    /// The queue was handed over.
    pub fn flushed(&mut self, flushed: Flushed, fx: &mut Effects<C>) {
        match flushed {
            Flushed::Clear | Flushed::Quiet => {}
            // On the tick; or in the next turn, if much was told in this batch of callbacks: else who
            // writes on whenever the kernel took everything would leave no time for others (contract
            // C6). They take turns then, which also costs less: a receiver that is fed alone sleeps
            // between any two chunks, and waking it is what costs most.
            Flushed::Told(number) => fx.defer(When::Fair, Tick::Written(number)),
            Flushed::Refused(error) => self.tell_later(Value::WriteFailed(error), fx),
        }
    }

    /// The connection is established, and what was written before it was sent. In Node the first of these
    /// writes leaves alone, inside `connect`, so its callback comes before `ready`; here it leaves with the
    /// others, and only its callback goes ahead.
    // WR-10.
    pub fn flushed_first(&mut self, flushed: Flushed, fx: &mut Effects<C>) {
        match flushed {
            Flushed::Told(number) => {
                fx.then(Then::Written(1));
                if number > 1 {
                    fx.defer(When::Tick, Tick::Written(number));
                }
            }
            other => self.flushed(other, fx),
        }
    }

    /// What was parked was handed over (policy `parks_first_write`).
    pub fn flushed_parked(&mut self, flushed: Flushed, fx: &mut Effects<C>) {
        match flushed {
            Flushed::Told(number) => {
                fx.push(Effect::Flush);
                fx.then(Then::Written(number));
            }
            Flushed::Clear | Flushed::Quiet => fx.push(Effect::Flush),
            Flushed::Refused(error) => self.write_failed(error, fx),
        }
    }

    /// The system takes nothing of the batch in flight.
    pub fn refused_by_system(&mut self, source: io::Error, policy: &Policy) -> Error {
        let error = Error::system("write", source);
        self.set_errored(&error);
        match policy.counts_refused_writes {
            true => self.write.give_up_flight(),
            false => self.write.refused(),
        }
        error
    }

    /// The driver sent more of the batch in flight.
    pub fn sent(&mut self, bytes: usize, cx: &Context<'_>, fx: &mut Effects<C>) {
        if !self.write.sent(bytes) {
            return;
        }
        let number = self.write.in_flight_number();
        self.touch(cx);
        // What was queued meanwhile goes before the news about what is done (WR-06).
        fx.push(Effect::Flush);
        fx.then(Then::Written(number));
    }

    /// Every write up to this number is with the kernel: `drain` first, then the callbacks.
    // WR-06.
    pub(crate) fn written(&mut self, number: u64, fx: &mut Effects<C>) {
        if !self.destroyed() && self.write.take_drain() {
            fx.emit(Event::Drain);
        }
        fx.then(Then::CallBack(number, Ok(())));
        fx.then(Then::WrittenTold);
    }

    pub(crate) fn written_told(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        if self.destroyed() {
            self.fail_queue(cx, fx);
        } else {
            self.finish_if_done(cx, fx);
        }
    }

    /// Runs the callbacks of the writes up to this number; not those of writes that they make.
    pub(crate) fn call_back(&mut self, number: u64, result: Result<()>, fx: &mut Effects<C>) {
        let count = self.write.callbacks_up_to(number);
        self.call_next(count, number, result, fx);
    }

    pub(crate) fn call_next(
        &mut self,
        count: usize,
        number: u64,
        result: Result<()>,
        fx: &mut Effects<C>,
    ) {
        if count == 0 {
            return;
        }
        if let Some(callback) = self.write.next_callback(number) {
            fx.call(callback, result.clone());
            if count > 1 {
                fx.then(Then::CallNext { count: count - 1, number, result });
            }
        }
    }

    /// Calls the callbacks of the writes that the kernel has all of, whatever happens to later ones.
    pub(crate) fn call_back_done(&mut self, fx: &mut Effects<C>) {
        if let Some(number) = self.write.done_and_not_told() {
            self.call_back(number, Ok(()), fx);
        }
    }

    /// The callbacks of `end`.
    pub(crate) fn call_ends(&mut self, result: &Result<()>, fx: &mut Effects<C>) {
        for callback in self.write.take_end_callbacks() {
            fx.call(callback, result.clone());
        }
    }
}
