//! `connect` on a socket that is connecting or connected (policy `tries_to_connect_again`).
// CON-18

use fyke_driver::Address;

use crate::connection::{
    Again, Attempt, AttemptEvent, Connection, Context, Effect, Effects, Phase, Then, Tick, Value,
    When,
};
use crate::error::MakeError;
use crate::writing::Side;
use crate::{Error, ErrorCode};

impl<C> Connection<C> {
    /// Tries to connect on the existing connection. With `inside`, a result that is known at once for a
    /// path is reported before this returns.
    pub fn connect_again(
        &mut self,
        target: Address,
        inside: bool,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) {
        self.touch(cx);
        let was_connecting = self.connecting();
        let ends = self.write.side == Side::ShuttingDown;
        if ends && !was_connecting {
            self.cold().end_is_lost = true;
        }
        if !was_connecting {
            self.phase = Phase::Reopening;
        }
        let again = Box::new(Again { target, was_connecting });
        if inside && again.target.is_unix() {
            self.attempt_again(again, fx);
        } else {
            self.report_later(Value::Again(again), fx);
        }
    }

    pub(crate) fn attempt_again(&mut self, again: Box<Again>, fx: &mut Effects<C>) {
        if self.connecting() {
            let event = AttemptEvent::BeginsAgain(again.target.clone());
            fx.push(Effect::Attempt(Box::new(event)));
            fx.then(Then::AgainHeard(again));
        }
    }

    /// The system accepts one more connect on an established connection, and refuses the following ones
    /// (connect(2), EISCONN; Linux keeps SS_CONNECTING until the first one, or until a shutdown).
    pub(crate) fn again_heard(&mut self, again: Again, cx: &Context<'_>, fx: &mut Effects<C>) {
        if !self.connecting() {
            return;
        }
        let asked = self.accepted || self.write.is_finished();
        let refused = std::mem::replace(&mut self.cold().connected_again, true) || asked;
        let to_path = again.target.is_unix();
        if again.was_connecting {
            if self.unix && to_path {
                self.connect_to_path_again(again.target, fx);
            } else {
                self.fail_again(ErrorCode::EALREADY, again.target, cx, fx);
            }
        } else if refused && !to_path {
            self.fail_again(ErrorCode::EISCONN, again.target, cx, fx);
        } else {
            // For a path, the refusal is deferred too.
            self.cold().again.push_back(again.target);
            fx.defer(When::NextTurn, Tick::Again);
        }
    }

    fn fail_again(
        &mut self,
        code: ErrorCode,
        target: Address,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) {
        let error = Error::named(code, "connect").at(target, true);
        self.destroy(Some(error), false, cx, fx);
    }

    pub(crate) fn again_due(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        let target = self.cold.as_mut().and_then(|cold| cold.again.pop_front());
        let Some(target) = target.filter(|_| self.connecting()) else { return };
        if target.is_unix() {
            self.refuse_connected(target, fx);
        } else {
            self.establish(cx, fx);
        }
    }

    fn refuse_connected(&mut self, target: Address, fx: &mut Effects<C>) {
        self.phase = Phase::Open;
        let error = Error::named(ErrorCode::EISCONN, "connect").at(target.clone(), true);
        let event = AttemptEvent::Failed(target, error.clone());
        fx.push(Effect::Attempt(Box::new(event)));
        fx.then(Then::ConnectFailed(self.round, error));
    }

    /// The system connects to a path within the call. The second connect therefore finds an established
    /// connection, if the first one did not fail; a failure of the first one is reported separately.
    fn connect_to_path_again(&mut self, target: Address, fx: &mut Effects<C>) {
        let Some(connecting) = self.connect_under_way() else { return };
        connecting.again = Some(target);
        if !connecting.running().is_empty() {
            fx.defer(When::NextTurn, Tick::PathAgain);
        }
    }

    pub(crate) fn path_again_due(&mut self, fx: &mut Effects<C>) {
        if !self.connecting() {
            return;
        }
        let connecting = self.connect_under_way().filter(|connecting| connecting.again.is_some());
        let running = connecting.and_then(|connecting| connecting.running().first().cloned());
        if let Some((attempt, _)) = running {
            fx.push(Effect::Probe(attempt));
        }
    }

    /// A probed attempt is connected, although the driver has not reported it yet.
    pub fn probed(&mut self, attempt: Attempt, fx: &mut Effects<C>) {
        if self.connecting() && self.attempt_target(attempt).is_some() {
            self.refuse_again(attempt, fx);
        }
    }

    /// Refuses the second connect to a path, if there was one, on the connection of the first one.
    pub(crate) fn refuse_again(&mut self, attempt: Attempt, fx: &mut Effects<C>) -> bool {
        let again = self.connect_under_way().and_then(|connecting| connecting.again.take());
        let Some(target) = again else { return false };
        fx.push(Effect::Take(attempt));
        self.refuse_connected(target, fx);
        true
    }
}
