//! The lookup of a host: its addresses are reported one by one, and then they are tried.
// HE-02 … HE-04

use std::net::{IpAddr, SocketAddr};

use crate::connection::{
    Connection, Context, Effect, Effects, LookupEvent, Stage, Target, Then, Value,
};
use crate::{Error, Result};

impl<C> Connection<C> {
    pub(super) fn resolve(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        let Some(connecting) = self.connect_under_way() else { return };
        connecting.begin_to_resolve(cx.now);
        let (host, all) = (Box::from(connecting.host()), !connecting.wants_one());
        let has_hook = connecting.request.has_hook;
        self.waits_for_hook = has_hook && !cx.policy.watches_lookup_hooks;
        if cx.policy.reports_late_lookup && !all {
            self.cold().late_lookup = Some(Box::clone(&host));
        }
        fx.push(Effect::Resolve { host, all });
    }

    /// The lookup of the connect with this [number](Self::round), which may be an earlier one, was
    /// answered. The result is reported on the tick, so that no callback runs inside the call of a hook;
    /// with `inside`, before this returns.
    // HE-04
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
            self.report_later(Value::Lookup(round, result), fx);
        }
    }

    /// The addresses of the host are known, or the error.
    // HE-02, HE-03
    pub(crate) fn resolved(
        &mut self,
        round: u32,
        result: Result<Vec<IpAddr>>,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) {
        // The answer belongs to an earlier connect of this socket.
        if self.round != round {
            return;
        }
        let connecting = self.connect_under_way();
        let waits =
            connecting.filter(|connecting| matches!(connecting.stage, Stage::Resolving { .. }));
        // If the socket was destroyed in the meantime, nothing more is reported (HE-26). A second answer is
        // ignored.
        let Some(connecting) = waits else { return self.report_late_lookup(&result, fx) };
        let mut addresses = result.as_ref().map_or_else(|_| Vec::new(), Vec::clone);
        if connecting.wants_one() {
            addresses.truncate(1);
        }
        connecting.stage = Stage::Reporting { addresses, reported: 0 };
        let host = connecting.host().to_owned();
        self.waits_for_hook = false;
        self.touch(cx);
        if let Some(cold) = &mut self.cold {
            cold.late_lookup = None;
        }
        match result {
            Ok(_) => self.report_next_address(round, cx, fx),
            Err(error) => {
                fx.push(Effect::Lookup(Box::new(LookupEvent {
                    host,
                    address: Err(error.clone()),
                })));
                fx.then(Then::ConnectFailed(round, error));
            }
        }
    }

    /// For a lookup of one address, Node reports the result even if the socket is already destroyed.
    // HE-26
    fn report_late_lookup(&mut self, result: &Result<Vec<IpAddr>>, fx: &mut Effects<C>) {
        let destroyed = self.destroyed();
        let Some(cold) = self.cold.as_mut().filter(|_| destroyed) else { return };
        let address = result.as_ref().map(|addresses| addresses.first().copied());
        let address = address.map_err(Error::clone).transpose();
        if let (Some(host), Some(address)) = (cold.late_lookup.take(), address) {
            fx.push(Effect::Lookup(Box::new(LookupEvent { host: host.into(), address })));
        }
    }

    /// Reports one address after the other, and then tries them.
    pub(crate) fn report_next_address(
        &mut self,
        round: u32,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) {
        if self.round != round {
            return;
        }
        let Some(connecting) = self.connect_under_way() else { return };
        let (Stage::Reporting { addresses, reported }, Target::Host(host, port)) =
            (&mut connecting.stage, &connecting.request.target)
        else {
            return;
        };
        if let Some(address) = addresses.get(*reported) {
            *reported += 1;
            fx.push(Effect::Lookup(Box::new(LookupEvent {
                host: host.clone(),
                address: Ok(*address),
            })));
            return fx.then(Then::LookupHeard(round));
        }
        let (addresses, port) = (std::mem::take(addresses), *port);
        connecting.race(addresses.into_iter().map(|ip| SocketAddr::new(ip, port)));
        if connecting.has_several() {
            fx.push(Effect::HasSeveralAddresses);
        }
        self.next_attempt(cx, fx);
    }
}
