//! A connect as a whole: its start, its time limit, and the attempt that wins.

use crate::connection::{
    Attempt, Connecting, Connection, Context, Effect, Effects, Phase, Request, Stage, Target, Then,
    Tick, When,
};
use crate::error::MakeError;
use crate::{Error, ErrorCode, Policy, Result};

impl<C> Connection<C> {
    /// Checks whether a connect may begin.
    ///
    /// # Errors
    /// - `EALREADY` while connecting.
    /// - `EISCONN` while connected.
    /// - `ERR_SOCKET_CLOSED` between `destroy` and `close`.
    pub fn check_connect(&self, policy: &Policy) -> Result<()> {
        let (code, message) = match self.phase {
            Phase::Fresh | Phase::Closed => return Ok(()),
            Phase::Connecting | Phase::Reopening => {
                (ErrorCode::EALREADY, "the socket is already connecting")
            }
            Phase::Failing | Phase::Open => (ErrorCode::EISCONN, "the socket is already connected"),
            Phase::Destroyed if policy.connects_before_close => return Ok(()),
            Phase::Destroyed => (
                ErrorCode::ERR_SOCKET_CLOSED,
                "the socket is closing; connect again after `close` is emitted",
            ),
        };
        Err(Error::new(code, message))
    }

    /// Begins a connect on a socket without a connection. A result that is known at once is reported on the
    /// tick, or with `inside` before this returns. With `is_closing`, an owed `close` is emitted in the
    /// close phase, and not on the tick.
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
        // For an IP address nothing is known at once (CON-03, CON-04, HE-04).
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

    /// A connect has failed: destroys the socket, unless it has begun another connect.
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

    /// An attempt has won: the others are closed without an event, and the connection is established.
    // CON-05
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
        // A listener of the log has destroyed the connection.
        if !self.connecting() || self.attempt_target(attempt).is_none() {
            return;
        }
        if let Some(cold) = &mut self.cold {
            cold.connecting = None;
        }
        fx.push(Effect::Take(attempt));
        self.establish(cx, fx);
    }

    /// Handles the time limits of a connect that have passed.
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

    /// The connection is destroyed: forgets its attempts. Node reports one of several as failed (policy
    /// `reports_cancelled_attempt`).
    pub(crate) fn forget_connect(&mut self, policy: &Policy) {
        let connecting = self.cold.as_mut().and_then(|cold| cold.connecting.take());
        let Some(connecting) = connecting.filter(|_| policy.reports_cancelled_attempt) else {
            return;
        };
        if let (true, Some((_, target))) = (connecting.has_several(), connecting.running().first())
        {
            self.cold().cancelled_attempt = Some(target.clone());
        }
    }
}
