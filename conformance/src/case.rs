//! One scenario of many: played in a process of its own, and compared with what Node did.
//!
//! Where fyke does something else on purpose, its own trace stands in `adapted/`, with the
//! behaviours of the catalogue that say so, and counts in the place of Node's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use serde_json::Value;

use crate::compare::differences;
use crate::manner::Manner;
use crate::scenario::Scenario;
use crate::supported::missing;

/// The key of an adapted trace that says why it is not Node's.
const WHY: &str = "adapted";

/// The scenarios in which fyke does otherwise although it is to do as Node, each with the reason.
pub(crate) type Deviations = BTreeMap<String, String>;

/// What `deviations.json` says.
pub(crate) fn deviations() -> io::Result<Deviations> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deviations.json");
    Ok(serde_json::from_slice(&fs::read(file)?)?)
}

#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    scenario: PathBuf,
    expected: PathBuf,
    adapted: PathBuf,
    /// Why fyke does otherwise also where it does as Node, if it does.
    deviation: Option<String>,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    Passed {
        /// Why the trace is not Node's, if it is not.
        adapted: Option<String>,
    },
    /// Not Node's, and listed with this reason in `deviations.json`.
    Deviates(String),
    Failed {
        differences: Vec<String>,
        /// What was printed, if the run came so far.
        trace: Option<String>,
    },
    Skipped(Vec<String>),
}

impl Case {
    /// What Node did stands beside the folder: for `scenarios` in `expected`, else in a folder of
    /// the same name with `-expected` behind it.
    pub(crate) fn new(scenario: PathBuf, deviations: &Deviations) -> Self {
        let folder = scenario.parent().unwrap_or(&scenario);
        let expected = match folder.file_name().unwrap_or_default().to_string_lossy() {
            name if name == "scenarios" => String::from("expected"),
            name => format!("{name}-expected"),
        };
        let name = scenario.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let beside = |folder_name: &str| {
            folder.with_file_name(folder_name).join(&name).with_extension("json")
        };
        let (expected, adapted) = (beside(&expected), beside("adapted"));
        let deviation = deviations.get(&name).cloned();
        Self { name, scenario, expected, adapted, deviation }
    }

    pub(crate) fn run(&self, driver: &str, manner: Manner) -> Outcome {
        let failed = |message: String| Outcome::Failed { differences: vec![message], trace: None };
        let reasons = match Scenario::load(&self.scenario) {
            Ok(scenario) => missing(&scenario),
            Err(complaint) => return failed(complaint.to_string()),
        };
        if !reasons.is_empty() {
            return Outcome::Skipped(reasons);
        }
        self.play_and_compare(driver, manner).unwrap_or_else(|error| failed(error.to_string()))
    }

    fn play_and_compare(&self, driver: &str, manner: Manner) -> io::Result<Outcome> {
        let node: Value = serde_json::from_slice(&fs::read(&self.expected)?)?;
        let mut command = Command::new(std::env::current_exe()?);
        if manner == Manner::Default {
            command.arg(Manner::OPTION);
        }
        let output = command.arg(&self.scenario).env("FYKE_DRIVER", driver).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let mut lines: Vec<String> = said.lines().map(str::to_owned).collect();
            lines.push(output.status.to_string());
            return Ok(Outcome::Failed { differences: lines, trace: None });
        }
        let found: Value = serde_json::from_slice(&output.stdout)?;
        let differences = self.judge(&node, &found, driver, manner)?;
        if let (Some(why), Manner::Node) = (&self.deviation, manner) {
            return Ok(self.judge_deviation(why, &differences));
        }
        let trace = Some(String::from_utf8_lossy(&output.stdout).into_owned());
        Ok(differences.map_or_else(
            |differences| Outcome::Failed { differences, trace },
            |adapted| Outcome::Passed { adapted },
        ))
    }

    /// Why the trace is right although it is not Node's, if so; or what is wrong with it.
    fn judge(
        &self,
        node: &Value,
        found: &Value,
        driver: &str,
        manner: Manner,
    ) -> io::Result<Result<Option<String>, Vec<String>>> {
        let from_node = differences(node, found);
        // What differs between drivers too may have a trace for each.
        let of_driver = self.adapted.with_extension(format!("{driver}.json"));
        let adapted = [&self.adapted, &of_driver].map(|file| file.exists().then_some(file));
        let adapted: Vec<_> = adapted.into_iter().flatten().collect();
        if manner == Manner::Node || adapted.is_empty() {
            return Ok(if from_node.is_empty() { Ok(None) } else { Err(from_node) });
        }
        if from_node.is_empty() {
            let message = format!("this is what Node does: {} can go", adapted[0].display());
            return Ok(Err(vec![message]));
        }
        let mut nearest = Vec::new();
        for file in adapted {
            let adapted: Value = serde_json::from_slice(&fs::read(file)?)?;
            nearest = differences(&adapted, found);
            if nearest.is_empty() {
                let why = adapted.get(WHY).and_then(Value::as_str).unwrap_or_default();
                return Ok(Ok(Some(why.to_owned())));
            }
        }
        Ok(Err(nearest))
    }

    fn judge_deviation(&self, why: &str, found: &Result<Option<String>, Vec<String>>) -> Outcome {
        if found.is_err() {
            return Outcome::Deviates(why.to_owned());
        }
        let message = format!("this is what Node does: {} in deviations.json can go", self.name);
        Outcome::Failed { differences: vec![message], trace: None }
    }

    /// From now on this trace counts.
    pub(crate) fn adapt(&self, trace: &str, why: &str) -> io::Result<()> {
        let body = trace.strip_prefix("{\n").unwrap_or(trace);
        let text = format!("{{\n {}: {},\n{body}", Value::from(WHY), Value::from(why));
        fs::create_dir_all(self.adapted.parent().unwrap_or(&self.adapted))?;
        fs::write(&self.adapted, text)
    }
}
