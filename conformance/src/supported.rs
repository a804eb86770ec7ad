//! The parts of the format that fyke does not support yet, or that cannot be expressed in Rust.
//! Scenarios that need one of these are skipped, and `--verbose` prints the reason.
//!
//! When fyke supports one: delete its line here, and implement the operation, option or property next
//! to the others in `play/`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;

use crate::scenario::{Call, ClientSpec, Fields, Operation, Scenario};

/// Operations that are missing.
const OPERATIONS: &[&str] = &[];

/// Properties without a getter.
const PROPERTIES: &[&str] = &[];

/// Options of a client's socket.
const CLIENT_OPTIONS: &[&str] = &[];

/// Options of a server.
const SERVER_OPTIONS: &[&str] = &[];

/// Functions of `calls`.
const CALLS: &[&str] = &[];

/// The reasons why the scenario cannot be played; empty if it can.
pub(crate) fn missing(scenario: &Scenario) -> Vec<String> {
    let mut reasons = Reasons::default();
    for call in &scenario.calls {
        reasons.add_listed("call", CALLS, [call.function.as_str()]);
        reasons.check_call(call);
    }
    for server in &scenario.servers {
        reasons.add_listed("server option", SERVER_OPTIONS, server.options.keys());
        reasons.check_durations_and_sizes(&server.options);
        for socket in server.sockets() {
            reasons.check_events(&socket.also);
        }
    }
    for client in &scenario.clients {
        reasons.check_client(client);
    }
    for script in scenario.scripts() {
        reasons.add_listed("property", PROPERTIES, script.snapshot.iter().map(String::as_str));
    }
    scenario.visit_operations(&mut |operation| reasons.check_operation(operation));
    reasons.0.into_iter().collect()
}

#[derive(Default)]
struct Reasons(BTreeSet<String>);

impl Reasons {
    fn add(&mut self, reason: impl Into<String>) {
        self.0.insert(reason.into());
    }

    fn add_listed<'a>(
        &mut self,
        what: &str,
        list: &[&str],
        names: impl IntoIterator<Item = &'a str>,
    ) {
        for name in names.into_iter().filter(|name| list.contains(name)) {
            self.add(format!("{what} {name}"));
        }
    }

    /// Values that the argument types of a call cannot hold.
    fn check_call(&mut self, call: &Call) {
        for argument in &call.arguments {
            if argument.as_f64().is_some_and(|number| number < 0.0) {
                self.add("Rust: a negative duration or size");
            }
            if argument.get("port").and_then(Value::as_f64).is_some_and(|port| !is_whole(port, U16))
            {
                self.add("Rust: a port out of range");
            }
        }
    }

    fn check_client(&mut self, client: &ClientSpec) {
        self.add_listed("client option", CLIENT_OPTIONS, client.options.keys());
        self.check_durations_and_sizes(&client.options);
        self.check_type_of_service(&client.options, "typeOfService");
        self.check_events(&client.socket.also);
        if let Some(target) = &client.target {
            self.check_target(target);
        }
    }

    fn check_events(&mut self, also: &[String]) {
        for event in also {
            self.add(format!("event {event}"));
        }
    }

    fn check_operation(&mut self, operation: &Operation) {
        let Operation { name, fields, inner, .. } = operation;
        self.add_listed("operation", OPERATIONS, [*name]);
        self.add_listed("property", PROPERTIES, fields.texts("props").iter().map(String::as_str));
        self.check_durations_and_sizes(fields);
        match *name {
            "connect" => self.check_target(inner),
            "setTypeOfService" => self.check_type_of_service(fields, "tos"),
            _ => {}
        }
    }

    fn check_target(&mut self, target: &Fields) {
        self.check_port(target, &["localPort"]);
        target.get("lookup").into_iter().for_each(|lookup| self.check_lookup(lookup));
        if !(target.has("server") || target.has("port") || target.has("path")) {
            self.add("Rust: a target without an address");
        }
        let local = target.text("localAddress");
        if local.is_some_and(|text| text.parse::<IpAddr>().is_err()) {
            self.add("Rust: a local address that is not an IP address");
        }
    }

    /// Values that an `IpAddr` cannot hold: text that is not an address, and text of the other family.
    fn check_lookup(&mut self, lookup: &Value) {
        let results = lookup.get("results").and_then(Value::as_array);
        for result in results.into_iter().flatten() {
            let address = result.get("address").and_then(Value::as_str).unwrap_or_default();
            let family = match address.parse::<IpAddr>() {
                Ok(IpAddr::V4(_)) => 4,
                Ok(IpAddr::V6(_)) => 6,
                Err(_) => 0,
            };
            if result.get("family").and_then(Value::as_u64) != Some(family) {
                self.add("Rust: a lookup that answers with no address");
            }
        }
    }

    /// Values that a `u16` cannot hold.
    fn check_port(&mut self, fields: &Fields, keys: &[&str]) {
        for key in keys {
            let port = fields.number(key);
            if port.is_some_and(|port| !is_whole(port, U16)) {
                self.add("Rust: a port out of range");
            }
        }
    }

    /// Values that a `u8` cannot hold.
    fn check_type_of_service(&mut self, fields: &Fields, key: &str) {
        let value = fields.number(key);
        if value.is_some_and(|value| !is_whole(value, U8)) {
            self.add("Rust: a type of service out of range");
        }
    }

    /// Values that a `Duration` and a `usize` cannot hold.
    fn check_durations_and_sizes(&mut self, fields: &Fields) {
        let durations = ["ms", "timeout", "keepAliveInitialDelay"];
        let sizes = ["highWaterMark", "maxConnections", "n", "backlog"];
        for key in durations.iter().chain(&sizes) {
            if fields.number(key).is_some_and(|number| number < 0.0) {
                self.add("Rust: a negative duration or size");
            }
        }
        for key in sizes {
            if fields.number(key).is_some_and(|number| number.fract() != 0.0) {
                self.add("Rust: a size that is not an integer");
            }
        }
    }
}

const U8: f64 = u8::MAX as f64;
const U16: f64 = u16::MAX as f64;

fn is_whole(number: f64, max: f64) -> bool {
    (0.0..=max).contains(&number) && number.fract() == 0.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn operation(operation: &Value) -> Vec<String> {
        let client = json!({ "to": { "port": 1 }, "start": [operation] });
        let scenario = json!({ "name": "a", "clients": [client] });
        missing(&Scenario::of_text(&scenario.to_string()).unwrap())
    }

    /// Regression: playing it reported a problem of the scenario.
    #[test]
    fn type_of_service_that_is_not_a_byte_is_skipped_in_every_operation() {
        for tos in [json!(256), json!(-1), json!(1.5)] {
            let reasons = operation(&json!({ "op": "setTypeOfService", "tos": tos }));
            assert_eq!(reasons, ["Rust: a type of service out of range"], "{tos}");
            let nested = json!({ "op": "setTypeOfService", "tos": tos });
            let reasons = operation(&json!({ "op": "tick", "do": [nested] }));
            assert_eq!(reasons, ["Rust: a type of service out of range"], "{tos}");
        }
        assert!(operation(&json!({ "op": "setTypeOfService", "tos": 255 })).is_empty());
    }

    #[test]
    fn sizes_that_are_not_integers_are_skipped() {
        let reasons = operation(&json!({ "op": "read", "n": 1.5 }));
        assert_eq!(reasons, ["Rust: a size that is not an integer"]);
        assert!(operation(&json!({ "op": "read", "n": 2 })).is_empty());
    }
}
