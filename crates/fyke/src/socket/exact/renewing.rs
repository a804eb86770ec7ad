//! `connect` between `destroy` and `close`: Node makes the socket a new one, and what the old one owes
//! is still told (CON-17).

use std::collections::VecDeque;

use crate::socket::Socket;
use crate::socket::callback::Done;
use crate::socket::phase::Phase;
use crate::wiring::{Deferred, Tick};
use crate::{Error, ErrorCode, Result};

/// What is still to be told of connections before the last connect.
#[derive(Default)]
pub(in crate::socket) struct Owed {
    /// Each one's `close`, with whether it ended by an error.
    closes: VecDeque<bool>,
    /// Callbacks of writes, on the next tick.
    callbacks: VecDeque<(Done, Result<()>)>,
    /// Callbacks of writes that were in flight or behind one: with the next `close`.
    cancelled: VecDeque<Done>,
    /// What `read` has taken on this connection, to be given to the listeners for data on the tick (on
    /// all loops).
    pub(in crate::socket) taken: VecDeque<Vec<u8>>,
}

impl Socket {
    /// The socket is connected again, and its old `close` is still to come.
    pub(in crate::socket) fn renew_before_close(&self) {
        let is_closing = self.core().is_some_and(|core| core.is_closing(self.place()));
        let before = {
            let mut state = self.inner.state.borrow_mut();
            if state.phase != Phase::Destroyed {
                return;
            }
            let had_error = state.had_error;
            let in_flight = state.write.in_flight_bytes() > 0 && is_closing;
            let done = state.write.done_and_not_told().unwrap_or(0);
            let mut owed = state.rare().owed.take().unwrap_or_default();
            owed.taken.clear();
            owed.closes.push_back(had_error);
            while let Some(callback) = state.write.next_callback(done) {
                owed.callbacks.push_back((callback, Ok(())));
            }
            while let Some(callback) = state.write.next_callback(u64::MAX) {
                if in_flight {
                    owed.cancelled.push_back(callback);
                } else {
                    let code = ErrorCode::ERR_STREAM_DESTROYED;
                    let error = Error::new(code, "the socket was destroyed");
                    owed.callbacks.push_back((callback, Err(error)));
                }
            }
            let bytes = state.write.give_up_queue();
            let renewed = state.renew(true);
            state.rare().owed = Some(owed);
            state.rare().end_is_lost = true;
            (bytes, renewed)
        };
        drop(before);
        // Often one is on the queue already, and comes at its place.
        self.tick(Tick::Owed);
    }

    /// Calls the callbacks of writes on connections before this one.
    pub(in crate::socket) fn tell_owed(&self) {
        while let Some((callback, result)) = self.take_owed(|owed| owed.callbacks.pop_front()) {
            callback(self, result);
        }
    }

    /// Emits the `close` of a connection before this one, if one is owed. Returns whether it was. What
    /// was in flight on it ends the new connection too, as in Node.
    pub(in crate::socket) fn close_before_this(&self, cancelled: Option<Error>) -> bool {
        let Some(had_error) = self.take_owed(|owed| owed.closes.pop_front()) else { return false };
        let server = self.inner.state.borrow_mut().let_go_of_server(true);
        drop(server);
        self.tell_owed();
        let error = cancelled.unwrap_or_else(|| Error::named(ErrorCode::ECANCELED, "write"));
        let mut any = false;
        while let Some(callback) = self.take_owed(|owed| owed.cancelled.pop_front()) {
            any = true;
            callback(self, Err(error.clone()));
        }
        match self.core().filter(|_| any) {
            Some(core) => {
                self.destroy_with(error);
                let socket = self.clone();
                let close = move || socket.guarded(|| socket.emit_close(had_error));
                core.push_tick(Deferred::Call(Box::new(close)));
            }
            None => self.emit_close(had_error),
        }
        true
    }

    fn take_owed<T>(&self, take: impl FnOnce(&mut Owed) -> Option<T>) -> Option<T> {
        take(self.inner.state.borrow_mut().rare_if_any_mut()?.owed.as_mut()?)
    }

    /// The loop is gone: what was owed is dropped where nothing is borrowed.
    pub(in crate::socket) fn forget_owed(&self) {
        let owed = self.inner.state.borrow_mut().rare_if_any_mut().map(|rare| rare.owed.take());
        drop(owed);
    }
}
