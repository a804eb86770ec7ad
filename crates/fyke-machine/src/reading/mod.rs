//! The receiving half of a socket as a state machine: no descriptor, no clock, no callback.
//!
//! ```text
//!            on_data, resume              pause
//! Undecided ────────────────▶ Flowing ◀────────▶ Paused
//!      └──────────── pause ────────────────────────▲  (resume)
//! ```
//!
//! While `Flowing`, bytes go straight to the listeners. Otherwise they are stored, and when
//! `high_water_mark_bytes` are, receiving stops until they are taken (RD-01, RD-03, RD-06).

mod stored;

use stored::Stored;

/// Whether data is delivered. Node: `readableFlowing` null, true, false.
// RD-04.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Before the first listener, `pause` or `resume`.
    Undecided,
    /// Delivered as it comes.
    Flowing,
    /// Stored until `resume`.
    Paused,
}

/// Where bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// Made without this half: counts as ended, without the event.
    // FD-04.
    Off,
    /// The driver does not receive for us.
    Stopped,
    /// The driver receives for us.
    Receiving,
    /// End-of-stream was received.
    Ended,
}

/// How far the event `end` has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndEvent {
    NotDue,
    /// On the tick queue.
    Deferred,
    /// Given to the listeners.
    Emitted,
}

/// The one consumer of everything that is received, in the place of the listeners for data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// There is none.
    Absent,
    /// It takes what is received.
    Taking,
    /// It has said to stop, until `resume`.
    Stopped,
}

/// What to do with bytes that came.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Give them to the listeners now.
    Deliver,
    /// Discard them: data flows and has no listener, as in Node.
    // RD-13.
    Discard,
    /// They are stored.
    Stored {
        /// The mark is reached: stop receiving.
        stop: bool,
    },
}

/// See the module.
#[derive(Debug)]
pub struct ReadSide {
    flow: Flow,
    /// A turn of `resume` is on the tick queue.
    resume_deferred: bool,
    /// A turn of `resume` ran before the connection was established: as in Node it asks for bytes, also if
    /// the socket was paused again meanwhile.
    wanted_on_connect: bool,
    source: Source,
    end: EndEvent,
    /// Bytes received and not delivered. Absent when there are none: a socket that is idle
    /// holds no buffer (contract C7).
    stored: Option<Box<Stored>>,
    /// `readable` has a listener, which takes the bytes by `read`.
    // RD-12.
    readable_listening: bool,
    /// `readable` is to be emitted when bytes come.
    need_readable: bool,
    /// `readable` is on the tick queue, or was emitted and `read` was not called since.
    readable_emitted: bool,
    high_water_mark_bytes: u32,
    /// Bytes received on this connection.
    pub bytes_read: u64,
    /// Data was given out.
    pub did_read: bool,
}

impl ReadSide {
    /// Without listeners.
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

    /// The receiving side before the next connection of the socket: the flow stays, the rest is new. With
    /// `rearms`, a listener for `readable` asks for bytes of the next one too.
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

    /// A socket that never reads.
    // FD-04.
    pub fn disable(&mut self) {
        self.source = Source::Off;
        self.end = EndEvent::Emitted;
    }

    /// Whether the peer has ended, as far as we know.
    pub fn has_ended(&self) -> bool {
        self.source == Source::Ended
    }

    /// Whether `end` was given to the listeners, or there is no such half.
    pub fn has_emitted_end(&self) -> bool {
        self.end == EndEvent::Emitted
    }

    /// Whether the driver receives for us.
    #[inline]
    pub fn is_receiving(&self) -> bool {
        self.source == Source::Receiving
    }

    /// Whether the driver is to receive from here on: if there is room, and it does not yet.
    pub(crate) fn begin_receiving(&mut self) -> bool {
        let begins = self.source == Source::Stopped && self.has_room();
        if begins {
            self.source = Source::Receiving;
        }
        begins
    }

    /// The driver receives no more.
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

    /// Bytes that were received and not given out.
    pub fn stored_bytes(&self) -> usize {
        self.stored.as_ref().map_or(0, |stored| stored.len())
    }

    fn high_water_mark_bytes(&self) -> usize {
        self.high_water_mark_bytes as usize
    }

    /// Whether what comes is given on at once.
    pub fn passes_on(&self) -> bool {
        self.flow == Flow::Flowing && self.stored.is_none()
    }

    /// Bytes have come.
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

    /// Bytes are given out, or were.
    pub fn count(&mut self, bytes: usize) {
        self.bytes_read += bytes as u64;
        self.did_read = true;
    }

    /// Stores bytes that were not given out, and do not count yet.
    pub fn store(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.stored.get_or_insert_default().push(bytes);
        }
    }

    /// All that is stored, in one piece.
    pub fn copy_stored(&self) -> Vec<u8> {
        self.stored.as_ref().map_or_else(Vec::new, |stored| stored.copy())
    }

    /// Takes the next of what is stored, at most `max` bytes.
    pub fn take_stored(&mut self, max: usize) -> Option<Vec<u8>> {
        let taken = self.stored.as_mut()?.take(max);
        self.drop_if_empty();
        Some(taken)
    }

    /// The peer has ended. Returns whether `end` is to be deferred: not while bytes are stored, and only
    /// once.
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

    /// Returns whether `end` may be emitted now, and counts it as emitted.
    pub fn take_end(&mut self) -> bool {
        if self.has_emitted_end() {
            return false;
        }
        let due = self.has_ended() && self.stored.is_none();
        // Deferred, and then bytes were put back: it is due again when they are taken.
        self.end = if due { EndEvent::Emitted } else { EndEvent::NotDue };
        due
    }

    /// Starts the flow. Returns whether a turn of `resume` is to be deferred.
    pub fn resume(&mut self) -> bool {
        if self.flow == Flow::Flowing {
            return false;
        }
        // A listener for `readable` is in control (RD-12).
        self.flow = if self.readable_listening { Flow::Paused } else { Flow::Flowing };
        !std::mem::replace(&mut self.resume_deferred, true)
    }

    /// A listener for data came: the flow starts unless it was stopped on purpose.
    // RD-04.
    pub fn listened(&mut self) -> bool {
        self.flow == Flow::Undecided && self.resume()
    }

    /// Stops the delivery.
    pub fn pause(&mut self) {
        self.flow = Flow::Paused;
    }

    /// The deferred turn of `resume` runs now.
    pub fn begin_resume(&mut self) {
        self.resume_deferred = false;
    }

    /// The next stored bytes, while flowing.
    pub fn next_stored(&mut self) -> Option<Vec<u8>> {
        if self.flow != Flow::Flowing {
            return None;
        }
        let chunk = self.stored.as_mut()?.pop()?;
        self.did_read = true;
        self.drop_if_empty();
        Some(chunk)
    }

    /// Bytes were taken. Returns whether `end` is to be deferred.
    pub fn taken(&mut self) -> bool {
        self.defer_end()
    }

    /// Whether the driver should receive: there is room, and more may come. What `on_data` finds paused from
    /// the beginning is not read at all; what is paused later goes on until the mark.
    // RD-08, RD-09, RD-06.
    pub fn has_room(&self) -> bool {
        let bytes = self.stored_bytes();
        let ends = matches!(self.source, Source::Ended | Source::Off);
        !ends && (bytes == 0 || bytes < self.high_water_mark_bytes())
    }

    /// Drops what is stored: the socket is destroyed. How much it was stays known.
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

    /// Data was asked for before the connection was established.
    pub fn want_on_connect(&mut self) {
        self.wanted_on_connect = true;
    }

    /// Whether to receive as soon as the connection is established: unless it was paused before and nothing
    /// had asked for data until then.
    // RD-08.
    pub fn receives_on_connect(&self) -> bool {
        self.source != Source::Off && (self.wanted_on_connect || self.flow != Flow::Paused)
    }
}

/// Readable mode: `readable` says that there is something, and `read` takes it.
// RD-10 … RD-12.
impl ReadSide {
    /// A listener for `readable` came.
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

    /// The last listener for `readable` was removed. Returns whether data flows again.
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

    /// Bytes were stored, or put back. Returns whether to emit `readable`.
    pub fn stored_more(&mut self) -> Readable {
        if self.need_readable { self.defer_readable() } else { Readable::Nothing }
    }

    /// Whether there is anything to emit `readable` for, now that it is due.
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

    /// Takes exactly `count` bytes, or after end-of-stream the shorter rest; without a count the
    /// first chunk. Says also whether `end` is due.
    pub fn read(&mut self, count: Option<usize>) -> (Option<Vec<u8>>, bool) {
        if let Some(count) = count.filter(|count| *count > self.high_water_mark_bytes()) {
            // Otherwise it could never come together (RD-10).
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

    /// Puts bytes back, to be the next. Returns whether there is room for more.
    // RD-14.
    pub fn unshift(&mut self, bytes: &[u8]) -> bool {
        if !bytes.is_empty() {
            self.stored.get_or_insert_default().push_front(bytes);
        }
        self.stored_bytes() < self.high_water_mark_bytes()
    }
}

/// What a change means for `readable`.
#[derive(Debug, PartialEq, Eq)]
pub enum Readable {
    /// Nothing is to be done.
    Nothing,
    /// Emit it on the tick.
    Emit,
    /// Nothing is there yet: receive.
    Receive,
}

#[cfg(test)]
mod tests;
