//! What a transition wants to be done.

use std::collections::VecDeque;
use std::net::IpAddr;

use fyke_driver::Chunk;

use super::connecting::{Again, Attempt, AttemptEvent, Failure, LookupEvent};
use super::context::Event;
use crate::writing::{Parked, WriteSide};
use crate::{Error, Result};

/// Something that the shell does, in the order in which the effects were pushed, with nothing of the
/// connection borrowed.
#[derive(Debug)]
pub enum Effect<C> {
    /// Run the listeners of an event that brings nothing but itself.
    Emit(Event),
    /// Give bytes to the listeners for data.
    Data(Vec<u8>),
    /// Give the sink what is stored, as much as it takes, and report it to the machine.
    SinkStored,
    /// Text ends here: emit what never became a character.
    FinishText,
    /// The connection fails: what pipes into it leaves, and then `error`.
    Error(Error),
    /// The pipes into and out of the socket are undone, and then comes `close`.
    Close {
        /// Whether it ended by an error.
        had_error: bool,
    },
    /// Emit `close` of a connection before this one.
    CloseBefore {
        /// Whether that one ended by an error.
        had_error: bool,
    },
    /// Run a callback.
    Call(Call<C>),

    /// Ask the machine again, at a later time.
    Defer(When, Tick),
    /// In the close phase of this turn, let the machine [close](super::Connection::close).
    CloseLater {
        /// The result for the callbacks of writes that were in flight.
        cancelled: Option<Error>,
    },
    /// Ask the machine now: what came before may have changed everything. What follows from it comes
    /// before the effects that were pushed after this one.
    Then(Then<C>),

    /// Hand the queue over when the running batch of callbacks ends.
    FlushLater,
    /// Hand the queue over now, and report to the machine how much was taken.
    Flush,
    /// Hand over the first writes of a connection.
    FlushFirst,
    /// Hand over the parked write.
    FlushParked,
    /// End our side.
    Shutdown,
    /// Receive.
    Receive,
    /// Receive no more.
    StopReceiving,
    /// Remember the addresses: what the system knows now is lost with the connection.
    CaptureAddresses,
    /// Close the connection and all attempts at one, and forget what was to be done for them.
    Release {
        /// By RST.
        reset: bool,
    },
    /// Emit `error` inside the call: a reset was refused.
    RefuseReset,
    /// A connection of a server is gone. `Some`: it was part of a shutdown.
    Leave(Option<Gone>),
    /// Its server is not kept any longer.
    LetGoOfServer,
    /// Find the addresses of a host, all or only one, and let the machine know that the lookup
    /// [was answered](super::Connection::lookup_answered).
    Resolve {
        /// The name of the host.
        host: Box<str>,
        /// Whether more than one address is wanted.
        all: bool,
    },
    /// Emit `lookup`.
    Lookup(Box<LookupEvent>),
    /// There are several addresses to try.
    HasSeveralAddresses,
    /// Tell about an attempt.
    Attempt(Box<AttemptEvent>),
    /// Open a descriptor for an attempt and bind it, and tell the machine how it
    /// [was opened](super::Connection::opened).
    Open(Attempt),
    /// Connect the descriptor of an attempt.
    Dial(Attempt),
    /// Close the descriptor of an attempt, if it has one.
    HangUp(Attempt),
    /// The descriptor of an attempt is the connection's from here on.
    Take(Attempt),
    /// Ask the system whether an attempt is connected, and if so, tell the [machine](super::Connection::probed).
    Probe(Attempt),
    /// The connection is established: apply what was wished for it.
    Established,
    /// Another connection begins: forget what was known of the last one.
    Renew,
    /// Drop the user's values.
    Drop(Spent<C>),
}

/// A callback and its result.
#[derive(Debug)]
pub struct Call<C> {
    /// The callback.
    pub callback: C,
    /// The result that it gets.
    pub result: Result<()>,
}

/// Values of the user's, whose destructors may run the user's code.
#[derive(Debug)]
#[expect(missing_docs, reason = "nothing is done with them but to drop them")]
pub enum Spent<C> {
    Chunks(VecDeque<Chunk>),
    Side(Box<WriteSide<C>>),
    Callbacks(Vec<C>),
}

/// How a connection of a server's has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// Without an error.
    Ended,
    /// With one.
    Failed,
    /// By our reset.
    Reset,
}

/// When to ask the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// When the running callback has returned.
    Tick,
    /// When the running callback has returned; or at once, if nothing else is deferred and this is the last
    /// thing done for what the loop brought.
    Now,
    /// On the tick; or in the next turn, if this batch of callbacks has had its share.
    Fair,
    /// In the next turn, before the loop waits again.
    NextTurn,
}

/// What to ask then. What it needs beside a number waits in the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// Begin to connect.
    Connect,
    /// The outcome of a `connect` that was called again.
    Again,
    /// The same to a path, while the first connect is under way.
    PathAgain,
    /// `resume` was called.
    Resume,
    /// Emit `readable`.
    Readable,
    /// Receive: `readable` has a listener.
    Receive,
    /// Deliver what `read` has taken.
    Data,
    /// Everything before end-of-stream was delivered.
    End,
    /// The peer has ended, and half-open is not allowed.
    EndItself,
    /// Our side is ended, and was never connected.
    FinishAlone,
    /// Our side counts as shut down: closing will do it.
    ShutDown,
    /// Shut down now, if it is still the connection of this connect.
    ShutdownDue(u32),
    /// Our side is shut down.
    Finish,
    /// The kernel has every write up to this number.
    Written(u64),
    /// The kernel has every write up to this number, if it is still the connection of this connect.
    WrittenLate(u64, u32),
    /// The next of the values that wait.
    Value,
    /// Destroyed while writes were queued.
    FailQueue,
    /// Tell what is owed of connections before this one.
    Owed,
    /// Emit `shutdown`.
    Shutdown,
    /// The peer has ended right behind bytes, or receiving has failed: to be told in the next turn but one.
    EndBehindBytes(u32),
    /// The peer has ended, in an earlier turn than this one; or receiving has failed.
    EndOfStream(u32),
    /// `close`, of a socket that never had a connection.
    Close,
    /// `close` of a connection before this one.
    CloseBefore(bool),
}

/// What waits for a tick.
#[derive(Debug)]
pub(crate) enum Value<C> {
    /// Tell one callback.
    Reply(Call<C>),
    /// The system took nothing of a write.
    WriteFailed(Error),
    /// Emit `error`.
    Error(Error),
    /// The lookup of the connect with this number was answered.
    Lookup(u32, Result<Vec<IpAddr>>),
    /// Attempt to connect again.
    Again(Box<Again>),
}

/// Where a transition goes on, after something that may have changed everything.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is described where it is handled")]
pub enum Then<C> {
    Connect,
    LookupHeard(u32),
    NextAttempt,
    AttemptHeard(Attempt),
    AttemptRefused(Box<Failure>),
    AttemptOver(Box<Failure>),
    Won(Attempt),
    FailureHeard(Box<Failure>),
    ConnectFailed(u32, Error),
    AgainHeard(Box<Again>),
    Written(u64),
    WrittenTold,
    CallBack(u64, Result<()>),
    CallNext { count: usize, number: u64, result: Result<()> },
    CallBackDone,
    CallEnds(Result<()>),
    FailFlight(Error),
    FailQueue,
    FailOneByOne { accepted: u64, round: u32, error: Error },
    FailAfterWrites(Error),
    EndUncork(Option<C>, Option<Error>),
    EndBegin(Option<C>, Option<Error>),
    EndCallback(Option<C>, Option<Error>),
    FinishIfDone,
    PrefinishHeard,
    FinishHeard,
    Cork,
    Finish,
    DestroySoon,
    EmitTaken,
    Deliver,
    DeliverNext,
    Delivered,
    SinkResumed,
    StartReceiving,
    ReadableHeard,
    TellEnd,
    EndHeard,
    Dismantle { error: Option<Error>, reset: bool, refused: bool },
    Fail(Error),
    CloseTold(Option<Error>),
    CloseFlightTold(Error),
    CloseQueueTold,
    CloseHeard(Box<Parked<C>>),
    SetBehind(usize, u32),
    ConnectHeard { written_before: bool },
    Begin { written_before: bool },
    ReadyDue,
    ReadyHeard,
    TellOwed,
    TellCancelled { had_error: bool, error: Error, any: bool },
}

/// How many effects need no allocation.
const IN_PLACE: usize = 4;

/// The effects of one transition, in order.
#[derive(Debug)]
pub struct Effects<C> {
    first: [Option<Effect<C>>; IN_PLACE],
    taken: u8,
    pushed: u8,
    /// Those beyond the ones in place. Boxed, because there are hardly ever that many.
    #[expect(
        clippy::box_collection,
        reason = "made for every transition: null is less than empty"
    )]
    rest: Option<Box<VecDeque<Effect<C>>>>,
}

impl<C> Default for Effects<C> {
    fn default() -> Self {
        Self { first: [const { None }; IN_PLACE], taken: 0, pushed: 0, rest: None }
    }
}

impl<C> Effects<C> {
    /// Adds one to the end.
    #[inline]
    pub fn push(&mut self, effect: Effect<C>) {
        if self.is_empty() {
            (self.taken, self.pushed) = (0, 0);
        }
        match self.first.get_mut(usize::from(self.pushed)) {
            Some(place) if self.rest.is_none() => {
                let before = place.replace(effect);
                debug_assert!(before.is_none(), "it was taken");
                // Looking at what it would have to drop costs more than all the rest.
                std::mem::forget(before);
                self.pushed += 1;
            }
            _ => self.push_rest(effect),
        }
    }

    #[cold]
    fn push_rest(&mut self, effect: Effect<C>) {
        self.rest.get_or_insert_default().push_back(effect);
    }

    /// Takes the first.
    #[inline]
    pub fn take_next(&mut self) -> Option<Effect<C>> {
        if self.taken < self.pushed {
            self.taken += 1;
            return self.first[usize::from(self.taken - 1)].take();
        }
        if self.rest.is_none() { None } else { self.take_rest() }
    }

    /// Ends a list of which everything was taken: there is nothing to drop.
    #[inline]
    pub fn finish(self) {
        if self.is_empty() {
            std::mem::forget(self);
        }
    }

    #[inline(never)]
    fn take_rest(&mut self) -> Option<Effect<C>> {
        let rest = self.rest.as_mut()?;
        let next = rest.pop_front();
        if rest.is_empty() {
            self.rest = None;
        }
        next
    }

    /// Whether there is nothing to do.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.taken == self.pushed && self.rest.is_none()
    }

    pub(crate) fn drop_callbacks(&mut self, callbacks: Vec<C>) {
        if !callbacks.is_empty() {
            self.push(Effect::Drop(Spent::Callbacks(callbacks)));
        }
    }

    pub(crate) fn then(&mut self, then: Then<C>) {
        self.push(Effect::Then(then));
    }

    pub(crate) fn defer(&mut self, when: When, tick: Tick) {
        self.push(Effect::Defer(when, tick));
    }

    pub(crate) fn emit(&mut self, event: Event) {
        self.push(Effect::Emit(event));
    }

    pub(crate) fn call(&mut self, callback: C, result: Result<()>) {
        self.push(Effect::Call(Call { callback, result }));
    }

    pub(crate) fn drop_chunks(&mut self, chunks: VecDeque<Chunk>) {
        if !chunks.is_empty() {
            self.push(Effect::Drop(Spent::Chunks(chunks)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_come_in_their_order_however_many_there_are() {
        let mut effects = Effects::<u32>::default();
        let mut next = 0;
        for number in 0..3 * IN_PLACE as u32 {
            effects.push(Effect::Call(Call { callback: number, result: Ok(()) }));
            if number % 3 == 2 {
                let Some(Effect::Call(call)) = effects.take_next() else { panic!("{effects:?}") };
                assert_eq!(call.callback, next);
                next += 1;
            }
        }
        while let Some(Effect::Call(call)) = effects.take_next() {
            assert_eq!(call.callback, next);
            next += 1;
        }
        assert_eq!(next, 3 * IN_PLACE as u32);
        assert!(effects.is_empty());
    }
}
