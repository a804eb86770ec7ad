//! The effects of a transition: what the shell must do.

use std::collections::VecDeque;
use std::net::IpAddr;

use fyke_driver::Chunk;

use super::connecting::{Again, Attempt, AttemptEvent, Failure, LookupEvent};
use super::context::Event;
use crate::writing::{Parked, WriteSide};
use crate::{Error, Result};

/// An action that the shell performs, in the order in which the effects were pushed, while nothing of the
/// connection is borrowed.
#[derive(Debug)]
pub enum Effect<C> {
    /// Run the listeners of an event without arguments.
    Emit(Event),
    /// Pass bytes to the data listeners.
    Data(Vec<u8>),
    /// Pass the stored bytes to the sink, as many as it accepts, and report this to the machine.
    SinkStored,
    /// The text ends here: emit the bytes that never became a complete character.
    FinishText,
    /// The connection fails: unpipe the streams that pipe into it, then emit `error`.
    Error(Error),
    /// Unpipe the socket in both directions, then emit `close`.
    Close {
        /// Whether the connection ended with an error.
        had_error: bool,
    },
    /// Emit `close` of a connection before this one.
    CloseBefore {
        /// Whether that connection ended with an error.
        had_error: bool,
    },
    /// Run a callback.
    Call(Call<C>),

    /// Call the machine again at a later time.
    Defer(When, Tick),
    /// Let the machine [close](super::Connection::close) in the close phase of this turn.
    CloseLater {
        /// The result for the callbacks of writes that were in flight.
        cancelled: Option<Error>,
    },
    /// Call the machine again now, because the effects before this one may have changed everything. The
    /// effects of that call come before the effects that were pushed after this one.
    Then(Then<C>),

    /// Send the queue when the running batch of callbacks ends.
    FlushLater,
    /// Send the queue now, and report to the machine how much the kernel accepted.
    Flush,
    /// Send the first writes of a connection.
    FlushFirst,
    /// Send the parked write.
    FlushParked,
    /// Shut down our side.
    Shutdown,
    /// Start receiving.
    Receive,
    /// Stop receiving.
    StopReceiving,
    /// Store the addresses: the system no longer knows them when the connection is closed.
    CaptureAddresses,
    /// Close the connection and all attempts, and forget the deferred work for them.
    Release {
        /// Close with an RST.
        reset: bool,
    },
    /// Emit `error` inside the call, because a reset was refused.
    RefuseReset,
    /// A connection of a server is closed. `Some` if it was part of a shutdown.
    Leave(Option<Gone>),
    /// Drop the reference to the server.
    LetGoOfServer,
    /// Resolve a host, and report to the machine that the lookup [was
    /// answered](super::Connection::lookup_answered).
    Resolve {
        /// The name of the host.
        host: Box<str>,
        /// Whether all addresses are needed, or only the first.
        all: bool,
    },
    /// Emit `lookup`.
    Lookup(Box<LookupEvent>),
    /// Note that there are several addresses to try.
    HasSeveralAddresses,
    /// Emit an event of an attempt.
    Attempt(Box<AttemptEvent>),
    /// Open and bind a descriptor for an attempt, and report to the machine that it [was
    /// opened](super::Connection::opened).
    Open(Attempt),
    /// Connect the descriptor of an attempt.
    Dial(Attempt),
    /// Close the descriptor of an attempt, if there is one.
    HangUp(Attempt),
    /// Make the descriptor of an attempt the descriptor of the connection.
    Take(Attempt),
    /// Ask the system whether an attempt is connected, and if so, report this to the
    /// [machine](super::Connection::probed).
    Probe(Attempt),
    /// The connection is established: apply the requested socket options.
    Established,
    /// Another connection begins: forget the data of the previous one.
    Renew,
    /// Drop values of the user.
    Drop(Spent<C>),
}

/// A callback and its result.
#[derive(Debug)]
pub struct Call<C> {
    /// The callback.
    pub callback: C,
    /// The result to pass to it.
    pub result: Result<()>,
}

/// Values of the user, whose destructors may run user code.
#[derive(Debug)]
#[expect(missing_docs, reason = "they are only dropped")]
pub enum Spent<C> {
    Chunks(VecDeque<Chunk>),
    Side(Box<WriteSide<C>>),
    Callbacks(Vec<C>),
}

/// How a connection of a server was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// Without an error.
    Ended,
    /// With an error.
    Failed,
    /// With a reset by us.
    Reset,
}

/// When to call the machine again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// When the running callback has returned.
    Tick,
    /// When the running callback has returned; or at once, if nothing else is deferred and this is the last
    /// action for the current event of the loop.
    Now,
    /// On the tick; or in the next turn, if this batch of callbacks has used up its share.
    Fair,
    /// In the next turn, before the loop waits again.
    NextTurn,
}

/// The step to run then. Data that does not fit into a number is stored in the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// Begin to connect.
    Connect,
    /// Report the outcome of a repeated `connect`.
    Again,
    /// Report the outcome of a repeated `connect` to a path, while the first connect is in progress.
    PathAgain,
    /// Continue after `resume` was called.
    Resume,
    /// Emit `readable`.
    Readable,
    /// Start receiving, because `readable` has a listener.
    Receive,
    /// Deliver the bytes that `read` has taken.
    Data,
    /// Emit `end`: everything before end-of-stream was delivered.
    End,
    /// End our side: the peer has ended, and half-open is not allowed.
    EndItself,
    /// Emit `finish`: our side is ended and was never connected.
    FinishAlone,
    /// Treat our side as shut down: closing the connection will end it.
    ShutDown,
    /// Shut down now, if the connection still belongs to the connect with this number.
    ShutdownDue(u32),
    /// Emit `finish`: our side is shut down.
    Finish,
    /// Report that the kernel has accepted every write up to this number.
    Written(u64),
    /// Report that the kernel has accepted every write up to this number, if the connection still belongs
    /// to the connect with the second number.
    WrittenLate(u64, u32),
    /// Handle the next stored value.
    Value,
    /// Fail the queued writes of a destroyed connection.
    FailQueue,
    /// Report what earlier connections still owe.
    Owed,
    /// Emit `shutdown`.
    Shutdown,
    /// The peer has ended directly after bytes, or receiving has failed: report it in the turn after the
    /// next one.
    EndBehindBytes(u32),
    /// Report that the peer has ended in an earlier turn, or that receiving has failed.
    EndOfStream(u32),
    /// Emit `close` of a socket that never had a connection.
    Close,
    /// Emit `close` of a connection before this one.
    CloseBefore(bool),
}

/// A value that waits for its tick.
#[derive(Debug)]
pub(crate) enum Value<C> {
    /// Call one callback.
    Reply(Call<C>),
    /// The system accepted nothing of a write.
    WriteFailed(Error),
    /// Emit `error`.
    Error(Error),
    /// The lookup of the connect with this number was answered.
    Lookup(u32, Result<Vec<IpAddr>>),
    /// Attempt another connect.
    Again(Box<Again>),
}

/// The step at which a transition continues, after effects that may have changed everything.
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
    WrittenReported,
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
    ReportEnd,
    EndHeard,
    Dismantle { error: Option<Error>, reset: bool, refused: bool },
    Fail(Error),
    CloseReported(Option<Error>),
    CloseFlightReported(Error),
    CloseQueueReported,
    CloseHeard(Box<Parked<C>>),
    SetBehind(usize, u32),
    ConnectHeard { written_before: bool },
    Begin { written_before: bool },
    ReadyDue,
    ReadyHeard,
    ReportOwed,
    ReportCancelled { had_error: bool, error: Error, any: bool },
}

/// The number of effects that need no allocation.
const IN_PLACE: usize = 4;

/// The effects of one transition, in order.
#[derive(Debug)]
pub struct Effects<C> {
    first: [Option<Effect<C>>; IN_PLACE],
    taken: u8,
    pushed: u8,
    /// The effects beyond those stored in place. Boxed, because there are hardly ever that many.
    #[expect(
        clippy::box_collection,
        reason = "made for every transition, and a null pointer is cheaper than an empty list"
    )]
    rest: Option<Box<VecDeque<Effect<C>>>>,
}

impl<C> Default for Effects<C> {
    fn default() -> Self {
        Self { first: [const { None }; IN_PLACE], taken: 0, pushed: 0, rest: None }
    }
}

impl<C> Effects<C> {
    /// Appends an effect.
    #[inline]
    pub fn push(&mut self, effect: Effect<C>) {
        if self.is_empty() {
            (self.taken, self.pushed) = (0, 0);
        }
        match self.first.get_mut(usize::from(self.pushed)) {
            Some(place) if self.rest.is_none() => {
                let before = place.replace(effect);
                debug_assert!(before.is_none(), "it was taken");
                // Checking whether the old value must be dropped costs more than everything else here.
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

    /// Takes the first effect.
    #[inline]
    pub fn take_next(&mut self) -> Option<Effect<C>> {
        if self.taken < self.pushed {
            self.taken += 1;
            return self.first[usize::from(self.taken - 1)].take();
        }
        if self.rest.is_none() { None } else { self.take_rest() }
    }

    /// Ends a list of which every effect was taken: there is nothing to drop.
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

    /// Returns whether there are no effects.
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
    fn effects_are_returned_in_order_for_any_number_of_them() {
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
