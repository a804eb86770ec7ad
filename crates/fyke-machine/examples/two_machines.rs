//! Two connections without a loop, a socket or a thread: each machine returns effects, and a shell of a
//! hundred lines carries them out. A program with its own event loop needs such a shell.
//!
//! `cargo run -p fyke-machine --example two_machines`

use std::collections::VecDeque;

use fyke_machine::connection::{
    Connection, Context, Effect, Effects, Event, Heard, Phase, Settings, Tick, When,
};
use fyke_machine::transitions::{Flushed, Received};
use fyke_machine::writing::NoSpares;
use fyke_machine::{Error, Moment, policy};

/// The data on the wire. `None` is the end of the stream.
type Piece = Option<Vec<u8>>;

/// One end of a connection. A write callback is only a name here.
struct Side {
    name: &'static str,
    machine: Connection<&'static str>,
    ticks: VecDeque<Tick>,
    next_turn: VecDeque<Tick>,
    closing: Option<Option<Error>>,
    sent: VecDeque<Piece>,
    echoes: bool,
}

impl Side {
    fn new(name: &'static str, echoes: bool) -> Self {
        let settings = Settings {
            half_open: false,
            high_water_mark_bytes: 65_536,
            write_queue_bytes_max: u32::MAX,
            readable: true,
            writable: true,
        };
        let machine = Connection::new(&settings);
        let (ticks, next_turn) = (VecDeque::new(), VecDeque::new());
        let mut side =
            Self { name, machine, ticks, next_turn, closing: None, sent: VecDeque::new(), echoes };
        side.machine.phase = Phase::Open;
        if side.machine.data_listened() {
            side.ticks.push_back(Tick::Resume);
        }
        side
    }

    /// Runs one transition and its effects, which may run further transitions.
    fn step<R>(
        &mut self,
        transition: impl FnOnce(
            &mut Connection<&'static str>,
            &Context<'_>,
            &mut Effects<&'static str>,
        ) -> R,
    ) -> R {
        let context = Context {
            now: Moment::ZERO,
            turn: 0,
            policy: &policy::DEFAULT,
            heard: Heard(1 << Event::Data as u32),
        };
        let mut effects = Effects::default();
        let result = transition(&mut self.machine, &context, &mut effects);
        while let Some(effect) = effects.take_next() {
            self.execute(effect);
        }
        result
    }

    fn execute(&mut self, effect: Effect<&'static str>) {
        match effect {
            Effect::Emit(event) => println!("{}: {event:?}", self.name),
            Effect::Data(bytes) => self.data(&bytes),
            Effect::Call(call) => println!("{}: {}: {:?}", self.name, call.callback, call.result),
            Effect::Close { had_error } => println!("{}: Close, error: {had_error}", self.name),
            Effect::Error(error) => println!("{}: Error {error}", self.name),
            Effect::Then(then) => self.step(|machine, cx, fx| machine.then(then, cx, fx)),
            Effect::CloseLater { cancelled } => self.closing = Some(cancelled),
            Effect::Defer(When::NextTurn, tick) => self.next_turn.push_back(tick),
            Effect::Defer(_, tick) => self.ticks.push_back(tick),
            Effect::Flush | Effect::FlushLater | Effect::FlushFirst => self.flush(),
            Effect::Shutdown => {
                self.sent.push_back(None);
                self.step(|machine, _, fx| machine.was_shut_down(fx));
            }
            // There is no descriptor to ask about, and no user value to drop.
            _ => {}
        }
    }

    fn flush(&mut self) {
        self.machine.write.dirty = false;
        if !self.machine.write.can_submit() {
            return;
        }
        if let Some(batch) = self.machine.write.submit() {
            self.sent.push_back(Some(batch.to_vec()));
            self.machine.write.sent(usize::MAX);
        }
        let number = self.machine.write.in_flight_number();
        self.step(|machine, _, fx| machine.flushed(Flushed::Written(number), fx));
    }

    fn data(&mut self, bytes: &[u8]) {
        println!("{}: {:?}", self.name, String::from_utf8_lossy(bytes));
        if self.echoes {
            self.write(bytes, "echoed");
        }
    }

    fn write(&mut self, bytes: &[u8], callback: &'static str) {
        let mut payload = Some(bytes.into());
        self.step(|machine, cx, fx| {
            machine.write(&mut payload, Some(callback), &mut NoSpares, cx, fx);
        });
    }

    /// Handles what the other side has sent, and then the deferred steps.
    fn turn(&mut self, arrived: VecDeque<Piece>) {
        for piece in arrived {
            match piece {
                None => self.step(|machine, cx, fx| machine.received_all(None, cx, fx)),
                Some(bytes) => {
                    let what = self.step(|machine, cx, fx| machine.receive(&bytes, cx, fx));
                    if what == Received::Deliver {
                        self.data(&bytes);
                    }
                }
            }
            self.settle();
        }
        self.ticks.append(&mut self.next_turn);
        self.settle();
        if let Some(cancelled) = self.closing.take() {
            self.step(|machine, _, fx| machine.close(cancelled, fx));
        }
    }

    fn settle(&mut self) {
        while let Some(tick) = self.ticks.pop_front() {
            self.step(|machine, cx, fx| machine.tick(tick, cx, fx));
        }
    }
}

fn main() {
    let (mut client, mut server) = (Side::new("client", false), Side::new("server", true));
    client.write(b"hello", "written");
    client.step(|machine, cx, fx| machine.end(&mut None, None, &mut NoSpares, cx, fx));
    client.settle();
    while client.machine.phase != Phase::Closed || server.machine.phase != Phase::Closed {
        server.turn(std::mem::take(&mut client.sent));
        client.turn(std::mem::take(&mut server.sent));
    }
}
