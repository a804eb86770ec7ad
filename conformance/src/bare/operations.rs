//! Operations on bare machines (FORMAT.md 4).

use std::rc::Rc;

use serde_json::{Value, json};

use super::bench::{Machine, Side};
use super::sides::{Watch, attach_data, properties};
use super::{Actor, Bare, Job, time};
use crate::names::own_error;
use crate::payload::payload;
use crate::scenario::Operation;
use crate::trace::{Kind, describe};

impl Bare {
    /// Performs an operation for `owner`, in whose list it stands. `own` is the side whose callback is
    /// running.
    pub(super) fn run(
        self: &Rc<Self>,
        operation: &Operation,
        owner: Option<&Rc<Actor>>,
        own: &mut Option<&mut Side<Watch>>,
        chunk: Option<&[u8]>,
    ) {
        if self.run_without_actor(operation, owner, own) {
            return;
        }
        let named = operation.on.as_ref().and_then(|name| self.find(name));
        let Some(actor) = named.or(owner.filter(|_| operation.on.is_none()).cloned()) else {
            return;
        };
        let is_recorded = !operation.quiet && operation.name != "echo";
        if is_recorded && operation.name != "get" {
            self.note(&actor, json!({ "ev": "call", "op": operation.name }));
        }
        let Some(cell) = &actor.side else { return self.run_on_server(operation) };
        let answer = match own {
            Some(side) if side.user.name == actor.name => {
                self.run_on_side(operation, &actor, side, chunk)
            }
            _ => self.run_on_side(operation, &actor, &mut cell.borrow_mut(), chunk),
        };
        match answer {
            Err(code) => {
                self.note(&actor, json!({ "ev": "throw", "op": operation.name, "code": code }));
            }
            Ok(Some(value)) if is_recorded => {
                self.note(&actor, json!({ "ev": "ret", "op": operation.name, "value": value }));
            }
            Ok(_) => {}
        }
    }

    fn run_without_actor(
        self: &Rc<Self>,
        operation: &Operation,
        owner: Option<&Rc<Actor>>,
        own: &mut Option<&mut Side<Watch>>,
    ) -> bool {
        let fields = &operation.fields;
        let (actor, body) = (owner.cloned(), Rc::clone(&operation.body));
        let job: Job = Box::new(move |bare| bare.run_all(&body, actor.as_ref(), &mut None));
        match operation.name {
            "after" => {
                let ms = fields.number("ms").unwrap_or(0.0);
                self.after(ms, !fields.flag("unref"), job);
            }
            "immediate" => self.later(0.0, job),
            "tick" => self.tick(operation, owner, own),
            "repeat" => {
                for _ in 0..fields.count("times").unwrap_or(0) {
                    self.run_all(&operation.body, owner, own);
                }
            }
            "mark" => {
                self.marks.borrow_mut().insert(fields.text("name").unwrap_or_default().to_owned());
                self.look_around();
            }
            "cleanup" => {
                let actors = self.actors.borrow().clone();
                for actor in &actors {
                    match (&actor.side, &mut *own) {
                        (None, _) => self.close(),
                        (_, Some(side)) if side.user.name == actor.name => side.destroy(None),
                        (Some(side), _) => side.borrow_mut().destroy(None),
                    }
                }
            }
            _ => return false,
        }
        true
    }

    /// On the tick of the side that it concerns.
    fn tick(
        self: &Rc<Self>,
        operation: &Operation,
        owner: Option<&Rc<Actor>>,
        own: &mut Option<&mut Side<Watch>>,
    ) {
        let (actor, body) = (owner.cloned(), Rc::clone(&operation.body));
        let number =
            self.on_tick(Box::new(move |bare, own| bare.run_all(&body, actor.as_ref(), own)));
        if let Some(side) = own {
            return side.next_tick(number);
        }
        let first = operation.body.first().and_then(|operation| operation.on.as_ref());
        let about = first.and_then(|name| self.find(name)).or(owner.cloned());
        match about.as_ref().and_then(|actor| actor.side.as_ref()) {
            Some(side) => side.borrow_mut().next_tick(number),
            None => {
                let bare = Rc::clone(self);
                self.later(0.0, Box::new(move |_| bare.run_tick(number, None)));
            }
        }
    }

    fn run_on_server(&self, operation: &Operation) {
        match operation.name {
            "close" => self.close(),
            "ref" | "unref" => self.referred.set(operation.name == "ref"),
            _ => {}
        }
    }

    fn close(&self) {
        if self.listens.replace(false) {
            self.closes.set(true);
        }
    }

    fn run_on_side(
        self: &Rc<Self>,
        operation: &Operation,
        actor: &Rc<Actor>,
        side: &mut Side<Watch>,
        chunk: Option<&[u8]>,
    ) -> Result<Option<Value>, &'static str> {
        let fields = &operation.fields;
        let callback = |side: &mut Side<Watch>, event| {
            let label = fields.text("label")?.to_owned();
            side.user.callbacks.push((event, label));
            u32::try_from(side.user.callbacks.len() - 1).ok()
        };
        match operation.name {
            "write" => {
                let data = payload(fields).map_err(|error| error.code().as_str())?;
                let callback = callback(side, "write-cb");
                return Ok(data.map(|data| side.write_payload(data, callback).into()));
            }
            "echo" => _ = side.write(chunk.unwrap_or_default(), None),
            "end" => {
                let data = payload(fields).map_err(|error| error.code().as_str())?;
                let callback = callback(side, "end-cb");
                side.end_with(data, callback);
            }
            "destroy" => side.destroy(fields.text("error").map(own_error)),
            "destroySoon" => side.step(Machine::destroy_soon),
            "resetAndDestroy" => {
                side.step(Machine::reset).map_err(|error| error.code().as_str())?;
            }
            "pause" => side.step(|machine, _, fx| machine.pause(fx)),
            "resume" => side.step(|machine, _, fx| machine.resume(fx)),
            "cork" => side.step(|machine, _, fx| machine.cork(fx)),
            "uncork" => side.step(Machine::uncork),
            "ref" | "unref" => side.change().referred = operation.name == "ref",
            "connect" => return self.connect_again(operation, side),
            "setTimeout" => self.set_timeout(operation, side),
            "read" => {
                let count = fields.count("n");
                let taken = side.step(|machine, cx, fx| machine.take(count, cx, fx));
                let shown = taken.map(|bytes| describe(Kind::Bytes, &bytes).into());
                return Ok(Some(shown.unwrap_or(Value::Null)));
            }
            "onData" => attach_data(side),
            "get" => {
                let values = properties(side, &fields.texts("props"));
                self.note(actor, json!({ "ev": "get", "values": values }));
            }
            // Options of the kernel.
            _ => {}
        }
        Ok(None)
    }

    /// On a socket that no longer has a connection. Attempts on a connected socket belong to the shell.
    fn connect_again(
        &self,
        operation: &Operation,
        side: &mut Side<Watch>,
    ) -> Result<Option<Value>, &'static str> {
        if side.machine.is_live() && self.policy.tries_to_connect_again {
            self.left_out.set(true);
            return Ok(None);
        }
        side.machine.check_connect(&self.policy).map_err(|error| error.code().as_str())?;
        if !self.policy.keeps_old_once_listeners {
            side.user.connects.clear();
        }
        side.user.connects.extend(operation.fields.text("label").map(str::to_owned));
        side.connect();
        Ok(None)
    }

    fn set_timeout(&self, operation: &Operation, side: &mut Side<Watch>) {
        let timeout = time(operation.fields.number("ms").unwrap_or(0.0));
        if side.machine.destroyed() {
            return;
        }
        let set = Some(timeout).filter(|timeout| !timeout.is_zero());
        side.step(|machine, cx, _| machine.set_timeout(set, cx));
        if let (Some(label), Some(_)) = (operation.fields.text("label"), set) {
            if !self.policy.keeps_old_once_listeners {
                side.user.timeouts.clear();
            }
            side.user.timeouts.push(label.to_owned());
        }
    }
}
