//! Calls of functions that belong to no actor, made before anything else (FORMAT.md 4.5).

use std::time::Duration;

use fyke::{Family, Result, SocketAddress, family_selection};
use serde_json::{Value, json};

use super::Play;
use super::actor::Actor;
use super::options::{block_list, family, selection};
use crate::scenario::{Call, SocketSpec};

impl Play {
    /// Makes the calls, and records their results on the actor `G`.
    pub(super) fn make_calls(&self) {
        if self.scenario.calls.is_empty() {
            return;
        }
        let actor = self.add(Actor::socket(String::from("G"), &SocketSpec::default()));
        for call in &self.scenario.calls {
            let (function, arguments) = (&call.function, &call.arguments);
            self.note(
                &actor,
                match self.answer(call) {
                    Ok(value) => {
                        json!({ "ev": "ret", "op": function, "args": arguments, "value": value })
                    }
                    Err(error) => {
                        let code = error.code().as_str();
                        json!({ "ev": "throw", "op": function, "args": arguments, "code": code })
                    }
                },
            );
        }
    }

    fn answer(&self, call: &Call) -> Result<Value> {
        let first = call.arguments.first().unwrap_or(&Value::Null);
        Ok(match call.function.as_str() {
            "getDefaultAutoSelectFamily" => {
                json!(family_selection::default() == selection(true))
            }
            "setDefaultAutoSelectFamily" => {
                family_selection::set_default(selection(first == &json!(true)));
                Value::Null
            }
            "getDefaultAutoSelectFamilyAttemptTimeout" => {
                json!(family_selection::attempt_timeout().as_millis() as u64)
            }
            "setDefaultAutoSelectFamilyAttemptTimeout" => {
                let timeout = Duration::from_millis(first.as_u64().unwrap_or(0));
                family_selection::set_attempt_timeout(timeout)?;
                Value::Null
            }
            "isIP" => json!(fyke::is_ip(first.as_str().unwrap_or_default())),
            "isIPv4" => json!(fyke::is_ipv4(first.as_str().unwrap_or_default())),
            "isIPv6" => json!(fyke::is_ipv6(first.as_str().unwrap_or_default())),
            "blockListCheck" => {
                let argument = |index: usize| call.arguments.get(index).unwrap_or(&Value::Null);
                let list = block_list(first)?;
                let address = argument(1).as_str().unwrap_or_default();
                // Node accepts text that it cannot parse.
                json!(list.check_text(address, family(argument(2))).unwrap_or(false))
            }
            "socketAddress" => {
                let address = socket_address(first)?;
                let mut shown = show(&address);
                shown["flowlabel"] = json!(address.flow_label());
                shown
            }
            "socketAddressParse" => {
                let address = SocketAddress::parse(first.as_str().unwrap_or_default());
                address.map_or(Value::Null, |address| show(&address))
            }
            other => {
                self.problem(format!("{other} is not possible here"));
                Value::Null
            }
        })
    }
}

/// From Node's options; missing ones have their defaults.
fn socket_address(options: &Value) -> Result<SocketAddress> {
    let family = family(&options["family"]);
    let number = |key: &str| options[key].as_u64().unwrap_or(0);
    let port = u16::try_from(number("port")).unwrap_or(u16::MAX);
    let address = match options["address"].as_str() {
        Some(address) => SocketAddress::from_text(address, port, family)?,
        None => SocketAddress::new(SocketAddress::for_family(family).address(), port),
    };
    address.with_flow_label(u32::try_from(number("flowlabel")).unwrap_or(u32::MAX))
}

fn show(address: &SocketAddress) -> Value {
    let family = if address.family() == Family::V4 { "ipv4" } else { "ipv6" };
    json!({ "address": address.address().to_string(), "port": address.port(), "family": family })
}
