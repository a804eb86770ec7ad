//! The short way of the end that most accepted connections come to: the peer has ended, everything
//! was given and sent, and nobody is there to see the steps in between.

use std::rc::Rc;

use super::phase::Phase;
use super::state::State;
use super::{Event, Gone, Socket};

/// Events between a peer's end and the close phase, and those that make the way there longer.
const SEEN_AT_THE_END: [Event; 8] = [
    Event::Text,
    Event::Readable,
    Event::End,
    Event::Prefinish,
    Event::Finish,
    Event::Unpipe,
    Event::Gone,
    Event::Close,
];

impl Socket {
    /// The peer has ended. Goes from there to the close phase in one step if no listener and no handle
    /// of the user's could tell that from `end`, the end of our side, `finish` and `destroy`, one after
    /// the other (END-06, END-13). Says whether it was so; if not, nothing has changed.
    pub(super) fn ended_plainly(&self) -> bool {
        let Some(core) = self.core().filter(|core| !core.node_exact) else { return false };
        // The loop's handle, and that of who brings the news.
        let unknown = Rc::strong_count(&self.inner) == 2;
        if !unknown || self.inner.listeners.has_any(&SEEN_AT_THE_END) || core.has_ticks() {
            return false;
        }
        let (id, server, peer, gone) = {
            let mut state = self.inner.state.borrow_mut();
            if !state.has_nothing_left() {
                return false;
            }
            let (Some(id), Some(server)) = (state.id.take(), state.server()) else {
                return false;
            };
            state.phase = Phase::Destroyed;
            state.idle.turn_off();
            state.read.clear();
            (id, server, state.peer.address(), state.idle.draining.then_some(Gone::Ended))
        };
        core.close(id);
        core.push_closing(self.actor(), None);
        server.connection_gone(peer, gone);
        true
    }
}

impl State {
    /// A connection of a server's in its usual state, with nothing to give or to send.
    fn has_nothing_left(&self) -> bool {
        let usual = self.connected().is_some() && self.rare_if_any().is_none();
        usual
            && self.origin.is_some()
            && !self.allow_half_open
            && self.read.passes_on()
            && self.write.is_clear()
            // Told to end, and not yet shut down: that comes in a turn of its own.
            && self.write.ending == self.write.finished
    }
}
