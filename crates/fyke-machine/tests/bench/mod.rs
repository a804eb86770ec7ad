//! Two machines and a wire between them: what a loop, a driver and a kernel do, in memory.

use std::collections::VecDeque;
use std::io;

use fyke_driver::Batch;
use fyke_machine::connection::{
    Connection, Context, Effect, Effects, Event, Heard, Phase, Settings, Tick, When,
};
use fyke_machine::error::MakeError;
use fyke_machine::transitions::{Flushed, Received, Written};
use fyke_machine::writing::NoSpares;
use fyke_machine::{Error, Moment, Payload, PlainWrite, Policy};

/// A write callback, by its number.
pub(crate) type Callback = u32;
pub(crate) type Machine = Connection<Callback>;

/// What goes over the wire.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    End,
    Reset,
}

/// One end of a connection.
pub(crate) struct Side {
    pub machine: fyke_machine::Machine<Callback>,
    pub log: Vec<String>,
    pub policy: Policy,
    pub heard: Heard,
    pub received: Vec<u8>,
    /// The kernel takes so many bytes, before the other side has taken them.
    pub window: usize,
    turn: u64,
    ticks: VecDeque<Tick>,
    next_turn: VecDeque<Tick>,
    closing: VecDeque<Option<Error>>,
    flush_later: bool,
    /// Of the batch in flight, what the kernel has not taken.
    in_flight: Vec<u8>,
    shut_down: ShutDown,
    /// What the kernel has, and the other side has not taken.
    pub wire: VecDeque<Piece>,
    connected: bool,
    peer_is_gone: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum ShutDown {
    No,
    Asked,
    Told,
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

impl Side {
    /// A connection that is open, with a listener for data.
    pub(crate) fn new(policy: Policy) -> Self {
        let mut side = Self {
            machine: fyke_machine::Machine::new(&settings()),
            log: Vec::new(),
            policy,
            heard: Heard(1 << Event::Data as u32),
            received: Vec::new(),
            window: usize::MAX,
            turn: 1,
            ticks: VecDeque::new(),
            next_turn: VecDeque::new(),
            closing: VecDeque::new(),
            flush_later: false,
            in_flight: Vec::new(),
            shut_down: ShutDown::No,
            wire: VecDeque::new(),
            connected: true,
            peer_is_gone: false,
        };
        side.machine.change().phase = Phase::Open;
        assert!(side.machine.change().data_listened());
        side.ticks.push_back(Tick::Resume);
        side.settle();
        side.log.clear();
        side
    }

    pub(crate) fn step<R>(
        &mut self,
        transition: impl FnOnce(&mut Machine, &Context<'_>, &mut Effects<Callback>) -> R,
    ) -> R {
        let mut effects = Effects::default();
        let result = self.ask(&mut effects, transition);
        while let Some(effect) = effects.take_next() {
            match effect {
                // The last one needs no list of its own, so that a long chain needs no stack.
                Effect::Then(then) if effects.is_empty() => {
                    self.ask(&mut effects, |machine, cx, fx| machine.then(then, cx, fx));
                }
                effect => self.execute(effect),
            }
        }
        let mut machine = self.machine.change();
        drop(machine.write.reclaim());
        machine.tidy();
        result
    }

    fn ask<R>(
        &mut self,
        effects: &mut Effects<Callback>,
        transition: impl FnOnce(&mut Machine, &Context<'_>, &mut Effects<Callback>) -> R,
    ) -> R {
        let (policy, heard, turn) = (self.policy, self.heard, self.turn);
        let context = Context { now: Moment::ZERO, turn, policy: &policy, heard };
        transition(&mut self.machine.change(), &context, effects)
    }

    fn execute(&mut self, effect: Effect<Callback>) {
        match effect {
            Effect::Emit(event) => self.log.push(format!("{event:?}")),
            Effect::Data(bytes) => self.data(&bytes),
            Effect::FinishText | Effect::CaptureAddresses | Effect::Drop(_) | Effect::Renew => {}
            Effect::Error(error) => self.log.push(format!("Error {}", error.code())),
            Effect::Close { had_error } => self.log.push(format!("Close {had_error}")),
            Effect::CloseBefore { had_error } => self.log.push(format!("CloseBefore {had_error}")),
            Effect::Call(call) => {
                let result =
                    call.result.map_or_else(|error| error.code().to_string(), |()| "ok".into());
                self.log.push(format!("Call {} {result}", call.callback));
            }
            Effect::Defer(When::Now, tick) if self.ticks.is_empty() => {
                self.step(|machine, cx, fx| machine.tick(tick, cx, fx));
            }
            Effect::Defer(When::Tick | When::Now | When::Fair, tick) => self.ticks.push_back(tick),
            Effect::Defer(When::NextTurn, tick) => self.next_turn.push_back(tick),
            Effect::CloseLater { cancelled } => self.closing.push_back(cancelled),
            Effect::Then(then) => self.step(|machine, cx, fx| machine.then(then, cx, fx)),
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
                let batch = self.machine.change().write.hand_over_parked();
                let flushed = self.offer(batch);
                self.step(|machine, _, fx| machine.flushed_parked(flushed, fx));
            }
            Effect::Shutdown => {
                if self.shut_down == ShutDown::No {
                    self.shut_down = ShutDown::Asked;
                }
            }
            Effect::Receive | Effect::StopReceiving => {}
            Effect::SinkStored => unreachable!("there is no sink"),
            Effect::Release { reset } => self.release(reset),
            Effect::RefuseReset => self.log.push("Error EINVAL".into()),
            Effect::Leave(_) | Effect::LetGoOfServer => {}
            Effect::Resolve { .. }
            | Effect::Lookup(_)
            | Effect::HasSeveralAddresses
            | Effect::Attempt(_)
            | Effect::Open(_)
            | Effect::Dial(_)
            | Effect::HangUp(_)
            | Effect::Take(_)
            | Effect::Probe(_)
            | Effect::Established => unreachable!("nothing is connected to"),
        }
    }

    fn data(&mut self, bytes: &[u8]) {
        self.log.push(format!("Data {}", bytes.len()));
        self.received.extend_from_slice(bytes);
    }

    fn release(&mut self, reset: bool) {
        if !std::mem::take(&mut self.connected) {
            return;
        }
        self.in_flight.clear();
        if reset {
            self.wire.clear();
            self.wire.push_back(Piece::Reset);
        } else if self.wire.back() != Some(&Piece::End) {
            self.wire.push_back(Piece::End);
        }
    }

    fn flush(&mut self) -> Flushed {
        if let Some(bytes) = self.machine.outgoing().filter(|_| !self.peer_is_gone) {
            let bytes = bytes.to_vec();
            if bytes.len() <= self.room() {
                self.take(&bytes);
                drop(self.machine.outgoing_sent());
                return Flushed::Clear;
            }
        }
        if !self.machine.is_connected() || self.machine.has_failed() {
            return Flushed::Quiet;
        }
        if !self.machine.write.can_hand_over() {
            return Flushed::Quiet;
        }
        let batch = self.machine.change().write.hand_over();
        self.offer(batch)
    }

    fn offer(&mut self, batch: Option<Batch>) -> Flushed {
        if self.peer_is_gone {
            let broken = io::ErrorKind::BrokenPipe.into();
            let error = self.machine.change().refused_by_system(broken, &self.policy);
            return Flushed::Refused(error);
        }
        let bytes = batch.map(|batch| batch.to_vec()).unwrap_or_default();
        let taken = self.take(&bytes);
        self.in_flight = bytes[taken..].to_vec();
        let all = self.machine.change().write.sent(taken);
        let told = all && self.machine.write.has_news();
        let number = self.machine.write.in_flight_number();
        if told { Flushed::Told(number) } else { Flushed::Quiet }
    }

    /// For how many bytes the kernel has room.
    fn room(&self) -> usize {
        let len = |piece: &Piece| match piece {
            Piece::Bytes(bytes) => bytes.len(),
            Piece::End | Piece::Reset => 0,
        };
        self.window.saturating_sub(self.wire.iter().map(len).sum())
    }

    /// The kernel takes what there is room for.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room());
        if taken > 0 {
            self.wire.push_back(Piece::Bytes(bytes[..taken].to_vec()));
        }
        taken
    }

    /// Writes, and says whether there is room for more.
    pub(crate) fn write(&mut self, bytes: &[u8], callback: Option<Callback>) -> bool {
        if callback.is_none() {
            match self.machine.write_plain(bytes, false, Moment::ZERO, &mut NoSpares) {
                PlainWrite::Queued(first) => {
                    self.flush_later |= first;
                    return true;
                }
                PlainWrite::No | PlainWrite::Uncopied => {}
            }
        }
        self.write_payload(bytes.into(), callback)
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
            Written::AfterFlush => self.machine.change().has_room(),
        }
    }

    pub(crate) fn end(&mut self, callback: Option<Callback>) {
        self.step(|machine, cx, fx| machine.end(&mut None, callback, &mut NoSpares, cx, fx));
    }

    pub(crate) fn destroy(&mut self, error: Option<Error>) {
        self.step(|machine, cx, fx| machine.destroy(error, false, cx, fx));
    }

    /// The batch of callbacks has ended.
    pub(crate) fn settle(&mut self) {
        loop {
            while let Some(tick) = self.ticks.pop_front() {
                self.step(|machine, cx, fx| machine.tick(tick, cx, fx));
            }
            if !std::mem::take(&mut self.flush_later) {
                return;
            }
            self.machine.left_dirty_list();
            let flushed = self.flush();
            self.step(|machine, _, fx| machine.flushed(flushed, fx));
        }
    }

    /// One turn of the loop: what was deferred, what has come, the close phase.
    pub(crate) fn turn(&mut self, peer: &mut Side) {
        self.settle();
        self.turn += 1;
        let mut deferred = std::mem::take(&mut self.next_turn);
        while let Some(tick) = deferred.pop_front() {
            self.step(|machine, cx, fx| machine.tick(tick, cx, fx));
            self.settle();
        }
        self.receive(peer);
        self.send_more();
        let mut closing = std::mem::take(&mut self.closing);
        while let Some(cancelled) = closing.pop_front() {
            if cancelled.is_some() || !self.served_unheard() || !self.machine.close_plain() {
                self.step(|machine, _, fx| machine.close(cancelled, fx));
            }
            self.settle();
        }
    }

    fn receive(&mut self, peer: &mut Side) {
        while self.connected && self.machine.read.is_receiving() {
            let Some(piece) = peer.wire.pop_front() else { break };
            match piece {
                Piece::Bytes(bytes) => self.receive_bytes(&bytes),
                Piece::End => self.receive_end(),
                Piece::Reset => {
                    self.peer_is_gone = true;
                    let error = Error::system("read", io::ErrorKind::ConnectionReset.into());
                    self.step(|machine, cx, fx| machine.received_all(Some(error), cx, fx));
                }
            }
            self.settle();
        }
        self.peer_is_gone |= !peer.connected && peer.wire.is_empty();
    }

    fn receive_bytes(&mut self, bytes: &[u8]) {
        let heard = self.heard.has(Event::Data);
        if heard && self.machine.receive_plain(bytes.len(), Moment::ZERO) {
            return self.data(bytes);
        }
        let what = self.step(|machine, cx, fx| machine.receive(bytes, cx, fx));
        if what == Received::Deliver {
            self.data(bytes);
        }
    }

    /// A connection of a server whose steps at the end have no listeners.
    fn served_unheard(&self) -> bool {
        self.machine.served && self.heard == Heard(1 << Event::Data as u32)
    }

    fn receive_end(&mut self) {
        if self.served_unheard()
            && self.ticks.is_empty()
            && self.machine.end_plain(&self.policy, self.heard)
        {
            self.release(false);
            return self.closing.push_back(None);
        }
        self.step(|machine, cx, fx| machine.received_all(None, cx, fx));
    }

    fn send_more(&mut self) {
        if !self.in_flight.is_empty() && self.connected {
            let bytes = std::mem::take(&mut self.in_flight);
            let taken = self.take(&bytes);
            self.in_flight = bytes[taken..].to_vec();
            if taken > 0 {
                self.step(|machine, cx, fx| machine.sent(taken, cx, fx));
                self.settle();
            }
        }
        if self.connected && self.in_flight.is_empty() && self.shut_down == ShutDown::Asked {
            self.shut_down = ShutDown::Told;
            self.wire.push_back(Piece::End);
            self.step(|machine, _, fx| machine.was_shut_down(fx));
            self.settle();
        }
    }

    /// Whether nothing happens any more by itself.
    pub(crate) fn is_quiet(&self) -> bool {
        let deferred = self.next_turn.len() + self.closing.len();
        self.ticks.is_empty() && deferred == 0 && self.shut_down != ShutDown::Asked
    }
}

/// Turns both until nothing happens any more.
pub(crate) fn run(a: &mut Side, b: &mut Side) {
    for _ in 0..64 {
        a.settle();
        b.settle();
        let before = (a.log.len(), b.log.len(), a.wire.len(), b.wire.len());
        a.turn(b);
        b.turn(a);
        let after = (a.log.len(), b.log.len(), a.wire.len(), b.wire.len());
        if before == after && a.is_quiet() && b.is_quiet() {
            return;
        }
    }
}

/// Two ends that are joined and take the general way.
pub(crate) fn pair(policy: Policy) -> (Side, Side) {
    (Side::new(policy), Side::new(policy))
}
