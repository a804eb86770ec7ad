//! Compares two traces (FORMAT.md 9): equal, or the first difference of each actor with a little
//! context. There are no tolerances.

use std::collections::BTreeSet;

use serde_json::Value;

/// Entries shown before the first difference.
const CONTEXT_ENTRIES: usize = 2;

/// The number of digits of a hash that are shown.
const HASH_SHOWN: usize = 12;

/// The differences as text; empty if the traces are equal.
pub(crate) fn differences(expected: &Value, found: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for key in ["scenario", "loopEnd", "uncaught", "files", "problems"] {
        if expected.get(key) != found.get(key) {
            let (expected, found) = (show_plain(expected.get(key)), show_plain(found.get(key)));
            lines.push(format!("{key}: expected {expected}, got {found}"));
        }
    }
    for name in actor_names(expected).union(&actor_names(found)) {
        let (expected, found) = (entries(expected, name), entries(found, name));
        match (expected, found) {
            (Some(expected), Some(found)) => compare_actor(name, expected, found, &mut lines),
            (None, Some(found)) => {
                lines.push(format!("{name}: not expected, but present ({} entries)", found.len()));
            }
            (Some(expected), None) => {
                lines.push(format!("{name}: missing (expected {} entries)", expected.len()));
            }
            (None, None) => {}
        }
    }
    lines
}

fn actor_names(trace: &Value) -> BTreeSet<&str> {
    let actors = trace.get("actors").and_then(Value::as_object);
    actors.into_iter().flat_map(|actors| actors.keys().map(String::as_str)).collect()
}

fn entries<'a>(trace: &'a Value, actor: &str) -> Option<&'a [Value]> {
    trace.get("actors")?.get(actor)?.as_array().map(Vec::as_slice)
}

fn compare_actor(name: &str, expected: &[Value], found: &[Value], lines: &mut Vec<String>) {
    let count = expected.len().max(found.len());
    let Some(index) = (0..count).find(|index| expected.get(*index) != found.get(*index)) else {
        return;
    };
    lines.push(format!("{name}: first difference at entry {index}"));
    for entry in &expected[index.saturating_sub(CONTEXT_ENTRIES)..index] {
        lines.push(format!("     both     {}", show_entry(Some(entry))));
    }
    lines.push(format!("   - expected {}", show_entry(expected.get(index))));
    lines.push(format!("   + got      {}", show_entry(found.get(index))));
}

/// The event first, then its fields.
fn show_entry(entry: Option<&Value>) -> String {
    let Some(entry) = entry.and_then(Value::as_object) else {
        return String::from("(no more entries)");
    };
    let mut rest = entry.clone();
    let event = rest.shift_remove("ev").unwrap_or_default();
    let event = event.as_str().unwrap_or("?");
    if let Some(hash) = rest.get_mut("sha256") {
        let text = hash.as_str().unwrap_or_default();
        *hash = format!("{}…", &text[..HASH_SHOWN.min(text.len())]).into();
    }
    if rest.is_empty() { event.to_owned() } else { format!("{event} {}", Value::Object(rest)) }
}

fn show_plain(value: Option<&Value>) -> String {
    value.map_or_else(|| String::from("(missing)"), Value::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn trace(actors: Value) -> Value {
        json!({ "scenario": "x", "loopEnd": true, "actors": actors })
    }

    #[test]
    fn the_order_of_keys_does_not_matter() {
        let one = trace(json!({ "C0": [{ "ev": "close", "hadError": true }] }));
        let other = trace(json!({ "C0": [{ "hadError": true, "ev": "close" }] }));
        assert!(differences(&one, &other).is_empty());
    }

    #[test]
    fn the_first_difference_is_shown_with_the_preceding_entries() {
        let expected = trace(json!({ "C0": [{ "ev": "open" }, { "ev": "end" }] }));
        let found = trace(json!({ "C0": [{ "ev": "open" }], "C1": [] }));
        let lines = differences(&expected, &found);
        assert_eq!(lines[0], "C0: first difference at entry 1");
        assert_eq!(lines[1], "     both     open");
        assert_eq!(lines[2], "   - expected end");
        assert_eq!(lines[3], "   + got      (no more entries)");
        assert_eq!(lines[4], "C1: not expected, but present (0 entries)");
    }
}
