//! A scenario file: parsed, checked, and in the form in which it is played.

mod condition;
mod fields;
mod format;
mod operation;
mod reading;

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;

pub(crate) use condition::Condition;
pub(crate) use fields::Fields;
pub(crate) use operation::{Occurrence, Operation, Operations};

#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) limit_ms: f64,
    pub(crate) servers: Vec<ServerSpec>,
    pub(crate) clients: Vec<ClientSpec>,
    pub(crate) gates: Vec<GateSpec>,
    pub(crate) blackholes: Vec<Fields>,
    /// Names and contents of the files to create before the start.
    pub(crate) files: Vec<(String, String)>,
    /// Names of the abort signals, and whether they are aborted from the beginning.
    pub(crate) signals: Vec<(String, bool)>,
    /// Functions called before the start.
    pub(crate) calls: Vec<Call>,
    /// The placeholders `P0` to `P9` that occur anywhere in the file.
    pub(crate) port_placeholders: Vec<String>,
}

/// A call of a function that belongs to no actor.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) function: String,
    pub(crate) arguments: Vec<Value>,
}

/// Common to servers and sockets.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) start: Operations,
    pub(crate) on: BTreeMap<String, Operations>,
    /// In order of time.
    pub(crate) after: Vec<Delayed>,
    /// Properties recorded with every event.
    pub(crate) snapshot: Vec<String>,
}

/// An entry of an `after` list.
#[derive(Clone, Debug)]
pub(crate) struct Delayed {
    pub(crate) ms: f64,
    pub(crate) body: Operations,
    pub(crate) unref: bool,
}

#[derive(Debug)]
pub(crate) struct ServerSpec {
    pub(crate) options: Fields,
    /// `None`: it does not listen automatically.
    pub(crate) listen: Option<Fields>,
    pub(crate) script: Rc<Script>,
    sockets: Vec<SocketSpec>,
}

impl ServerSpec {
    /// The description of its accepted socket number `index`. The last one also applies to all that
    /// follow.
    pub(crate) fn socket(&self, index: usize) -> SocketSpec {
        self.sockets.get(index).or(self.sockets.last()).cloned().unwrap_or_default()
    }

    pub(crate) fn sockets(&self) -> &[SocketSpec] {
        &self.sockets
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct SocketSpec {
    pub(crate) reading: Reading,
    pub(crate) script: Rc<Script>,
    /// Further events to record.
    pub(crate) also: Vec<String>,
}

/// How a socket is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Chunk by chunk; consecutive chunks become one entry.
    #[default]
    Merge,
    /// One entry for everything, before `end` or `close`.
    Total,
    /// There is no data listener.
    None,
    /// A listener that reads the bytes.
    Readable,
}

#[derive(Debug)]
pub(crate) struct ClientSpec {
    pub(crate) options: Fields,
    /// Created first and connected in a second step, instead of in one call.
    pub(crate) is_made_first: bool,
    /// `None`: it does not connect automatically.
    pub(crate) target: Option<Fields>,
    /// `None`: only the operation `spawn` starts it.
    pub(crate) when: Option<Vec<Condition>>,
    pub(crate) delay_ms: f64,
    /// Operations between creation and connecting.
    pub(crate) before: Operations,
    pub(crate) socket: SocketSpec,
}

#[derive(Debug)]
pub(crate) struct GateSpec {
    pub(crate) when: Vec<Condition>,
    pub(crate) delay_ms: f64,
    pub(crate) body: Operations,
}

impl Scenario {
    /// Every operation of the scenario, also those inside others.
    pub(crate) fn visit_operations(&self, visit: &mut dyn FnMut(&Operation)) {
        for server in &self.servers {
            server.script.visit_operations(visit);
            for socket in &server.sockets {
                socket.script.visit_operations(visit);
            }
        }
        for client in &self.clients {
            visit_all(&client.before, visit);
            client.socket.script.visit_operations(visit);
        }
        for gate in &self.gates {
            visit_all(&gate.body, visit);
        }
    }

    /// The scripts of all actors.
    pub(crate) fn scripts(&self) -> impl Iterator<Item = &Script> {
        let servers = self.servers.iter().flat_map(|server| {
            std::iter::once(&*server.script).chain(server.sockets.iter().map(|s| &*s.script))
        });
        servers.chain(self.clients.iter().map(|client| &*client.socket.script))
    }
}

impl Script {
    fn visit_operations(&self, visit: &mut dyn FnMut(&Operation)) {
        visit_all(&self.start, visit);
        self.on.values().for_each(|list| visit_all(list, visit));
        self.after.iter().for_each(|delayed| visit_all(&delayed.body, visit));
    }
}

fn visit_all(list: &[Operation], visit: &mut dyn FnMut(&Operation)) {
    for operation in list {
        visit(operation);
        visit_all(&operation.body, visit);
    }
}
