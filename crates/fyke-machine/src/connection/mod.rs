//! One connection: its fields and its getters. The [`transitions`](crate::transitions) change it.

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

/// The size that a pending callback counts as, besides the bytes of its write: an entry of the queue, and a
/// closure that captures little.
const CALLBACK_BYTES: usize = 64;

/// Node's `readyState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReadyState {
    /// Connecting.
    Opening,
    /// Both directions are open. Also a socket that was never connected.
    Open,
    /// Our side is ended.
    ReadOnly,
    /// The peer has ended its side.
    WriteOnly,
    /// Neither direction is open.
    Closed,
}

/// The initial settings of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// See `SocketOptions::allow_half_open`.
    pub half_open: bool,
    /// The high-water mark of both directions.
    pub high_water_mark_bytes: u32,
    /// The limit of the write queue.
    pub write_queue_bytes_max: u32,
    /// Whether it has a receiving side.
    pub readable: bool,
    /// Whether it has a sending side.
    pub writable: bool,
}

/// A connection, established or not. `C` is the type of the callbacks of writes and ends, which are stored
/// in order.
///
/// Every socket has one of these, so every byte counts: fields that an idle connection does not need are in
/// a box, and numbers are no wider than their limits require.
#[derive(Debug)]
pub struct Connection<C> {
    /// The phase of its life cycle.
    pub phase: Phase,
    /// Our side stays open when the peer has ended.
    pub half_open: bool,
    /// The connection uses a Unix socket.
    pub unix: bool,
    /// It keeps the loop alive while it reads.
    pub referred: bool,
    /// A server accepted it.
    pub accepted: bool,
    /// A server counts it among its connections.
    pub served: bool,
    /// It was accepted and has connected again since then, so it no longer belongs to its server.
    pub(crate) left_server: bool,
    /// It was bound to a local address before the connect.
    pub bound: bool,
    /// A layer changes its bytes, so the end of our side is more than the end of the connection.
    pub layered: bool,
    /// The single consumer of everything that is received, if there is one.
    pub sink: Sink,
    /// It waits for the answer of a lookup hook and does not keep the loop alive.
    pub(crate) waits_for_hook: bool,
    /// It was destroyed with an error.
    pub(crate) had_error: bool,
    /// It will be reset when it is established.
    pub(crate) reset_on_connect: bool,
    /// `destroy_soon` waits for `finish`.
    pub(crate) destroy_on_finish: bool,
    /// The idle timeout must be added to the list.
    pub(crate) unlisted: bool,
    write_queue_bytes_max: u32,
    /// The number of connects so far, which identifies steps of an earlier connect.
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
    /// Makes a connection that is not connected yet.
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
            layered: false,
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

    /// Whether a connect is in progress.
    pub fn connecting(&self) -> bool {
        matches!(self.phase, Phase::Connecting | Phase::Reopening)
    }

    /// Whether it is connecting or connected.
    pub fn is_live(&self) -> bool {
        !matches!(self.phase, Phase::Fresh | Phase::Destroyed | Phase::Closed)
    }

    /// Whether it is established, so that it can send and receive.
    #[inline]
    pub fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Failing)
    }

    /// Whether it was destroyed.
    #[inline]
    pub fn destroyed(&self) -> bool {
        matches!(self.phase, Phase::Destroyed | Phase::Closed)
    }

    /// The first error, with which it was destroyed or is about to be.
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

    /// The number of the current connect of this socket.
    pub fn round(&self) -> u32 {
        self.round
    }

    /// Whether more bytes may be received.
    pub fn readable(&self) -> bool {
        !self.read.has_emitted_end() && !self.destroyed()
    }

    /// Whether bytes may still be written.
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

    /// Whether more is queued than the limit allows.
    // Contract C7
    pub(crate) fn is_queue_too_long(&self, policy: &Policy) -> bool {
        let callbacks = if policy.counts_callbacks { self.write.callbacks() } else { 0 };
        self.exceeds_queue(self.write.queued_bytes() + callbacks * CALLBACK_BYTES)
    }

    /// Whether more callbacks of `end` are pending than the limit allows.
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

    /// Whether `bytes` bytes may be sent separately, followed by a short write, without waiting for the
    /// peer's acknowledgement (Nagle, RFC 9293, 3.7.4). Also true at the high-water mark, where everything
    /// is sent at once.
    pub(crate) fn may_leave_alone(&self, bytes: usize, no_delay: bool) -> bool {
        let large = bytes > SMALL_BYTES_MAX && (no_delay || self.unix);
        large || bytes >= self.write.high_water_mark_bytes().max(1)
    }

    /// Whether the connection keeps the loop alive: an operation is in progress, or it is reading and not
    /// `unref`'ed.
    #[inline]
    pub fn holds(&self) -> bool {
        if !self.is_live() {
            return false;
        }
        if self.referred && (self.read.is_receiving() || self.sink == Sink::Pulled) {
            return true;
        }
        let has_connection = self.phase != Phase::Connecting;
        let ending = self.write.side == Side::ShuttingDown;
        let sends = has_connection && (self.write.is_sending() || ending);
        (self.connecting() && !self.waits_for_hook) || sends
    }

    /// Whether there is work for one of the following three methods.
    #[inline]
    pub fn wants_care(&self) -> bool {
        self.unlisted || self.cold.is_some() || self.write.has_queue()
    }

    /// When to check the idle timeout, if that time must be added to the list now.
    pub fn take_idle_deadline(&mut self, now: Duration) -> Option<Duration> {
        if !std::mem::take(&mut self.unlisted) { None } else { self.idle.must_list(now) }
    }

    /// Stores `value` and reports it on the tick.
    pub(crate) fn report_later(&mut self, value: Value<C>, fx: &mut Effects<C>) {
        self.cold().values.push_back(value);
        fx.defer(When::Tick, Tick::Value);
    }

    /// Takes the pending callbacks, because there is no loop whose ticks could run them. Drop them while
    /// nothing is borrowed.
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

    /// Whether received bytes are delivered before an error.
    pub fn delivers_before_error(&self) -> bool {
        self.cold.as_ref().is_some_and(|cold| cold.delivers_before_error)
    }

    /// Sets whether received bytes are delivered before an error.
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

    /// Frees the box of rarely used state if it is empty.
    pub fn tidy(&mut self) {
        if self.cold.as_ref().is_some_and(|cold| cold.is_empty()) {
            self.cold = None;
        }
    }
}
