//! From the call of `connect` to a connection that is used. Which address is tried when is decided by the
//! [`planner`](crate::planner).

use crate::connection::{Connection, Context, Effect, Effects, Event, Phase, Then};
use crate::{ErrorCode, Policy};

impl<C> Connection<C> {
    /// A connect begins, on a socket that has none.
    pub fn begin_connect(
        &mut self,
        unix: bool,
        is_closing: bool,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) {
        match self.phase {
            Phase::Destroyed => self.renew_before_close(is_closing, cx.policy, fx),
            Phase::Closed => self.renew(cx.policy, fx),
            _ => {}
        }
        self.phase = Phase::Connecting;
        self.round = self.round.wrapping_add(1);
        self.unix = unix;
        self.touch(cx);
    }

    /// A lookup was answered.
    pub fn hook_answered(&mut self, cx: &Context<'_>) {
        self.waits_for_hook = false;
        self.touch(cx);
    }

    /// A connect is tried on the connection that there is (policy `tries_to_connect_again`). Returns whether
    /// the first one is still under way.
    pub fn begin_connect_again(&mut self, cx: &Context<'_>) -> bool {
        self.touch(cx);
        let ends = self.write.shutting_down && !self.write.finished;
        if ends && !self.connecting() {
            self.cold().end_is_lost = true;
        }
        let was_connecting = self.connecting();
        if !was_connecting {
            self.phase = Phase::Reopening;
        }
        was_connecting
    }

    /// The attempt to connect again is made. Returns whether the system has taken one on this connection
    /// already, or will not any more (connect(2), EISCONN; Linux keeps SS_CONNECTING until it was asked
    /// once, or shut down).
    pub fn attempt_again(&mut self) -> bool {
        let asked = self.accepted || self.write.finished;
        std::mem::replace(&mut self.cold().connected_again, true) || asked
    }

    /// The connection stands: tells so, and begins to use it.
    pub fn establish(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        let written_before = self.phase == Phase::Connecting && self.write.has_queued();
        self.phase = Phase::Open;
        self.touch(cx);
        fx.push(Effect::Established);
        fx.emit(Event::Connect);
        fx.then(Then::ConnectHeard { written_before });
    }

    pub(crate) fn connect_heard(
        &mut self,
        written_before: bool,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) {
        if self.reset_on_connect {
            self.destroy(None, true, cx, fx);
        }
        fx.then(Then::Begin { written_before });
    }

    pub(crate) fn begin(&mut self, written_before: bool, policy: &Policy, fx: &mut Effects<C>) {
        if self.destroyed() {
            return self.ready_though_destroyed(policy, fx);
        }
        if self.connecting() {
            // A listener has connected again: what was written waits for that.
        } else if policy.parks_first_write {
            self.send_parked(fx);
        } else if written_before {
            fx.push(Effect::FlushFirst);
        } else {
            fx.push(Effect::Flush);
        }
        fx.then(Then::ReadyDue);
    }

    pub(crate) fn ready_due(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        if self.destroyed() {
            return self.ready_though_destroyed(cx.policy, fx);
        }
        self.end_after_connect(cx, fx);
        fx.emit(Event::Ready);
        fx.then(Then::ReadyHeard);
    }

    pub(crate) fn ready_heard(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        self.finish_if_done(cx, fx);
        if self.read.receives_on_connect() {
            self.start_receiving(fx);
        }
    }

    /// A listener of `connect` has destroyed the connection: what was parked never leaves, and `ready` may
    /// follow all the same (CON-05).
    fn ready_though_destroyed(&mut self, policy: &Policy, fx: &mut Effects<C>) {
        self.send_parked(fx);
        if policy.ready_after_destroy {
            fx.emit(Event::Ready);
        }
    }

    /// The listeners of `connect` have run: in Node the parked write is one more of them.
    fn send_parked(&mut self, fx: &mut Effects<C>) {
        if !self.write.is_parked() {
            return;
        }
        if self.is_connected() {
            fx.push(Effect::FlushParked);
        } else {
            self.fail_parked_now(ErrorCode::ERR_SOCKET_CLOSED, fx);
        }
    }
}
