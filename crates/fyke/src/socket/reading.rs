//! Receiving: what the loop does for [`ReadSide`](super::read_side::ReadSide).

use super::phase::Phase;
use super::read_side::{Arrival, Flow};
use super::state::Rare;
use super::{Event, Socket};
use crate::Error;
use crate::wiring::Tick;

/// # Reading
impl Socket {
    /// Stops the delivery of data until [`resume`](Self::resume).
    ///
    /// The socket goes on receiving into its own buffer until the high-water mark, and then the
    /// peer has to wait. Paused before the connection stands, nothing is received at all; then
    /// the peer's end goes unnoticed too. Node: `socket.pause()`.
    pub fn pause(&self) -> &Self {
        let receiving = {
            let mut state = self.inner.state.borrow_mut();
            if state.destroyed() {
                return self;
            }
            state.read.pause();
            state.read.receiving
        };
        if receiving && self.has_read_buffer() {
            // Nothing is kept in this mode, so receiving stops at once (RD-24).
            self.stop_receiving();
            self.sync_hold();
        }
        self
    }

    /// Delivers data again, from the next tick on: first what came meanwhile. Without a listener
    /// for data it is thrown away. Node: `socket.resume()`.
    pub fn resume(&self) -> &Self {
        let released = self.release_read_buffer();
        let schedule = {
            let mut state = self.inner.state.borrow_mut();
            !state.destroyed() && (state.read.resume() || released)
        };
        if schedule {
            self.tick(Tick::Resume);
        }
        self
    }

    /// Whether delivery was stopped by [`pause`](Self::pause) or `pause_on_connect`.
    pub fn is_paused(&self) -> bool {
        self.inner.state.borrow().read.flow() == Flow::Paused
    }

    /// Whether data is delivered: none until somebody listens or says. Node: `readableFlowing`.
    pub fn readable_flowing(&self) -> Option<bool> {
        match self.inner.state.borrow().read.flow() {
            Flow::Undecided => None,
            Flow::Flowing => Some(true),
            Flow::Paused => Some(false),
        }
    }

    /// Bytes that were received and not delivered yet. Node: `readableLength`.
    pub fn read_queue_len(&self) -> usize {
        let units = if self.node_exact() { self.kept_units() } else { None };
        units.unwrap_or_else(|| self.inner.state.borrow().read.kept_bytes())
    }

    /// Bytes received on this connection, including those not delivered yet. Kept after `close`.
    pub fn bytes_read(&self) -> u64 {
        self.inner.state.borrow().read.bytes_read
    }

    pub(super) fn data_listened(&self) {
        let schedule = {
            let mut state = self.inner.state.borrow_mut();
            !state.destroyed() && state.read.listened()
        };
        if schedule {
            self.tick(Tick::Resume);
        }
    }

    /// The tick of `resume`: delivers what is kept, and receives again.
    pub(super) fn run_resume(&self) {
        self.inner.state.borrow_mut().read.begin_resume();
        if self.has_read_buffer() {
            if !self.is_paused() {
                self.feed_kept();
            }
            if !self.is_paused() && !self.is_read_buffer_held() {
                self.receive_on_demand();
            }
            return;
        }
        self.deliver_kept();
        // `read_exact` may have taken the last bytes, without looking further.
        let ended = self.inner.state.borrow_mut().read.taken();
        if ended {
            self.tick(Tick::End);
        }
        if self.fail_if_delivered(false) && self.destroyed() {
            return;
        }
        self.receive_on_demand();
        // What waited was thrown away, and it was all that kept an idle socket from being ended.
        self.end_if_idle();
    }

    /// Somebody asks for bytes: now, or as soon as the connection stands.
    pub(super) fn receive_on_demand(&self) {
        {
            let mut state = self.inner.state.borrow_mut();
            if state.connecting {
                state.read.want_on_connect();
            }
        }
        self.start_receiving();
    }

    fn deliver_kept(&self) {
        loop {
            self.emit_taken();
            let has_listener = self.has_data_listener();
            let (chunk, ended) = {
                let mut state = self.inner.state.borrow_mut();
                let Some(chunk) = state.read.next_kept() else { return };
                state.idle.declared &= !has_listener;
                (chunk, state.read.taken())
            };
            if ended {
                self.tick(Tick::End);
            }
            self.emit_data(&chunk);
        }
    }

    /// Receives if the connection stands and there is room.
    pub(super) fn start_receiving(&self) {
        if self.has_read_buffer() && self.is_paused() {
            // Nothing is kept in this mode (RD-24).
            return;
        }
        let id = {
            let mut state = self.inner.state.borrow_mut();
            let Some(id) = state.connected() else { return };
            let over = state.rare_if_any().is_some_and(Rare::has_received_all);
            if over || state.read.receiving || !state.read.has_room() {
                return;
            }
            state.read.receiving = true;
            id
        };
        let Some(core) = self.core() else { return };
        if let Err(source) = core.driver.receive_start(id) {
            self.fail(Error::system("read", source));
        }
    }

    /// The short way for what comes most: bytes for those who listen, on a connection in its usual
    /// state. Says whether it was that; if not, nothing was given to anybody.
    pub(super) fn received_plainly(&self, bytes: &[u8]) -> bool {
        let Some(core) = self.core() else { return false };
        if !self.inner.listeners.has_without(Event::Data, Event::Text) {
            return false;
        }
        {
            let mut state = self.inner.state.borrow_mut();
            let usual = state.phase == Phase::Live && state.rare_if_any().is_none();
            if !usual || core.node_exact || !state.read.passes_on() {
                return false;
            }
            if state.idle.note_activity(core.moment()) {
                return false;
            }
            state.read.count(bytes.len());
            state.idle.declared = false;
        }
        self.emit_bytes(bytes);
        true
    }

    pub(super) fn received(&self, bytes: &[u8]) {
        self.touch();
        if self.has_read_buffer() {
            self.inner.state.borrow_mut().idle.declared = false;
            return self.feed(bytes);
        }
        let has_listener = self.has_data_listener();
        let arrival = {
            let mut state = self.inner.state.borrow_mut();
            if state.phase != Phase::Live {
                return;
            }
            let arrival = state.read.received(bytes, has_listener);
            // Of what is thrown away nobody knows.
            state.idle.declared &= matches!(arrival, Arrival::Discard);
            arrival
        };
        match arrival {
            Arrival::Deliver => {
                self.emit_taken();
                self.emit_data(bytes);
            }
            Arrival::Discard => {}
            Arrival::Kept { stop } => {
                self.kept_more();
                if stop {
                    self.stop_receiving();
                }
            }
        }
    }

    pub(super) fn stop_receiving(&self) {
        let id = {
            let mut state = self.inner.state.borrow_mut();
            state.read.receiving = false;
            state.id
        };
        if let (Some(core), Some(id)) = (self.core(), id) {
            core.driver.receive_stop(id);
        }
    }

    pub(super) fn end_of_stream(&self) {
        self.touch();
        if self.fail_if_delivered(true) {
            return;
        }
        let (due, readable) = {
            let mut state = self.inner.state.borrow_mut();
            (state.read.end_of_stream(), state.read.is_readable_listening())
        };
        if readable {
            // In the same callback, before `end` (RD-12).
            self.run_readable();
        }
        if due {
            self.tick_now(Tick::End);
        }
    }

    /// The tick of `end` (END-06): one tick later the socket ends itself, unless it may stay half
    /// open.
    pub(super) fn run_end(&self) {
        self.emit_taken();
        {
            let mut state = self.inner.state.borrow_mut();
            if state.phase != Phase::Live || state.has_failed() || !state.read.take_end() {
                return;
            }
        }
        self.finish_text();
        self.emit(Event::End);
        let (ends_itself, both_done) = {
            let state = self.inner.state.borrow();
            (state.writable() && !state.allow_half_open, state.write.finished)
        };
        if ends_itself {
            self.tick_now(Tick::EndItself);
        } else if both_done {
            self.destroy();
        }
    }

    pub(super) fn run_end_itself(&self) {
        if self.inner.state.borrow().writable() {
            self.end();
        }
    }
}
