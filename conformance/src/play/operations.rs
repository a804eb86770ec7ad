//! Operations: which actor they apply to, what is recorded about them, and what they do (FORMAT.md 4).

use std::rc::Rc;
use std::time::Duration;

use fyke::{Result, Server, Socket, timer};
use serde_json::{Value, json};

use super::Play;
use super::actor::{Actor, Object};
use super::files::{stat, unlink};
use super::recording::entry;
use crate::names::own_error;
use crate::payload::payload;
use crate::scenario::{Delayed, Operation};
use crate::trace::{Kind, describe};

/// The result of an operation, if any.
type Answer = Result<Option<Value>>;

impl Play {
    /// Performs an operation for `owner`, in whose list it stands.
    pub(crate) fn run(
        self: &Rc<Self>,
        operation: &Operation,
        owner: Option<&Rc<Actor>>,
        chunk: Option<&[u8]>,
    ) {
        if self.run_without_actor(operation, owner) {
            return;
        }
        let actor = match &operation.on {
            Some(name) => self.find(name),
            None => owner.cloned(),
        };
        let Some((actor, object)) = actor.as_ref().and_then(|a| Some((a, a.object.get()?))) else {
            let name = operation.on.as_ref().or(owner.map(|owner| &owner.name));
            let name = name.map_or("none", String::as_str);
            return self.problem(format!("{} on missing actor {name}", operation.name));
        };
        let is_recorded = !operation.quiet && operation.name != "echo";
        if is_recorded && operation.name != "get" {
            self.note(actor, json!({ "ev": "call", "op": operation.name }));
        }
        let answer = match object {
            Object::Socket(socket) => self.run_on_socket(operation, actor, socket, chunk),
            Object::Server(server) => self.run_on_server(operation, actor, server),
        };
        match answer {
            Err(error) => self.note_throw(actor, operation.name, &error),
            Ok(Some(value)) if is_recorded => {
                self.note(actor, json!({ "ev": "ret", "op": operation.name, "value": value }));
            }
            Ok(_) => {}
        }
    }

    /// Returns whether the operation was one that needs no actor.
    fn run_without_actor(
        self: &Rc<Self>,
        operation: &Operation,
        owner: Option<&Rc<Actor>>,
    ) -> bool {
        let fields = &operation.fields;
        let (play, actor, body) = (Rc::clone(self), owner.cloned(), Rc::clone(&operation.body));
        match operation.name {
            "after" => {
                let ms = fields.number("ms").unwrap_or(0.0);
                let delayed = Delayed { ms, body, unref: fields.flag("unref") };
                self.run_after(&delayed, owner, || {});
            }
            "immediate" => self.later(0.0, move || play.run_all(&body, actor.as_ref())),
            "tick" => timer::next_tick(move || play.run_all(&body, actor.as_ref()))
                .expect("a scenario is played inside a loop"),
            "repeat" => {
                for _ in 0..fields.count("times").unwrap_or(0) {
                    self.run_all(&body, owner);
                }
            }
            "mark" => {
                let name = fields.text("name").unwrap_or_default().to_owned();
                self.marks.borrow_mut().insert(name);
                self.look_around();
            }
            "spawn" => {
                let client = fields.text("client").unwrap_or_default();
                match client.strip_prefix('C').and_then(|index| index.parse().ok()) {
                    Some(index) => self.start_client(index),
                    None => self.problem(format!("spawn of {client:?}")),
                }
            }
            "abort" => {
                let name = fields.text("signal").unwrap_or_default();
                match self.signals.get(name) {
                    Some(controller) => controller.abort(),
                    None => self.problem(format!("abort of {name:?}")),
                }
            }
            "cleanup" => self.clean_up(),
            _ => return false,
        }
        true
    }

    fn clean_up(&self) {
        let actors = self.actors.borrow().clone();
        for object in actors.iter().filter_map(|actor| actor.object.get()) {
            match object {
                Object::Server(server) if server.is_listening() => {
                    server.close();
                }
                Object::Server(_) => {}
                Object::Socket(socket) => {
                    socket.destroy();
                }
            }
        }
    }

    fn run_on_socket(
        self: &Rc<Self>,
        operation: &Operation,
        actor: &Rc<Actor>,
        socket: &Socket,
        chunk: Option<&[u8]>,
    ) -> Answer {
        let fields = &operation.fields;
        let done = |event| fields.text("label").map(|label| self.callback(actor, event, label));
        match operation.name {
            "write" => {
                let Some(data) = payload(fields)? else { return self.not_possible(operation) };
                let has_room = match done("write-cb") {
                    None => socket.write(data),
                    Some(done) => socket.write_then(data, move |_, result| done(result)),
                };
                return Ok(Some(has_room.into()));
            }
            "end" => match (payload(fields)?, done("end-cb")) {
                (None, None) => drop(socket.end()),
                (Some(data), None) => drop(socket.end_with(data)),
                (None, Some(done)) => drop(socket.end_then(move |_, result| done(result))),
                (Some(data), Some(done)) => {
                    socket.end_with_then(data, move |_, result| done(result));
                }
            },
            "destroy" => match fields.text("error") {
                Some(code) => drop(socket.destroy_with(own_error(code))),
                None => drop(socket.destroy()),
            },
            "destroySoon" => drop(socket.destroy_soon()),
            "resetAndDestroy" => socket.reset_and_destroy()?,
            "pause" => drop(socket.pause()),
            "resume" => drop(socket.resume()),
            "cork" => drop(socket.cork()),
            "uncork" => drop(socket.uncork()),
            "ref" => drop(socket.ref_loop()),
            "unref" => drop(socket.unref_loop()),
            "setEncoding" => {
                let encoding = fields.text("encoding").unwrap_or_default().parse()?;
                self.set_encoding(actor, socket, encoding);
            }
            "setTimeout" => {
                let timeout = self.time(fields.number("ms").unwrap_or(0.0));
                match done("timeout-cb") {
                    Some(done) if !timeout.is_zero() => {
                        socket.set_idle_timeout_then(timeout, move |_| done(Ok(())));
                    }
                    _ => {
                        socket.set_idle_timeout(Some(timeout).filter(|timeout| !timeout.is_zero()));
                    }
                }
            }
            // Without an argument it means yes.
            "setNoDelay" => socket.set_no_delay(!fields.has("enable") || fields.flag("enable"))?,
            "setKeepAlive" => {
                let delay = fields.number("delay").map_or(Duration::ZERO, |ms| self.time(ms));
                socket.set_keep_alive(fields.flag("enable"), delay)?;
            }
            "connect" => {
                let done = done("connect-cb");
                socket.connect_with_then(self.target_options(&operation.inner)?, move |_| {
                    if let Some(done) = done {
                        done(Ok(()));
                    }
                })?;
            }
            "pipe" | "unpipe" => self.pipe(operation, socket),
            "echo" => drop(socket.write(chunk.unwrap_or_default())),
            "read" => {
                let chunk = match fields.count("n") {
                    None => socket.read(),
                    Some(count) => socket.read_n(count)?,
                };
                let shown = chunk.map(|chunk| match actor.decode(socket, &chunk) {
                    None => describe(Kind::Bytes, &chunk).into(),
                    Some(text) => describe(Kind::Text, text.as_bytes()).into(),
                });
                return Ok(Some(shown.unwrap_or(Value::Null)));
            }
            "setTypeOfService" => {
                let value = fields.count("tos").and_then(|value| u8::try_from(value).ok());
                let Some(value) = value else { return self.not_possible(operation) };
                socket.set_type_of_service(value)?;
            }
            "getTypeOfService" => return Ok(Some(socket.type_of_service().into())),
            "onData" => self.attach_data(actor, socket),
            _ => return self.run_on_any(operation, actor),
        }
        Ok(None)
    }

    fn pipe(&self, operation: &Operation, socket: &Socket) {
        let fields = &operation.fields;
        if operation.name == "unpipe" && !fields.has("to") {
            socket.unpipe_all();
            return;
        }
        let to = match fields.text("to") {
            None | Some("self") => Some(Object::Socket(socket.clone())),
            Some(name) => self.find(name).and_then(|actor| actor.object.get().cloned()),
        };
        let Some(Object::Socket(to)) = to else {
            return self.problem(format!("{} to a socket that is not there", operation.name));
        };
        match operation.name {
            "unpipe" => socket.unpipe(&to),
            _ if fields.has("end") && !fields.flag("end") => socket.pipe_without_end(&to),
            _ => socket.pipe(&to),
        };
    }

    fn run_on_server(
        self: &Rc<Self>,
        operation: &Operation,
        actor: &Rc<Actor>,
        server: &Server,
    ) -> Answer {
        let fields = &operation.fields;
        let label = fields.text("label").map(str::to_owned);
        let (play, owner) = (Rc::clone(self), Rc::clone(actor));
        match operation.name {
            "listen" => self.listen_options(&operation.inner)?.listen_then(server, move |_| {
                if let Some(label) = label {
                    play.event(&owner, "listen-cb", entry(json!({ "label": label })));
                }
            })?,
            "close" => match label {
                None => drop(server.close()),
                Some(label) => {
                    let done = self.callback(actor, "close-cb", &label);
                    server.close_then(move |_, result| done(result));
                }
            },
            // A plain getter (CLS-11). Its value is recorded where Node calls back, on the tick.
            "getConnections" => {
                let count = server.connections();
                let fields = entry(json!({ "label": label, "err": null, "count": count }));
                timer::next_tick(move || play.event(&owner, "getConnections-cb", fields))?;
            }
            "setMaxConnections" => server.set_max_connections(fields.count("n")),
            "ref" => drop(server.ref_loop()),
            "unref" => drop(server.unref_loop()),
            _ => return self.run_on_any(operation, actor),
        }
        Ok(None)
    }

    /// What sockets and servers have in common.
    fn run_on_any(&self, operation: &Operation, actor: &Actor) -> Answer {
        let fields = &operation.fields;
        let path = || self.names.real_path(fields.text("path").unwrap_or_default());
        let answer = match (operation.name, actor.object.get()) {
            ("address", Some(object)) => self.address(object),
            ("get", _) => {
                let values = self.properties(actor, &fields.texts("props"));
                self.note(actor, json!({ "ev": "get", "values": values }));
                return Ok(None);
            }
            ("stat", _) => stat(&path()),
            ("unlink", _) => unlink(&path()),
            _ => return self.not_possible(operation),
        };
        Ok(Some(answer))
    }

    fn not_possible(&self, operation: &Operation) -> Answer {
        self.problem(format!("{} is not possible here", operation.name));
        Ok(None)
    }
}
