//! Calls of functions that belong to no actor, made before anything else (FORMAT.md 4.5).

use std::time::Duration;

use fyke::{Result, family_selection};
use serde_json::{Value, json};

use super::Play;
use super::actor::Actor;
use super::options::selection;
use crate::scenario::{Call, SocketSpec};

impl Play {
    /// Makes the calls, and records what they answer on the actor `G`.
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
            other => {
                self.problem(format!("{other} is not possible here"));
                Value::Null
            }
        })
    }
}
