//! `docs/CONFORMANCE.md`: one part is generated from the behaviours and the tests, the other is
//! maintained by hand and copied.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::behaviour::{Behaviour, Decision, Entry, decision, is_id};
use crate::policy::Policy;
use crate::tests_by_id::{Test, TestsById};

/// Ends the generated part.
const BY_HAND: &str = "<!-- What follows is kept by hand. -->";
/// The heading of the list in the manual part that overrides entries.
const DIFFERENTLY: &str = "## Entries decided differently, and why";

#[derive(Debug)]
pub(crate) struct Table<'a> {
    behaviour: &'a Behaviour,
    tests: &'a TestsById,
    policy: &'a Policy,
    /// The decisions of the manual part, by id.
    decided: BTreeMap<String, (Decision, String)>,
    by_hand: String,
}

impl<'a> Table<'a> {
    /// The table of these behaviours and tests; `before` is the current document, or empty.
    pub(crate) fn new(
        behaviour: &'a Behaviour,
        tests: &'a TestsById,
        policy: &'a Policy,
        before: &str,
    ) -> Result<Self, String> {
        let by_hand = match before.split_once(BY_HAND) {
            Some((_, by_hand)) => by_hand.trim().to_owned(),
            None => DIFFERENTLY.to_owned(),
        };
        let decided = decided(&by_hand)?;
        match decided.keys().find(|id| !behaviour.has(id)) {
            Some(id) => Err(format!("there is no {id} to decide differently about")),
            None => Ok(Self { behaviour, tests, policy, decided, by_hand }),
        }
    }

    /// Ids without a test, and wrong names of tests.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let lacking = self.behaviour.entries().filter(|entry| self.lacks_test(entry));
        let lacking = lacking.map(|entry| format!("{} has no test: {}", entry.id, entry.title));
        self.tests.complaints().iter().cloned().chain(lacking).collect()
    }

    /// The complete document.
    pub(crate) fn print(&self) -> String {
        let mut text = String::new();
        self.print_head(&mut text).expect("a string takes everything");
        for section in &self.behaviour.sections {
            let _ = write!(text, "\n## {}\n\n", section.title);
            text.push_str("| behaviour | fyke | tests |\n|---|---|---|\n");
            for entry in &section.entries {
                self.print_row(&mut text, entry).expect("a string takes everything");
            }
        }
        let _ = write!(text, "\n{BY_HAND}\n\n{}\n", self.by_hand);
        text
    }

    fn print_head(&self, text: &mut String) -> std::fmt::Result {
        let count = |wanted| {
            self.behaviour.entries().filter(|entry| self.decision(entry).0 == wanted).count()
        };
        let lacking = self.behaviour.entries().filter(|entry| self.lacks_test(entry)).count();
        text.push_str(
            "# Conformance\n\n\
             What fyke does about each behaviour of Node's `net` that [BEHAVIOUR.md](BEHAVIOUR.md) describes, and \
             the tests that\ncarry it: their names begin with its id. \
             `cargo xtask conformance-table --write` writes this file down to the part\nkept by hand; \
             `--check` fails when it is not up to date, when an id of the first two kinds has no test, or when a\n\
             test names an id that does not exist. \
             A name in `code` at the end of the second column is the choice in\n`crates/fyke-machine/src/policy.rs` that \
             `EventLoopBuilder::node_exact` turns round.\n\n",
        );
        text.push_str("| | | entries |\n|---|---|--:|\n");
        let same = count(Decision::Same);
        writeln!(text, "| same | as Node does it | {same} |")?;
        let adapted = count(Decision::Adapted);
        writeln!(text, "| adapted | the variant that is stated | {adapted} |")?;
        let skip = count(Decision::Skip);
        writeln!(text, "| skip | not part of fyke | {skip} |")?;
        if lacking > 0 {
            writeln!(text, "| | of the first two, without a test | {lacking} |")?;
        }
        Ok(())
    }

    fn print_row(&self, text: &mut String, entry: &Entry) -> std::fmt::Result {
        let (decision, reason) = self.decision(entry);
        let anchor = anchor(&format!("{} {}", entry.id, entry.title));
        let (id, title) = (&entry.id, cell(&entry.title));
        write!(text, "| [{id}](BEHAVIOUR.md#{anchor}) {title} | {decision}")?;
        if !reason.is_empty() {
            write!(text, ": {}", cell(reason))?;
        }
        if self.decided.contains_key(&entry.id) {
            text.push_str(" ([here](#entries-decided-differently-and-why))");
        }
        for field in self.policy.of(&entry.id) {
            write!(text, " `{field}`")?;
        }
        let tests: Vec<String> = self.tests.of(&entry.id).iter().map(link).collect();
        let tests = match tests.as_slice() {
            [] if self.lacks_test(entry) => "**none**".to_owned(),
            [] => "–".to_owned(),
            tests => tests.join("<br>"),
        };
        writeln!(text, " | {tests} |")
    }

    fn decision<'b>(&'b self, entry: &'b Entry) -> (Decision, &'b str) {
        match self.decided.get(&entry.id) {
            Some((decision, reason)) => (*decision, reason),
            None => (entry.decision, &entry.reason),
        }
    }

    fn lacks_test(&self, entry: &Entry) -> bool {
        self.decision(entry).0 != Decision::Skip && self.tests.of(&entry.id).is_empty()
    }
}

/// Reads the list of entries decided differently: `- WR-21, WR-22: adapted: the reason`. Further lines
/// of an item belong to the reason.
fn decided(by_hand: &str) -> Result<BTreeMap<String, (Decision, String)>, String> {
    let mut decided = BTreeMap::new();
    let section = by_hand.split_once(DIFFERENTLY).map_or("", |(_, section)| section);
    let section = section.split("\n## ").next().unwrap_or_default();
    let items = section.split("\n- ").skip(1);
    for item in items {
        let item = item.split("\n\n").next().unwrap_or_default();
        let item = item.split_whitespace().collect::<Vec<_>>().join(" ");
        let complaint = || format!("not `IDS: DECISION: REASON`: {item}");
        let (ids, rest) = item.split_once(": ").ok_or_else(complaint)?;
        let decision = decision(rest).ok_or_else(complaint)?;
        for id in ids.split(", ") {
            if !is_id(id) {
                return Err(complaint());
            }
            if decided.insert(id.to_owned(), decision.clone()).is_some() {
                return Err(format!("{id} is decided differently twice"));
            }
        }
    }
    Ok(decided)
}

/// A test by its crate, file and name.
fn link(test: &Test) -> String {
    let shown = test.file.strip_prefix("crates/").unwrap_or(&test.file);
    format!("[`{shown}::{}`](../{})", test.name, test.file)
}

/// The anchor that GitHub generates for a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEHAVIOUR: &str = "\
## 1. WR — writing
### WR-01 `write` says: a|b
fyke: same
### WR-02 Callbacks
fyke: adapted: later
### WR-03 Types
fyke: skip: types
";

    const BY_HAND_TEXT: &str = "\
## Entries decided differently, and why

Some words.

- WR-02: skip: nobody
  wants it

## Where the specification left a choice

- This: list is no decision
";

    static NONE: Policy = Policy::NONE;

    fn behaviour() -> Behaviour {
        Behaviour::parse(BEHAVIOUR).unwrap()
    }

    fn tests() -> TestsById {
        let mut tests = TestsById::default();
        tests.add("crates/a/tests/b.rs", "#[test] fn wr_01_x() {}", &behaviour());
        tests
    }

    #[test]
    fn a_row_has_the_behaviour_the_decision_and_the_tests() {
        let (behaviour, tests) = (behaviour(), tests());
        let table = "\npolicy! {\n    /// So.\n    // WR-02\n    late: true | false,\n}\n";
        let policy = Policy::parse(table, &behaviour).unwrap();
        let text = Table::new(&behaviour, &tests, &policy, "").unwrap().print();
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| [")).collect();
        assert_eq!(
            rows,
            [
                "| [WR-01](BEHAVIOUR.md#wr-01-write-says-ab) `write` says: a\\|b | same \
                 | [`a/tests/b.rs::wr_01_x`](../crates/a/tests/b.rs) |",
                "| [WR-02](BEHAVIOUR.md#wr-02-callbacks) Callbacks | adapted: later `late` | **none** |",
                "| [WR-03](BEHAVIOUR.md#wr-03-types) Types | skip: types | – |",
            ]
        );
        assert!(text.contains("| of the first two, without a test | 1 |"));
    }

    #[test]
    fn an_id_without_a_test_is_reported_unless_it_is_skipped() {
        let (behaviour, tests) = (behaviour(), tests());
        let table = Table::new(&behaviour, &tests, &NONE, "").unwrap();
        assert_eq!(table.complaints(), ["WR-02 has no test: Callbacks"]);
        let before = format!("old\n{BY_HAND}\n{BY_HAND_TEXT}");
        let table = Table::new(&behaviour, &tests, &NONE, &before).unwrap();
        assert!(table.complaints().is_empty());
    }

    #[test]
    fn wrong_names_are_reported() {
        let (behaviour, mut tests) = (behaviour(), tests());
        tests.add("c.rs", "#[test] fn wr_09_x() {} #[test] fn wr_02_x() {}", &behaviour);
        let table = Table::new(&behaviour, &tests, &NONE, "").unwrap();
        assert_eq!(table.complaints(), ["c.rs: wr_09_x: there is no WR-09"]);
    }

    #[test]
    fn parts_maintained_by_hand_are_kept_and_take_precedence() {
        let (behaviour, tests) = (behaviour(), tests());
        let before = format!("anything\n{BY_HAND}\n\n{BY_HAND_TEXT}");
        let text = Table::new(&behaviour, &tests, &NONE, &before).unwrap().print();
        assert!(text.ends_with(BY_HAND_TEXT), "{text}");
        assert!(text.contains(
            "Callbacks | skip: nobody wants it ([here](#entries-decided-differently-and-why)) | – |"
        ));
        assert!(text.contains("| skip | not part of fyke | 2 |"));
        let again = Table::new(&behaviour, &tests, &NONE, &text).unwrap().print();
        assert_eq!(again, text, "written twice is the same");
    }

    #[test]
    fn a_decision_that_cannot_be_parsed_is_an_error() {
        let (behaviour, tests) = (behaviour(), tests());
        let with = |item: &str| {
            let before = format!("{BY_HAND}\n{DIFFERENTLY}\n\n{item}\n");
            Table::new(&behaviour, &tests, &NONE, &before).map(|_| ())
        };
        assert_eq!(with("- WR-01, WR-02: adapted: so"), Ok(()));
        assert!(with("- WR-01 adapted so").is_err());
        assert!(with("- WR-01: perhaps: so").is_err());
        assert!(with("- WR-1: same").is_err());
        assert!(with("- WR-09: same").unwrap_err().contains("no WR-09"));
        assert!(with("- WR-01: same\n- WR-01: skip: no").unwrap_err().contains("twice"));
    }
}
