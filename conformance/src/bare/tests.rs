//! Every scenario that machines can play, in both modes, compared with Node's traces.

use std::fs;
use std::path::Path;

use super::support::{can_play, of_machines};
use super::*;
use crate::case::deviations;
use crate::compare::differences;
use crate::supported::missing;

/// The number of scenarios that concern machines only, in either mode.
const PLAYED_MIN: usize = 453;

#[test]
fn bare_machines_play_scenarios_of_one_connection_as_node_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let deviations = deviations().unwrap();
    let (mut played, mut wrong) = (0, Vec::new());
    for (scenarios, expected) in [("scenarios", "expected"), ("random", "random-expected")] {
        let mut files: Vec<_> = fs::read_dir(folder.join(scenarios)).unwrap().collect();
        files.sort_by_key(|file| file.as_ref().unwrap().file_name());
        for file in files {
            let file = file.unwrap().file_name();
            let load = || Scenario::load(&folder.join(scenarios).join(&file)).unwrap();
            let is_for_machines = can_play(&load()) && missing(&load()).is_empty();
            if !is_for_machines || deviations.contains_key(&load().name) {
                continue;
            }
            for mode in [Mode::Node, Mode::Default] {
                let adapted = folder.join("adapted").join(&file);
                let wanted = match mode {
                    Mode::Default if adapted.exists() => adapted,
                    _ => folder.join(expected).join(&file),
                };
                let Some(found) = play(load(), mode) else { continue };
                let wanted = serde_json::from_slice(&fs::read(wanted).unwrap()).unwrap();
                let found = serde_json::from_str(&found.print()).unwrap();
                let [wanted, found] =
                    [wanted, found].map(|trace: Value| of_machines(&trace, &sides::is_known));
                let lines = differences(&wanted, &found);
                if !lines.is_empty() {
                    wrong.push(format!("{file:?} {}:\n{}", mode.name(), lines.join("\n")));
                }
                played += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {played}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(played >= PLAYED_MIN, "only {played} were played");
}
