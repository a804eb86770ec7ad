//! One connection: its fields, and the questions that can be asked about it. What happens to it is in
//! [`transitions`](crate::transitions).

mod cold;
mod connecting;
mod context;
mod effect;
mod phase;

use std::time::Duration;

pub use cold::Owed;
pub(crate) use cold::{Cold, Failing};
pub use connecting::{
    Again, Attempt, AttemptEvent, Failure, Local, LookupEvent, Refusal, Request, Target,
};
pub(crate) use connecting::{Connecting, Next, Stage};
pub use context::{Context, Event, Heard};
pub(crate) use effect::Value;
pub use effect::{Call, Effect, Effects, Gone, Spent, Then, Tick, When};
pub use phase::Phase;

use crate::idle::Idle;
use crate::reading::{ReadSide, Sink};
use crate::writing::{SMALL_BYTES_MAX, Side, WriteSide};
use crate::{Error, Policy};

/// What a callback that waits counts as, beside the bytes of its write: an entry of the queue, and a
/// closure that captured a little.
const CALLBACK_BYTES: usize = 64;

/// Node's `readyState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReadyState {
    /// Connecting.
    Opening,
    /// Both directions are open; also a socket that was never connected.
    Open,
    /// Our side is ended.
    ReadOnly,
    /// The peer has ended its side.
    WriteOnly,
    /// Neither direction is open.
    Closed,
}

/// What a connection begins with.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// See `SocketOptions::allow_half_open`.
    pub half_open: bool,
    /// The mark of both directions.
    pub high_water_mark_bytes: u32,
    /// More than this is not queued.
    pub write_queue_bytes_max: u32,
    /// Whether it has a receiving side.
    pub readable: bool,
    /// Whether it has a sending side.
    pub writable: bool,
}

/// One connection, or something on its way to be one. `C` is the callback of a write or of an end, a
/// value that is kept in order.
///
/// Every socket has one, so every byte counts: what an idle one does not need is in a box, and numbers
/// are no wider than their limits.
#[derive(Debug)]
pub struct Connection<C> {
    /// Where it is in its life.
    pub phase: Phase,
    /// Our side stays open when the peer has ended.
    pub half_open: bool,
    /// Over a Unix socket.
    pub unix: bool,
    /// Keeps the loop alive while it reads.
    pub referred: bool,
    /// Accepted by a server.
    pub accepted: bool,
    /// A connection that a server counts now.
    pub served: bool,
    /// Accepted, and connected again since: no connection of its server any more.
    pub(crate) left_server: bool,
    /// Bound to a local address before it connects.
    pub bound: bool,
    /// The one consumer of everything that is received, if there is one.
    pub sink: Sink,
    /// Waits for the answer of a lookup hook, which does not hold the loop.
    pub(crate) waits_for_hook: bool,
    /// Destroyed with an error.
    pub(crate) had_error: bool,
    /// A reset waits for the connection.
    pub(crate) reset_on_connect: bool,
    /// `destroy_soon` waits for `finish`.
    pub(crate) destroy_on_finish: bool,
    /// The idle timeout must be listed.
    pub(crate) unlisted: bool,
    write_queue_bytes_max: u32,
    /// Counts connects, so that what belongs to an earlier one is recognised.
    pub(crate) round: u32,
    /// The receiving side.
    pub read: ReadSide,
    /// The sending side.
    pub write: WriteSide<C>,
    /// The idle timeout.
    pub idle: Idle,
    pub(crate) cold: Option<Box<Cold<C>>>,
}

impl<C> Connection<C> {
    /// One that is not connected yet.
    pub fn new(settings: &Settings) -> Self {
        let mut read = ReadSide::new(settings.high_water_mark_bytes);
        let mut write = WriteSide::new(settings.high_water_mark_bytes);
        if !settings.readable {
            read.disable();
        }
        if !settings.writable {
            write.disable();
        }
        Self {
            phase: Phase::Fresh,
            half_open: settings.half_open,
            unix: false,
            referred: true,
            accepted: false,
            served: false,
            left_server: false,
            bound: false,
            sink: Sink::Absent,
            waits_for_hook: false,
            had_error: false,
            reset_on_connect: false,
            destroy_on_finish: false,
            unlisted: false,
            write_queue_bytes_max: settings.write_queue_bytes_max,
            round: 0,
            read,
            write,
            idle: Idle::default(),
            cold: None,
        }
    }

    pub(crate) fn cold(&mut self) -> &mut Cold<C> {
        self.cold.get_or_insert_default()
    }

    /// Whether a connect is under way.
    pub fn connecting(&self) -> bool {
        matches!(self.phase, Phase::Connecting | Phase::Reopening)
    }

    /// Connecting or connected.
    pub fn is_live(&self) -> bool {
        !matches!(self.phase, Phase::Fresh | Phase::Destroyed | Phase::Closed)
    }

    /// Whether there is a connection to send on and to receive from.
    #[inline]
    pub fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Failing)
    }

    /// Whether it was destroyed.
    #[inline]
    pub fn destroyed(&self) -> bool {
        matches!(self.phase, Phase::Destroyed | Phase::Closed)
    }

    /// Why it was destroyed, or is about to be: the first error.
    pub fn errored(&self) -> Option<&Error> {
        self.cold.as_ref()?.errored.as_ref()
    }

    /// Whether there is such an error.
    pub fn has_failed(&self) -> bool {
        self.errored().is_some()
    }

    pub(crate) fn set_errored(&mut self, error: &Error) {
        self.cold().errored.get_or_insert_with(|| error.clone());
    }

    /// Which connect of this socket it is.
    pub fn round(&self) -> u32 {
        self.round
    }

    /// Bytes may still come.
    pub fn readable(&self) -> bool {
        !self.read.has_emitted_end() && !self.destroyed()
    }

    /// Bytes may still be written.
    pub fn writable(&self) -> bool {
        !self.write.is_ended() && !self.destroyed() && !self.has_failed()
    }

    /// Node's `readyState`.
    pub fn ready_state(&self) -> ReadyState {
        match (self.connecting(), self.readable(), self.writable()) {
            (true, ..) => ReadyState::Opening,
            (_, true, true) => ReadyState::Open,
            (_, true, false) => ReadyState::ReadOnly,
            (_, false, true) => ReadyState::WriteOnly,
            (_, false, false) => ReadyState::Closed,
        }
    }

    /// More waits to be sent than may (contract C7).
    pub(crate) fn is_queue_too_long(&self, policy: &Policy) -> bool {
        let callbacks = if policy.counts_callbacks { self.write.callbacks() } else { 0 };
        self.exceeds_queue(self.write.queued_bytes() + callbacks * CALLBACK_BYTES)
    }

    /// More callbacks wait for the end than may.
    pub(crate) fn has_too_many_end_callbacks(&self, policy: &Policy) -> bool {
        let bytes = self.write.end_callbacks().saturating_mul(CALLBACK_BYTES);
        policy.counts_callbacks && self.exceeds_queue(bytes)
    }

    /// Whether a small write of `bytes` bytes leaves room for more, in the plain lane.
    #[inline]
    pub(crate) fn has_room_for(&self, bytes: usize) -> bool {
        let queued = self.write.tail().map_or(0, <[u8]>::len);
        let callbacks = self.write.callbacks() * CALLBACK_BYTES;
        queued + bytes < self.write.high_water_mark_bytes()
            && !self.exceeds_queue(queued + callbacks)
    }

    fn exceeds_queue(&self, bytes: usize) -> bool {
        let max = self.write_queue_bytes_max;
        bytes > max as usize && max != u32::MAX
    }

    /// Whether `bytes` bytes may be sent alone, and a short write after them too, without waiting for the
    /// peer to acknowledge (Nagle, RFC 9293, 3.7.4); or at the mark, where all leave at once.
    pub(crate) fn may_leave_alone(&self, bytes: usize, no_delay: bool) -> bool {
        let large = bytes > SMALL_BYTES_MAX && (no_delay || self.unix);
        large || bytes >= self.write.high_water_mark_bytes().max(1)
    }

    /// Whether the loop must go on for this connection: something is being done, or it reads
    /// and is not `unref`'ed.
    #[inline]
    pub fn holds(&self) -> bool {
        if !self.is_live() {
            return false;
        }
        if self.referred && self.read.is_receiving() {
            return true;
        }
        let has_connection = self.phase != Phase::Connecting;
        let ending = self.write.side == Side::ShuttingDown;
        let sends = has_connection && (self.write.is_sending() || ending);
        (self.connecting() && !self.waits_for_hook) || sends
    }

    /// Whether anything is to be listed or freed: then the three that follow are to be asked.
    #[inline]
    pub fn wants_care(&self) -> bool {
        self.unlisted || self.cold.is_some() || self.write.has_queue()
    }

    /// When to look at the idle timeout, if that must be listed now.
    pub fn take_idle_deadline(&mut self, now: Duration) -> Option<Duration> {
        if !std::mem::take(&mut self.unlisted) { None } else { self.idle.must_list(now) }
    }

    /// Reports `value` on the tick.
    pub(crate) fn tell_later(&mut self, value: Value<C>, fx: &mut Effects<C>) {
        self.cold().values.push_back(value);
        fx.defer(When::Tick, Tick::Value);
    }

    /// There is no loop whose ticks could bring what waits for them. The callbacks are to be dropped with
    /// nothing borrowed.
    #[must_use]
    pub fn take_waiting(&mut self) -> Vec<C> {
        let values = self.cold.as_mut().map(|cold| std::mem::take(&mut cold.values));
        let callbacks = values.into_iter().flatten().filter_map(|value| match value {
            Value::Reply(call) => Some(call.callback),
            Value::WriteFailed(_) | Value::Error(_) | Value::Lookup(..) | Value::Again(_) => None,
        });
        callbacks.collect()
    }

    pub(crate) fn touch(&mut self, cx: &Context<'_>) {
        self.unlisted |= self.idle.note_activity(cx.now);
    }

    /// Whether bytes that were received are delivered before an error.
    pub fn delivers_before_error(&self) -> bool {
        self.cold.as_ref().is_some_and(|cold| cold.delivers_before_error)
    }

    /// Decides about that.
    pub fn set_deliver_before_error(&mut self, deliver: bool) {
        if deliver || self.cold.is_some() {
            self.cold().delivers_before_error = deliver;
        }
    }

    /// Whether the `close` of a connection before this one is still to be emitted.
    pub fn owes_close(&self) -> bool {
        let owed = self.cold.as_ref().and_then(|cold| cold.owed.as_ref());
        owed.is_some_and(|owed| !owed.closes.is_empty())
    }

    /// Frees the box of what is rare, if there is nothing in it any more.
    pub fn tidy(&mut self) {
        if self.cold.as_ref().is_some_and(|cold| cold.is_empty()) {
            self.cold = None;
        }
    }
}
