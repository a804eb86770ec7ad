//! The close phase: the remaining callbacks, and `close`, the last event.

use crate::connection::{Connection, Context, Effect, Effects, Phase, Then};
use crate::{Error, ErrorCode, Policy, Result};

use crate::writing::Parked;

impl<C> Connection<C> {
    /// Runs the close phase. `cancelled` is the error for the writes that were in flight.
    pub fn close(&mut self, cancelled: Option<Error>, fx: &mut Effects<C>) {
        if self.close_before_this(cancelled.clone(), fx) {
            return;
        }
        self.report_cancelled_attempt(fx);
        fx.then(Then::CallBackDone);
        fx.then(Then::CloseReported(cancelled));
    }

    pub(crate) fn close_reported(
        &mut self,
        cancelled: Option<Error>,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) {
        if self.closes_before_a_renewed_one(fx) {
            return;
        }
        self.write.give_up_flight();
        match cancelled {
            Some(cancelled) => {
                let number = self.write.in_flight_number();
                fx.then(Then::CallBack(number, Err(cancelled.clone())));
                fx.then(Then::CloseFlightReported(cancelled));
            }
            None => {
                if cx.policy.shares_turns {
                    // Deferred so that completions of earlier writes that wait for the next turn come
                    // first.
                    fx.then(Then::FailQueue);
                }
                fx.then(Then::CloseQueueReported);
            }
        }
    }

    pub(crate) fn close_flight_reported(
        &mut self,
        cancelled: Error,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) {
        if self.closes_before_a_renewed_one(fx) {
            return;
        }
        let error = self.errored().cloned().unwrap_or(cancelled);
        self.fail_queue_with(error, cx, fx);
        fx.then(Then::CloseQueueReported);
    }

    pub(crate) fn close_queue_reported(&mut self, policy: &Policy, fx: &mut Effects<C>) {
        if self.closes_before_a_renewed_one(fx) {
            return;
        }
        self.phase = Phase::Closed;
        if !policy.cork_survives_reconnect {
            self.write.leave_queue();
        }
        let parked = self.write.take_parked();
        fx.push(Effect::Close { had_error: self.had_error });
        if let Some(parked) = parked {
            fx.then(Then::CloseHeard(Box::new(parked)));
        }
    }

    /// A callback that runs before `close` may connect the socket again (policy `connects_before_close`).
    /// The `close` then belongs to the earlier connection, and the new one stays. Returns whether this is
    /// the case.
    fn closes_before_a_renewed_one(&mut self, fx: &mut Effects<C>) -> bool {
        self.phase != Phase::Destroyed && self.close_before_this(None, fx)
    }

    /// `close` was emitted, and the connection was never established (policy `parks_first_write`). A
    /// listener may have connected the socket again.
    pub(crate) fn fail_parked_after_close(&mut self, parked: Parked<C>, fx: &mut Effects<C>) {
        if self.phase == Phase::Closed {
            fx.drop_chunks(self.write.give_up_parked());
        }
        self.report_parked(parked, ErrorCode::ERR_SOCKET_CLOSED_BEFORE_CONNECTION, fx);
    }

    /// The connection ended before it was established.
    pub(crate) fn fail_parked_now(&mut self, code: ErrorCode, fx: &mut Effects<C>) {
        let Some(parked) = self.write.take_parked() else { return };
        fx.drop_chunks(self.write.give_up_queue());
        self.report_parked(parked, code, fx);
    }

    /// The callbacks of the parked write get an error with `code`; the others get the error with which the
    /// socket was destroyed.
    // WR-13.
    fn report_parked(&mut self, parked: Parked<C>, code: ErrorCode, fx: &mut Effects<C>) {
        let error = Error::new(code, "the connection was never established");
        if self.destroyed() {
            self.set_errored(&error);
        }
        let rest: Result<()> = Err(self.errored().cloned().unwrap_or_else(|| error.clone()));
        for callback in parked.first {
            fx.call(callback, Err(error.clone()));
        }
        for (behind, callback) in parked.queued {
            fx.then(Then::SetBehind(behind, self.round));
            fx.call(callback, rest.clone());
        }
        fx.then(Then::SetBehind(0, self.round));
        for callback in parked.ends {
            fx.call(callback, rest.clone());
        }
    }

    /// While the callback of an abandoned write runs, the bytes behind it count as queued.
    pub(crate) fn set_behind(&mut self, bytes: usize, round: u32) {
        // The bytes must not count for the next connection.
        if self.round == round && self.destroyed() {
            self.write.set_behind(bytes);
        }
    }
}
