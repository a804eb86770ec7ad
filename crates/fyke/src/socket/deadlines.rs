//! The timer of a socket, apart from its idle timeout: for the steps of a connect and for deadlines. It has
//! a weak reference to the socket and does not hold the loop, so a deadline keeps nothing alive.

use fyke_machine::connection::Connection;

use super::Socket;
use super::state::State;
use crate::wiring::Core;

impl Socket {
    /// Sets the timer to the time that the state machine requests, or cancels it if none is requested.
    pub(super) fn sync_wake(&self, core: &Core, state: &mut State<Self>) {
        let wish = state.machine.wake();
        let set = state.rare_if_any().and_then(|rare| rare.wake);
        let is_in_line = match (wish, set) {
            (None, None) => true,
            // A timer that expires too early is set again then, so that no timer is moved for each batch.
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

    /// Called by the loop at the time that the state machine requested.
    pub(super) fn wake(&self) {
        if let Some(rare) = self.inner.state.borrow_mut().rare_if_any_mut() {
            rare.wake = None;
        }
        self.guarded(|| self.ask(Connection::expire));
        self.sync();
        self.inner.state.borrow_mut().tidy();
    }
}
