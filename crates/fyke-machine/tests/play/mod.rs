//! Plays scripts on joined machines: any sequence of calls may only cause what the model of
//! [`lives`](crate::lives) allows. Only operations of a machine are made; pipes belong to the shell.

#![allow(dead_code, reason = "each test that plays scripts uses its part")]

mod player;

use std::rc::Rc;
use std::time::Duration;

use fyke_machine::Policy;
use fyke_machine::connection::Settings;

use crate::bench::{End, Side};
use crate::lives::{
    Event, Moment, Observer, Operation, Pair, Place, Script, Side as Which, Stage, When, check_end,
};
use player::Player;

/// The number of times that a client may connect.
const CONNECTS_MAX: usize = 4;
/// After this many turns no work is left.
const TURNS_MAX: usize = 100_000;
/// The number of single bytes that are written while a script waits.
const TRICKLE_MAX: usize = 4000;
const TRICKLE_PER_TURN: usize = 8;
/// The number of times that time passes while nothing else happens.
const WAITS_MAX: usize = 64;

/// How a script is played.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) policy: Policy,
    /// Whether the plain lanes are used for reading and writing.
    pub(crate) plain: bool,
    pub(crate) window_bytes: usize,
    pub(crate) piece_bytes_max: usize,
    /// Whether completions of writes wait for the next turn.
    pub(crate) tells_late: bool,
    /// Whether an RST overtakes unread bytes.
    pub(crate) reset_loses_unread: bool,
    /// Returns the memory in use; called after every step.
    pub(crate) memory: Option<fn() -> usize>,
}

/// The result of a script.
#[derive(Debug, PartialEq)]
pub(crate) struct Played {
    pub(crate) events: Vec<Event>,
    /// The number of inputs of the machines.
    pub(crate) inputs: u64,
}

/// Plays a script, and panics if something happens that is not allowed.
pub(crate) fn play(script: &Script, setting: &Setting) -> Played {
    let stage = Rc::new(Stage::new(setting.policy));
    let mut game = Game::new(script, setting, &stage);
    game.start();
    for (at, step) in script.steps.iter().enumerate() {
        let when = if at == 0 { When::Now } else { step.when };
        game.wait(when);
        game.perform(step.place, step.operation);
        game.check_memory();
    }
    game.conclude();
    let events = stage.latest_events();
    for life in stage.connections.borrow().iter().flatten() {
        check_end(life, &events);
    }
    Played { events: stage.take_events(), inputs: game.sides().map(|side| side.inputs).sum() }
}

struct Game<'a> {
    script: &'a Script,
    setting: &'a Setting,
    stage: Rc<Stage>,
    clients: Vec<Side<Player>>,
    /// The accepted sides of each pair. Steps apply to the last one.
    servers: Vec<Vec<Side<Player>>>,
    /// Pending writes of single bytes; some are made in each turn.
    trickles: Vec<(Place, usize)>,
    now: Duration,
    memory_before: usize,
}

impl<'a> Game<'a> {
    fn new(script: &'a Script, setting: &'a Setting, stage: &Rc<Stage>) -> Self {
        let mut game = Self {
            script,
            setting,
            stage: Rc::clone(stage),
            clients: Vec::new(),
            servers: Vec::new(),
            trickles: Vec::new(),
            now: Duration::ZERO,
            memory_before: 0,
        };
        for (number, pair) in script.pairs.iter().enumerate() {
            let [life, _] = stage.connection(number, 0);
            let observer = Observer::new(stage, &life);
            let player = game.player(observer, life.place);
            game.clients.push(game.side(pair, 0, player));
            game.servers.push(Vec::new());
        }
        game
    }

    fn player(&self, observer: Observer, place: Place) -> Player {
        let reactions = self.script.reactions.iter().filter(|reaction| reaction.place == place);
        let reactions = reactions.map(|reaction| (reaction.moment, reaction.operation));
        Player::new(observer, reactions.collect())
    }

    fn side(&self, pair: &Pair, end: usize, player: Player) -> Side<Player> {
        let settings = Settings {
            half_open: pair.allow_half_open[end],
            high_water_mark_bytes: pair.high_water_mark[end] as u32,
            write_queue_bytes_max: u32::MAX,
            readable: true,
            writable: true,
        };
        let mut side = Side::new(&settings, self.setting.policy, player);
        side.plain = self.setting.plain;
        side.window_bytes = self.setting.window_bytes;
        side.piece_bytes_max = self.setting.piece_bytes_max;
        side.tells_late = self.setting.tells_late;
        side.now = self.now;
        side
    }

    fn sides(&self) -> impl Iterator<Item = &Side<Player>> {
        self.clients.iter().chain(self.servers.iter().flatten())
    }

    fn sides_mut(&mut self) -> impl Iterator<Item = &mut Side<Player>> {
        self.clients.iter_mut().chain(self.servers.iter_mut().flatten())
    }

    /// Connects all clients.
    fn start(&mut self) {
        for (pair, client) in self.script.pairs.iter().zip(&mut self.clients) {
            player::attach(client, pair.reading[0], false);
            let stage = Rc::clone(&self.stage);
            let _callback = stage.callback();
            player::perform(client, Operation::Connect);
        }
        self.memory_before = self.setting.memory.map_or(0, |in_use| in_use());
    }

    /// The attempt of a client has succeeded: it is connected, and so is a side of the server.
    fn accept(&mut self, pair: usize) {
        let client = &mut self.clients[pair];
        let life = client.user.observer.life();
        let number = life.number;
        let [ours, theirs] = End::pair().map(|mut end| {
            end.reset_loses_unread = self.setting.reset_loses_unread;
            end
        });
        client.establish(ours);
        let [_, life] = self.stage.find(pair, number);
        let player = self.player(Observer::new(&self.stage, &life), life.place);
        let options = &self.script.pairs[pair];
        let mut server = self.side(options, 1, player);
        server.accept(theirs);
        let before = self.servers[pair].last_mut();
        if let Some(before) = before {
            // Pending operations for the place are applied to the latest connection.
            server.user.reactions = std::mem::take(&mut before.user.reactions);
        }
        server.user.concluded = self.clients[pair].user.concluded;
        server.user.ending = self.clients[pair].user.ending;
        player::attach(&mut server, options.reading[1], true);
        if options.pause_on_connect {
            server.change().read.pause();
        }
        {
            let stage = Rc::clone(&self.stage);
            let _callback = stage.callback();
            player::react(&mut server, Moment::Connection);
            if server.user.concluded {
                player::let_flow(&mut server);
            }
            if server.user.ending {
                player::end(&mut server);
            }
        }
        if !options.pause_on_connect {
            server.step(|machine, _, fx| machine.start_receiving(fx));
        }
        server.settle();
        self.servers[pair].push(server);
    }

    fn wait(&mut self, when: When) {
        match when {
            When::Now => {}
            When::Tick => self.sides_mut().for_each(Side::settle),
            When::Immediate => self.turn(),
            When::Later => {
                self.pass(Duration::from_millis(1));
                let trickles =
                    self.trickles.iter().map(|(_, left)| *left).max().unwrap_or_default();
                (0..3 + trickles.min(TRICKLE_MAX) / TRICKLE_PER_TURN).for_each(|_| self.turn());
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        let now = self.now;
        self.sides_mut().for_each(|side| side.now = now);
    }

    fn turn(&mut self) {
        for pair in 0..self.clients.len() {
            self.clients[pair].turn();
            for server in &mut self.servers[pair] {
                server.turn();
            }
            if self.clients[pair].dialled.is_some() {
                self.accept(pair);
            }
            self.check_memory();
        }
        let mut trickles = std::mem::take(&mut self.trickles);
        trickles.retain_mut(|(place, left)| {
            // Each after a cork, so that the queue is split.
            for _ in 0..(*left).min(TRICKLE_PER_TURN) {
                let calls = [Operation::Cork, Operation::Write(1), Operation::Uncork];
                calls.iter().for_each(|call| self.perform(*place, *call));
            }
            self.check_memory();
            *left = left.saturating_sub(TRICKLE_PER_TURN);
            *left > 0
        });
        self.trickles.append(&mut trickles);
    }

    fn perform(&mut self, place: Place, operation: Operation) {
        let side = match place.side {
            Which::Client => self.clients.get_mut(place.pair),
            Which::Server => {
                self.servers.get_mut(place.pair).and_then(|servers| servers.last_mut())
            }
        };
        let Some(side) = side else { return };
        match operation {
            Operation::Trickle(bytes) if bytes > 0 => self.trickles.push((place, bytes)),
            _ => {
                let stage = Rc::clone(&self.stage);
                let _callback = stage.callback();
                player::perform(side, operation);
            }
        }
    }

    /// Removes all obstacles, so that everything ends.
    fn conclude(&mut self) {
        self.trickles.clear();
        self.each(player::conclude);
        self.run();
        self.each(|side| side.user.observer.check_quiet(&player::facts(side)));
        self.check_memory();
        self.each(player::end);
        self.run();
        for side in self.sides() {
            assert_eq!(side.machine.write.in_flight_bytes(), 0, "what was cancelled is forgotten");
            // In Node the callback of an end after `destroy` never runs (DST-18).
            let waits = !side.machine.write.nothing_waits();
            assert!(!waits || !self.setting.policy.answers_end_after_destroy, "something is held");
        }
    }

    fn each(&mut self, call: impl Fn(&mut Side<Player>)) {
        let stage = Rc::clone(&self.stage);
        for side in self.sides_mut() {
            let _callback = stage.callback();
            call(side);
        }
    }

    /// Turns until no work is left, even if time passes.
    fn run(&mut self) {
        let inputs = |game: &Self| game.sides().map(|side| side.inputs).sum::<u64>();
        let mut waits = 0;
        for _ in 0..TURNS_MAX {
            let before = inputs(self);
            self.turn();
            // A second round detects what the first one has put on the wires.
            self.turn();
            if before != inputs(self) || !self.sides().all(Side::is_quiet) {
                continue;
            }
            let Some(deadline) = self.sides().filter_map(Side::deadline).min() else { return };
            waits += 1;
            if waits > WAITS_MAX {
                return;
            }
            self.pass(deadline.saturating_sub(self.now));
        }
        panic!("it never becomes idle: {:?}", self.stage.latest_events());
    }

    /// The memory in use is at most twice the content of the queues, plus the memory for other things.
    fn check_memory(&self) {
        let Some(in_use) = self.setting.memory else { return };
        let own = self.stage.own_bytes() + self.sides().map(player::own_bytes).sum::<usize>();
        let held = in_use().saturating_sub(self.memory_before).saturating_sub(own);
        let queued: usize = self.sides().map(player::queued_bytes).sum();
        let max = 2 * queued + self.sides().count() * player::OTHER_BYTES;
        assert!(held <= max, "{held} bytes are held for {queued} in the queues, not {max} at most");
    }
}
