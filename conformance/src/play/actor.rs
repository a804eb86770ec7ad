//! An actor: a server or a socket, with what was recorded about it.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use fyke::{Address, Decoder, ListenerId, Server, Socket};

use crate::scenario::{Reading, Script, SocketSpec};
use crate::trace::Log;

#[derive(Debug)]
pub(crate) struct Actor {
    pub(crate) name: String,
    pub(crate) script: Rc<Script>,
    pub(crate) reading: Reading,
    pub(crate) log: RefCell<Log>,
    /// Empty if the object could not be created.
    pub(crate) object: OnceCell<Object>,
    /// How often each event has happened.
    pub(crate) counts: RefCell<HashMap<String, u64>>,
    pub(crate) received: Cell<u64>,
    /// The socket's listeners for data.
    pub(crate) data_listeners: RefCell<Vec<ListenerId>>,
    /// For text, once an encoding is set.
    decoder: RefCell<Option<Decoder>>,
    /// The endpoint of a server: where it listens, or listened last.
    pub(crate) last_address: RefCell<Option<Address>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Object {
    Server(Server),
    Socket(Socket),
}

impl Actor {
    pub(crate) fn server(name: String, script: &Rc<Script>) -> Self {
        let spec = SocketSpec { script: Rc::clone(script), ..SocketSpec::default() };
        Self::socket(name, &spec)
    }

    pub(crate) fn socket(name: String, spec: &SocketSpec) -> Self {
        Self {
            name,
            script: Rc::clone(&spec.script),
            reading: spec.reading,
            log: RefCell::default(),
            object: OnceCell::new(),
            counts: RefCell::default(),
            received: Cell::new(0),
            data_listeners: RefCell::default(),
            decoder: RefCell::default(),
            last_address: RefCell::default(),
        }
    }

    /// Decodes read data once an encoding is set: fyke's `read` returns bytes, Node's then returns
    /// text.
    pub(crate) fn decode(&self, socket: &Socket, chunk: &[u8]) -> Option<String> {
        let encoding = socket.encoding()?;
        let mut decoder = self.decoder.borrow_mut();
        let mut text = String::new();
        decoder.get_or_insert_with(|| Decoder::new(encoding)).decode(chunk, &mut text);
        Some(text)
    }

    /// Gives the actor its object, once.
    pub(crate) fn becomes(&self, object: Object) {
        let before = self.object.set(object);
        debug_assert!(before.is_ok(), "an actor has one object");
    }

    /// How often the event has happened.
    pub(crate) fn count(&self, event: &str) -> u64 {
        self.counts.borrow().get(event).copied().unwrap_or(0)
    }

    /// Counts the event, and returns the new count.
    pub(crate) fn count_one(&self, event: &str) -> u64 {
        let mut counts = self.counts.borrow_mut();
        let count = counts.entry(event.to_owned()).or_default();
        *count += 1;
        *count
    }
}
