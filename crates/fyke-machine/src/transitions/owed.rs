//! `connect` between `destroy` and `close` (policy `connects_before_close`): the socket becomes a new one,
//! and the events that the old connection owes are still emitted.
// CON-17

use crate::connection::{Connection, Context, Effect, Effects, Spent, Then, Tick, When};
use crate::error::MakeError;
use crate::{Error, ErrorCode, Policy};

impl<C> Connection<C> {
    /// The socket connects again while its old `close` is still to be emitted: with `is_closing` in the
    /// close phase, otherwise on the tick.
    pub(crate) fn renew_before_close(
        &mut self,
        is_closing: bool,
        policy: &Policy,
        fx: &mut Effects<C>,
    ) {
        let had_error = self.had_error;
        let in_flight = self.write.in_flight_bytes() > 0 && is_closing;
        let done = self.write.done_and_unreported().unwrap_or(0);
        let mut owed = self.cold().owed.take().unwrap_or_default();
        self.cold().taken.clear();
        owed.closes.push_back(had_error);
        while let Some(callback) = self.write.next_callback(done) {
            owed.callbacks.push_back((callback, Ok(())));
        }
        while let Some(callback) = self.write.next_callback(u64::MAX) {
            if in_flight {
                owed.cancelled.push_back(callback);
            } else {
                let code = ErrorCode::ERR_STREAM_DESTROYED;
                let error = Error::new(code, "the socket was destroyed");
                owed.callbacks.push_back((callback, Err(error)));
            }
        }
        fx.drop_chunks(self.write.give_up_queue());
        self.renew(policy, fx);
        self.cold().owed = Some(owed);
        self.cold().end_is_lost = true;
        // Often such a step is already queued, and runs at its place.
        fx.defer(When::Tick, Tick::Owed);
    }

    /// Prepares a closed socket for another connection. Requested options and listeners stay.
    // CON-16.
    pub(crate) fn renew(&mut self, policy: &Policy, fx: &mut Effects<C>) {
        self.had_error = false;
        self.reset_on_connect = false;
        self.destroy_on_finish = false;
        self.idle.busy = true;
        self.idle.draining = false;
        self.read = self.read.renewed(policy.rearms_readable);
        let renewed = self.write.renewed(policy);
        // The remaining state of the previous connection.
        let before = std::mem::replace(&mut self.write, renewed);
        fx.push(Effect::Drop(Spent::Side(Box::new(before))));
        self.left_server |= self.accepted && policy.leaves_server_when_reconnected;
        if let Some(cold) = &mut self.cold {
            cold.errored = None;
            cold.failing = None;
            cold.taken.clear();
            cold.connected_again = false;
            cold.end_is_lost = false;
        }
        fx.push(Effect::Renew);
    }

    /// Calls the callbacks of writes on earlier connections.
    pub(crate) fn report_owed(&mut self, fx: &mut Effects<C>) {
        let owed = self.cold.as_mut().and_then(|cold| cold.owed.as_mut());
        if let Some((callback, result)) = owed.and_then(|owed| owed.callbacks.pop_front()) {
            fx.call(callback, result);
            fx.then(Then::ReportOwed);
        }
    }

    /// Emits the `close` of an earlier connection, if one is owed. Returns whether it was. As in Node, a
    /// write that was in flight on the earlier connection also ends the new one.
    pub(crate) fn close_before_this(
        &mut self,
        cancelled: Option<Error>,
        fx: &mut Effects<C>,
    ) -> bool {
        let owed = self.cold.as_mut().and_then(|cold| cold.owed.as_mut());
        let Some(had_error) = owed.and_then(|owed| owed.closes.pop_front()) else { return false };
        fx.push(Effect::LetGoOfServer);
        fx.then(Then::ReportOwed);
        let error = cancelled.unwrap_or_else(|| Error::named(ErrorCode::ECANCELED, "write"));
        fx.then(Then::ReportCancelled { had_error, error, any: false });
        true
    }

    pub(crate) fn report_cancelled(
        &mut self,
        had_error: bool,
        error: Error,
        any: bool,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) {
        let owed = self.cold.as_mut().and_then(|cold| cold.owed.as_mut());
        if let Some(callback) = owed.and_then(|owed| owed.cancelled.pop_front()) {
            fx.call(callback, Err(error.clone()));
            fx.then(Then::ReportCancelled { had_error, error, any: true });
        } else if any {
            self.destroy(Some(error), false, cx, fx);
            fx.defer(When::Tick, Tick::CloseBefore(had_error));
        } else {
            fx.push(Effect::CloseBefore { had_error });
        }
    }
}
