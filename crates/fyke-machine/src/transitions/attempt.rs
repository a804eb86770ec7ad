//! Attempts to connect. The [`planner`](crate::planner) decides which address to try when.

use std::io;
use std::net::SocketAddr;

use fyke_driver::Address;

use crate::connection::{
    Attempt, AttemptEvent, Connection, Context, Effect, Effects, Event, Failure, Next, Phase,
    Refusal, Then,
};
use crate::error::MakeError;
use crate::{Error, ErrorCode, Policy, Result};

impl<C> Connection<C> {
    /// Performs the planner's next action.
    // CON-03, CON-04, HE-12
    pub(crate) fn next_attempt(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        if !self.connecting() {
            return;
        }
        let Some(connecting) = self.connect_under_way() else { return };
        match connecting.next(cx.now) {
            Next::Open(attempt) => fx.push(Effect::Open(attempt)),
            Next::GiveUp(attempt, address) => self.give_up(attempt, address, cx.policy, fx),
            Next::Wait => {}
            Next::Fail(error) => self.destroy(Some(error), false, cx, fx),
        }
    }

    /// Abandons an attempt that takes too long while another address is waiting.
    // HE-12, HE-16
    fn give_up(
        &mut self,
        attempt: Attempt,
        address: SocketAddr,
        policy: &Policy,
        fx: &mut Effects<C>,
    ) {
        let target = Address::Ip(address);
        let error = Error::named(ErrorCode::ETIMEDOUT, "connect");
        let error = error.at(target.clone(), policy.words_as_node);
        fx.push(Effect::HangUp(attempt));
        fx.push(Effect::Attempt(Box::new(AttemptEvent::TimedOut(target.clone()))));
        fx.then(Then::AttemptOver(Box::new(Failure { attempt, target, error })));
    }

    /// The target of an attempt and the address to bind it to. `None` if the attempt is no longer needed.
    pub fn attempt_target(&self, attempt: Attempt) -> Option<(Address, Option<SocketAddr>)> {
        let (target, local) = self.cold.as_ref()?.connecting.as_ref()?.target(attempt)?;
        Some((target.clone(), local))
    }

    /// A socket for an attempt was opened and bound, or this failed.
    pub fn opened(
        &mut self,
        attempt: Attempt,
        opened: Result<(), Refusal>,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) {
        let wanted = if self.connecting() { self.attempt_target(attempt) } else { None };
        // A listener of the log has destroyed the connection.
        let Some((target, local)) = wanted else { return fx.push(Effect::HangUp(attempt)) };
        let Some(connecting) = self.connect_under_way() else { return };
        if opened.is_err() {
            connecting.forget(attempt);
        }
        // Most connects have one address and no listener for attempts.
        let reported = cx.heard.has(Event::Attempt) || connecting.has_several();
        match opened {
            Ok(()) => {
                if reported {
                    fx.push(Effect::Attempt(Box::new(AttemptEvent::Begins(target))));
                }
                fx.then(Then::AttemptHeard(attempt));
            }
            Err(Refusal::Open(source)) => {
                let event = AttemptEvent::Begins(target.clone());
                fx.push(Effect::Attempt(Box::new(event)));
                let error = Error::system("connect", source);
                fx.then(Then::AttemptRefused(Box::new(Failure { attempt, target, error })));
            }
            Err(Refusal::Bind(source)) => {
                // No attempt was made: there is only the error, with the local address (CON-13).
                let own = local.map_or(Address::Unnamed, Address::Ip);
                let error = Error::system("bind", source).at(own, cx.policy.words_as_node);
                self.attempt_over(Failure { attempt, target, error }, cx, fx);
            }
            Err(Refusal::Blocked) => {
                // With one address, the attempt is announced and nothing is tried (BLK-21). With several
                // addresses, only its failure is reported, and the next attempt follows (HE-27).
                let error = blocked(&target, cx.policy);
                let event = match connecting.has_several() {
                    true => AttemptEvent::Failed(target.clone(), error.clone()),
                    false => AttemptEvent::Begins(target.clone()),
                };
                fx.push(Effect::Attempt(Box::new(event)));
                fx.then(Then::AttemptOver(Box::new(Failure { attempt, target, error })));
            }
        }
    }

    /// The event for the start of the attempt was emitted. If a listener has destroyed the connection, no
    /// system call is made.
    // HE-25
    pub(crate) fn attempt_heard(&mut self, attempt: Attempt, fx: &mut Effects<C>) {
        if self.connecting() && self.attempt_target(attempt).is_some() {
            fx.push(Effect::Dial(attempt));
            fx.then(Then::NextAttempt);
        }
    }

    /// The event for the start of an attempt without a descriptor was emitted.
    pub(crate) fn attempt_refused(
        &mut self,
        failure: Failure,
        policy: &Policy,
        fx: &mut Effects<C>,
    ) {
        if self.connecting() && self.round == failure.attempt.round {
            let failure = self.report_failure(failure, policy, fx);
            fx.then(Then::AttemptOver(failure));
        }
    }

    /// The system reports that an attempt has failed.
    pub fn connect_failed(
        &mut self,
        attempt: Attempt,
        source: io::Error,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) {
        let Some((target, _)) = self.attempt_target(attempt) else { return };
        let Some(connecting) = self.connect_under_way() else { return };
        // The code means "try again later" (connect(2)).
        let full = target.is_unix() && source.kind() == io::ErrorKind::WouldBlock;
        if full && cx.policy.retries_full_queue {
            return connecting.try_again_later(cx.now);
        }
        connecting.forget(attempt);
        if connecting.has_several() {
            fx.push(Effect::HangUp(attempt));
        } else {
            // Temporarily neither connecting nor destroyed (BEHAVIOUR 0.5).
            self.phase = Phase::Failing;
            fx.push(Effect::Take(attempt));
        }
        let failure = Failure { attempt, target, error: Error::system("connect", source) };
        let failure = self.report_failure(failure, cx.policy, fx);
        fx.then(Then::FailureHeard(failure));
    }

    /// Completes the error of an attempt and reports it.
    fn report_failure(
        &mut self,
        failure: Failure,
        policy: &Policy,
        fx: &mut Effects<C>,
    ) -> Box<Failure> {
        let Failure { attempt, target, error } = failure;
        let Some(connecting) = self.connect_under_way() else {
            return Box::new(Failure { attempt, target, error });
        };
        let error = connecting.complete(error, target.clone(), policy.words_as_node);
        let reported = policy.reports_immediate_failure || connecting.has_several();
        if reported || !is_immediate(&target, &error) {
            let event = AttemptEvent::Failed(target.clone(), error.clone());
            fx.push(Effect::Attempt(Box::new(event)));
        }
        Box::new(Failure { attempt, target, error })
    }

    pub(crate) fn failure_heard(
        &mut self,
        failure: Failure,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) {
        if !self.destroyed() && self.round == failure.attempt.round {
            self.phase = Phase::Connecting;
            self.attempt_over(failure, cx, fx);
        }
    }

    /// An attempt has ended and was reported: tries the next address.
    pub(crate) fn attempt_over(&mut self, failure: Failure, cx: &Context<'_>, fx: &mut Effects<C>) {
        let Failure { attempt, target, error } = failure;
        if !self.connecting() || self.round != attempt.round {
            return;
        }
        match (target.ip(), self.connect_under_way()) {
            (Some(address), Some(connecting)) => {
                connecting.failed(address, error, cx.now);
                self.next_attempt(cx, fx);
            }
            _ => self.destroy(Some(error), false, cx, fx),
        }
    }

    pub(crate) fn report_cancelled_attempt(&mut self, fx: &mut Effects<C>) {
        let target = self.cold.as_mut().and_then(|cold| cold.cancelled_attempt.take());
        if let Some(target) = target {
            let error = Error::named(ErrorCode::ECANCELED, "connect").at(target.clone(), true);
            fx.push(Effect::Attempt(Box::new(AttemptEvent::Failed(target, error))));
        }
    }
}

fn blocked(target: &Address, policy: &Policy) -> Error {
    let message = match target.ip().filter(|_| policy.words_as_node) {
        Some(address) => format!("IP({}) is blocked by net.BlockList", address.ip()),
        None => format!("{target} is on the block list"),
    };
    Error::new(ErrorCode::ERR_IP_BLOCKED, message)
}

/// Whether the system refuses the attempt inside the call. In Node this is not a failed attempt, unless
/// there are several addresses. For a path, Node defers every error except that of its length.
// CON-10, IPC-10
fn is_immediate(target: &Address, error: &Error) -> bool {
    match error.code() {
        ErrorCode::EINVAL => true,
        ErrorCode::ENETUNREACH | ErrorCode::EADDRNOTAVAIL | ErrorCode::EACCES => !target.is_unix(),
        _ => false,
    }
}
