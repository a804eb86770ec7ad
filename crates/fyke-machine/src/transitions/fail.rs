//! The end of a connection that has failed, and what becomes of its queue.

use crate::connection::{Connection, Context, Effects, Failing, Then};
use crate::{Error, ErrorCode, Policy};

impl<C> Connection<C> {
    /// The connection fails. It is closed by RST, unless our side had ended before: the end that a plain
    /// close sends would make a stream look whole that is not. Node sends the end.
    pub fn fail(&mut self, error: Error, cx: &Context<'_>, fx: &mut Effects<C>) {
        match error.code() {
            // There is no connection any more.
            ErrorCode::ECONNRESET | ErrorCode::EPIPE => self.destroy(Some(error), false, cx, fx),
            _ => self.fail_with_reset(error, cx, fx),
        }
    }

    /// The same for an error that is not this connection's own.
    pub fn fail_with_reset(&mut self, error: Error, cx: &Context<'_>, fx: &mut Effects<C>) {
        let open = self.is_connected() && !self.unix && !self.write.finished;
        self.destroy(Some(error), open && cx.policy.resets_failed_connections, cx, fx);
    }

    /// Receiving has failed.
    pub(crate) fn receive_failed(&mut self, error: Error, cx: &Context<'_>, fx: &mut Effects<C>) {
        if self.may_deliver_before_error(cx.policy) && self.read.kept_bytes() > 0 {
            self.read.receiving = false;
            self.fail_when_delivered(error, false);
        } else {
            self.fail(error, cx, fx);
        }
    }

    /// Sending has failed, and the callbacks know: the connection goes too, unless it still has something
    /// to deliver.
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

    /// The peer's end has come, or bytes were delivered: if the connection has failed, and that was all,
    /// it is destroyed now. Returns whether the connection has failed.
    pub(crate) fn fail_if_delivered(
        &mut self,
        ended: bool,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) -> bool {
        let delivered = self.read.kept_bytes() == 0;
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

    /// Whether the connection has failed and nothing more can be received.
    pub(crate) fn has_received_all(&self) -> bool {
        let failing = self.cold.as_ref().and_then(|cold| cold.failing.as_ref());
        failing.is_some_and(|failing| !failing.receives)
    }

    /// A send failed: first the callbacks of what was sent before, then of what was in flight, then of
    /// what was queued, then the end of the connection (WR-17).
    pub fn write_failed(&mut self, error: Error, fx: &mut Effects<C>) {
        fx.then(Then::CallBackDone);
        fx.then(Then::FailFlight(error));
    }

    pub(crate) fn fail_flight(&mut self, error: Error, fx: &mut Effects<C>) {
        self.set_errored(&error);
        self.write.give_up_flight();
        fx.then(Then::CallBack(self.write.handed_over(), Err(error.clone())));
        fx.then(Then::FailQueue);
        fx.then(Then::FailAfterWrites(error));
    }

    /// Gives up what was queued and not handed over, and tells its callbacks and those of `end`: the
    /// connection's error, or that it was destroyed (WR-19). Not while a batch is in flight; then they
    /// are told after that one's.
    pub(crate) fn fail_queue(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        // Of those that the kernel has, the callbacks come first.
        let handed_over = self.write.callbacks_up_to(self.write.handed_over()) > 0;
        let flying = self.write.in_flight_bytes() > 0 || self.write.is_parked();
        if flying || handed_over || self.write.nothing_waits() {
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

    /// Each callback finds what is behind its write still queued.
    pub(crate) fn fail_next(
        &mut self,
        accepted: u64,
        round: u32,
        error: Error,
        fx: &mut Effects<C>,
    ) {
        if self.round != round {
            // A callback has connected the socket again. What is left of its queue is owed; and as in Node
            // what was queued since is given up with it, unless it waits by itself.
            fx.then(Then::TellOwed);
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
