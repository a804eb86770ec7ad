//! The table of features in the documentation of the crate is complete.

use std::collections::BTreeSet;

#[test]
fn each_feature_is_in_the_table_of_the_documentation_with_its_default() {
    let manifest = include_str!("../Cargo.toml");
    let section = manifest.split("\n[features]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let features = section.lines().filter_map(|line| line.split_once(" = "));
    let (defaults, features): (Vec<_>, Vec<_>) = features.partition(|(name, _)| *name == "default");
    let is_default = |name: &str| defaults.iter().any(|(_, of)| of.contains(&format!("{name:?}")));
    let wanted: BTreeSet<(&str, &str)> = features
        .into_iter()
        .map(|(name, _)| (name, if is_default(name) { "yes" } else { "no" }))
        .collect();
    let table = include_str!("../src/lib.rs").lines().filter_map(|line| {
        let mut cells = line.strip_prefix("//! | `")?.split(" | ");
        Some((cells.next()?.trim_end_matches('`'), cells.next()?))
    });
    assert!(wanted.len() >= 2);
    assert_eq!(table.collect::<BTreeSet<_>>(), wanted);
}
