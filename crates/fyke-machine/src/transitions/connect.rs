//! From the call of `connect` to a connection, or to the end of one that could not be made. Which address is
//! tried when is decided by the [`planner`](crate::planner).

use std::io;
use std::net::{IpAddr, SocketAddr};

use fyke_driver::Address;

use crate::connection::{
    Attempt, AttemptEvent, Connecting, Connection, Context, Effect, Effects, Event, Failure,
    Lookup, Next, Phase, Refusal, Request, Stage, Target, Then, Tick, Value, When,
};
use crate::error::MakeError;
use crate::{Error, ErrorCode, Policy, Result};

impl<C> Connection<C> {
    /// Whether a connect may begin.
    ///
    /// # Errors
    /// `EALREADY` while connecting, `EISCONN` while connected, `ERR_SOCKET_CLOSED` between destroy and close.
    pub fn check_connect(&self, policy: &Policy) -> Result<()> {
        let (code, message) = match self.phase {
            Phase::Fresh | Phase::Closed => return Ok(()),
            Phase::Connecting | Phase::Reopening => (ErrorCode::EALREADY, "already connecting"),
            Phase::Failing | Phase::Open => (ErrorCode::EISCONN, "already connected"),
            Phase::Destroyed if policy.connects_before_close => return Ok(()),
            Phase::Destroyed => {
                (ErrorCode::ERR_SOCKET_CLOSED, "connect again when close was emitted")
            }
        };
        Err(Error::new(code, message))
    }

    /// A connect begins, on a socket that has none. What is known at once is told on the tick, or with
    /// `inside` before this returns. `is_closing`: `close` comes in the close phase, and not on the tick.
    pub fn connect(
        &mut self,
        request: Request,
        is_closing: bool,
        inside: bool,
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
        self.unix = matches!(request.target, Target::Unix(_));
        self.touch(cx);
        // Of an address nothing is known at once (CON-03, CON-04, HE-04).
        let at_once = inside && !matches!(request.target, Target::Ip(_));
        let connecting = Connecting::new(request, self.round, cx.now);
        self.cold().connecting = Some(Box::new(connecting));
        if at_once {
            fx.then(Then::Connect);
        } else {
            fx.defer(When::Tick, Tick::Connect);
        }
    }

    pub(crate) fn connect_under_way(&mut self) -> Option<&mut Connecting> {
        self.cold.as_mut()?.connecting.as_deref_mut()
    }

    /// The tick of `connect`.
    pub(crate) fn begin_connecting(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        let Some(connecting) = self.connect_under_way() else { return };
        if !matches!(connecting.stage, Stage::Begun) {
            return;
        }
        match &connecting.request.target {
            Target::Unix(_) => connecting.stage = Stage::Unix { full_count: 0, retry: None },
            Target::Ip(address) => {
                let address = *address;
                connecting.race([address]);
            }
            Target::Host(..) => return self.resolve(cx, fx),
        }
        self.next_attempt(cx, fx);
    }

    fn resolve(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        let Some(connecting) = self.connect_under_way() else { return };
        connecting.begin_to_resolve(cx.now);
        let (host, all) = (Box::from(connecting.host()), !connecting.wants_one());
        let has_hook = connecting.request.has_hook;
        self.waits_for_hook = has_hook && !cx.policy.watches_lookup_hooks;
        if cx.policy.tells_late_lookup && !all {
            self.cold().late_lookup = Some(Box::clone(&host));
        }
        fx.push(Effect::Resolve { host, all });
    }

    /// The lookup of the connect with this [number](Self::round) was answered, or an earlier one. Told on the
    /// tick, so that no callback runs inside the call of a hook (HE-04); or with `inside` before this returns.
    pub fn lookup_answered(
        &mut self,
        round: u32,
        result: Result<Vec<IpAddr>>,
        inside: bool,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) {
        if inside {
            self.resolved(round, result, cx, fx);
        } else {
            self.tell_later(Value::Lookup(round, result), fx);
        }
    }

    /// The addresses of the host are here, or the reason why not (HE-02, HE-03).
    pub(crate) fn resolved(
        &mut self,
        round: u32,
        result: Result<Vec<IpAddr>>,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) {
        // The answer to an earlier connect of this socket.
        if self.round != round {
            return;
        }
        let connecting = self.connect_under_way();
        let waits =
            connecting.filter(|connecting| matches!(connecting.stage, Stage::Resolving { .. }));
        // Destroyed meanwhile: nothing more is told (HE-26). Answered twice: once is enough.
        let Some(connecting) = waits else { return self.tell_late_lookup(&result, fx) };
        let mut addresses = result.as_ref().map_or_else(|_| Vec::new(), Vec::clone);
        if connecting.wants_one() {
            addresses.truncate(1);
        }
        connecting.stage = Stage::Telling { addresses, told: 0 };
        let host = connecting.host().to_owned();
        self.waits_for_hook = false;
        self.touch(cx);
        if let Some(cold) = &mut self.cold {
            cold.late_lookup = None;
        }
        match result {
            Ok(_) => self.tell_next_address(round, cx, fx),
            Err(error) => {
                fx.push(Effect::Lookup(Box::new(Lookup { host, address: Err(error.clone()) })));
                fx.then(Then::ConnectFailed(round, error));
            }
        }
    }

    /// Of one address, Node tells the lookup also when the socket is destroyed by then (HE-26).
    fn tell_late_lookup(&mut self, result: &Result<Vec<IpAddr>>, fx: &mut Effects<C>) {
        let destroyed = self.destroyed();
        let Some(cold) = self.cold.as_mut().filter(|_| destroyed) else { return };
        let address = result.as_ref().map(|addresses| addresses.first().copied());
        let address = address.map_err(Error::clone).transpose();
        if let (Some(host), Some(address)) = (cold.late_lookup.take(), address) {
            fx.push(Effect::Lookup(Box::new(Lookup { host: host.into(), address })));
        }
    }

    /// One address after the other is told, and then they are tried.
    pub(crate) fn tell_next_address(&mut self, round: u32, cx: &Context<'_>, fx: &mut Effects<C>) {
        if !self.connecting() || self.round != round {
            return;
        }
        let Some(connecting) = self.connect_under_way() else { return };
        let (Stage::Telling { addresses, told }, Target::Host(host, port)) =
            (&mut connecting.stage, &connecting.request.target)
        else {
            return;
        };
        if let Some(address) = addresses.get(*told) {
            *told += 1;
            fx.push(Effect::Lookup(Box::new(Lookup { host: host.clone(), address: Ok(*address) })));
            return fx.then(Then::LookupHeard(round));
        }
        let (addresses, port) = (std::mem::take(addresses), *port);
        connecting.race(addresses.into_iter().map(|ip| SocketAddr::new(ip, port)));
        if connecting.has_several() {
            fx.push(Effect::HasSeveralAddresses);
        }
        self.next_attempt(cx, fx);
    }

    /// A connect has failed: if the socket has not begun another, it is destroyed.
    pub(crate) fn connect_has_failed(
        &mut self,
        round: u32,
        error: Error,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) {
        if self.round == round {
            self.destroy(Some(error), false, cx, fx);
        }
    }

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

    /// An attempt has won: the others are closed silently, and the connection is established (CON-05).
    pub fn connected(&mut self, attempt: Attempt, fx: &mut Effects<C>) {
        if self.attempt_target(attempt).is_none() || self.refuse_again(attempt, fx) {
            return;
        }
        let Some(connecting) = self.connect_under_way() else { return };
        for (other, _) in connecting.running() {
            if *other != attempt {
                fx.push(Effect::HangUp(*other));
            }
        }
        fx.then(Then::Won(attempt));
    }

    pub(crate) fn won(&mut self, attempt: Attempt, cx: &Context<'_>, fx: &mut Effects<C>) {
        // Destroyed by what listens to the log.
        if !self.connecting() || self.attempt_target(attempt).is_none() {
            return;
        }
        if let Some(cold) = &mut self.cold {
            cold.connecting = None;
        }
        fx.push(Effect::Take(attempt));
        self.establish(cx, fx);
    }

    /// What is due of a connect by now.
    pub(crate) fn expire_connect(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        let round = self.round;
        let Some(connecting) = self.connect_under_way() else { return };
        if let Some(error) = connecting.is_over(cx.now, cx.policy.words_as_node) {
            return self.destroy(Some(error), false, cx, fx);
        }
        let is_due = connecting.wake().is_some_and(|wake| wake <= cx.now);
        match &mut connecting.stage {
            Stage::Resolving { .. } if is_due => {
                let error = Error::lookup(ErrorCode::ETIMEDOUT.as_str(), connecting.host(), None);
                self.resolved(round, Err(error), cx, fx);
            }
            Stage::Racing(_) if is_due => self.next_attempt(cx, fx),
            Stage::Unix { retry, .. } if is_due => {
                *retry = None;
                let attempt = connecting.running().first().map(|(attempt, _)| *attempt);
                if let Some(attempt) = attempt {
                    fx.push(Effect::Dial(attempt));
                }
            }
            _ => {}
        }
    }

    /// The connection is destroyed: its attempts are forgotten. Node tells one of several as failed (policy
    /// `tells_cancelled_attempt`).
    pub(crate) fn forget_connect(&mut self, policy: &Policy) {
        let connecting = self.cold.as_mut().and_then(|cold| cold.connecting.take());
        let Some(connecting) = connecting.filter(|_| policy.tells_cancelled_attempt) else {
            return;
        };
        if let (true, Some((_, target))) = (connecting.has_several(), connecting.running().first())
        {
            self.cold().cancelled_attempt = Some(target.clone());
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
