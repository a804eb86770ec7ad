//! The destruction of a connection in any state.
// DST-01 … DST-19

use crate::connection::{
    Connection, Context, Effect, Effects, Gone, Phase, Then, Tick, Value, When,
};
use crate::error::MakeError;
use crate::writing::Side;
use crate::{Error, ErrorCode, Result};

impl<C> Connection<C> {
    /// Closes the connection now, with an RST if `reset`. Queued bytes that fit into the kernel's buffer
    /// are sent, the others are abandoned, and nothing is delivered any more. `close` follows.
    pub fn destroy(
        &mut self,
        error: Option<Error>,
        reset: bool,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) {
        if self.destroyed() {
            return;
        }
        fx.push(Effect::CaptureAddresses);
        let ends = self.is_connected() && self.write.side == Side::ShuttingDown;
        // libuv refuses a reset while our side is being ended, so the FIN is sent.
        let refused = reset && cx.policy.refuses_reset_while_ending && ends;
        if refused {
            fx.push(Effect::Shutdown);
        }
        if cx.policy.destroy_flushes {
            // Bytes that fit into the kernel's buffer are still sent (WR-20).
            fx.push(Effect::Flush);
        }
        fx.then(Then::Dismantle { error, reset, refused });
    }

    pub(crate) fn dismantle(
        &mut self,
        error: Option<Error>,
        (reset, refused): (bool, bool),
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) {
        if self.destroyed() {
            return;
        }
        let policy = cx.policy;
        let was_connecting = self.connecting();
        let had_handle = self.is_live();
        self.phase = Phase::Destroyed;
        self.waits_for_hook = false;
        self.forget_connect(policy);
        self.had_error = error.is_some() && (had_handle || policy.close_reports_every_error);
        if let Some(error) = &error {
            self.set_errored(error);
        }
        self.idle.turn_off();
        if !policy.keeps_stored_after_destroy {
            self.read.clear();
        }
        let fails_queue = self.write.has_queued() || self.write.has_end_callbacks();
        let in_flight = self.write.in_flight_bytes() > 0;
        let had_handle = std::mem::take(&mut self.bound) || had_handle;
        let reports_unsent = was_connecting && policy.reports_unsent_before_close;
        fx.push(Effect::Release { reset: reset && !refused });
        if let Some(number) = self.write.done_and_unreported().filter(|_| policy.shares_turns) {
            // Completions that wait for the next turn come before `close`.
            fx.defer(When::Tick, Tick::Written(number));
        }
        if fails_queue && !reports_unsent {
            fx.defer(When::Tick, Tick::FailQueue);
        }
        let cancelled = match (&error, reports_unsent) {
            (Some(error), true) => Some(error.clone()),
            (None, true) => Some(Error::new(
                ErrorCode::ERR_SOCKET_CLOSED_BEFORE_CONNECTION,
                "the socket was closed before the connection was established",
            )),
            (_, false) => in_flight.then(|| Error::named(ErrorCode::ECANCELED, "write")),
        };
        let gone = match &error {
            Some(_) => Gone::Failed,
            None if reset => Gone::Reset,
            None => Gone::Ended,
        };
        if let Some(error) = error {
            self.report_later(Value::Error(error), fx);
        }
        if refused {
            fx.push(Effect::RefuseReset);
        } else if had_handle {
            fx.push(Effect::CloseLater { cancelled });
        } else {
            fx.defer(When::Tick, Tick::Close);
        }
        if self.accepted && !self.left_server {
            fx.push(Effect::Leave(self.idle.draining.then_some(gone)));
        }
    }

    /// Closes the connection with an RST: the peer gets ECONNRESET, and bytes that are not yet sent or read
    /// are lost. While connecting, this waits until the connection is established.
    ///
    /// # Errors
    /// `ERR_INVALID_HANDLE_TYPE` on a Unix socket, which has no RST. The socket is then unchanged.
    pub fn reset(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) -> Result<()> {
        match self.phase {
            Phase::Connecting | Phase::Failing | Phase::Open | Phase::Reopening if self.unix => {
                let message = "a Unix socket cannot be reset";
                return Err(Error::new(ErrorCode::ERR_INVALID_HANDLE_TYPE, message));
            }
            Phase::Connecting | Phase::Reopening => self.reset_on_connect = true,
            Phase::Failing | Phase::Open => self.destroy(None, true, cx, fx),
            Phase::Fresh => {
                let error = Error::new(ErrorCode::ERR_SOCKET_CLOSED, "the socket is not connected");
                self.destroy(Some(error), false, cx, fx);
            }
            Phase::Destroyed | Phase::Closed => {}
        }
        Ok(())
    }

    /// The loop was dropped: emits no event, and drops all values of the user.
    pub fn abandon(&mut self, fx: &mut Effects<C>) {
        self.phase = Phase::Closed;
        self.waits_for_hook = false;
        if let Some(cold) = &mut self.cold {
            cold.connecting = None;
        }
        self.read.clear();
        self.write.give_up_flight();
        fx.drop_chunks(self.write.give_up_queue());
        let mut callbacks = self.write.take_end_callbacks();
        callbacks.extend(std::iter::from_fn(|| self.write.next_callback(u64::MAX)));
        fx.drop_callbacks(callbacks);
        fx.drop_callbacks(self.take_waiting());
        let owed = self.cold.as_mut().and_then(|cold| cold.owed.take());
        if let Some(owed) = owed {
            fx.drop_callbacks(owed.into_callbacks());
        }
    }
}
