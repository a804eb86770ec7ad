//! Recording: the entries in an actor's log, and what an event triggers (FORMAT.md 3.6).

use std::rc::Rc;

use fyke::{Error, Result, timer};
use serde_json::{Map, Value, json};

use super::Play;
use super::actor::Actor;
use crate::scenario::{Delayed, Occurrence, Operations, Reading};
use crate::trace::Kind;

/// The fields of an entry.
pub(crate) type Entry = Map<String, Value>;

/// The object that a `json!` describes.
pub(crate) fn entry(value: Value) -> Entry {
    match value {
        Value::Object(entry) => entry,
        _ => Entry::new(),
    }
}

impl Play {
    /// Records something that is not an event.
    pub(crate) fn note(&self, actor: &Actor, value: Value) {
        actor.log.borrow_mut().push(entry(value));
    }

    /// The first entry of every actor.
    pub(crate) fn note_open(&self, actor: &Actor) {
        self.note(actor, json!({ "ev": "open" }));
        actor.count_one("open");
    }

    /// Records that a call has failed immediately.
    pub(crate) fn note_throw(&self, actor: &Actor, operation: &str, error: &Error) {
        let code = error.code().as_str();
        self.note(actor, json!({ "ev": "throw", "op": operation, "code": code }));
    }

    /// Records an event, runs the operations of the scenario for it, and checks the conditions.
    pub(crate) fn event(self: &Rc<Self>, actor: &Rc<Actor>, name: &str, fields: Entry) {
        if matches!(name, "end" | "close") {
            actor.log.borrow_mut().release_data();
        }
        let label = fields.get("label").and_then(Value::as_str).map(str::to_owned);
        let mut entry = entry(json!({ "ev": name }));
        entry.extend(fields);
        if let Some(snapshot) = self.snapshot(actor) {
            entry.insert("s".into(), snapshot);
        }
        actor.log.borrow_mut().push(entry);
        let received = actor.received.get();
        let occurrence = Occurrence {
            count: actor.count_one(name),
            received_before: received,
            received,
            label: label.as_deref(),
        };
        self.run_handlers(actor, name, occurrence, None);
    }

    /// The length of text is that of its UTF-8 form.
    pub(crate) fn data(self: &Rc<Self>, actor: &Rc<Actor>, kind: Kind, chunk: &[u8]) {
        let received_before = actor.received.get();
        let received = received_before + chunk.len() as u64;
        actor.received.set(received);
        if actor.reading == Reading::Total {
            actor.log.borrow_mut().hold_data(kind, chunk);
        } else {
            let goes_on = actor.log.borrow().ends_in(kind);
            let snapshot = if goes_on { None } else { self.snapshot(actor) };
            actor.log.borrow_mut().push_data(kind, chunk, snapshot);
        }
        let count = actor.count_one("data");
        let occurrence = Occurrence { count, received_before, received, label: None };
        self.run_handlers(actor, "data", occurrence, Some(chunk));
    }

    fn run_handlers(
        self: &Rc<Self>,
        actor: &Rc<Actor>,
        event: &str,
        occurrence: Occurrence<'_>,
        chunk: Option<&[u8]>,
    ) {
        if let Some(list) = actor.script.on.get(event) {
            for operation in list.iter().filter(|operation| operation.applies(occurrence)) {
                self.run(operation, Some(actor), chunk);
            }
        }
        self.look_around();
    }

    /// A callback that records itself with its label.
    pub(crate) fn callback(
        self: &Rc<Self>,
        actor: &Rc<Actor>,
        event: &'static str,
        label: &str,
    ) -> impl FnOnce(Result<()>) + 'static {
        let (play, actor, label) = (Rc::clone(self), Rc::clone(actor), label.to_owned());
        move |result| {
            let code = result.err().map(|error| error.code().as_str());
            play.event(&actor, event, entry(json!({ "label": label, "err": code })));
        }
    }

    /// The actor was created: runs its first operations, and starts its timers.
    pub(crate) fn begin(self: &Rc<Self>, actor: &Rc<Actor>) {
        self.run_all(&actor.script.start, Some(actor));
        self.start_timer(actor, 0, 0.0);
        self.look_around();
    }

    /// The timers of an `after` list form a chain, so that they do not all run in one burst on a
    /// machine that stalls.
    fn start_timer(self: &Rc<Self>, actor: &Rc<Actor>, index: usize, before_ms: f64) {
        let Some(delayed) = actor.script.after.get(index).cloned() else { return };
        let at_ms = delayed.ms;
        let relative = Delayed { ms: at_ms - before_ms, ..delayed };
        let (play, owner) = (Rc::clone(self), Rc::clone(actor));
        self.run_after(&relative, Some(actor), move || play.start_timer(&owner, index + 1, at_ms));
    }

    /// Runs a list of operations after a time, and then something more.
    pub(crate) fn run_after(
        self: &Rc<Self>,
        delayed: &Delayed,
        actor: Option<&Rc<Actor>>,
        then: impl FnOnce() + 'static,
    ) {
        let (play, actor, body) = (Rc::clone(self), actor.cloned(), Rc::clone(&delayed.body));
        let timer = timer::set_timeout(self.time(delayed.ms), move || {
            play.run_all(&body, actor.as_ref());
            then();
        });
        let timer = timer.expect("a scenario is played inside a loop");
        if delayed.unref {
            timer.unref_loop();
        }
    }

    pub(crate) fn run_all(self: &Rc<Self>, list: &Operations, actor: Option<&Rc<Actor>>) {
        for operation in list.iter() {
            self.run(operation, actor, None);
        }
    }
}
