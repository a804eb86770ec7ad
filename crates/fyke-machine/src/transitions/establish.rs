//! The steps from an established connection to its use.

use crate::connection::{Connection, Context, Effect, Effects, Event, Phase, Then};
use crate::{ErrorCode, Policy};

impl<C> Connection<C> {
    /// The connection is established: emits the events, and starts to use it.
    pub(crate) fn establish(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
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
            // A listener has connected again: the written bytes wait for the new connection.
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

    /// A listener of `connect` has destroyed the connection: the parked write is never sent, and `ready`
    /// may still follow.
    // CON-05.
    fn ready_though_destroyed(&mut self, policy: &Policy, fx: &mut Effects<C>) {
        self.send_parked(fx);
        if policy.ready_after_destroy {
            fx.emit(Event::Ready);
        }
    }

    /// The listeners of `connect` have run. In Node, sending the parked write is one of these listeners.
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
