//! One operation of a scenario.

use std::rc::Rc;

use serde_json::Value;

use super::fields::{Complaint, Fields};
use super::format::{ANY_OPERATION, LISTEN, LOOKUP, OPERATIONS, PROPERTIES, TARGET};

/// A list of operations; shared, because timers keep theirs.
pub(crate) type Operations = Rc<[Operation]>;

#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// The actor that it applies to; `None` for the one whose list contains it.
    pub(crate) on: Option<String>,
    /// Neither the call nor its result is recorded.
    pub(crate) quiet: bool,
    pub(crate) fields: Fields,
    /// The list under `do`.
    pub(crate) body: Operations,
    /// The connect target or listen options under it.
    pub(crate) inner: Fields,
    filter: Filter,
}

/// When an operation in an event handler is performed.
#[derive(Debug, Default)]
struct Filter {
    /// Only at these occurrences of the event.
    nth: Option<Vec<u64>>,
    /// Only at the chunk with which this many bytes were received.
    at: Option<u64>,
    /// Only if the callback has this label.
    label: Option<String>,
}

/// An event, with the fields that filters use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Occurrence<'a> {
    pub(crate) count: u64,
    pub(crate) received_before: u64,
    pub(crate) received: u64,
    pub(crate) label: Option<&'a str>,
}

impl Operation {
    pub(crate) fn applies(&self, occurrence: Occurrence<'_>) -> bool {
        let Filter { nth, at, label } = &self.filter;
        let nth = nth.as_ref().is_none_or(|nth| nth.contains(&occurrence.count));
        let at = at.is_none_or(|at| occurrence.received_before < at && occurrence.received >= at);
        let label = label.as_ref().is_none_or(|label| Some(label.as_str()) == occurrence.label);
        nth && at && label
    }

    /// The operation of a plain `connect` to `target`, which is the first connection of a client.
    pub(crate) fn quiet_connect(target: Fields) -> Self {
        Self {
            name: "connect",
            on: None,
            quiet: true,
            fields: Fields::default(),
            body: Operations::default(),
            inner: target,
            filter: Filter::default(),
        }
    }
}

/// Reads the list under `value`; empty if it is missing.
pub(crate) fn read_operations(value: Option<&Value>, place: &str) -> Result<Operations, Complaint> {
    let Some(value) = value else { return Ok(Operations::default()) };
    let list = value.as_array();
    let list =
        list.ok_or_else(|| Complaint::new(format!("{place} must be a list of operations")))?;
    list.iter().map(|value| read_operation(value, place)).collect()
}

fn read_operation(value: &Value, place: &str) -> Result<Operation, Complaint> {
    let found = value.get("op").and_then(Value::as_str).unwrap_or_default();
    let known = OPERATIONS.iter().find(|(name, _)| *name == found);
    let Some((name, keys)) = known else {
        return Err(Complaint::new(format!("unknown op {found:?} in {place}")));
    };
    let fields = Fields::read(value, &[keys, ANY_OPERATION], &format!("{name} in {place}"))?;
    check_properties(&fields.texts("props"), place)?;
    let inner = match *name {
        "connect" => fields.get("to").map(|to| read_target(to, place)).transpose()?,
        "listen" => fields.get("options").map(|options| read_listen(options, place)).transpose()?,
        _ => None,
    };
    let filter = Filter {
        nth: fields.numbers("nth"),
        at: fields.get("at").and_then(Value::as_u64),
        label: fields.text("for").map(str::to_owned),
    };
    Ok(Operation {
        name,
        on: fields.text("on").map(str::to_owned),
        quiet: fields.flag("quiet"),
        body: read_operations(fields.get("do"), place)?,
        inner: inner.unwrap_or_else(|| default_inner(name)),
        filter,
        fields,
    })
}

/// A connect without a target goes to the first server.
fn default_inner(name: &str) -> Fields {
    if name == "connect" { default_target() } else { Fields::default() }
}

pub(crate) fn default_target() -> Fields {
    let value = serde_json::json!({ "server": "S0" });
    Fields::read(&value, &[TARGET], "the default target").expect("it has a known key")
}

pub(crate) fn read_target(value: &Value, place: &str) -> Result<Fields, Complaint> {
    let target = Fields::read(value, &[TARGET], &format!("to in {place}"))?;
    if let Some(lookup) = target.get("lookup") {
        Fields::read(lookup, &[LOOKUP], &format!("lookup in {place}"))?;
    }
    Ok(target)
}

pub(crate) fn read_listen(value: &Value, place: &str) -> Result<Fields, Complaint> {
    Fields::read(value, &[LISTEN], &format!("listen in {place}"))
}

pub(crate) fn check_properties(names: &[String], place: &str) -> Result<(), Complaint> {
    match names.iter().find(|name| !PROPERTIES.contains(&name.as_str())) {
        Some(name) => Err(Complaint::new(format!("unknown property {name:?} in {place}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn one(value: Value) -> Result<Operation, Complaint> {
        read_operation(&value, "C0.start")
    }

    #[test]
    fn an_unknown_operation_or_key_is_refused() {
        assert_eq!(
            one(json!({ "op": "wrte" })).unwrap_err().to_string(),
            "unknown op \"wrte\" in C0.start"
        );
        assert_eq!(
            one(json!({ "op": "pause", "ms": 1 })).unwrap_err().to_string(),
            "unknown key \"ms\" in pause in C0.start"
        );
        assert!(one(json!({ "op": "get", "props": ["colour"] })).is_err());
        assert!(one(json!({ "op": "tick", "do": [{ "op": "no" }] })).is_err());
    }

    #[test]
    fn filters_pick_occurrences() {
        let seen = Occurrence { count: 2, received_before: 3, received: 9, label: Some("a") };
        let applies = |value| one(value).unwrap().applies(seen);
        assert!(applies(json!({ "op": "end" })));
        assert!(applies(json!({ "op": "end", "nth": 2 })));
        assert!(applies(json!({ "op": "end", "nth": [1, 2] })));
        assert!(!applies(json!({ "op": "end", "nth": 1 })));
        assert!(applies(json!({ "op": "end", "at": 9 })));
        assert!(!applies(json!({ "op": "end", "at": 3 })));
        assert!(applies(json!({ "op": "end", "for": "a" })));
        assert!(!applies(json!({ "op": "end", "for": "b" })));
    }
}
