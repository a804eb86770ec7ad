//! Scripted lookups, in place of the system's (FORMAT.md 6.2).

use std::net::IpAddr;

use fyke::{ConnectOptions, Error, ErrorCode, Family, LookupRequest, Result, timer};
use serde_json::Value;

use super::Play;

impl Play {
    /// Answers as `script` specifies: immediately, in a later turn, or after a time.
    pub(super) fn script_lookup(&self, options: ConnectOptions, script: &Value) -> ConnectOptions {
        let delay_ms = script.get("delay").and_then(Value::as_f64).unwrap_or(0.0);
        let is_sync = script.get("sync").and_then(Value::as_bool).unwrap_or(false);
        let (delay, script) = (self.time(delay_ms), script.clone());
        options.lookup(move |request, reply| {
            let answer = answer(&script, &request);
            if is_sync {
                reply.answer(answer);
            } else if delay.is_zero() {
                timer::set_immediate(|| reply.answer(answer)).expect("the hook runs in the loop");
            } else {
                timer::set_timeout(delay, || reply.answer(answer)).expect("likewise");
            }
        })
    }
}

fn answer(script: &Value, request: &LookupRequest) -> Result<Vec<IpAddr>> {
    if let Some(code) = script.get("error").and_then(Value::as_str) {
        let code = ErrorCode::from_static(Box::leak(code.into()));
        return Err(Error::new(code, "as the scenario wants it"));
    }
    let results = script.get("results").and_then(Value::as_array).into_iter().flatten();
    let addresses = results.filter_map(|result| result.get("address")?.as_str()?.parse().ok());
    let mut addresses: Vec<IpAddr> = addresses.collect();
    addresses
        .retain(|ip| request.family.is_none_or(|family| ip.is_ipv4() == (family == Family::V4)));
    if !request.all {
        addresses.truncate(1);
    }
    Ok(addresses)
}
