//! The one timer of a socket, beside its idle timeout: for the steps of a connect and for what may take too long.
//! It holds the socket weakly and not the loop: a deadline keeps nothing alive.

use fyke_machine::connection::Connection;

use super::Socket;
use crate::wiring::Core;

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
}
