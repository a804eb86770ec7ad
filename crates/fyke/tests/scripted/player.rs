//! Plays a script: connects, makes the calls, and ends all sockets.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use fyke::{Endpoint, EventLoop, Result, Server, ServerOptions, SocketOptions, timer};

use fyke_machine::policy;

use super::witness::Witness;
use crate::lives::{
    Event, Moment, Operation, Place, Reaction, Script, Side, Stage, When, check_end,
};

/// The number of times that a client may connect.
const CONNECTS_MAX: usize = 4;

/// Where a script is played.
pub(crate) struct Setting<'a> {
    /// The policy that the script requests.
    pub(crate) event_loop: EventLoop,
    /// A new endpoint for each listener.
    pub(crate) endpoint: &'a dyn Fn() -> Endpoint,
    /// With virtual time: how long the sockets are left alone before they are ended. After that, no
    /// work may be left.
    pub(crate) quiet: Option<Duration>,
    /// The memory in use, and how much of it is not in queues.
    pub(crate) memory: Option<(fn() -> usize, usize)>,
}

struct Play {
    script: Script,
    stage: Rc<Stage>,
    clients: Vec<Rc<Witness>>,
    /// The latest accepted connection of each pair.
    accepted: RefCell<Vec<Option<Rc<Witness>>>>,
    all: RefCell<Vec<Rc<Witness>>>,
    /// For each pair, one entry for each connect of its client.
    listeners: Vec<Vec<Server>>,
    reactions: RefCell<Vec<Reaction>>,
    pipes: RefCell<Vec<(Place, Place)>>,
    quiet: Option<Duration>,
    memory: Option<(fn() -> usize, usize)>,
    memory_before: Cell<usize>,
    /// Whether all steps were made.
    concluded: Cell<bool>,
    ending: Cell<bool>,
}

/// Plays a script, and panics if something happens that is not allowed. Returns all events.
pub(crate) fn play(script: &Script, setting: Setting<'_>) -> Vec<Event> {
    let policy = if script.node_exact { policy::NODE_EXACT } else { policy::DEFAULT };
    let stage = Rc::new(Stage::new(policy));
    let event_loop = setting.event_loop;
    let clients = (0..script.pairs.len()).map(|pair| {
        let [client, _] = stage.connection(pair, 0);
        Witness::new(&stage, &client)
    });
    let clients: Vec<_> = clients.collect();
    let play = event_loop.enter(|| {
        let play = Rc::new(Play {
            script: script.clone(),
            stage: Rc::clone(&stage),
            all: RefCell::new(clients.clone()),
            accepted: RefCell::new(vec![None; clients.len()]),
            listeners: (0..clients.len()).map(|pair| listeners(script, pair)).collect(),
            clients,
            reactions: RefCell::new(script.reactions.clone()),
            pipes: RefCell::default(),
            quiet: setting.quiet,
            memory: setting.memory,
            memory_before: Cell::new(0),
            concluded: Cell::new(false),
            ending: Cell::new(false),
        });
        begin(&play, setting.endpoint);
        Rc::downgrade(&play)
    });
    event_loop.run().unwrap();
    let witnesses = play.upgrade().map(|play| play.all.take()).unwrap_or_default();
    drop(event_loop);
    let events = stage.latest_events();
    for life in stage.connections.take().iter().flatten() {
        check_end(life, &events);
    }
    for witness in &witnesses {
        witness.check_heard();
        witness.detach();
    }
    drop(witnesses);
    assert_eq!(Rc::strong_count(&stage), 1, "a callback was not freed");
    stage.take_events()
}

/// The listeners of a pair: enough for each connect of its client.
fn listeners(script: &Script, pair: usize) -> Vec<Server> {
    let options = &script.pairs[pair];
    let operations = script.steps.iter().map(|step| (step.place, step.operation));
    let reactions = script.reactions.iter().map(|reaction| (reaction.place, reaction.operation));
    let connects = operations.chain(reactions).filter(|(place, operation)| {
        place.pair == pair && place.side == Side::Client && *operation == Operation::Connect
    });
    let [_, half_open] = options.allow_half_open;
    let [_, mark] = options.high_water_mark;
    let server = ServerOptions::new()
        .allow_half_open(half_open)
        .high_water_mark(mark)
        .pause_on_connect(options.pause_on_connect);
    let count = CONNECTS_MAX.min(1 + connects.count());
    (0..count).map(|_| server.clone().create_server(|_| {})).collect()
}

/// Listens everywhere, then connects the clients and continues with the steps.
fn begin(play: &Rc<Play>, endpoint: &dyn Fn() -> Endpoint) {
    let missing = Rc::new(Cell::new(play.listeners.iter().flatten().count()));
    for (pair, listeners) in play.listeners.iter().enumerate() {
        for (number, server) in listeners.iter().enumerate() {
            let accepting = Rc::clone(play);
            server.on_connection(move |server, socket| {
                server.close();
                accepting.accept(pair, number, socket);
            });
            let (starting, missing) = (Rc::clone(play), Rc::clone(&missing));
            let listening = move |_: &Server| {
                missing.set(missing.get() - 1);
                if missing.get() == 0 {
                    starting.start();
                }
            };
            server.listen_then(endpoint(), listening).unwrap();
        }
    }
}

impl Play {
    /// Connects all clients.
    fn start(self: &Rc<Self>) {
        for (pair, witness) in self.clients.iter().enumerate() {
            let options = &self.script.pairs[pair];
            let [half_open, _] = options.allow_half_open;
            let [mark, _] = options.high_water_mark;
            let socket =
                SocketOptions::new().allow_half_open(half_open).high_water_mark(mark).build();
            let reacting = Rc::clone(self);
            let place = witness.place;
            witness.attach(&socket, options.reading[0], move |moment| {
                if moment == Moment::Close {
                    reacting.stop_listening(pair);
                }
                reacting.react(place, moment);
            });
            let _callback = self.stage.callback();
            self.connect(pair);
            witness.attach_last(&socket);
        }
        self.memory_before.set(self.memory.map_or(0, |(in_use, _)| in_use()));
        self.go_on(0);
    }

    fn accept(self: &Rc<Self>, pair: usize, number: usize, socket: &fyke::Socket) {
        let [_, life] = self.stage.find(pair, number);
        let witness = Witness::new(&self.stage, &life);
        self.accepted.borrow_mut()[pair] = Some(Rc::clone(&witness));
        self.all.borrow_mut().push(Rc::clone(&witness));
        let (reacting, place) = (Rc::clone(self), witness.place);
        witness.attach(socket, self.script.pairs[pair].reading[1], move |moment| {
            reacting.react(place, moment);
        });
        witness.attach_last(socket);
        let _callback = self.stage.callback();
        self.react(place, Moment::Connection);
        if self.concluded.get() {
            let_flow(&witness);
        }
        if self.ending.get() {
            end(&witness);
        }
    }

    fn witness(&self, place: Place) -> Option<Rc<Witness>> {
        match place.side {
            Side::Client => self.clients.get(place.pair).cloned(),
            Side::Server => self.accepted.borrow().get(place.pair).cloned().flatten(),
        }
    }

    fn connect(self: &Rc<Self>, pair: usize) {
        let Some(witness) = self.clients.get(pair) else { return };
        if witness.socket().is_none() {
            return;
        }
        let life = witness.life();
        let next = life.number + usize::from(life.model.borrow().connect_calls > 0);
        // The current connection, if the call does not renew the socket.
        let renews = witness.observer.renews(&witness.facts());
        let number = if renews { next } else { life.number };
        let Some(server) = self.listeners[pair].get(number) else { return };
        let Some(endpoint) = server.endpoint() else { return };
        witness.connect(endpoint, || {
            let [client, _] = self.stage.connection(pair, next);
            client
        });
        if self.concluded.get() {
            // A paused socket stays paused (CON-16).
            let_flow(witness);
        }
    }

    /// The current connection has ended: connections that are not accepted yet never will be.
    fn stop_listening(&self, pair: usize) {
        let life = self.clients[pair].life();
        let over = life.number + usize::from(life.model.borrow().closes > 0);
        self.listeners[pair].iter().take(over).for_each(|server| _ = server.close());
    }

    /// Pipes, unless data could circulate: data that one socket receives may be forwarded only to later
    /// sockets, or only to earlier ones.
    fn pipe(&self, from: Place, to: Place) {
        let rank = |place: Place| 2 * place.pair + place.side as usize;
        let into = Place { side: to.side.other(), ..to };
        let forward = self.script.steps.len() % 2 == 0;
        let is_straight = rank(from) != rank(into) && (rank(from) < rank(into)) == forward;
        let is_new = !self.pipes.borrow().contains(&(from, to));
        let (Some(source), Some(destination)) = (self.witness(from), self.witness(to)) else {
            return;
        };
        let (Some(socket), Some(other)) = (source.socket(), destination.socket()) else { return };
        // The listeners of a closed accepted socket stay with it.
        if !is_straight || !is_new || socket.is_closed() {
            return;
        }
        self.pipes.borrow_mut().push((from, to));
        destination.life().model.borrow_mut().piped = true;
        source.observer.calls(Operation::Pipe(to));
        {
            let _call = self.stage.call();
            socket.pipe(&other);
        }
        // Runs directly after the listener of the pipe, and sees what it has written.
        socket.on_data(move |_, bytes| {
            let life = destination.life();
            if other.bytes_written() > life.accepted() {
                life.accept(bytes);
            }
            life.model.borrow_mut().owes_drain |= other.needs_drain();
        });
    }

    fn perform(self: &Rc<Self>, place: Place, operation: Operation) {
        match operation {
            Operation::Connect if place.side == Side::Client => self.connect(place.pair),
            Operation::Connect => {}
            Operation::Pipe(to) => self.pipe(place, to),
            Operation::Trickle(bytes) => self.trickle(place, bytes),
            _ => {
                if let Some(witness) = self.witness(place) {
                    witness.perform(operation);
                }
            }
        }
    }

    fn trickle(self: &Rc<Self>, place: Place, bytes: usize) {
        let Some(left) = bytes.checked_sub(1).filter(|_| !self.concluded.get()) else { return };
        self.perform(place, Operation::Write(1));
        let play = Rc::clone(self);
        let more = move || {
            let _callback = play.stage.callback();
            play.trickle(place, left);
            play.check_memory();
        };
        timer::set_immediate(more).unwrap();
    }

    /// Schedules the step at this place, or the end.
    fn go_on(self: &Rc<Self>, at: usize) {
        let when = self.script.steps.get(at).map_or(When::Later, |step| step.when);
        let play = Rc::clone(self);
        let run = move || {
            let _callback = play.stage.callback();
            play.make_steps(at);
        };
        let scheduled: Result<()> = match when {
            When::Tick => timer::next_tick(run),
            When::Immediate => timer::set_immediate(run),
            When::Now | When::Later => timer::set_timeout(Duration::from_millis(1), run).map(drop),
        };
        scheduled.unwrap();
    }

    fn make_steps(self: &Rc<Self>, mut at: usize) {
        self.check_memory();
        loop {
            let Some(step) = self.script.steps.get(at).copied() else { return self.conclude() };
            self.perform(step.place, step.operation);
            at += 1;
            if self.script.steps.get(at).is_none_or(|step| step.when != When::Now) {
                return self.go_on(at);
            }
        }
    }

    fn react(self: &Rc<Self>, place: Place, moment: Moment) {
        let reaction = {
            let mut reactions = self.reactions.borrow_mut();
            let found = reactions.iter().position(|r| r.place == place && r.moment == moment);
            found.map(|at| reactions.remove(at))
        };
        let Some(Reaction { operation, .. }) = reaction else { return };
        let too_late = operation.holds_up() && self.concluded.get()
            || operation == Operation::Connect && self.ending.get();
        if !too_late {
            self.perform(place, operation);
        }
    }

    /// Removes all obstacles, so that everything ends.
    fn conclude(self: &Rc<Self>) {
        self.concluded.set(true);
        let all = self.all.borrow().clone();
        all.iter().for_each(|witness| witness.perform(Operation::UnpipeAll));
        all.iter().for_each(let_flow);
        let Some(quiet) = self.quiet else { return self.end() };
        let play = Rc::clone(self);
        let quiet = timer::set_timeout(quiet, move || {
            let _callback = play.stage.callback();
            play.all.borrow().iter().for_each(check_quiet);
            play.check_memory();
            play.end();
        });
        quiet.unwrap();
    }

    fn end(&self) {
        self.ending.set(true);
        for (pair, witness) in self.clients.iter().enumerate() {
            let unused = self.listeners[pair].iter().skip(witness.life().number + 1);
            unused.for_each(|server| _ = server.close());
        }
        let all = self.all.borrow().clone();
        all.iter().for_each(end);
    }

    /// The memory in use is at most twice the content of the queues, plus the memory for other things.
    fn check_memory(&self) {
        let Some((in_use, other)) = self.memory else { return };
        let held = in_use().saturating_sub(self.memory_before.get());
        let all = self.all.borrow();
        let queued = all.iter().filter_map(|witness| witness.socket());
        let queued = queued.map(|socket| socket.read_queue_len() + socket.write_queue_len());
        let queued: usize = queued.sum();
        let max = 2 * queued + other + self.stage.own_bytes();
        assert!(
            held <= max,
            "{held} bytes are held for {queued} in the queues, with {max} at most"
        );
    }
}

fn check_quiet(witness: &Rc<Witness>) {
    if witness.socket().is_some() {
        witness.observer.check_quiet(&witness.facts());
    }
}

fn let_flow(witness: &Rc<Witness>) {
    for _ in 0..witness.corked() {
        witness.perform(Operation::Uncork);
    }
    witness.perform(Operation::Refer);
    witness.perform(Operation::Resume);
}

/// Ends a socket. A socket that Node never ends is destroyed.
fn end(witness: &Rc<Witness>) {
    witness.perform(Operation::End);
    if witness.life().model.borrow().odd {
        witness.perform(Operation::Destroy);
    }
}
