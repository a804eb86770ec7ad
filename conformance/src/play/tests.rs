//! What playing a scenario records.

use serde_json::{Value, json};

use super::play;
use crate::mode::Mode;
use crate::scenario::Scenario;

/// The events of the only client in a scenario without a server.
fn entries(client: Value) -> Vec<Value> {
    let scenario = json!({ "name": "a", "clients": [client] }).to_string();
    let trace = play(Scenario::of_text(&scenario).unwrap(), 1.0, Mode::Node).unwrap();
    assert!(trace.problems.is_empty(), "{:?}", trace.problems);
    let trace: Value = serde_json::from_str(&trace.print()).unwrap();
    trace["actors"]["C0"].as_array().unwrap().clone()
}

/// Regression: it was played as its integer part.
#[test]
fn fractional_port_is_refused_as_node_refuses_it() {
    let connect = json!({ "op": "connect", "to": { "host": "127.0.0.1", "port": 80.5 } });
    let found = entries(json!({ "create": "new", "to": null, "start": [connect] }));
    let throw = json!({ "ev": "throw", "op": "connect", "code": "ERR_SOCKET_BAD_PORT" });
    assert!(found.contains(&throw), "{found:?}");
}

fn attempted_when_blocked(addresses: &[&str]) -> Value {
    let results = addresses.iter().map(|ip| json!({ "address": ip, "family": 4 }));
    let lookup = json!({ "results": results.collect::<Vec<_>>() });
    let get = json!({ "op": "get", "props": ["autoSelectFamilyAttemptedAddresses"] });
    let found = entries(json!({
        "options": { "blockList": [{ "subnet": ["127.0.0.0", 8] }] },
        "to": { "host": "some.test", "port": 1, "lookup": lookup },
        "on": { "error": [get] },
    }));
    let get = found.iter().find(|entry| entry["ev"] == "get").expect("it fails");
    get["values"]["autoSelectFamilyAttemptedAddresses"].clone()
}

#[test]
fn list_of_attempts_is_empty_if_no_attempt_was_made_and_absent_without_a_choice() {
    assert_eq!(attempted_when_blocked(&["127.0.0.1", "127.0.0.2"]), json!([]));
    assert_eq!(attempted_when_blocked(&["127.0.0.1"]), Value::Null);
}
