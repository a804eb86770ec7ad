//! Plays one scenario on fyke. One file per topic: the actors, what is recorded, the operations, the
//! conditions.

mod actor;
mod calls;
mod conditions;
mod files;
mod lookup;
mod operations;
mod options;
mod properties;
mod recording;
mod servers;
mod sockets;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fyke::{AbortController, EventLoop, FamilySelection, family_selection};
use serde_json::Value;

use self::actor::Actor;
use crate::mode::Mode;
use crate::names::Names;
use crate::ports::Blackhole;
use crate::scenario::{Fields, Scenario};
use crate::trace::Trace;

/// A scenario that is being played.
#[derive(Debug)]
pub(crate) struct Play {
    scenario: Scenario,
    names: Names,
    signals: HashMap<String, AbortController>,
    /// All times are multiplied by it.
    scale: f64,
    /// In order of creation.
    actors: RefCell<Vec<Rc<Actor>>>,
    marks: RefCell<HashSet<String>>,
    problems: RefCell<Vec<String>>,
    gates_open: RefCell<Vec<bool>>,
    clients_called: RefCell<Vec<bool>>,
    blackholes_made: Cell<bool>,
    blackholes: RefCell<Vec<Blackhole>>,
}

/// Plays the scenario to its end, or to its limit.
pub(crate) fn play(scenario: Scenario, scale: f64, mode: Mode) -> io::Result<Trace> {
    let names = Names::choose(&scenario.port_placeholders)?;
    for (name, text) in &scenario.files {
        fs::write(names.folder().join(name), text)?;
    }
    let play = Rc::new(Play::new(scenario, names, scale));
    let event_loop = EventLoop::builder().node_exact(mode == Mode::Node).build();
    let event_loop = event_loop.map_err(io::Error::from)?;
    let mut trace = Trace { scenario: play.scenario.name.clone(), ..Trace::default() };
    let deadline = Instant::now() + play.time(play.scenario.limit_ms);
    // Node's way of trying several addresses; fyke's race has no counterpart there.
    family_selection::set_default(FamilySelection::Sequential);
    event_loop.enter(|| {
        play.make_calls();
        (0..play.scenario.servers.len()).for_each(|index| play.start_server(index));
        play.look_around();
    });
    trace.loop_end = turn_until(&event_loop, deadline, &mut trace.uncaught);
    // Before the loop is dropped, because dropping it closes servers and removes their files.
    play.fill(&mut trace)?;
    fs::remove_dir_all(play.names.folder())?;
    Ok(trace)
}

/// Returns whether the loop ended by itself.
fn turn_until(event_loop: &EventLoop, deadline: Instant, uncaught: &mut Vec<&'static str>) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        match event_loop.turn(Some(left)) {
            Ok(true) => {}
            Ok(false) => return true,
            Err(error) => uncaught.push(error.code().as_str()),
        }
    }
}

impl Play {
    fn new(scenario: Scenario, names: Names, scale: f64) -> Self {
        let signals = scenario.signals.iter().map(|(name, is_aborted)| {
            let controller = AbortController::new();
            if *is_aborted {
                controller.abort();
            }
            (name.clone(), controller)
        });
        Self {
            names,
            signals: signals.collect(),
            scale,
            actors: RefCell::default(),
            marks: RefCell::default(),
            problems: RefCell::default(),
            gates_open: RefCell::new(vec![false; scenario.gates.len()]),
            clients_called: RefCell::new(vec![false; scenario.clients.len()]),
            blackholes_made: Cell::new(false),
            blackholes: RefCell::default(),
            scenario,
        }
    }

    fn find(&self, name: &str) -> Option<Rc<Actor>> {
        self.actors.borrow().iter().find(|actor| actor.name == name).cloned()
    }

    fn add(&self, actor: Actor) -> Rc<Actor> {
        let actor = Rc::new(actor);
        self.actors.borrow_mut().push(Rc::clone(&actor));
        actor
    }

    /// An operation without an object: a mistake of the scenario.
    fn problem(&self, text: impl Into<String>) {
        self.problems.borrow_mut().push(text.into());
    }

    /// A time of the scenario.
    fn time(&self, ms: f64) -> Duration {
        Duration::from_secs_f64(ms.max(0.0) * self.scale / 1000.0)
    }

    /// A time in the units of the scenario.
    fn shown_ms(&self, time: Duration) -> Value {
        let ms = time.as_secs_f64() * 1000.0 / self.scale;
        Value::from(ms.round() as u64)
    }

    /// A port, or that of a placeholder.
    fn port(&self, fields: &Fields, key: &str) -> Option<u16> {
        let Some(placeholder) = fields.text(key) else {
            return u16::try_from(fields.count(key)?).ok();
        };
        let name = placeholder.strip_prefix('$')?;
        self.names.fixed_port(name).or_else(|| self.server_address(&*self.find(name)?)?.port())
    }

    fn fill(&self, trace: &mut Trace) -> io::Result<()> {
        for entry in fs::read_dir(self.names.folder())? {
            trace.files.push(entry?.file_name().to_string_lossy().into_owned());
        }
        trace.files.sort();
        trace.problems = self.problems.take();
        for actor in self.actors.borrow().iter() {
            trace.add(&actor.name, &mut actor.log.borrow_mut());
        }
        Ok(())
    }
}
