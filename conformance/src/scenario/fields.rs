//! One JSON object of a scenario. Its keys are checked once, when the file is read, so that later code
//! only looks them up.

use std::fmt;

use serde_json::{Map, Value};

use super::format::{Keys, Kind};

/// The mistake in a scenario file.
#[derive(Debug)]
pub(crate) struct Complaint(String);

impl Complaint {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An object with known keys. Missing keys are `None`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads an object that may have the keys of `tables` and no others.
    pub(crate) fn read(value: &Value, tables: &[Keys], place: &str) -> Result<Self, Complaint> {
        let Value::Object(object) = value else {
            return Err(Complaint::new(format!("{place} must be an object")));
        };
        for (key, value) in object {
            let kind = tables.iter().find_map(|keys| kind_of(keys, key));
            let Some(kind) = kind else {
                return Err(Complaint::new(format!("unknown key {key:?} in {place}")));
            };
            if !fits(value, kind) {
                let message = format!("{key} in {place} must be {}", describe(kind));
                return Err(Complaint::new(message));
            }
        }
        Ok(Self(object.clone()))
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        self.get(key)?.as_f64()
    }

    /// A count: an integer that is not negative.
    pub(crate) fn count(&self, key: &str) -> Option<usize> {
        usize::try_from(self.get(key)?.as_u64()?).ok()
    }

    /// False if it is missing, as everywhere in the format.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The elements of a list; empty if it is missing.
    pub(crate) fn list(&self, key: &str) -> &[Value] {
        self.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn texts(&self, key: &str) -> Vec<String> {
        self.list(key).iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// A number, or the numbers of a list.
    pub(crate) fn numbers(&self, key: &str) -> Option<Vec<u64>> {
        match self.get(key)? {
            Value::Array(list) => Some(list.iter().filter_map(Value::as_u64).collect()),
            one => Some(one.as_u64().into_iter().collect()),
        }
    }
}

fn kind_of(keys: Keys, key: &str) -> Option<Kind> {
    keys.iter().find(|(name, _)| *name == key).map(|(_, kind)| *kind)
}

fn fits(value: &Value, kind: Kind) -> bool {
    let all = |test: fn(&Value) -> bool| value.as_array().is_some_and(|list| list.iter().all(test));
    match kind {
        Kind::Text => value.is_string(),
        Kind::Number => value.is_number(),
        Kind::Flag => value.is_boolean(),
        Kind::Port => value.is_number() || value.is_string(),
        Kind::Texts => all(Value::is_string),
        Kind::Numbers => value.is_number() || all(Value::is_number),
        Kind::Operations => value.is_array(),
        Kind::Other => true,
    }
}

fn describe(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "a text",
        Kind::Number => "a number",
        Kind::Flag => "true or false",
        Kind::Port => "a port or a placeholder for one",
        Kind::Texts => "a list of texts",
        Kind::Numbers => "a number or a list of numbers",
        Kind::Operations => "a list of operations",
        Kind::Other => "something else",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::format;
    use serde_json::json;

    #[test]
    fn an_unknown_key_is_reported_by_name() {
        let value = json!({ "ms": 1, "mss": 2 });
        let complaint = Fields::read(&value, &[format::AFTER], "C0.after").unwrap_err();
        assert_eq!(complaint.to_string(), "unknown key \"mss\" in C0.after");
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_refused() {
        let value = json!({ "ms": "soon" });
        let complaint = Fields::read(&value, &[format::AFTER], "C0.after").unwrap_err();
        assert_eq!(complaint.to_string(), "ms in C0.after must be a number");
    }
}
