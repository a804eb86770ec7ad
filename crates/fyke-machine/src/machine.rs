//! A connection and its lanes. Each direction has two lanes: the *plain* lane handles the most frequent
//! steps without effects, and the *general* lane uses the [transitions](crate::transitions). Both produce
//! the same events.
//!
//! The current lane of each direction is stored, so that the methods here check one byte.
//! [`Machine::lanes_by_definition`] is the only place that computes it, after every change.
//! [`Machine::change`] is the only way to change a connection.

use std::ops::{Deref, DerefMut};

use crate::connection::{Connection, Event, Heard, Phase, Settings};
use crate::reading::Sink;
use crate::transitions::Flushed;
use crate::writing::{Queue, SMALL_BYTES_MAX, Side, Spares};
use crate::{Moment, Policy};

/// The code path that one direction of a connection uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Frequent steps, without effects.
    Plain,
    /// All other steps, with transitions.
    General,
}

/// The lanes of both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lanes {
    /// The lane for received bytes.
    pub read: Lane,
    /// The lane for written bytes.
    pub write: Lane,
}

impl Lanes {
    /// The general lane for both directions.
    pub const GENERAL: Self = Self { read: Lane::General, write: Lane::General };

    /// The lanes that a loop with this policy can use.
    pub const fn allowed_by(policy: &Policy) -> Self {
        let read = !policy.defers_end_behind_bytes;
        let write = !policy.offers_writes_at_once && !policy.counts_utf16;
        Self { read: lane(read), write: lane(write) }
    }
}

const fn lane(plain: bool) -> Lane {
    if plain { Lane::Plain } else { Lane::General }
}

/// The result of a write in the plain lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainWrite {
    /// The plain lane cannot handle the write; nothing has changed.
    No,
    /// The write is queued, and there is room for more. The value is true if the queue was empty before, so
    /// that it must be sent at the end of the batch of callbacks.
    Queued(bool),
    /// The write is large and nothing is queued before it: offer the bytes to the kernel without copying
    /// them.
    Uncopied,
}

/// One connection and its lanes.
#[derive(Debug)]
pub struct Machine<C> {
    connection: Connection<C>,
    lanes: Lanes,
    /// The lanes that the loop allows.
    allowed: Lanes,
}

impl<C> Machine<C> {
    /// Makes a connection that is not connected yet. It uses the general lane until [`allow`](Self::allow)
    /// is called.
    pub fn new(settings: &Settings) -> Self {
        let connection = Connection::new(settings);
        Self { connection, lanes: Lanes::GENERAL, allowed: Lanes::GENERAL }
    }

    /// Assigns the machine to a loop that allows these lanes.
    pub fn allow(&mut self, lanes: Lanes) {
        self.allowed = lanes;
        self.relane();
    }

    /// Gives access to the connection in order to change it. Dropping the guard computes the lanes again.
    #[inline]
    pub fn change(&mut self) -> Change<'_, C> {
        Change(self)
    }

    #[inline]
    fn relane(&mut self) {
        self.lanes = self.lanes_by_definition();
    }

    /// Computes the lanes. A direction can use the plain lane under these conditions:
    ///
    /// - both directions: the socket is connected, and the idle timeout needs no care;
    /// - read: data flows to listeners, nothing is stored, and no rare step is in progress;
    /// - write: `end` was not called, nothing has failed, and only small writes are queued.
    #[inline]
    fn lanes_by_definition(&self) -> Lanes {
        let Connection { phase, read, write, idle, cold, sink, .. } = &self.connection;
        if *phase != Phase::Open || !idle.is_settled() {
            return Lanes::GENERAL;
        }
        let reads = read.passes_on() && *sink == Sink::Absent && cold.is_none();
        let writes = write.side == Side::Open && write.is_plain() && !self.connection.has_failed();
        Lanes {
            read: if reads { self.allowed.read } else { Lane::General },
            write: if writes { self.allowed.write } else { Lane::General },
        }
    }

    #[inline]
    fn lanes(&self) -> Lanes {
        debug_assert_eq!(self.lanes, self.lanes_by_definition());
        self.lanes
    }

    /// Handles received bytes in the plain lane. If it returns true, the caller must pass them to the data
    /// listeners, of which there must be one. If it returns false, nothing has changed.
    #[inline]
    pub fn receive_plain(&mut self, bytes: usize, now: Moment) -> bool {
        let plain = self.lanes().read == Lane::Plain;
        if plain {
            self.connection.read.count(bytes);
            self.connection.idle.note_plain_activity(now);
            self.connection.idle.busy = true;
        }
        plain
    }

    /// The owner got bytes from the driver, see [`Connection::pulled`]. Returns whether this was noted; if
    /// not, nothing has changed.
    #[inline]
    pub fn pulled_plain(&mut self, bytes: usize, now: Moment) -> bool {
        let connection = &mut self.connection;
        let plain = connection.idle.is_settled();
        if plain {
            connection.read.count(bytes);
            connection.idle.note_plain_activity(now);
            connection.idle.busy = true;
        }
        plain
    }

    /// The driver has accepted bytes of the owner, see [`Connection::pushed`]. Returns whether this was
    /// noted; if not, nothing has changed.
    #[inline]
    pub fn pushed_plain(&mut self, bytes: usize, now: Moment) -> bool {
        let connection = &mut self.connection;
        let plain = connection.idle.is_settled() && connection.cold.is_none();
        if plain {
            connection.write.sent_directly(bytes, bytes);
            connection.idle.note_plain_activity(now);
        }
        plain
    }

    /// Accepts bytes to be copied, in the plain lane. Takes the callback if the bytes are queued.
    #[inline(always)]
    pub fn write_plain(
        &mut self,
        bytes: &[u8],
        callback: &mut Option<C>,
        no_delay: bool,
        now: Moment,
        spares: &mut impl Spares<C>,
    ) -> PlainWrite {
        if self.lanes().write == Lane::General {
            return PlainWrite::No;
        }
        let connection = &mut self.connection;
        let room = connection.has_room_for(bytes.len());
        let small = room && bytes.len() <= SMALL_BYTES_MAX;
        let large = !small
            && !connection.layered
            && callback.is_none()
            && connection.may_leave_alone(bytes.len(), no_delay)
            && connection.write.is_clear();
        if !large && !room {
            return PlainWrite::No;
        }
        connection.idle.note_plain_activity(now);
        if large {
            return PlainWrite::Uncopied;
        }
        connection.write.push_copy(bytes, spares);
        if let Some(callback) = callback.take() {
            connection.write.push_callback(callback);
        }
        PlainWrite::Queued(!std::mem::replace(&mut connection.write.dirty, true))
    }

    /// The queued bytes, in the plain lane: a small number, to be offered to the kernel from the queue's
    /// buffer.
    #[inline]
    pub fn outgoing(&self) -> Option<&[u8]> {
        if self.connection.layered { None } else { self.small_tail() }
    }

    #[inline]
    fn small_tail(&self) -> Option<&[u8]> {
        let plain = self.lanes().write == Lane::Plain;
        let tail = self.connection.write.tail().filter(|_| plain)?;
        (1..=SMALL_BYTES_MAX).contains(&tail.len()).then_some(tail)
    }

    /// The queued bytes of a connection with a layer, in the plain lane: a small number, which the layer must
    /// change before they are offered to the kernel.
    pub fn outgoing_layered(&self) -> Option<&[u8]> {
        if self.connection.layered { self.small_tail() } else { None }
    }

    /// The kernel has accepted all of [`outgoing`](Self::outgoing). Returns the queue for reuse if it is
    /// empty now, and the result of the flush.
    #[inline]
    pub fn outgoing_sent(&mut self) -> (Option<Box<Queue<C>>>, Flushed) {
        debug_assert!(self.small_tail().is_some());
        let write = &mut self.connection.write;
        match write.tail_is_sent() {
            None => (None, Flushed::Written(write.in_flight_number())),
            queue => (queue, Flushed::Clear),
        }
    }

    /// The kernel has accepted every write up to this number. Takes the callback that is due, if it is the
    /// only one and the plain lane can handle it. Returns `None` otherwise; then nothing has changed.
    #[inline]
    pub fn written_plain(&mut self, number: u64) -> Option<C> {
        let write = &self.connection.write;
        let plain = self.lanes().write == Lane::Plain && write.callbacks_up_to(number) == 1;
        if plain { self.connection.write.next_callback(number) } else { None }
    }

    /// Whether [`Then::WrittenReported`](crate::connection::Then::WrittenReported) must follow when
    /// that callback has returned.
    #[inline]
    pub fn written_goes_on(&self) -> bool {
        self.connection.write.side != Side::Open || self.connection.destroyed()
    }

    /// The socket was removed from the loop's list of sockets whose queues must be sent.
    #[inline]
    pub fn left_dirty_list(&mut self) {
        self.connection.write.dirty = false;
    }

    /// The peer has ended, everything was delivered and sent, and none of the events on the way to `close`
    /// has a listener, as on most accepted connections. Goes directly to the close phase: the caller
    /// releases the connection, notifies its server, and then runs the close phase. Returns whether this
    /// was done; if not, nothing has changed. Call it only if no work is deferred to the tick.
    // END-06, END-13.
    pub fn end_plain(&mut self, policy: &Policy, heard: Heard) -> bool {
        const SEEN: [Event; 8] = [
            Event::Text,
            Event::Readable,
            Event::End,
            Event::Prefinish,
            Event::Finish,
            Event::Unpipe,
            Event::Gone,
            Event::Close,
        ];
        let unseen = !heard.has_any(&SEEN) && policy.closes_without_shutdown;
        let plain = self.lanes().read == Lane::Plain && unseen && self.connection.ends_alone();
        if plain {
            self.connection.end_in_one_step();
            self.relane();
        }
        plain
    }

    /// Runs the close phase of a connection without remaining callbacks. Returns whether this was done; if
    /// not, nothing has changed.
    pub fn close_plain(&mut self) -> bool {
        let connection = &mut self.connection;
        let plain = self.allowed.read == Lane::Plain
            && connection.phase == Phase::Destroyed
            && !connection.write.has_queue()
            && connection.cold.is_none();
        if plain {
            connection.phase = Phase::Closed;
        }
        plain
    }
}

impl<C> Deref for Machine<C> {
    type Target = Connection<C>;

    #[inline]
    fn deref(&self) -> &Connection<C> {
        &self.connection
    }
}

/// A guard that gives access to a connection in order to change it, see [`Machine::change`].
#[derive(Debug)]
pub struct Change<'a, C>(&'a mut Machine<C>);

impl<C> Deref for Change<'_, C> {
    type Target = Connection<C>;

    #[inline]
    fn deref(&self) -> &Connection<C> {
        &self.0.connection
    }
}

impl<C> DerefMut for Change<'_, C> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Connection<C> {
        &mut self.0.connection
    }
}

impl<C> Drop for Change<'_, C> {
    #[inline]
    fn drop(&mut self) {
        self.0.relane();
    }
}
