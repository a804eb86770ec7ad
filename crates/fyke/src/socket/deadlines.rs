//! Deadlines that close: fyke's own, beside Node's idle timeout, which only notifies. The timers
//! hold the socket weakly and not the loop: a deadline keeps nothing alive.

use std::rc::Weak;
use std::time::Duration;

use super::attempts::Place;
use super::{Inner, Socket};
use crate::runtime::{TimerCallback, TimerId};
use crate::{Error, ErrorCode};
use fyke_machine::error::MakeError;

/// Watches that a write gets on.
#[derive(Debug)]
pub(super) struct Stall {
    timeout: Duration,
    timer: Option<TimerId>,
    /// What had been sent when the timer was set. What is still to be sent would not do: the next
    /// batch may have come to the same number.
    sent_bytes: u64,
}

impl Stall {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, timer: None, sent_bytes: 0 }
    }
}

impl Socket {
    /// Begins to watch that the batch in flight gets on, if that was asked for.
    pub(super) fn watch_write(&self) {
        let timeout = {
            let mut state = self.inner.state.borrow_mut();
            if state.write.unsent_bytes() == 0 {
                return;
            }
            let stall = state.stall();
            let Some(stall) = stall.filter(|stall| stall.timer.is_none()) else { return };
            stall.timeout
        };
        let weak = self.downgrade();
        let timer = self.set_deadline(timeout, Box::new(move || Self::check_write(&weak)));
        let mut state = self.inner.state.borrow_mut();
        let sent_bytes = state.write.sent_bytes();
        if let Some(stall) = state.rare_if_any_mut().and_then(|rare| rare.stall.as_mut()) {
            stall.sent_bytes = sent_bytes;
            stall.timer = timer;
        }
    }

    /// The time is over: the write has got on, and is watched again, or it has not.
    fn check_write(socket: &Weak<Inner>) {
        let Some(socket) = socket.upgrade().map(Self::from_inner) else { return };
        let stalled = {
            let mut state = socket.inner.state.borrow_mut();
            let waits = state.write.unsent_bytes() > 0;
            let sent_bytes = state.write.sent_bytes();
            let live = !state.destroyed();
            let stall = state.rare_if_any_mut().and_then(|rare| rare.stall.as_mut());
            stall.is_some_and(|stall| {
                stall.timer = None;
                live && waits && sent_bytes == stall.sent_bytes
            })
        };
        if stalled {
            let message = "the peer took nothing of what was written";
            let error = Error::new(ErrorCode::ERR_WRITE_STALLED, message);
            socket.step(|machine, cx, fx| machine.fail(error, cx, fx));
        } else {
            socket.watch_write();
        }
    }

    /// Gives the whole connect a time limit.
    pub(super) fn limit_connect(&self, timeout: Option<Duration>) {
        let Some(timeout) = timeout else { return };
        let weak = self.downgrade();
        let check = move || {
            let Some(socket) = weak.upgrade().map(Self::from_inner) else { return };
            if socket.is_connecting() {
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

    /// The socket is destroyed: its writes are watched no longer.
    pub(super) fn stop_watching_writes(&self) {
        let timer = {
            let mut state = self.inner.state.borrow_mut();
            let stall = state.rare_if_any_mut().and_then(|rare| rare.stall.as_mut());
            stall.and_then(|stall| stall.timer.take())
        };
        if let (Some(core), Some(timer)) = (self.core(), timer) {
            core.cancel_timer(timer);
        }
    }
}
