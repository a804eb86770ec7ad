//! Plays a script: connects, makes the calls, and brings both sockets to their end.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use fyke::{Endpoint, EventLoop, Result, Server, ServerOptions, SocketOptions, timer};

use super::witness::{Stage, Witness};
use super::{Moment, Operation, Reaction, Script, Side, When};

struct Play {
    script: Script,
    stage: Rc<Stage>,
    witnesses: [Rc<Witness>; 2],
    reactions: RefCell<Vec<Reaction>>,
    server: Server,
    /// How long to wait before the end, if it costs nothing.
    quiet: Option<Duration>,
    /// All steps were made.
    concluded: Cell<bool>,
    ending: Cell<bool>,
}

/// Plays a script on a loop of its own, and panics when something happens that must not. Gives the
/// events of both sockets.
///
/// With `quiet`, which is for virtual time, the sockets are left alone for so long before they are
/// ended; then nothing may be left to do.
pub(crate) fn play(
    script: &Script,
    event_loop: EventLoop,
    endpoint: impl Into<Endpoint>,
    quiet: Option<Duration>,
) -> Vec<String> {
    let stage = Rc::new(Stage::default());
    let witnesses = Side::BOTH.map(|side| Rc::new(Witness::new(side, Rc::clone(&stage))));
    let [half_open, _] = script.allow_half_open;
    let [mark, _] = script.high_water_mark;
    let client = SocketOptions::new().allow_half_open(half_open).high_water_mark(mark);
    event_loop.enter(|| {
        let play = Rc::new(Play {
            script: script.clone(),
            stage: Rc::clone(&stage),
            witnesses: witnesses.clone(),
            reactions: RefCell::new(script.reactions.clone()),
            server: serve(script),
            quiet,
            concluded: Cell::new(false),
            ending: Cell::new(false),
        });
        let accepting = Rc::clone(&play);
        play.server.on_connection(move |server, socket| {
            server.close();
            let witness = &accepting.witnesses[Side::Server as usize];
            let reacting = Rc::clone(&accepting);
            witness.attach(socket, accepting.script.reading[1], move |moment| {
                react(&reacting, Side::Server, moment);
            });
            let _callback = accepting.stage.callback();
            react(&accepting, Side::Server, Moment::Connection);
            if accepting.concluded.get() {
                accepting.let_flow(Side::Server);
            }
            if accepting.ending.get() {
                accepting.perform(Side::Server, Operation::End);
            }
        });
        let endpoint = endpoint.into();
        let server = play.server.clone();
        let listening = move |server: &Server| {
            let socket = client.build();
            let reacting = Rc::clone(&play);
            let witness = &play.witnesses[Side::Client as usize];
            witness.attach(&socket, play.script.reading[0], move |moment| {
                if moment == Moment::Close {
                    reacting.server.close();
                }
                react(&reacting, Side::Client, moment);
            });
            socket.connect(server.endpoint().unwrap(), |_| {}).unwrap();
            go_on(&play, 0);
        };
        server.listen(endpoint, listening).unwrap();
    });
    event_loop.run().unwrap();
    drop(event_loop);
    let [client, server] = &witnesses;
    client.check_end(server);
    server.check_end(client);
    let events = stage.take_events();
    for witness in &witnesses {
        witness.detach();
    }
    drop(witnesses);
    assert_eq!(Rc::strong_count(&stage), 1, "a callback was not freed");
    events
}

fn serve(script: &Script) -> Server {
    let [_, half_open] = script.allow_half_open;
    let [_, mark] = script.high_water_mark;
    ServerOptions::new()
        .allow_half_open(half_open)
        .high_water_mark(mark)
        .pause_on_connect(script.pause_on_connect)
        .create_server(|_| {})
}

/// Schedules the step at this place, or the end.
fn go_on(play: &Rc<Play>, at: usize) {
    let when = play.script.steps.get(at).map_or(When::Later, |step| step.when);
    let play = Rc::clone(play);
    let run = move || {
        let _callback = play.stage.callback();
        make_step(&play, at);
    };
    let scheduled: Result<()> = match when {
        When::Tick => timer::next_tick(run),
        When::Immediate => timer::set_immediate(run),
        When::Now | When::Later => timer::set_timeout(Duration::from_millis(1), run).map(drop),
    };
    scheduled.unwrap();
}

fn make_step(play: &Rc<Play>, mut at: usize) {
    loop {
        let Some(step) = play.script.steps.get(at) else { return conclude(play) };
        play.perform(step.side, step.operation);
        at += 1;
        if play.script.steps.get(at).is_none_or(|step| step.when != When::Now) {
            return go_on(play, at);
        }
    }
}

fn react(play: &Play, side: Side, moment: Moment) {
    let mut reactions = play.reactions.borrow_mut();
    let found = reactions.iter().position(|r| r.side == side && r.moment == moment);
    let Some(reaction) = found.map(|at| reactions.remove(at)) else { return };
    drop(reactions);
    let holds_up =
        matches!(reaction.operation, Operation::Cork | Operation::Pause | Operation::Unref);
    if !(holds_up && play.concluded.get()) {
        play.perform(side, reaction.operation);
    }
}

/// Nothing holds anything up any more; in the end both sides end.
fn conclude(play: &Rc<Play>) {
    play.concluded.set(true);
    for side in Side::BOTH {
        play.let_flow(side);
    }
    let Some(quiet) = play.quiet else { return end(play) };
    let play = Rc::clone(play);
    let quiet = timer::set_timeout(quiet, move || {
        let _callback = play.stage.callback();
        let [client, server] = &play.witnesses;
        client.check_quiet(server);
        server.check_quiet(client);
        end(&play);
    });
    quiet.unwrap();
}

fn end(play: &Play) {
    play.ending.set(true);
    for side in Side::BOTH {
        play.perform(side, Operation::End);
    }
}

impl Play {
    fn perform(&self, side: Side, operation: Operation) {
        self.witnesses[side as usize].perform(operation);
    }

    fn let_flow(&self, side: Side) {
        for _ in 0..self.witnesses[side as usize].corked() {
            self.perform(side, Operation::Uncork);
        }
        self.perform(side, Operation::Refer);
        self.perform(side, Operation::Resume);
    }
}
