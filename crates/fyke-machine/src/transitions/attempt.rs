//! Attempts to connect. Which address is tried when is decided by the [`planner`](crate::planner).

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
    /// Does what the planner wants done now (CON-03, CON-04, HE-12).
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

    /// An attempt takes too long, and another address waits (HE-12, HE-16).
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

    /// Where an attempt goes, and what it is to be bound to; none if it is not wanted any more.
    pub fn attempt_target(&self, attempt: Attempt) -> Option<(Address, Option<SocketAddr>)> {
        let (target, local) = self.cold.as_ref()?.connecting.as_ref()?.target(attempt)?;
        Some((target.clone(), local))
    }

    /// A socket for an attempt was opened and bound, or not.
    pub fn opened(
        &mut self,
        attempt: Attempt,
        opened: Result<(), Refusal>,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) {
        let wanted = if self.connecting() { self.attempt_target(attempt) } else { None };
        // Destroyed by what listens to the log.
        let Some((target, local)) = wanted else { return fx.push(Effect::HangUp(attempt)) };
        let Some(connecting) = self.connect_under_way() else { return };
        if opened.is_err() {
            connecting.forget(attempt);
        }
        // Most connects have one address, and nobody who listens.
        let told = cx.heard.has(Event::Attempt) || connecting.has_several();
        match opened {
            Ok(()) => {
                if told {
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
                // No attempt was made: there is only the error, about our own end (CON-13).
                let own = local.map_or(Address::Unnamed, Address::Ip);
                let error = Error::system("bind", source).at(own, cx.policy.words_as_node);
                self.attempt_over(Failure { attempt, target, error }, cx, fx);
            }
            Err(Refusal::Blocked) => {
                // One address: the attempt is announced, and nothing is tried (BLK-21). Several: it is
                // not announced, only its failure, and the next follows (HE-27).
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

    /// The listeners know that the attempt begins. Destroyed by one of them: no system call is made (HE-25).
    pub(crate) fn attempt_heard(&mut self, attempt: Attempt, fx: &mut Effects<C>) {
        if self.connecting() && self.attempt_target(attempt).is_some() {
            fx.push(Effect::Dial(attempt));
            fx.then(Then::NextAttempt);
        }
    }

    /// The same of an attempt for which there is no descriptor.
    pub(crate) fn attempt_refused(
        &mut self,
        failure: Failure,
        policy: &Policy,
        fx: &mut Effects<C>,
    ) {
        if self.connecting() && self.round == failure.attempt.round {
            let failure = self.tell_failure(failure, policy, fx);
            fx.then(Then::AttemptOver(failure));
        }
    }

    /// The system says that an attempt has failed.
    pub fn connect_failed(
        &mut self,
        attempt: Attempt,
        source: io::Error,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) {
        let Some((target, _)) = self.attempt_target(attempt) else { return };
        let Some(connecting) = self.connect_under_way() else { return };
        // It means "later" (connect(2)).
        let full = target.is_unix() && source.kind() == io::ErrorKind::WouldBlock;
        if full && cx.policy.retries_full_queue {
            return connecting.try_again_later(cx.now);
        }
        connecting.forget(attempt);
        if connecting.has_several() {
            fx.push(Effect::HangUp(attempt));
        } else {
            // For a moment neither connecting nor destroyed (BEHAVIOUR 0.5).
            self.phase = Phase::Failing;
            fx.push(Effect::Take(attempt));
        }
        let failure = Failure { attempt, target, error: Error::system("connect", source) };
        let failure = self.tell_failure(failure, cx.policy, fx);
        fx.then(Then::FailureHeard(failure));
    }

    /// Completes the error of an attempt, and tells it.
    fn tell_failure(
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
        let told = policy.tells_immediate_failure || connecting.has_several();
        if told || !is_immediate(&target, &error) {
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

    /// An attempt is over, and everybody knows: the next address is tried.
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

    pub(crate) fn tell_cancelled_attempt(&mut self, fx: &mut Effects<C>) {
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

/// What the system refuses inside the call is in Node no attempt that failed, unless there are several
/// addresses (CON-10, IPC-10). It defers what it can be told of a path, but for its length.
fn is_immediate(target: &Address, error: &Error) -> bool {
    match error.code() {
        ErrorCode::EINVAL => true,
        ErrorCode::ENETUNREACH | ErrorCode::EADDRNOTAVAIL | ErrorCode::EACCES => !target.is_unix(),
        _ => false,
    }
}
