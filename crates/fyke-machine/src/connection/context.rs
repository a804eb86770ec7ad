//! The information about its surroundings that a transition receives.

use crate::{Moment, Policy};

/// The inputs of a transition besides its arguments.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The time of this turn.
    pub now: Moment,
    /// The number of this turn.
    pub turn: u64,
    /// The policy of the loop.
    pub policy: &'a Policy,
    /// Which events have listeners.
    pub heard: Heard,
}

/// The events of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is described at the method of fyke that listens to it")]
pub enum Event {
    Lookup,
    Attempt,
    AttemptFailed,
    AttemptTimeout,
    Connect,
    Ready,
    Data,
    Text,
    Readable,
    End,
    Drain,
    Prefinish,
    Finish,
    Timeout,
    Pipe,
    Unpipe,
    /// Emitted just before `error` and `close`, for pipes. It does not count as an error listener.
    Gone,
    Shutdown,
    Error,
    Close,
}

/// A bit for each event that has a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard(pub u32);

impl Heard {
    /// Whether the event has a listener.
    pub fn has(self, event: Event) -> bool {
        self.0 & (1 << event as u32) != 0
    }

    /// Whether any of these events has a listener.
    #[inline]
    pub fn has_any(self, events: &[Event]) -> bool {
        let mask = events.iter().fold(0, |mask, event| mask | 1 << *event as u32);
        self.0 & mask != 0
    }

    /// Whether received data has a listener, as bytes or as text.
    pub fn has_data(self) -> bool {
        self.has(Event::Data) || self.has(Event::Text)
    }
}
