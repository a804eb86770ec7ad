use std::collections::{BTreeMap, BTreeSet};

use super::graph::Graph;
use super::plan::Plan;
use super::{check, complaints};

const PLAN: &str = "\
# Top to bottom.
layer high
    crates/app/src/high.rs
layer middle
    crates/app/src/
layer low
    crates/app/src/low/ # a folder
    crates/app-base/src/
";

/// Errors in sources with these paths below `crates/`.
fn found(plan: &str, sources: &[(&str, &str)]) -> Vec<String> {
    let sources: BTreeMap<String, String> = sources
        .iter()
        .map(|(file, source)| (format!("crates/{file}"), (*source).to_owned()))
        .collect();
    let plan = Plan::parse(plan).unwrap();
    let graph = Graph::read(&plan.crates(), &sources).unwrap();
    complaints(&plan, &graph)
}

const ROOT: (&str, &str) = ("app/src/lib.rs", "mod high; mod low; pub use high::High;");
const HIGH: (&str, &str) = ("app/src/high.rs", "pub struct High; use crate::low::Low;");
const LOW: (&str, &str) = ("app/src/low/mod.rs", "pub struct Low;");

#[test]
fn names_of_lower_layers_are_allowed() {
    assert!(found(PLAN, &[ROOT, HIGH, LOW]).is_empty());
}

#[test]
fn a_name_of_a_higher_layer_is_reported_in_every_spelling() {
    const UPWARD: &str =
        "upward, from low to high: crates/app/src/low/mod.rs -> crates/app/src/high.rs";
    for (source, name) in [
        ("use crate::high::High;", "crate::high::High"),
        ("use crate::{high::{self, High as _}};", "crate::high, crate::high::High"),
        ("use super::high;", "super::high"),
        ("fn f(x: &crate::high::High) {}", "crate::high::High"),
        ("fn f() -> Vec<super::high::High> { todo() }", "super::high::High"),
        ("fn f() { use crate::high::f; }", "crate::high::f"),
        ("fn f() { g!(a, (x) => { crate::high::f(x) }); }", "crate::high::f"),
        ("macro_rules! g { () => { $crate::high::f() } }", "crate::high::f"),
        // Through the root, which re-exports it.
        ("pub(crate) struct L(crate::High);", "crate::High"),
        ("use crate::High as H; fn f(_: H) {}", "H, crate::High"),
    ] {
        let low = ("app/src/low/mod.rs", source);
        let high = ("app/src/high.rs", "pub struct High;");
        assert_eq!(found(PLAN, &[ROOT, high, low]), [format!("{UPWARD} ({name})")], "{source}");
    }
}

#[test]
fn a_name_of_another_crate_is_followed_to_the_file_that_defines_it() {
    let plan = PLAN.replace("crates/app-base/src/", "crates/app-base/src/low.rs")
        + "layer lowest\n    crates/app-base/src/\n";
    let sources = |base| {
        let root = ("app/src/lib.rs", "mod low; pub use app_base::Base;");
        let low = ("app/src/low/mod.rs", "use crate::Base;");
        [root, low, ("app-base/src/lib.rs", "mod low; pub use low::Base;"), base]
    };
    assert!(found(&plan, &sources(("app-base/src/low.rs", "pub struct Base;"))).is_empty());
    let upward = ("app-base/src/low.rs", "pub use crate::other::Base;");
    let with_other = |base: &'static str| {
        let mut sources = sources(upward).to_vec();
        sources[2].1 = base;
        sources.push(("app-base/src/other.rs", "pub struct Base; use crate::low::Low;"));
        sources
    };
    let complaints = found(&plan, &with_other("mod low; mod other; pub use low::Base;"));
    let [complaint] = complaints.as_slice() else { panic!("{complaints:?}") };
    assert!(complaint.contains("app-base/src/other.rs -> crates/app-base/src/low.rs"));
}

#[test]
fn tests_and_documents_may_name_everything() {
    for source in [
        "#[cfg(test)] mod tests { use crate::high::High; }",
        "#[cfg(all(test, unix))] mod tests { use crate::high::High; }",
        "#[cfg(test)] mod tests;",
        "#[test] fn f() { crate::high::f(); }",
        "#[cfg(test)] use crate::high::High;",
        "struct L; impl L { #[cfg(test)] fn f() { crate::high::f(); } }",
        "pub(in crate::high) struct L; g! { pub(super) struct M; }",
        "/// See [`High`](crate::high::High).\npub struct Low;",
        "fn f() { \"crate::high::f\"; } // crate::high::f",
    ] {
        let low = ("app/src/low/mod.rs", source);
        assert!(found(PLAN, &[ROOT, ("app/src/high.rs", ""), low]).is_empty(), "{source}");
    }
    let low = ("app/src/low/mod.rs", "#[cfg(not(test))] use crate::high::High;");
    assert_eq!(found(PLAN, &[ROOT, ("app/src/high.rs", ""), low]).len(), 1);
}

#[test]
fn a_circle_is_reported_with_its_edges() {
    let one = ("app/src/low/one.rs", "use super::two::Two; pub struct One;");
    let two = ("app/src/low/two.rs", "use super::three::Three; pub struct Two;");
    let three = ("app/src/low/three.rs", "use super::One; pub struct Three;");
    let low = ("app/src/low/mod.rs", "mod one; mod two; mod three; pub(crate) use one::One;");
    let sources = [("app/src/lib.rs", "mod low;"), low, one, two, three];
    let edge = |from: &str, to: &str| {
        format!("crates/app/src/low/{from}.rs -> crates/app/src/low/{to}.rs")
    };
    assert_eq!(
        found(PLAN, &sources),
        [
            "a circle of 3 files:".to_owned(),
            format!("  {} (super::two::Two)", edge("one", "two")),
            format!("  {} (super::One)", edge("three", "one")),
            format!("  {} (super::three::Three)", edge("two", "three")),
        ]
    );
    let plan = format!("{PLAN}except {} # why\n", edge("three", "one"));
    assert!(found(&plan, &sources).is_empty());
}

/// The parent declares and re-exports. The re-export itself is not a use of the name.
#[test]
fn parent_and_child_are_a_circle_only_if_the_parent_uses_a_name_of_its_child() {
    let child = ("app/src/low/child.rs", "use super::Low; pub struct Child;");
    let circle = |parent| {
        let sources = [("app/src/lib.rs", "mod low;"), ("app/src/low/mod.rs", parent), child];
        !found(PLAN, &sources).is_empty()
    };
    assert!(!circle("mod child; pub(crate) use child::Child; pub struct Low;"));
    assert!(circle("mod child; pub(crate) use child::Child; pub struct Low(Child);"));
    assert!(circle("mod child; use child::Child; pub struct Low;"));
    assert!(circle("mod child; pub struct Low(child::Child);"));
    assert!(!circle("mod child; pub struct Low; fn f(child: u8) -> u8 { child }"));
}

#[test]
fn an_exception_that_is_not_needed_is_reported() {
    let needed = "except crates/app/src/low/mod.rs -> crates/app/src/high.rs\n";
    let low = ("app/src/low/mod.rs", "use crate::high::High;");
    let high = ("app/src/high.rs", "pub struct High;");
    assert!(found(&format!("{PLAN}{needed}"), &[ROOT, high, low]).is_empty());
    let stale = format!("no longer needed: {}", needed.trim_end());
    assert_eq!(found(&format!("{PLAN}{needed}"), &[ROOT, high, LOW]), [stale]);
    let downward = "except crates/app/src/high.rs -> crates/app/src/low/mod.rs";
    let stale = format!("no longer needed: {downward}");
    assert_eq!(found(&format!("{PLAN}{downward}"), &[ROOT, HIGH, LOW]), [stale]);
}

#[test]
fn of_two_exceptions_for_one_circle_one_is_too_many() {
    let sources = [
        ("app/src/lib.rs", "mod one; mod two;"),
        ("app/src/one.rs", "use crate::two::Two; pub struct One;"),
        ("app/src/two.rs", "use crate::one::One; pub struct Two;"),
    ];
    let plan = format!(
        "{PLAN}except crates/app/src/one.rs -> crates/app/src/two.rs\n\
         except crates/app/src/two.rs -> crates/app/src/one.rs\n"
    );
    assert_eq!(found(&plan, &sources).len(), 1);
}

#[test]
fn names_are_allowed_in_some_files_only() {
    let plan = format!(
        "{PLAN}name exact only in crates/app/src/high.rs\nname Rc::strong_count nowhere\n\
         of app_base in crates/app/src/low/ only Address Moment\n"
    );
    let high = ("app/src/high.rs", "pub struct High { exact: bool }");
    let sources = |source| [ROOT, high, ("app/src/low/mod.rs", source)];
    let complaints = |source| found(&plan, &sources(source));
    assert!(
        complaints("use app_base::{Address, Moment}; fn f() { inexact(\"exact\"); }").is_empty()
    );
    assert_eq!(complaints("fn f(x: X) { x.exact(); }"), ["crates/app/src/low/mod.rs names exact"]);
    assert_eq!(
        complaints("fn f(x: X) { assert!(std::rc::Rc::strong_count(&x) > 1); }"),
        ["crates/app/src/low/mod.rs names Rc::strong_count"]
    );
    assert_eq!(
        complaints("use app_base::{Address, Driver};"),
        ["crates/app/src/low/mod.rs names app_base::Driver"]
    );
    let plan = format!("{plan}except exact in crates/app/src/low/mod.rs\n");
    assert!(found(&plan, &sources("struct L { exact: u8 }")).is_empty());
    assert_eq!(
        found(&plan, &sources("")),
        ["no longer needed: except exact in crates/app/src/low/mod.rs"]
    );
}

#[test]
fn a_file_in_no_layer_and_a_line_that_is_not_a_rule_are_reported() {
    let plan = "layer high\n    crates/app/src/lib.rs\n";
    let sources = [("app/src/lib.rs", "mod low;"), ("app/src/low.rs", "")];
    assert_eq!(found(plan, &sources), ["crates/app/src/low.rs is in no layer of docs/layers.txt"]);
    for line in ["layer", "except a -> ", "name x", "    crates/app/src/lib.rs\n"] {
        assert!(Plan::parse(&format!("{plan}{line}")).is_err(), "{line}");
    }
    assert!(Plan::parse("    crates/app/src/").is_err(), "no layer above");
}

#[test]
fn the_plan_names_the_crates() {
    let crates = Plan::parse(PLAN).unwrap().crates();
    assert_eq!(crates, BTreeSet::from(["app".to_owned(), "app-base".to_owned()]));
}

#[test]
fn a_plan_that_is_missing_is_an_error() {
    assert!(check(std::path::Path::new("/nonexistent")).is_err());
}
