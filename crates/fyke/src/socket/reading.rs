//! Receiving.

use fyke_machine::connection::{self, Event};
use fyke_machine::reading::Flow;
use fyke_machine::transitions::Received;

use super::Socket;
use super::listener::Hears;
use super::state::Receiving;
use crate::wiring::Tick;

/// # Reading
impl Socket {
    /// Stops the delivery of data until [`resume`](Self::resume).
    ///
    /// The socket goes on receiving into its own buffer until the high-water mark, and then the
    /// peer has to wait. Paused before the connection stands, nothing is received at all; then
    /// the peer's end goes unnoticed too. Node: `socket.pause()`.
    pub fn pause(&self) -> &Self {
        self.step(|machine, _, fx| machine.pause(fx));
        self
    }

    /// Delivers data again, from the next tick on: first what came meanwhile. Without a listener
    /// for data it is thrown away. Node: `socket.resume()`.
    pub fn resume(&self) -> &Self {
        self.step(|machine, _, fx| machine.resume(fx));
        self
    }

    /// Whether delivery was stopped by [`pause`](Self::pause) or `pause_on_connect`.
    pub fn is_paused(&self) -> bool {
        self.inner.state.borrow().read.flow() == Flow::Paused
    }

    /// Whether data is delivered: none until somebody listens or says. Node: `readableFlowing`.
    #[doc(alias = "readableFlowing")]
    pub fn readable_flowing(&self) -> Option<bool> {
        match self.inner.state.borrow().read.flow() {
            Flow::Undecided => None,
            Flow::Flowing => Some(true),
            Flow::Paused => Some(false),
        }
    }

    /// Bytes that were received and not delivered yet. Node: `readableLength`.
    #[doc(alias = "readableLength")]
    pub fn read_queue_len(&self) -> usize {
        let units = if self.policy().counts_utf16 { self.stored_units() } else { None };
        units.unwrap_or_else(|| self.inner.state.borrow().read.stored_bytes())
    }

    /// Bytes received on this connection, including those not delivered yet. Kept after `close`.
    pub fn bytes_read(&self) -> u64 {
        self.inner.state.borrow().read.bytes_read
    }

    pub(super) fn data_listened(&self) {
        let resumes = self.inner.state.borrow_mut().change().data_listened();
        if resumes {
            self.tick(Tick::Machine(connection::Tick::Resume));
        }
    }

    /// The driver brings bytes.
    #[inline(always)]
    pub(crate) fn receive(&self, bytes: &[u8]) {
        // In the plain lane nothing changes that the loop must know of.
        let plain = self.guarded(|| {
            let plain = self.receive_plain(bytes);
            if !plain {
                self.received(bytes);
            }
            plain
        });
        match plain {
            true => self.flush_after_receiving(),
            false => self.sync(),
        }
    }

    /// In the plain lane: gives the listeners for data what was received. Returns whether it is so; if not,
    /// nothing has changed.
    #[inline(always)]
    fn receive_plain(&self, bytes: &[u8]) -> bool {
        let Some(core) = self.inner.core.get() else { return false };
        if !self.inner.listeners.has_without(Hears::One(Event::Data), Hears::One(Event::Text)) {
            return false;
        }
        let now = core.moment();
        {
            let mut state = self.inner.state.borrow_mut();
            if !state.machine.receive_plain(bytes.len(), now) {
                return false;
            }
            state.receiving = Receiving::Yes;
        }
        self.emit_bytes(bytes);
        true
    }

    #[inline(never)]
    fn received(&self, bytes: &[u8]) {
        match self.ask(|machine, cx, fx| machine.receive(bytes, cx, fx)) {
            Received::Deliver => self.emit_data(bytes),
            Received::Sink => self.give_sink(bytes),
            Received::Done => {}
        }
    }

    pub(super) fn start_receiving(&self) {
        let begins = self.inner.state.borrow_mut().change().begins_to_receive();
        if begins {
            self.receive_start();
        }
    }
}
