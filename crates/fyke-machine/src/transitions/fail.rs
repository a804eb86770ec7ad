//! The end of a failed connection, and the handling of its queue.

use crate::connection::{Connection, Context, Effects, Failing, Then};
use crate::{Error, ErrorCode, Policy};

impl<C> Connection<C> {
    /// Fails the connection. It is closed with an RST, unless our side had ended before: the FIN of a
    /// normal close would make an incomplete stream look complete. Node sends the FIN.
    pub fn fail(&mut self, error: Error, cx: &Context<'_>, fx: &mut Effects<C>) {
        match error.code() {
            // The connection is already gone.
            ErrorCode::ECONNRESET | ErrorCode::EPIPE => self.destroy(Some(error), false, cx, fx),
            _ => self.fail_with_reset(error, cx, fx),
        }
    }

    /// Fails the connection with an error that it did not cause itself, and closes it with an RST.
    pub fn fail_with_reset(&mut self, error: Error, cx: &Context<'_>, fx: &mut Effects<C>) {
        let open = self.is_connected() && !self.unix && !self.write.is_finished();
        self.destroy(Some(error), open && cx.policy.resets_failed_connections, cx, fx);
    }

    /// Receiving has failed.
    pub(crate) fn receive_failed(&mut self, error: Error, cx: &Context<'_>, fx: &mut Effects<C>) {
        if self.may_deliver_before_error(cx.policy) && self.read.stored_bytes() > 0 {
            self.read.stop_receiving();
            self.fail_when_delivered(error, false);
        } else {
            self.fail(error, cx, fx);
        }
    }

    /// Sending has failed, and the callbacks have run: fails the connection, unless it still has bytes to
    /// deliver.
    pub(crate) fn fail_after_writes(
        &mut self,
        error: Error,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) {
        let gone = matches!(error.code(), ErrorCode::ECONNRESET | ErrorCode::EPIPE);
        if self.may_deliver_before_error(cx.policy) && gone && !self.read.has_ended() {
            self.fail_when_delivered(error, true);
            self.receive_on_demand(fx);
        } else {
            self.fail(error, cx, fx);
        }
    }

    fn may_deliver_before_error(&self, policy: &Policy) -> bool {
        self.delivers_before_error() && policy.may_deliver_before_error && self.is_live()
    }

    fn fail_when_delivered(&mut self, error: Error, receives: bool) {
        let cold = self.cold();
        let error = cold.failing.take().map_or(error, |failing| failing.error);
        cold.failing = Some(Failing { error, receives });
    }

    /// Called when the peer has ended or bytes were delivered: if the connection has failed and everything
    /// is delivered, it is destroyed now. Returns whether the connection has failed.
    pub(crate) fn fail_if_delivered(
        &mut self,
        ended: bool,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) -> bool {
        let delivered = self.read.stored_bytes() == 0;
        let Some(cold) = &mut self.cold else { return false };
        let Some(failing) = &mut cold.failing else { return false };
        failing.receives &= !ended;
        if delivered && !failing.receives {
            let error = failing.error.clone();
            cold.failing = None;
            self.fail(error, cx, fx);
        }
        true
    }

    /// Whether the connection has failed and no more bytes can be received.
    pub(crate) fn has_received_all(&self) -> bool {
        let failing = self.cold.as_ref().and_then(|cold| cold.failing.as_ref());
        failing.is_some_and(|failing| !failing.receives)
    }

    /// A send has failed. Calls first the callbacks of the sent writes, then those of the writes in flight,
    /// then those of the queued writes, and then ends the connection.
    // WR-17.
    pub fn write_failed(&mut self, error: Error, fx: &mut Effects<C>) {
        fx.then(Then::CallBackDone);
        fx.then(Then::FailFlight(error));
    }

    pub(crate) fn fail_flight(&mut self, error: Error, fx: &mut Effects<C>) {
        self.set_errored(&error);
        self.write.give_up_flight();
        fx.then(Then::CallBack(self.write.in_flight_number(), Err(error.clone())));
        fx.then(Then::FailQueue);
        fx.then(Then::FailAfterWrites(error));
    }

    /// Abandons the queued writes that are not in flight. Their callbacks, and those of `end`, get the
    /// connection's error, or the error that it was destroyed. While a batch is in flight this does
    /// nothing; the callbacks are then called after those of the batch.
    // WR-19.
    pub(crate) fn fail_queue(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        // Callbacks of writes that the kernel has accepted come first.
        let in_flight_number = self.write.callbacks_up_to(self.write.in_flight_number()) > 0;
        let flying = self.write.in_flight_bytes() > 0 || self.write.is_parked();
        if flying || in_flight_number || self.write.nothing_waits() {
            return;
        }
        let destroyed = || Error::new(ErrorCode::ERR_STREAM_DESTROYED, "the socket was destroyed");
        let error = self.errored().cloned().unwrap_or_else(destroyed);
        self.fail_queue_with(error, cx, fx);
    }

    pub(crate) fn fail_queue_with(&mut self, error: Error, cx: &Context<'_>, fx: &mut Effects<C>) {
        let (accepted, round) = (self.write.accepted_bytes(), self.round);
        let last = self.write.accepted_writes();
        fx.drop_chunks(self.write.give_up_queue());
        if cx.policy.fails_writes_one_by_one {
            fx.then(Then::FailOneByOne { accepted, round, error });
        } else {
            fx.then(Then::CallBack(last, Err(error.clone())));
            fx.then(Then::CallEnds(Err(error)));
        }
    }

    /// Each callback still finds the later writes in the queue.
    pub(crate) fn fail_next(
        &mut self,
        accepted: u64,
        round: u32,
        error: Error,
        fx: &mut Effects<C>,
    ) {
        if self.round != round {
            // A callback has connected the socket again. The rest of its queue is owed. As in Node, writes
            // that were queued since then are abandoned too, unless the first one is parked.
            fx.then(Then::ReportOwed);
            fx.then(Then::FailQueue);
            fx.then(Then::CallEnds(Err(error)));
        } else if let Some(callback) = self.write.next_failing(accepted) {
            fx.call(callback, Err(error.clone()));
            fx.then(Then::FailOneByOne { accepted, round, error });
        } else {
            self.write.set_behind(0);
            self.call_ends(&Err(error), fx);
        }
    }
}
