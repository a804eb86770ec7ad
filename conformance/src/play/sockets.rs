//! Sockets: how clients are created, and the listeners of every socket.

use std::rc::Rc;

use fyke::{Address, Encoding, Error, Socket};
use serde_json::{Value, json};

use super::Play;
use super::actor::{Actor, Object};
use super::recording::{Entry, entry};
use crate::names::family_number;
use crate::scenario::{ClientSpec, Fields, Operation, Reading};
use crate::trace::Kind;

impl Play {
    pub(crate) fn start_client(self: &Rc<Self>, index: usize) {
        let name = format!("C{index}");
        let Some(spec) = self.scenario.clients.get(index) else {
            return self.problem(format!("there is no {name}"));
        };
        if self.find(&name).is_some() {
            return self.problem(format!("{name} started twice"));
        }
        let actor = self.add(Actor::socket(name, &spec.socket));
        if spec.is_made_first {
            self.make_and_then_connect(&actor, spec);
        } else {
            self.make_by_connecting(&actor, spec);
        }
    }

    fn make_by_connecting(self: &Rc<Self>, actor: &Rc<Actor>, spec: &ClientSpec) {
        let Some(target) = &spec.target else { return };
        let options = self.connect_options(&spec.options, target);
        match options.and_then(fyke::ConnectOptions::connect) {
            Err(error) => self.note_throw(actor, "create", &error),
            Ok(socket) => {
                self.attach_pieces(actor, &socket, &spec.options);
                self.attach_socket(actor, &socket);
                self.note_open(actor);
                self.begin(actor);
            }
        }
    }

    fn make_and_then_connect(self: &Rc<Self>, actor: &Rc<Actor>, spec: &ClientSpec) {
        let socket = self.socket_options(&spec.options).build();
        self.attach_pieces(actor, &socket, &spec.options);
        self.attach_socket(actor, &socket);
        self.note_open(actor);
        self.run_all(&spec.before, Some(actor));
        if let Some(target) = &spec.target {
            self.run(&Operation::quiet_connect(target.clone()), Some(actor), None);
        }
        self.begin(actor);
    }

    /// Records every event of the socket from now on. Listeners for data come last.
    pub(crate) fn attach_socket(self: &Rc<Self>, actor: &Rc<Actor>, socket: &Socket) {
        actor.becomes(Object::Socket(socket.clone()));
        let record = |name: &'static str| {
            let (play, actor) = (Rc::clone(self), Rc::clone(actor));
            move |fields: Entry| play.event(&actor, name, fields)
        };
        self.attach_attempts(actor, socket);
        let events = record("connect");
        socket.on_connect(move |_| events(Entry::new()));
        let events = record("ready");
        socket.on_ready(move |_| events(Entry::new()));
        let events = record("end");
        socket.on_end(move |_| events(Entry::new()));
        let events = record("timeout");
        socket.on_idle_timeout(move |_| events(Entry::new()));
        let events = record("drain");
        socket.on_drain(move |_| events(Entry::new()));
        let events = record("finish");
        socket.on_finish(move |_| events(Entry::new()));
        let (events, play) = (record("error"), Rc::clone(self));
        socket.on_error(move |_, error| events(play.names.show_error(error)));
        let events = record("close");
        socket.on_close(move |_, had_error| events(entry(json!({ "hadError": had_error }))));
        match actor.reading {
            Reading::Merge | Reading::Total => self.attach_data(actor, socket),
            Reading::Readable => self.attach_readable(actor, socket),
            Reading::None => {}
        }
    }

    /// Listens for data, or for text once an encoding is set, as Node's `data` changes then.
    pub(crate) fn attach_data(self: &Rc<Self>, actor: &Rc<Actor>, socket: &Socket) {
        let (play, owner) = (Rc::clone(self), Rc::clone(actor));
        let id = match socket.encoding() {
            None => socket.on_data(move |_, chunk| play.data(&owner, Kind::Bytes, chunk)),
            Some(_) => {
                socket.on_text(move |_, text| play.data(&owner, Kind::Text, text.as_bytes()))
            }
        };
        actor.data_listeners.borrow_mut().push(id);
    }

    /// Reads until nothing is left, whenever data has arrived.
    fn attach_readable(self: &Rc<Self>, actor: &Rc<Actor>, socket: &Socket) {
        let (play, owner) = (Rc::clone(self), Rc::clone(actor));
        socket.on_readable(move |socket| {
            while let Some(chunk) = socket.read() {
                match owner.decode(socket, &chunk) {
                    None => play.data(&owner, Kind::Bytes, &chunk),
                    Some(text) => play.data(&owner, Kind::Text, text.as_bytes()),
                }
            }
        });
    }

    /// The option `onread`: pieces of a fixed size. Stops once, at `stopAt` bytes.
    fn attach_pieces(self: &Rc<Self>, actor: &Rc<Actor>, socket: &Socket, options: &Fields) {
        let Some(onread) = options.get("onread") else { return };
        let size = onread["size"].as_u64().and_then(|size| usize::try_from(size).ok());
        let size = size.unwrap_or(0);
        let mut stop_at = onread["stopAt"].as_u64();
        let (play, owner) = (Rc::clone(self), Rc::clone(actor));
        let mut take = move |piece: &[u8]| {
            play.data(&owner, Kind::Piece, piece);
            stop_at.take_if(|stop_at| owner.received.get() >= *stop_at).is_none()
        };
        if onread.get("generator").is_some() {
            socket.read_buffers(move || vec![0; size], move |_, piece| take(&piece));
        } else {
            socket.read_buffer(size, move |_, piece| take(piece));
        }
    }

    pub(crate) fn set_encoding(
        self: &Rc<Self>,
        actor: &Rc<Actor>,
        socket: &Socket,
        encoding: Encoding,
    ) {
        let listened_for_bytes = socket.encoding().is_none();
        socket.set_encoding(encoding);
        if listened_for_bytes {
            for id in actor.data_listeners.take() {
                self.attach_data(actor, socket);
                socket.off(id);
            }
        }
    }

    /// The events before the connection is established.
    fn attach_attempts(self: &Rc<Self>, actor: &Rc<Actor>, socket: &Socket) {
        let with = || (Rc::clone(self), Rc::clone(actor));
        let (play, owner) = with();
        socket.on_lookup(move |_, lookup| {
            let (err, address, family) = match &lookup.address {
                Ok(ip) => {
                    let family = if ip.is_ipv4() { 4 } else { 6 };
                    (Value::Null, json!(ip.to_string()), json!(family))
                }
                Err(error) => (json!(error.code().as_str()), Value::Null, Value::Null),
            };
            let fields = json!({
                "err": err, "address": address, "family": family, "host": lookup.host,
            });
            play.event(&owner, "lookup", entry(fields));
        });
        let (play, owner) = with();
        socket.on_connection_attempt(move |_, address| {
            play.event(&owner, "connectionAttempt", play.attempt(address, None));
        });
        let (play, owner) = with();
        socket.on_connection_attempt_failed(move |_, address, error| {
            play.event(&owner, "connectionAttemptFailed", play.attempt(address, Some(error)));
        });
        let (play, owner) = with();
        socket.on_connection_attempt_timeout(move |_, address| {
            play.event(&owner, "connectionAttemptTimeout", play.attempt(address, None));
        });
    }

    fn attempt(&self, address: &Address, error: Option<&Error>) -> Entry {
        let mut fields = entry(json!({
            "address": self.names.show_host(address),
            "port": self.names.show_port(address.port()),
            "family": address.ip().map(|ip| family_number(&ip)),
        }));
        if let Some(error) = error {
            fields.insert("err".into(), self.names.show_error(error).into());
        }
        fields
    }
}
