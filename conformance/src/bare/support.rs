//! Which scenarios can be played on bare machines, and which part of a trace belongs to a machine.

use serde_json::{Map, Value, json};

use crate::scenario::{Fields, Scenario};

/// Operations of machines, and operations that do not affect them.
const OPERATIONS: [&str; 30] = [
    "connect",
    "unref",
    "write",
    "end",
    "destroy",
    "destroySoon",
    "resetAndDestroy",
    "pause",
    "resume",
    "cork",
    "uncork",
    "setTimeout",
    "read",
    "onData",
    "get",
    "echo",
    "ref",
    "setNoDelay",
    "setKeepAlive",
    "setTypeOfService",
    "address",
    "after",
    "immediate",
    "tick",
    "repeat",
    "mark",
    "cleanup",
    "close",
    "getConnections",
    "stat",
];

const OPTIONS: [&str; 6] = [
    "allowHalfOpen",
    "highWaterMark",
    "pauseOnConnect",
    "noDelay",
    "keepAlive",
    "keepAliveInitialDelay",
];

/// A larger number may not fit into the buffers of two kernels (FORMAT.md 10).
const WRITE_BYTES_MAX: usize = 100 * 1024;

/// Whether machines can play the scenario: one server, clients that connect to it once, and no feature
/// of sockets only.
pub(super) fn can_play(scenario: &Scenario) -> bool {
    let [server] = scenario.servers.as_slice() else { return false };
    let props = scenario.files.len() + scenario.signals.len() + scenario.blackholes.len();
    let known = |fields: &Fields, keys: &[&str]| fields.keys().all(|key| keys.contains(&key));
    let listens =
        server.listen.as_ref().is_some_and(|listen| known(listen, &["path", "port", "host"]));
    let clients = scenario.clients.iter().all(|client| {
        let to_server = |target: &Fields| known(target, &["server"]);
        let to_server = client.target.as_ref().is_some_and(to_server);
        to_server && client.when.is_some() && known(&client.options, &OPTIONS)
    });
    let mut operations = true;
    scenario.visit_operations(&mut |operation| {
        let small = operation.fields.count("big").is_none_or(|bytes| bytes <= WRITE_BYTES_MAX);
        let to_server = operation.name != "connect" || known(&operation.inner, &["server"]);
        operations &= OPERATIONS.contains(&operation.name) && small && to_server;
    });
    let named = known(&server.options, &OPTIONS);
    props == 0 && scenario.calls.is_empty() && listens && named && clients && operations
}

/// The part of a trace that concerns machines: the entries of sockets, without those of the shell and
/// the system.
pub(super) fn of_machines(trace: &Value, known: &dyn Fn(&str) -> bool) -> Value {
    let actors = trace.get("actors").and_then(Value::as_object).into_iter().flatten();
    let sockets = actors.filter(|(name, _)| name.starts_with('C') || name.contains('.'));
    let shown = sockets.map(|(name, entries)| {
        let entries = entries.as_array().into_iter().flatten();
        let kept: Vec<Value> = entries.filter_map(|entry| of_machine(entry, known)).collect();
        (name.clone(), Value::Array(kept))
    });
    json!({ "actors": Value::Object(shown.collect::<Map<_, _>>()) })
}

fn of_machine(entry: &Value, known: &dyn Fn(&str) -> bool) -> Option<Value> {
    let mut entry = entry.as_object()?.clone();
    let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
    if text("ev") == "lookup" || ["address", "stat"].contains(&text("op")) {
        return None;
    }
    // Without the addresses.
    if text("ev") == "error" || text("ev").starts_with("connectionAttempt") {
        entry.retain(|key, _| ["ev", "code", "s"].contains(&key.as_str()));
    }
    for key in ["s", "values"] {
        if let Some(Value::Object(values)) = entry.get_mut(key) {
            values.retain(|name, _| known(name));
        }
    }
    Some(Value::Object(entry))
}
