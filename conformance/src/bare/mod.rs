//! Plays scenarios on bare machines: two for each connection, a wire between them, and a virtual clock.
//! There is no loop, socket or listener of fyke between a machine and the trace, so a difference points
//! at a transition. Features that machines do not have are skipped: see [`support`].

#[path = "../../../crates/fyke-machine/tests/bench/mod.rs"]
mod bench;
mod clients;
mod operations;
mod sides;
mod support;
mod tests;
mod timing;
mod turns;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use fyke_machine::{Policy, policy};
use serde_json::{Map, Value, json};

use self::bench::Side;
use self::sides::Watch;
use crate::mode::Mode;
use crate::scenario::{Occurrence, Scenario, SocketSpec};
use crate::trace::{Log, Trace};

type Job = Box<dyn FnOnce(&Rc<Bare>)>;
/// The side whose tick it is, and the tick.
type Ticked = Box<dyn FnOnce(&Rc<Bare>, &mut Option<&mut Side<Watch>>)>;

/// A scenario that is being played.
struct Bare {
    scenario: Scenario,
    policy: Policy,
    unix: bool,
    /// In order of creation.
    actors: RefCell<Vec<Rc<Actor>>>,
    listens: Cell<bool>,
    /// The server keeps the loop alive.
    referred: Cell<bool>,
    /// A call was made that only the shell supports.
    left_out: Cell<bool>,
    closes: Cell<bool>,
    now: Cell<Duration>,
    /// The pending timers in order, and whether each keeps the loop alive.
    timers: RefCell<BTreeMap<(Duration, usize), (bool, Job)>>,
    timers_set: Cell<usize>,
    immediates: RefCell<VecDeque<Job>>,
    /// The pending ticks, by number.
    ticks: RefCell<Vec<Option<Ticked>>>,
    marks: RefCell<HashSet<String>>,
    gates_open: RefCell<Vec<bool>>,
    clients_called: RefCell<Vec<bool>>,
}

/// The server, or a socket with its machine.
struct Actor {
    name: String,
    spec: SocketSpec,
    log: RefCell<Log>,
    counts: RefCell<HashMap<String, u64>>,
    received: Cell<u64>,
    side: Option<RefCell<Side<Watch>>>,
}

/// Plays the scenario to its end, or to its limit. `None` if it needs more than machines.
fn play(scenario: Scenario, mode: Mode) -> Option<Trace> {
    let limit = time(scenario.limit_ms);
    let bare = Rc::new(Bare::new(scenario, mode));
    let server = bare.add(Actor::new("S0".into(), bare.server_spec(), None));
    bare.note_open(&server);
    bare.run_all(&server.spec.script.start, Some(&server), &mut None);
    bare.start_timer(&server, 0, 0.0);
    bare.server_event("listening");
    bare.turn_until(limit);
    let mut trace = Trace { scenario: bare.scenario.name.clone(), ..Trace::default() };
    for actor in bare.actors.borrow().iter() {
        trace.add(&actor.name, &mut actor.log.borrow_mut());
    }
    (!bare.left_out.get()).then_some(trace)
}

fn time(ms: f64) -> Duration {
    Duration::from_secs_f64(ms.max(0.0) / 1000.0)
}

impl Actor {
    fn new(name: String, spec: SocketSpec, side: Option<Side<Watch>>) -> Self {
        Self {
            name,
            spec,
            log: RefCell::default(),
            counts: RefCell::default(),
            received: Cell::new(0),
            side: side.map(RefCell::new),
        }
    }

    fn count(&self, event: &str) -> u64 {
        self.counts.borrow().get(event).copied().unwrap_or(0)
    }

    fn count_one(&self, event: &str) -> u64 {
        let mut counts = self.counts.borrow_mut();
        let count = counts.entry(event.to_owned()).or_default();
        *count += 1;
        *count
    }
}

impl Bare {
    fn new(scenario: Scenario, mode: Mode) -> Self {
        let listen = scenario.servers[0].listen.as_ref();
        Self {
            policy: match mode {
                Mode::Node => policy::NODE_EXACT,
                Mode::Default => policy::DEFAULT,
            },
            unix: listen.is_some_and(|listen| listen.has("path")),
            actors: RefCell::default(),
            listens: Cell::new(true),
            referred: Cell::new(true),
            left_out: Cell::new(false),
            closes: Cell::new(false),
            now: Cell::default(),
            timers: RefCell::default(),
            timers_set: Cell::new(0),
            immediates: RefCell::default(),
            ticks: RefCell::default(),
            marks: RefCell::default(),
            gates_open: RefCell::new(vec![false; scenario.gates.len()]),
            clients_called: RefCell::new(vec![false; scenario.clients.len()]),
            scenario,
        }
    }

    fn server_spec(&self) -> SocketSpec {
        let script = Rc::clone(&self.scenario.servers[0].script);
        SocketSpec { script, ..SocketSpec::default() }
    }

    fn add(&self, actor: Actor) -> Rc<Actor> {
        let actor = Rc::new(actor);
        self.actors.borrow_mut().push(Rc::clone(&actor));
        actor
    }

    fn find(&self, name: &str) -> Option<Rc<Actor>> {
        self.actors.borrow().iter().find(|actor| actor.name == name).cloned()
    }

    /// Calls `f` for every socket, in order of creation.
    fn each(&self, mut f: impl FnMut(&Rc<Actor>, &mut Side<Watch>)) {
        let actors = self.actors.borrow().clone();
        for actor in &actors {
            if let Some(side) = &actor.side {
                f(actor, &mut side.borrow_mut());
            }
        }
    }
}

/// # What is recorded
impl Bare {
    fn note(&self, actor: &Actor, value: Value) {
        if let Value::Object(entry) = value {
            actor.log.borrow_mut().push(entry);
        }
    }

    fn note_open(&self, actor: &Actor) {
        self.note(actor, json!({ "ev": "open" }));
        actor.count_one("open");
    }

    /// Records an event, runs the operations of the scenario for it, and checks the conditions.
    fn event(
        self: &Rc<Self>,
        actor: &Rc<Actor>,
        side: &mut Side<Watch>,
        name: &str,
        fields: Value,
    ) {
        if matches!(name, "end" | "close") {
            actor.log.borrow_mut().release_data();
        }
        let mut entry = Map::new();
        entry.insert("ev".into(), name.into());
        entry.extend(fields.as_object().cloned().unwrap_or_default());
        if !actor.spec.script.snapshot.is_empty() {
            entry.insert("s".into(), sides::properties(side, &actor.spec.script.snapshot));
        }
        actor.log.borrow_mut().push(entry);
        let received = actor.received.get();
        let occurrence = Occurrence {
            count: actor.count_one(name),
            received_before: received,
            received,
            label: fields.get("label").and_then(Value::as_str),
        };
        self.run_handlers(actor, side, name, occurrence, None);
    }

    fn run_handlers(
        self: &Rc<Self>,
        actor: &Rc<Actor>,
        side: &mut Side<Watch>,
        event: &str,
        occurrence: Occurrence<'_>,
        chunk: Option<&[u8]>,
    ) {
        if let Some(list) = actor.spec.script.on.get(event) {
            for operation in list.iter().filter(|operation| operation.applies(occurrence)) {
                self.run(operation, Some(actor), &mut Some(&mut *side), chunk);
            }
        }
        self.look_around();
    }
}
