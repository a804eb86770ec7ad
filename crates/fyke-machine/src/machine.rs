//! A connection and its lanes. Each direction has two ways: the *plain* lane, for what happens most and
//! without effects, and the *general* one, the [transitions](crate::transitions). Both give the same events.
//!
//! Which lane a direction is in is stored, so that the methods here check one byte. It is computed in one
//! place, [`Machine::lanes_by_definition`], after every change: there is no other way to change a connection
//! than [`Machine::change`].

use std::ops::{Deref, DerefMut};

use crate::connection::{Connection, Event, Heard, Phase, Settings};
use crate::reading::Sink;
use crate::writing::{Queue, SMALL_BYTES_MAX, Side, Spares};
use crate::{Moment, Policy};

/// The way through a connection that one direction takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Without effects.
    Plain,
    /// By transitions.
    General,
}

/// The lanes of both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lanes {
    /// Of what is received.
    pub read: Lane,
    /// Of what is written.
    pub write: Lane,
}

impl Lanes {
    /// Both directions take the general way.
    pub const GENERAL: Self = Self { read: Lane::General, write: Lane::General };

    /// The lanes that a loop with these manners can use.
    pub const fn allowed_by(policy: &Policy) -> Self {
        let read = !policy.defers_end_behind_bytes;
        let write = !policy.offers_writes_at_once && !policy.counts_utf16;
        Self { read: lane(read), write: lane(write) }
    }
}

const fn lane(plain: bool) -> Lane {
    if plain { Lane::Plain } else { Lane::General }
}

/// How a write in the plain lane goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainWrite {
    /// It is not for the plain lane, and nothing has changed.
    No,
    /// It is queued, and there is room for more. Whether the queue is to be handed over at the end of the
    /// batch of callbacks, because it was empty.
    Queued(bool),
    /// It is large and nothing is queued before it: offer the kernel the bytes from where they are.
    Uncopied,
}

/// One connection and its lanes.
#[derive(Debug)]
pub struct Machine<C> {
    connection: Connection<C>,
    lanes: Lanes,
    /// Those that the loop can use.
    allowed: Lanes,
}

impl<C> Machine<C> {
    /// One that is not connected yet, and takes the general way until [`allow`](Self::allow) is called.
    pub fn new(settings: &Settings) -> Self {
        let connection = Connection::new(settings);
        Self { connection, lanes: Lanes::GENERAL, allowed: Lanes::GENERAL }
    }

    /// From here on the machine belongs to a loop that can use these lanes.
    pub fn allow(&mut self, lanes: Lanes) {
        self.allowed = lanes;
        self.relane();
    }

    /// The connection, to change it. The lanes are computed again when the guard is dropped.
    #[inline]
    pub fn change(&mut self) -> Change<'_, C> {
        Change(self)
    }

    #[inline]
    fn relane(&mut self) {
        self.lanes = self.lanes_by_definition();
    }

    /// The lanes as their definition has them:
    ///
    /// - both: connected, and the idle timeout needs no care;
    /// - read: data flows to listeners, nothing is stored, nothing rare is under way;
    /// - write: `end` was not called, nothing has failed, and nothing is queued but small writes
    ///   without a callback.
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

    /// Bytes were received, in the plain lane: they are to be given to the listeners for data, of which there
    /// must be one. Returns whether it is so; if not, nothing has changed.
    #[inline]
    pub fn receive_plain(&mut self, bytes: usize, now: Moment) -> bool {
        let plain = self.lanes().read == Lane::Plain;
        if plain {
            self.connection.read.count(bytes);
            self.connection.idle.note_plain_activity(now);
            self.connection.idle.declared = false;
        }
        plain
    }

    /// Accepts bytes that are to be copied, in the plain lane.
    #[inline]
    pub fn write_plain(
        &mut self,
        bytes: &[u8],
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
        PlainWrite::Queued(!std::mem::replace(&mut connection.write.dirty, true))
    }

    /// What is queued, in the plain lane: a few bytes, to be offered to the kernel from where they are.
    #[inline]
    pub fn outgoing(&self) -> Option<&[u8]> {
        let plain = self.lanes().write == Lane::Plain;
        let tail = self.connection.write.tail().filter(|_| plain)?;
        (1..=SMALL_BYTES_MAX).contains(&tail.len()).then_some(tail)
    }

    /// The kernel has taken all of [`outgoing`](Self::outgoing). Returns the queue, which is empty.
    #[inline]
    pub fn outgoing_sent(&mut self) -> Option<Box<Queue<C>>> {
        debug_assert!(self.outgoing().is_some());
        self.connection.write.tail_is_sent()
    }

    /// The socket has left the loop's list of those whose queue is to be handed over.
    #[inline]
    pub fn left_dirty_list(&mut self) {
        self.connection.write.dirty = false;
    }

    /// The peer has ended, and no listener hears it: everything was delivered and sent, and no event in
    /// between has a listener, as at most accepted connections. Goes to the close phase at once: the
    /// connection is to be released, and its server to be told; then comes the close phase. Returns whether
    /// it is so; if not, nothing has changed. Only to be called when nothing waits for the tick.
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

    /// The close phase of a connection that has no callbacks left. Returns whether it is so; if not, nothing
    /// has changed.
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

/// A connection that may be changed, see [`Machine::change`].
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
