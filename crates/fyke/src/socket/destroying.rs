//! Destroying, and the close phase: the end of a connection, whatever its state (DST-01 … DST-19).

use fyke_machine::connection::{Connection, Phase};

use super::{Event, Socket};
use crate::{Error, Result};

/// # Destroying
impl Socket {
    /// Closes the connection now. What was written and fits into the kernel's buffer is sent,
    /// the rest is given up, and nothing is delivered any more; `close` follows. Repeating it does
    /// nothing. Node: `socket.destroy()`.
    pub fn destroy(&self) -> &Self {
        self.tear_down(None, false);
        self
    }

    /// The same with an error: `on_error` gets it, then `close` follows. Node:
    /// `socket.destroy(error)`.
    #[doc(alias = "destroy")]
    pub fn destroy_with(&self, error: Error) -> &Self {
        self.tear_down(Some(error), false);
        self
    }

    /// Ends, and destroys when everything written is sent, without waiting for the peer. Node:
    /// `socket.destroySoon()`.
    #[doc(alias = "destroySoon")]
    pub fn destroy_soon(&self) -> &Self {
        self.step(Connection::destroy_soon);
        self
    }

    /// Closes the connection by TCP's RST: the peer gets ECONNRESET, and what was not yet sent or
    /// read is lost. While connecting, this waits for the connection. A socket that was never
    /// connected is destroyed with `ERR_SOCKET_CLOSED`. Node: `socket.resetAndDestroy()`.
    ///
    /// # Errors
    /// `ERR_INVALID_HANDLE_TYPE` on a Unix socket, which knows no RST; nothing happens then.
    #[doc(alias = "resetAndDestroy")]
    pub fn reset_and_destroy(&self) -> Result<()> {
        self.step(Connection::reset)
    }

    pub(super) fn tear_down(&self, error: Option<Error>, reset: bool) {
        self.step(|machine, cx, fx| machine.destroy(error, reset, cx, fx));
    }

    /// Closes the connection and all attempts at one, and forgets what was to be done for them.
    pub(super) fn release(&self, reset: bool) {
        let (id, plain) = {
            let mut state = self.inner.state.borrow_mut();
            (state.id.take(), state.rare_if_any().is_none())
        };
        if plain && !reset {
            // Nothing else is to be forgotten.
            return self.core().zip(id).map_or((), |(core, id)| core.close(id));
        }
        self.drop_bound();
        let mut connecting = {
            let mut state = self.inner.state.borrow_mut();
            state.rare_if_any_mut().and_then(|rare| rare.connecting.take())
        };
        if let Some(ticket) = connecting.as_mut().and_then(|connecting| connecting.lookup.take()) {
            ticket.cancel();
        }
        let Some(core) = self.core() else { return };
        let attempts = connecting.iter().flat_map(|connecting| connecting.ids());
        for id in id.into_iter().chain(attempts) {
            match reset {
                true => core.reset(id),
                false => core.close(id),
            }
        }
    }

    /// `close` was emitted: lets go of the server, the pipes, and the listeners, so that sockets
    /// which captured each other are freed; unless a listener has connected the socket again.
    pub(super) fn let_go(&self) {
        let signal = {
            let state = self.inner.state.borrow();
            state.rare_if_any().and_then(|rare| rare.signal.clone())
        };
        if let Some(signal) = signal {
            signal.forget(self.place());
        }
        let drops = self.policy().drops_listeners_after_close;
        let (server, keeps, accepted, closed) = {
            let mut state = self.inner.state.borrow_mut();
            if state.phase == Phase::Destroyed {
                // A callback panicked before `close`.
                state.change().phase = Phase::Closed;
            }
            let keeps = state.keeps_listeners || !drops || state.phase != Phase::Closed;
            let closed = state.phase == Phase::Closed;
            (state.let_go_of_server(), keeps, state.accepted, closed)
        };
        drop(server);
        if closed {
            self.drop_pipes();
        }
        if keeps && self.has_closed() {
            // Of a connect that failed.
            self.forget_once(Event::Connect);
        }
        if !keeps {
            self.forget_remote();
            let read_buffer = self.take_sink();
            drop((read_buffer, self.inner.listeners.clear()));
        } else if let (true, Some(core)) = (accepted, self.core()) {
            // Not open any more, and not made by the user: the loop would not free what they captured.
            core.remember(self.downgrade());
        }
    }
}
