//! Deadlines that close: fyke's own, beside Node's idle timeout, which only notifies. The timers
//! hold the socket weakly and not the loop: a deadline keeps nothing alive.

use std::time::Duration;

use super::Socket;
use super::attempts::Place;
use crate::runtime::{TimerCallback, TimerId};
use crate::wiring::Core;
use crate::{Error, ErrorCode};
use fyke_machine::connection::Connection;
use fyke_machine::error::MakeError;

impl Socket {
    /// Has the loop wake this socket when its machine wants it, and no longer if it does not.
    pub(super) fn sync_wake(&self, core: &Core) {
        let mut state = self.inner.state.borrow_mut();
        let wish = state.machine.wake();
        let set = state.rare_if_any().and_then(|rare| rare.wake);
        let is_in_line = match (wish, set) {
            (None, None) => true,
            // One that comes too early is set again then: so no timer is moved for each batch.
            (Some(wish), Some((at, _))) => at <= wish,
            (None, Some(_)) | (Some(_), None) => false,
        };
        if is_in_line {
            return;
        }
        if let Some((_, timer)) = set {
            core.cancel_timer(timer);
        }
        let timer = wish.map(|at| (at, core.set_wake(at.into(), self.downgrade())));
        state.rare().wake = timer;
        state.tidy();
    }

    /// The time that the machine has asked for has come.
    pub(super) fn wake(&self) {
        if let Some(rare) = self.inner.state.borrow_mut().rare_if_any_mut() {
            rare.wake = None;
        }
        self.guarded(|| self.ask(Connection::expire));
        self.sync();
        self.inner.state.borrow_mut().tidy();
    }

    /// Gives the whole connect a time limit.
    pub(super) fn limit_connect(&self, timeout: Option<Duration>) {
        let Some(timeout) = timeout else { return };
        let weak = self.downgrade();
        let check = move || {
            let Some(socket) = weak.upgrade().map(Self::from_inner) else { return };
            if socket.connecting() {
                let error = Error::named(ErrorCode::ETIMEDOUT, "connect");
                let place = socket.with_connecting(|connecting| connecting.place());
                socket.destroy_with(match place {
                    Some(Place::Address(address)) => {
                        error.at(address, socket.policy().words_as_node)
                    }
                    Some(Place::Host(host)) => error.with_host(host),
                    None => error,
                });
            }
        };
        let timer = self.set_deadline(timeout, Box::new(check));
        self.with_connecting(|connecting| connecting.connect_timer = timer);
    }

    /// Gives the lookup a time limit: after it the answer is that there was none in time.
    pub(super) fn limit_lookup(&self, round: u32, host: &str) {
        let timeout = self.with_connecting(|connecting| connecting.options.lookup_timeout);
        let Some(Some(timeout)) = timeout else { return };
        let (weak, host) = (self.downgrade(), host.to_owned());
        let check = move || {
            let Some(socket) = weak.upgrade().map(Self::from_inner) else { return };
            let error = Error::lookup(ErrorCode::ETIMEDOUT.as_str(), &host, None);
            socket.guarded(|| socket.resolved(round, &Err(error)));
        };
        let timer = self.set_deadline(timeout, Box::new(check));
        self.with_connecting(|connecting| connecting.lookup_timer = timer);
    }

    fn set_deadline(&self, timeout: Duration, callback: TimerCallback) -> Option<TimerId> {
        let core = self.core()?;
        let timer = core.set_timer(core.now().saturating_add(timeout), None, callback);
        core.refer_timer(timer, false);
        Some(timer)
    }
}
