//! Handles the result of sending: the callbacks of writes, and `drain`.

use std::io;

use crate::connection::{Connection, Context, Effect, Effects, Event, Then, Tick, Value, When};
use crate::error::MakeError;
use crate::{Error, Policy, Result};

/// The result of sending the queue.
#[derive(Debug)]
pub enum Flushed {
    /// The kernel has accepted everything, and no callback or `drain` is due: the queue is empty.
    Clear,
    /// There was nothing to send, or the kernel has accepted a part of it.
    Quiet,
    /// The kernel has accepted every write up to this number, and a callback or `drain` is due.
    Written(u64),
    /// The kernel refused the bytes.
    Refused(Error),
}

impl Flushed {
    /// The step for the machine and its time, if nothing else follows.
    ///
    /// It runs on the tick, or in the next turn if enough callbacks were called in this batch. Otherwise a
    /// socket that writes more whenever the kernel has accepted everything would leave no time for others.
    /// Taking turns also costs less: a receiver that is served alone sleeps between any two chunks, and
    /// waking it is the most expensive part.
    // Contract C6
    #[inline]
    pub fn as_tick(&self) -> Option<(When, Tick)> {
        match self {
            Self::Written(number) => Some((When::Fair, Tick::Written(*number))),
            Self::Clear | Self::Quiet | Self::Refused(_) => None,
        }
    }
}

impl<C> Connection<C> {
    /// The queue was sent.
    pub fn flushed(&mut self, flushed: Flushed, fx: &mut Effects<C>) {
        if let Some((when, tick)) = flushed.as_tick() {
            fx.defer(when, tick);
        } else if let Flushed::Refused(error) = flushed {
            self.report_later(Value::WriteFailed(error), fx);
        }
    }

    /// The connection is established, and the writes before that were sent. In Node the first of these
    /// writes is sent separately, inside `connect`, so its callback comes before `ready`. Here it is sent
    /// together with the others, and only its callback comes first.
    // WR-10.
    pub fn flushed_first(&mut self, flushed: Flushed, fx: &mut Effects<C>) {
        match flushed {
            Flushed::Written(number) => {
                fx.then(Then::Written(1));
                if number > 1 {
                    fx.defer(When::Tick, Tick::Written(number));
                }
            }
            other => self.flushed(other, fx),
        }
    }

    /// The parked write was sent (policy `parks_first_write`).
    pub fn flushed_parked(&mut self, flushed: Flushed, fx: &mut Effects<C>) {
        match flushed {
            Flushed::Written(number) => {
                fx.push(Effect::Flush);
                fx.then(Then::Written(number));
            }
            Flushed::Clear | Flushed::Quiet => fx.push(Effect::Flush),
            Flushed::Refused(error) => self.write_failed(error, fx),
        }
    }

    /// The system accepts nothing of the batch in flight.
    pub fn refused_by_system(&mut self, source: io::Error, policy: &Policy) -> Error {
        let error = Error::system("write", source);
        self.set_errored(&error);
        match policy.counts_refused_writes {
            true => self.write.give_up_flight(),
            false => self.write.refused(),
        }
        error
    }

    /// The driver has sent more of the batch in flight.
    pub fn sent(&mut self, bytes: usize, cx: &Context<'_>, fx: &mut Effects<C>) {
        if !self.write.sent(bytes) {
            return;
        }
        let number = self.write.in_flight_number();
        self.touch(cx);
        // Writes that were queued in the meantime are sent before the completions are reported (WR-06).
        fx.push(Effect::Flush);
        fx.then(Then::Written(number));
    }

    /// The kernel has accepted every write up to this number: `drain` comes first, then the callbacks.
    // WR-06.
    pub(crate) fn written(&mut self, number: u64, fx: &mut Effects<C>) {
        if !self.destroyed() && self.write.take_drain() {
            fx.emit(Event::Drain);
            fx.then(Then::CallBack(number, Ok(())));
        } else {
            self.call_back(number, Ok(()), fx);
        }
        fx.then(Then::WrittenReported);
    }

    pub(crate) fn written_reported(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        if self.destroyed() {
            self.fail_queue(cx, fx);
        } else {
            self.finish_if_done(cx, fx);
        }
    }

    /// Calls the callbacks of the writes up to this number, but not those of writes that these callbacks
    /// make.
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

    /// Calls the callbacks of the writes that the kernel has accepted completely, whatever happens to later
    /// ones.
    pub(crate) fn call_back_done(&mut self, fx: &mut Effects<C>) {
        if let Some(number) = self.write.done_and_unreported() {
            self.call_back(number, Ok(()), fx);
        }
    }

    /// Calls the callbacks of `end`.
    pub(crate) fn call_ends(&mut self, result: &Result<()>, fx: &mut Effects<C>) {
        for callback in self.write.take_end_callbacks() {
            fx.call(callback, result.clone());
        }
    }
}
