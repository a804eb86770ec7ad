//! The receiving half of a socket as a state machine: no descriptor, no clock, no callback.
//!
//! ```text
//!            on_data, resume              pause
//! Undecided ────────────────▶ Flowing ◀────────▶ Paused
//!      └──────────── pause ────────────────────────▲  (resume)
//! ```
//!
//! While `Flowing`, bytes are passed directly to the listeners. Otherwise they are stored, and when
//! `high_water_mark_bytes` are stored, receiving stops until they are taken.
// RD-01, RD-03, RD-06

mod stored;

use stored::Stored;

/// Whether data is delivered. Node: `readableFlowing`, with the values null, true and false.
// RD-04.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Before the first listener, `pause` or `resume`.
    Undecided,
    /// Data is delivered when it is received.
    Flowing,
    /// Data is stored until `resume`.
    Paused,
}

/// The state of the source of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The socket was made without a receiving side. This counts as ended, without the event.
    // FD-04.
    Off,
    /// The driver is not receiving.
    Stopped,
    /// The driver is receiving.
    Receiving,
    /// End-of-stream was received.
    Ended,
}

/// The progress of the `end` event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndEvent {
    NotDue,
    /// Deferred to the tick.
    Deferred,
    /// Emitted to the listeners.
    Emitted,
}

/// The single consumer of everything that is received. It replaces the data listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// No consumer was set.
    Absent,
    /// It accepts the received bytes.
    Taking,
    /// It has asked to stop, until `resume`.
    Stopped,
    /// It asks for the bytes itself, see `transitions/pull.rs`.
    Pulled,
}

/// What to do with received bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Pass them to the listeners now.
    Deliver,
    /// Discard them: data is flowing without a listener, as in Node.
    // RD-13.
    Discard,
    /// The bytes were stored.
    Stored {
        /// The high-water mark is reached: stop receiving.
        stop: bool,
    },
}

/// The receiving side of a socket, see the module's documentation.
#[derive(Debug)]
pub struct ReadSide {
    flow: Flow,
    /// A turn of `resume` is deferred to the tick.
    resume_deferred: bool,
    /// A turn of `resume` ran before the connection was established. As in Node, it requests bytes even if
    /// the socket was paused again since then.
    wanted_on_connect: bool,
    source: Source,
    end: EndEvent,
    /// Bytes that were received and not delivered. `None` if there are none, so that an idle socket uses no
    /// buffer.
    // Contract C7
    stored: Option<Box<Stored>>,
    /// `readable` has a listener, which takes the bytes with `read`.
    // RD-12.
    readable_listening: bool,
    /// `readable` must be emitted when bytes are received.
    need_readable: bool,
    /// `readable` is deferred to the tick, or was emitted and `read` was not called since then.
    readable_emitted: bool,
    high_water_mark_bytes: u32,
    /// Bytes received on this connection.
    pub bytes_read: u64,
    /// Whether any data was delivered.
    pub did_read: bool,
}

impl ReadSide {
    /// Makes a receiving side without listeners.
    pub fn new(high_water_mark_bytes: u32) -> Self {
        Self {
            flow: Flow::Undecided,
            resume_deferred: false,
            wanted_on_connect: false,
            source: Source::Stopped,
            end: EndEvent::NotDue,
            stored: None,
            readable_listening: false,
            need_readable: false,
            readable_emitted: false,
            high_water_mark_bytes,
            bytes_read: 0,
            did_read: false,
        }
    }

    /// The receiving side for the next connection of the socket. The flow is kept, and everything else is
    /// reset. With `rearms`, a `readable` listener also requests the bytes of the next connection.
    // CON-16.
    pub fn renewed(&self, rearms: bool) -> Self {
        let listening = self.readable_listening;
        let mut renewed = Self {
            wanted_on_connect: listening && rearms,
            flow: self.flow,
            readable_listening: listening,
            need_readable: listening,
            ..Self::new(self.high_water_mark_bytes)
        };
        if self.source == Source::Off {
            renewed.disable();
        }
        renewed
    }

    /// Makes the socket never read.
    // FD-04.
    pub fn disable(&mut self) {
        self.source = Source::Off;
        self.end = EndEvent::Emitted;
    }

    /// Whether the peer has ended its side, as far as we know.
    pub fn has_ended(&self) -> bool {
        self.source == Source::Ended
    }

    /// Whether `end` was emitted, or there is no receiving side.
    pub fn has_emitted_end(&self) -> bool {
        self.end == EndEvent::Emitted
    }

    /// Whether the driver is receiving.
    #[inline]
    pub fn is_receiving(&self) -> bool {
        self.source == Source::Receiving
    }

    /// Whether the driver must start receiving now: there is room, and it is not receiving yet.
    pub(crate) fn begin_receiving(&mut self) -> bool {
        let begins = self.source == Source::Stopped && self.has_room();
        if begins {
            self.source = Source::Receiving;
        }
        begins
    }

    /// The driver stops receiving.
    pub(crate) fn stop_receiving(&mut self) {
        if self.source == Source::Receiving {
            self.source = Source::Stopped;
        }
    }

    /// Whether data is delivered.
    pub fn flow(&self) -> Flow {
        self.flow
    }

    /// Whether delivery was stopped.
    pub fn is_paused(&self) -> bool {
        self.flow == Flow::Paused
    }

    /// Whether data is delivered.
    pub fn is_flowing(&self) -> bool {
        self.flow == Flow::Flowing
    }

    /// The number of bytes that were received and not delivered.
    pub fn stored_bytes(&self) -> usize {
        self.stored.as_ref().map_or(0, |stored| stored.len())
    }

    fn high_water_mark_bytes(&self) -> usize {
        self.high_water_mark_bytes as usize
    }

    /// Whether received bytes are passed on at once.
    pub fn passes_on(&self) -> bool {
        self.flow == Flow::Flowing && self.stored.is_none()
    }

    /// Handles received bytes.
    pub fn received(&mut self, bytes: &[u8], has_listener: bool) -> Arrival {
        self.bytes_read += bytes.len() as u64;
        if self.passes_on() {
            self.did_read = true;
            return if has_listener { Arrival::Deliver } else { Arrival::Discard };
        }
        let stored = self.stored.get_or_insert_default();
        stored.push(bytes);
        Arrival::Stored { stop: stored.len() >= self.high_water_mark_bytes() }
    }

    /// Counts bytes as delivered.
    pub fn count(&mut self, bytes: usize) {
        self.bytes_read += bytes as u64;
        self.did_read = true;
    }

    /// Stores bytes that were not delivered and are not counted yet.
    pub fn store(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.stored.get_or_insert_default().push(bytes);
        }
    }

    /// Returns a copy of all stored bytes as one piece.
    pub fn copy_stored(&self) -> Vec<u8> {
        self.stored.as_ref().map_or_else(Vec::new, |stored| stored.copy())
    }

    /// Takes the next stored bytes, at most `max`.
    pub fn take_stored(&mut self, max: usize) -> Option<Vec<u8>> {
        let taken = self.stored.as_mut()?.take(max);
        self.drop_if_empty();
        Some(taken)
    }

    /// The peer has ended. Returns whether `end` must be deferred: only once, and not while bytes are
    /// stored.
    // RD-18.
    pub fn end_of_stream(&mut self) -> bool {
        if self.source != Source::Off {
            self.source = Source::Ended;
        }
        self.defer_end()
    }

    fn defer_end(&mut self) -> bool {
        let due = self.has_ended() && self.stored.is_none() && self.end == EndEvent::NotDue;
        if due {
            self.end = EndEvent::Deferred;
        }
        due
    }

    /// Returns whether `end` may be emitted now, and marks it as emitted.
    pub fn take_end(&mut self) -> bool {
        if self.has_emitted_end() {
            return false;
        }
        let due = self.has_ended() && self.stored.is_none();
        // If bytes were put back after `end` was deferred, it is due again when they are taken.
        self.end = if due { EndEvent::Emitted } else { EndEvent::NotDue };
        due
    }

    /// Starts the flow. Returns whether a turn of `resume` must be deferred.
    pub fn resume(&mut self) -> bool {
        if self.flow == Flow::Flowing {
            return false;
        }
        // A `readable` listener controls the flow (RD-12).
        self.flow = if self.readable_listening { Flow::Paused } else { Flow::Flowing };
        !std::mem::replace(&mut self.resume_deferred, true)
    }

    /// A data listener was added: the flow starts, unless it was paused explicitly.
    // RD-04.
    pub fn listened(&mut self) -> bool {
        self.flow == Flow::Undecided && self.resume()
    }

    /// Stops delivery.
    pub fn pause(&mut self) {
        self.flow = Flow::Paused;
    }

    /// Marks the deferred turn of `resume` as running.
    pub fn begin_resume(&mut self) {
        self.resume_deferred = false;
    }

    /// Takes the next stored bytes while data is flowing.
    pub fn next_stored(&mut self) -> Option<Vec<u8>> {
        if self.flow != Flow::Flowing {
            return None;
        }
        let chunk = self.stored.as_mut()?.pop()?;
        self.did_read = true;
        self.drop_if_empty();
        Some(chunk)
    }

    /// Called after bytes were taken. Returns whether `end` must be deferred.
    pub fn taken(&mut self) -> bool {
        self.defer_end()
    }

    /// Whether the driver should receive: there is room, and more bytes may follow. A socket that is paused
    /// before its first data listener does not read at all; a socket that is paused later reads up to the
    /// mark.
    // RD-08, RD-09, RD-06.
    pub fn has_room(&self) -> bool {
        let bytes = self.stored_bytes();
        let ends = matches!(self.source, Source::Ended | Source::Off);
        !ends && (bytes == 0 || bytes < self.high_water_mark_bytes())
    }

    /// Drops the stored bytes because the socket is destroyed. Their number stays known.
    // RD-20.
    pub fn clear(&mut self) {
        if let Some(stored) = &mut self.stored {
            stored.forget_bytes();
        }
        self.stop_receiving();
    }

    fn drop_if_empty(&mut self) {
        if self.stored_bytes() == 0 {
            self.stored = None;
        }
    }

    /// Data was requested before the connection was established.
    pub fn want_on_connect(&mut self) {
        self.wanted_on_connect = true;
    }

    /// Whether to receive as soon as the connection is established: yes, unless the socket was paused
    /// before and no data was requested until then.
    // RD-08.
    pub fn receives_on_connect(&self) -> bool {
        self.source != Source::Off && (self.wanted_on_connect || self.flow != Flow::Paused)
    }
}

/// Readable mode: `readable` reports that there are bytes, and `read` takes them.
// RD-10 … RD-12.
impl ReadSide {
    /// A `readable` listener was added.
    pub fn listen_readable(&mut self) -> Readable {
        if self.has_emitted_end() || self.readable_listening {
            return Readable::Nothing;
        }
        self.readable_listening = true;
        self.need_readable = true;
        self.readable_emitted = false;
        self.flow = Flow::Paused;
        match (self.stored_bytes() > 0, self.is_receiving()) {
            (true, _) => self.defer_readable(),
            (false, false) => Readable::Receive,
            (false, true) => Readable::Nothing,
        }
    }

    /// The last `readable` listener was removed. Returns whether data flows again.
    pub fn unlisten_readable(&mut self, has_data_listener: bool) -> bool {
        self.readable_listening = false;
        self.flow = Flow::Undecided;
        has_data_listener
    }

    /// Whether `readable` has a listener.
    pub fn is_readable_listening(&self) -> bool {
        self.readable_listening
    }

    fn defer_readable(&mut self) -> Readable {
        self.need_readable = false;
        match std::mem::replace(&mut self.readable_emitted, true) {
            true => Readable::Nothing,
            false => Readable::Emit,
        }
    }

    /// Bytes were stored or put back. Returns whether to emit `readable`.
    pub fn stored_more(&mut self) -> Readable {
        if self.need_readable { self.defer_readable() } else { Readable::Nothing }
    }

    /// Whether there is a reason to emit `readable`, now that it is due.
    pub fn is_readable(&self) -> bool {
        self.stored_bytes() > 0 || self.has_ended()
    }

    /// `readable` was emitted.
    pub fn readable_done(&mut self) {
        self.readable_emitted = false;
        let flowing = self.flow == Flow::Flowing;
        let room = self.stored_bytes() <= self.high_water_mark_bytes();
        self.need_readable = !flowing && !self.has_ended() && room;
    }

    /// Takes exactly `count` bytes, or after end-of-stream the shorter rest; without a count, the first
    /// chunk. Also returns whether `end` is due.
    pub fn read(&mut self, count: Option<usize>) -> (Option<Vec<u8>>, bool) {
        if let Some(count) = count.filter(|count| *count > self.high_water_mark_bytes()) {
            // Otherwise the requested number of bytes could never be stored (RD-10).
            let mark = u32::try_from(count.next_power_of_two());
            self.high_water_mark_bytes = mark.unwrap_or(u32::MAX);
        }
        if count != Some(0) {
            self.readable_emitted = false;
        }
        let bytes = self.stored_bytes();
        if bytes == 0 && self.has_ended() {
            return (None, self.defer_end());
        }
        let enough =
            count.is_none_or(|count| count <= bytes || self.has_ended()) && count != Some(0);
        let taken = match (&mut self.stored, count) {
            (Some(stored), Some(count)) if enough => Some(stored.take(count)),
            (Some(stored), None) => stored.pop(),
            _ => None,
        };
        self.drop_if_empty();
        let left = self.stored_bytes();
        self.did_read |= taken.is_some();
        self.need_readable = match taken {
            None => left <= self.high_water_mark_bytes(),
            Some(_) => self.need_readable || (left == 0 && !self.has_ended()),
        };
        let exact = count.is_some_and(|count| taken.as_ref().is_some_and(|t| t.len() == count));
        let end = left == 0 && self.has_ended() && !exact && self.defer_end();
        (taken, end)
    }

    /// Puts bytes back in front of the stored ones. Returns whether there is room for more.
    // RD-14.
    pub fn unshift(&mut self, bytes: &[u8]) -> bool {
        if !bytes.is_empty() {
            self.stored.get_or_insert_default().push_front(bytes);
        }
        self.stored_bytes() < self.high_water_mark_bytes()
    }
}

/// What to do about `readable` after a change.
#[derive(Debug, PartialEq, Eq)]
pub enum Readable {
    /// Nothing.
    Nothing,
    /// Emit it on the tick.
    Emit,
    /// There are no bytes yet: start receiving.
    Receive,
}

#[cfg(test)]
mod tests;
