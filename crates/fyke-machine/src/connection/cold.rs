//! State that most connections do not need.

use std::collections::VecDeque;

use fyke_driver::Address;

use super::connecting::Connecting;
use super::effect::Value;
use crate::{Error, Moment, Result};

#[derive(Debug)]
pub(crate) struct Cold<C> {
    pub(crate) errored: Option<Error>,
    /// The connection has failed, and its received bytes are still being delivered.
    pub(crate) failing: Option<Failing>,
    pub(crate) delivers_before_error: bool,
    /// The values of deferred ticks, in order.
    pub(crate) values: VecDeque<Value<C>>,
    /// Receiving has failed, after bytes of the same turn (policy `defers_end_behind_bytes`).
    pub(crate) late_error: Option<Error>,
    /// Bytes that `read` has taken, to be passed to the data listeners on the tick.
    pub(crate) taken: VecDeque<Vec<u8>>,
    /// Events and callbacks that earlier connections still owe (policy `connects_before_close`).
    pub(crate) owed: Option<Box<Owed<C>>>,
    /// The turn in which bytes were last received (policy `defers_end_behind_bytes`).
    pub(crate) received_in_turn: u64,
    /// The socket connected before the old `close`, or while the connection was ending, so it never
    /// finishes by itself (policies `connects_before_close` and `tries_to_connect_again`).
    pub(crate) end_is_lost: bool,
    /// `connect` was called again on the open connection (policy `tries_to_connect_again`).
    pub(crate) connected_again: bool,
    /// Until then the driver must accept some of the bytes that the owner offers, see `transitions/pull.rs`.
    pub(crate) push_deadline: Option<Moment>,
    /// The connect in progress.
    pub(crate) connecting: Option<Box<Connecting>>,
    /// The targets of repeated calls of `connect` whose outcome is due in the next turn (policy
    /// `tries_to_connect_again`).
    pub(crate) again: VecDeque<Address>,
    /// An attempt that was in progress when the connection was destroyed (policy
    /// `reports_cancelled_attempt`).
    pub(crate) cancelled_attempt: Option<Address>,
    /// The host of a lookup for a single address (policy `reports_late_lookup`).
    pub(crate) late_lookup: Option<Box<str>>,
}

impl<C> Default for Cold<C> {
    fn default() -> Self {
        Self {
            errored: None,
            failing: None,
            delivers_before_error: false,
            values: VecDeque::new(),
            late_error: None,
            taken: VecDeque::new(),
            owed: None,
            received_in_turn: 0,
            end_is_lost: false,
            connected_again: false,
            push_deadline: None,
            connecting: None,
            again: VecDeque::new(),
            cancelled_attempt: None,
            late_lookup: None,
        }
    }
}

impl<C> Cold<C> {
    pub(crate) fn is_empty(&self) -> bool {
        let reported = self.errored.is_none() && self.failing.is_none() && self.taken.is_empty();
        let flags = self.delivers_before_error || self.end_is_lost || self.connected_again;
        let waits =
            !self.values.is_empty() || self.late_error.is_some() || self.push_deadline.is_some();
        let connects = self.connecting.is_some() || !self.again.is_empty();
        let owes = self.cancelled_attempt.is_some() || self.late_lookup.is_some();
        reported
            && !flags
            && !waits
            && !connects
            && !owes
            && self.owed.is_none()
            && self.received_in_turn == 0
    }
}

/// A connection that has failed, and whose received bytes are still being delivered.
#[derive(Debug)]
pub(crate) struct Failing {
    pub(crate) error: Error,
    /// The kernel may have more bytes.
    pub(crate) receives: bool,
}

/// Events and callbacks of connections before the last connect that are still to be reported.
#[derive(Debug)]
pub struct Owed<C> {
    /// The `close` events, each with whether the connection ended with an error.
    pub(crate) closes: VecDeque<bool>,
    /// Callbacks of writes, to be called on the next tick.
    pub(crate) callbacks: VecDeque<(C, Result<()>)>,
    /// Callbacks of writes that were in flight or queued behind one, to be called with the next `close`.
    pub(crate) cancelled: VecDeque<C>,
}

impl<C> Owed<C> {
    pub(crate) fn into_callbacks(self) -> Vec<C> {
        let callbacks = self.callbacks.into_iter().map(|(callback, _)| callback);
        callbacks.chain(self.cancelled).collect()
    }
}

impl<C> Default for Owed<C> {
    fn default() -> Self {
        Self { closes: VecDeque::new(), callbacks: VecDeque::new(), cancelled: VecDeque::new() }
    }
}
