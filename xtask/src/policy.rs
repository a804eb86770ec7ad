//! Reads `crates/fyke-machine/src/policy.rs`: which field of the policy belongs to which behaviour.

use std::collections::BTreeMap;

use crate::behaviour::{Behaviour, is_id};

/// The names of the fields, by the id of a behaviour.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    fields: BTreeMap<String, Vec<String>>,
}

impl Policy {
    #[cfg(test)]
    pub(crate) const NONE: Self = Self { fields: BTreeMap::new() };

    /// Reads the table. The comments between the description of a field and its line have the ids, or a
    /// contract.
    pub(crate) fn parse(text: &str, behaviour: &Behaviour) -> Result<Self, String> {
        let mut policy = Self::default();
        let table = text.split("\npolicy! {\n").nth(1).ok_or("policy.rs has no table")?;
        let mut ids = String::new();
        for line in table.lines().map(str::trim) {
            if line == "}" {
                break;
            } else if line.starts_with("/// ") {
                ids.clear();
            } else if let Some(words) = line.strip_prefix("// ") {
                ids = format!("{ids} {words}");
            } else if let Some((field, _)) = line.split_once(':') {
                policy.add(field, ids.trim(), behaviour)?;
            }
        }
        Ok(policy)
    }

    fn add(&mut self, field: &str, ids: &str, behaviour: &Behaviour) -> Result<(), String> {
        if ids.is_empty() {
            return Err(format!("policy.rs: {field} names no behaviour"));
        }
        for id in ids.split(", ").filter(|id| is_id(id)) {
            if !behaviour.has(id) {
                return Err(format!("policy.rs: {field}: there is no {id}"));
            }
            self.fields.entry(id.to_owned()).or_default().push(field.to_owned());
        }
        Ok(())
    }

    /// The fields that decide about a behaviour.
    pub(crate) fn of(&self, id: &str) -> &[String] {
        self.fields.get(id).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEHAVIOUR: &str =
        "## 1. WR\n### WR-01 A\nfyke: same\n### WR-02 B\nfyke: adapted: later\n";

    fn parse(table: &str) -> Result<Policy, String> {
        let behaviour = Behaviour::parse(BEHAVIOUR).unwrap();
        Policy::parse(&format!("x\npolicy! {{\n{table}}}\n"), &behaviour)
    }

    #[test]
    fn a_behaviour_has_the_choices_whose_comments_name_it() {
        let policy = parse(
            "    // Writing.\n    /// Says so\n    /// now.\n    // WR-02,\n    // WR-01\n    a: true | false,\n\
             \n    /// Else.\n    // WR-02, contract C2\n    b: true | false,\n",
        )
        .unwrap();
        assert_eq!(policy.of("WR-02"), ["a", "b"]);
        assert_eq!(policy.of("WR-01"), ["a"]);
        assert!(policy.of("WR-03").is_empty());
    }

    #[test]
    fn a_choice_without_a_behaviour_and_one_that_does_not_exist_are_errors() {
        assert!(
            parse("    /// Says so.\n    a: true | false,\n").unwrap_err().contains("a names no")
        );
        assert!(
            parse("    /// So.\n    // WR-07\n    a: true | false,\n")
                .unwrap_err()
                .contains("WR-07")
        );
    }
}
