//! Two machines and a wire between them: the work of a loop, a driver and a kernel, in memory.

#![allow(dead_code, unused_imports, reason = "each test that joins machines uses its part")]

mod connecting;
mod short;
mod turn;
mod wire;

use std::collections::VecDeque;
use std::time::Duration;

use fyke_machine::connection::{
    Attempt, AttemptEvent, Connection, Context, Effect, Effects, Event, Heard, Phase, Settings,
    Tick, When,
};
use fyke_machine::reading::Flow;
use fyke_machine::transitions::{Received, Written};
use fyke_machine::writing::NoSpares;
use fyke_machine::{Change, Error, Moment, Payload, Policy, Result};

pub(crate) use wire::End;

/// A write callback, by its number.
pub(crate) type Callback = u32;
pub(crate) type Machine = Connection<Callback>;

/// What is reported to a side.
#[derive(Debug)]
pub(crate) enum News<'a> {
    Event(Event),
    Data(&'a [u8]),
    Called(Callback, Result<()>),
    Error(Error),
    Close { had_error: bool },
    CloseBefore { had_error: bool },
    Attempt(AttemptEvent),
}

/// The user code.
pub(crate) trait User: Sized {
    /// Handles an event. Nothing is borrowed: any call may be made on the side.
    fn reported(side: &mut Side<Self>, news: News<'_>);

    /// Handles a tick of the user code.
    fn ticked(_side: &mut Side<Self>, _number: usize) {}
}

/// A deferred step.
#[derive(Clone, Copy, Debug)]
enum Deferred {
    Machine(Tick),
    User(usize),
}

/// Logs everything that is reported.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub lines: Vec<String>,
    pub received: Vec<u8>,
}

impl User for Log {
    fn reported(side: &mut Side<Self>, news: News<'_>) {
        let line = match news {
            News::Event(event) => format!("{event:?}"),
            News::Data(bytes) => {
                side.user.received.extend_from_slice(bytes);
                format!("Data {}", bytes.len())
            }
            News::Called(callback, Ok(())) => format!("Call {callback} ok"),
            News::Called(callback, Err(error)) => format!("Call {callback} {}", error.code()),
            News::Error(error) => format!("Error {}", error.code()),
            News::Close { had_error } => format!("Close {had_error}"),
            News::CloseBefore { had_error } => format!("CloseBefore {had_error}"),
            News::Attempt(_) => return,
        };
        side.user.lines.push(line);
    }
}

/// One end of a connection, with the loop and the driver that belong to it.
pub(crate) struct Side<U> {
    pub machine: fyke_machine::Machine<Callback>,
    pub user: U,
    pub policy: Policy,
    pub heard: Heard,
    /// Whether the plain lanes are used where the machine allows it.
    pub plain: bool,
    /// The number of bytes that the kernel accepts before the other side has read them.
    pub window_bytes: usize,
    /// The maximum of bytes received in one piece.
    pub piece_bytes_max: usize,
    /// Whether much was reported in this turn, so that completions of writes wait for the next one.
    pub tells_late: bool,
    /// Received data goes to one consumer, in pieces of this size.
    pub sink_bytes: usize,
    /// The current attempt.
    pub dialled: Option<Attempt>,
    /// The number of inputs of the machine.
    pub inputs: u64,
    pub now: Duration,
    turn: u64,
    ticks: VecDeque<Deferred>,
    next_turn: VecDeque<Tick>,
    closing: VecDeque<Option<Error>>,
    closes_now: bool,
    /// The time of the next check of the idle timeout.
    listed: Option<Duration>,
    flush_later: bool,
    /// The batch in flight, and how much of it the kernel has accepted.
    in_flight: (Vec<u8>, usize),
    shut_down: ShutDown,
    /// The socket's end of the connection, if there is one.
    pub wire: Option<End>,
    /// Its ends of connections that it has released.
    past: Vec<End>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum ShutDown {
    No,
    Asked,
    Written,
}

pub(crate) fn settings() -> Settings {
    Settings {
        half_open: false,
        high_water_mark_bytes: 16,
        write_queue_bytes_max: u32::MAX,
        readable: true,
        writable: true,
    }
}

impl<U: User> Side<U> {
    /// A side that is not connected.
    pub(crate) fn new(settings: &Settings, policy: Policy, user: U) -> Self {
        Self {
            machine: fyke_machine::Machine::new(settings),
            user,
            policy,
            heard: Heard(1 << Event::Data as u32),
            plain: false,
            window_bytes: usize::MAX,
            piece_bytes_max: usize::MAX,
            tells_late: false,
            sink_bytes: 1,
            dialled: None,
            inputs: 0,
            now: Duration::ZERO,
            turn: 1,
            ticks: VecDeque::new(),
            next_turn: VecDeque::new(),
            closing: VecDeque::new(),
            closes_now: false,
            listed: None,
            flush_later: false,
            in_flight: (Vec::new(), 0),
            shut_down: ShutDown::No,
            wire: None,
            past: Vec::new(),
        }
    }

    /// Opens the side.
    pub(crate) fn open(&mut self, wire: End) {
        self.change().phase = Phase::Open;
        self.wire = Some(wire);
    }

    /// Makes the side a connection that a server has accepted.
    pub(crate) fn accept(&mut self, wire: End) {
        self.open(wire);
        let mut machine = self.change();
        (machine.accepted, machine.served) = (true, true);
    }

    /// The machine, for changes other than transitions.
    pub(crate) fn change(&mut self) -> Change<'_, Callback> {
        self.machine.change()
    }

    /// Runs the user code with this number on the tick.
    pub(crate) fn next_tick(&mut self, number: usize) {
        self.ticks.push_back(Deferred::User(number));
    }

    /// Adds a listener for data.
    pub(crate) fn listen_for_data(&mut self) {
        self.inputs += 1;
        if self.change().data_listened() {
            self.ticks.push_back(Deferred::Machine(Tick::Resume));
        }
    }

    /// Runs one transition and its effects.
    pub(crate) fn step<R>(
        &mut self,
        transition: impl FnOnce(&mut Machine, &Context<'_>, &mut Effects<Callback>) -> R,
    ) -> R {
        self.inputs += 1;
        self.go(transition)
    }

    fn go<R>(
        &mut self,
        transition: impl FnOnce(&mut Machine, &Context<'_>, &mut Effects<Callback>) -> R,
    ) -> R {
        let mut effects = Effects::default();
        let result = self.ask(&mut effects, transition);
        while let Some(effect) = effects.take_next() {
            match effect {
                // The last one needs no new list, so a long chain does not grow the stack.
                Effect::Then(then) if effects.is_empty() => {
                    self.ask(&mut effects, |machine, cx, fx| machine.then(then, cx, fx));
                }
                effect => self.execute(effect),
            }
        }
        let now = self.now;
        let mut machine = self.change();
        let spent = machine.write.reclaim();
        machine.tidy();
        let deadline = machine.take_idle_deadline(now);
        drop(machine);
        self.listed = deadline.or(self.listed);
        drop(spent);
        result
    }

    fn ask<R>(
        &mut self,
        effects: &mut Effects<Callback>,
        transition: impl FnOnce(&mut Machine, &Context<'_>, &mut Effects<Callback>) -> R,
    ) -> R {
        let (policy, heard, turn) = (self.policy, self.heard, self.turn);
        let context = Context { now: self.now.into(), turn, policy: &policy, heard };
        transition(&mut self.change(), &context, effects)
    }

    fn execute(&mut self, effect: Effect<Callback>) {
        match effect {
            Effect::Emit(event) => self.notify(News::Event(event)),
            Effect::Data(bytes) => self.notify(News::Data(&bytes)),
            Effect::FinishText | Effect::CaptureAddresses | Effect::Drop(_) | Effect::Renew => {}
            Effect::Error(error) => self.notify(News::Error(error)),
            Effect::Close { had_error } => self.notify(News::Close { had_error }),
            Effect::CloseBefore { had_error } => self.notify(News::CloseBefore { had_error }),
            Effect::Call(call) => self.notify(News::Called(call.callback, call.result)),
            Effect::Defer(when, tick) => self.defer(when, tick),
            Effect::CloseLater { cancelled } => self.closing.push_back(cancelled),
            Effect::Then(then) => self.go(|machine, cx, fx| machine.then(then, cx, fx)),
            Effect::FlushLater => self.flush_later = true,
            Effect::Flush => {
                let flushed = self.flush();
                self.step(|machine, _, fx| machine.flushed(flushed, fx));
            }
            Effect::FlushFirst => {
                let flushed = self.flush();
                self.step(|machine, _, fx| machine.flushed_first(flushed, fx));
            }
            Effect::FlushParked => {
                let batch = self.change().write.submit_parked();
                let flushed = self.offer(batch);
                self.step(|machine, _, fx| machine.flushed_parked(flushed, fx));
            }
            Effect::Shutdown => {
                if let (Some(wire), ShutDown::No) = (&self.wire, self.shut_down) {
                    // Immediately, unless a batch is in flight; the completion is reported later.
                    if self.in_flight.0.is_empty() {
                        wire.shut_down();
                    }
                    self.shut_down = ShutDown::Asked;
                }
            }
            Effect::Receive | Effect::StopReceiving => {}
            Effect::SinkStored => {
                self.feed_stored();
                self.step(|machine, _, fx| machine.sink_took_stored(fx));
            }
            Effect::Release { reset } => self.release(reset),
            Effect::RefuseReset => {
                let code = fyke_machine::ErrorCode::EINVAL;
                self.notify(News::Error(Error::new(code, "a reset was refused")));
            }
            Effect::LetGoOfServer => self.change().served = false,
            Effect::Leave(_) => {}
            other => self.execute_for_connect(other),
        }
    }

    fn notify(&mut self, news: News<'_>) {
        U::reported(self, news);
    }

    fn defer(&mut self, when: When, tick: Tick) {
        match (when, tick) {
            (When::Now, tick) if self.ticks.is_empty() => {
                self.step(|machine, cx, fx| machine.tick(tick, cx, fx));
            }
            (When::Fair, Tick::Written(number)) if self.tells_late && self.policy.shares_turns => {
                let round = self.machine.round();
                self.next_turn.push_back(Tick::WrittenLate(number, round));
            }
            (When::Tick | When::Now | When::Fair, tick) => {
                self.ticks.push_back(Deferred::Machine(tick));
            }
            (When::NextTurn, tick) => self.next_turn.push_back(tick),
        }
    }

    /// Writes, and returns whether there is room for more.
    pub(crate) fn write(&mut self, bytes: &[u8], callback: Option<Callback>) -> bool {
        let mut callback = callback;
        let plain = self.write_plain(bytes, &mut callback);
        plain.unwrap_or_else(|| self.write_payload(bytes.into(), callback))
    }

    pub(crate) fn write_payload(
        &mut self,
        payload: Payload<'_>,
        callback: Option<Callback>,
    ) -> bool {
        let mut payload = Some(payload);
        let written = self
            .step(|machine, cx, fx| machine.write(&mut payload, callback, &mut NoSpares, cx, fx));
        match written {
            Written::Room(room) => room,
            Written::AfterFlush => self.change().has_room(),
        }
    }

    /// Ends our side, after a last write if given.
    pub(crate) fn end_with(&mut self, data: Option<Payload<'_>>, callback: Option<Callback>) {
        let mut data = data;
        self.step(|machine, cx, fx| machine.end(&mut data, callback, &mut NoSpares, cx, fx));
    }

    pub(crate) fn end(&mut self, callback: Option<Callback>) {
        self.end_with(None, callback);
    }

    pub(crate) fn destroy(&mut self, error: Option<Error>) {
        self.step(|machine, cx, fx| machine.destroy(error, false, cx, fx));
    }

    fn release(&mut self, reset: bool) {
        self.dialled = None;
        self.in_flight = (Vec::new(), 0);
        self.shut_down = ShutDown::No;
        if let Some(wire) = self.wire.take() {
            wire.close(reset);
            self.past.push(wire);
        }
    }

    fn is_paused(&self) -> bool {
        self.machine.read.flow() == Flow::Paused
    }

    fn receive_bytes(&mut self, bytes: &[u8]) {
        if self.receive_plain(bytes.len()) {
            return self.notify(News::Data(bytes));
        }
        match self.step(|machine, cx, fx| machine.receive(bytes, cx, fx)) {
            Received::Deliver => self.notify(News::Data(bytes)),
            Received::Sink => self.feed(bytes),
            Received::Done => {}
        }
    }

    /// Passes bytes to the consumer. After it pauses, the rest is stored.
    fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, more) = rest.split_at(self.sink_bytes.min(rest.len()));
            rest = more;
            if !self.feed_piece(piece) {
                if !self.machine.destroyed() {
                    self.change().read.store(rest);
                }
                return;
            }
        }
    }

    fn feed_stored(&mut self) {
        while let Some(piece) = self.take_stored() {
            if !self.feed_piece(&piece) {
                return;
            }
        }
    }

    fn take_stored(&mut self) -> Option<Vec<u8>> {
        let bytes_max = self.sink_bytes;
        self.change().read.take_stored(bytes_max)
    }

    fn feed_piece(&mut self, piece: &[u8]) -> bool {
        self.change().read.count(piece.len());
        self.notify(News::Data(piece));
        if self.machine.destroyed() {
            return false;
        }
        let more = !self.is_paused();
        if !more {
            self.step(|machine, _, fx| machine.stop_receiving(fx));
        }
        more
    }

    /// The memory of a side beside its machine.
    pub(crate) fn own_bytes(&self) -> usize {
        let next_turn = self.next_turn.capacity() * size_of::<Tick>();
        let ticks = self.ticks.capacity() * size_of::<Deferred>() + next_turn;
        let closing = self.closing.capacity() * size_of::<Option<Error>>();
        let wires = self.wire.iter().chain(&self.past).map(End::own_bytes).sum::<usize>();
        ticks + closing + self.in_flight.0.capacity() + wires
    }
}

pub(crate) fn pair(policy: Policy) -> (Side<Log>, Side<Log>) {
    let side = |wire| {
        let mut side = Side::new(&settings(), policy, Log::default());
        side.open(wire);
        side.listen_for_data();
        side.settle();
        side
    };
    let [first, second] = End::pair().map(side);
    (first, second)
}

pub(crate) use turn::run;
