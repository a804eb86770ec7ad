//! One scenario: played in a separate process, and compared with Node's trace.
//!
//! Where fyke differs on purpose, its own trace is in `adapted/`, with the behaviours of the catalogue
//! that justify it, and is used in place of Node's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use serde_json::Value;

use crate::compare::differences;
use crate::mode::Mode;
use crate::scenario::Scenario;
use crate::supported::missing;

/// The key of an adapted trace with the reason for the difference.
const WHY: &str = "adapted";

/// The scenarios in which fyke differs even in Node mode, each with the reason.
pub(crate) type Deviations = BTreeMap<String, String>;

/// The content of `deviations.json`.
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
    /// The reason why fyke differs even in Node mode, if it does.
    deviation: Option<String>,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    Passed {
        /// The reason why the trace differs from Node's, if it does.
        adapted: Option<String>,
    },
    /// Differs from Node's trace, and is listed with this reason in `deviations.json`.
    Deviates(String),
    Failed {
        differences: Vec<String>,
        /// The output, if the run printed any.
        trace: Option<String>,
    },
    Skipped(Vec<String>),
}

impl Case {
    /// Node's trace is next to the folder: for `scenarios` in `expected`, otherwise in a folder of the
    /// same name with the suffix `-expected`.
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

    pub(crate) fn run(&self, driver: &str, mode: Mode) -> Outcome {
        let failed = |message: String| Outcome::Failed { differences: vec![message], trace: None };
        let reasons = match Scenario::load(&self.scenario) {
            Ok(scenario) => missing(&scenario),
            Err(complaint) => return failed(complaint.to_string()),
        };
        if !reasons.is_empty() {
            return Outcome::Skipped(reasons);
        }
        self.play_and_compare(driver, mode).unwrap_or_else(|error| failed(error.to_string()))
    }

    fn play_and_compare(&self, driver: &str, mode: Mode) -> io::Result<Outcome> {
        let node: Value = serde_json::from_slice(&fs::read(&self.expected)?)?;
        let mut command = Command::new(std::env::current_exe()?);
        if mode == Mode::Default {
            command.arg(Mode::OPTION);
        }
        let output = command.arg(&self.scenario).env("FYKE_DRIVER", driver).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let mut lines: Vec<String> = said.lines().map(str::to_owned).collect();
            lines.push(output.status.to_string());
            return Ok(Outcome::Failed { differences: lines, trace: None });
        }
        let found: Value = serde_json::from_slice(&output.stdout)?;
        let differences = self.judge(&node, &found, driver, mode)?;
        if let (Some(why), Mode::Node) = (&self.deviation, mode) {
            return Ok(self.judge_deviation(why, &differences));
        }
        let trace = Some(String::from_utf8_lossy(&output.stdout).into_owned());
        Ok(differences.map_or_else(
            |differences| Outcome::Failed { differences, trace },
            |adapted| Outcome::Passed { adapted },
        ))
    }

    /// Returns the reason why the trace is accepted although it differs from Node's, if it is;
    /// otherwise the differences.
    fn judge(
        &self,
        node: &Value,
        found: &Value,
        driver: &str,
        mode: Mode,
    ) -> io::Result<Result<Option<String>, Vec<String>>> {
        let from_node = differences(node, found);
        // If drivers differ too, each may have a trace.
        let of_driver = self.adapted.with_extension(format!("{driver}.json"));
        let adapted = [&self.adapted, &of_driver].map(|file| file.exists().then_some(file));
        let adapted: Vec<_> = adapted.into_iter().flatten().collect();
        if mode == Mode::Node || adapted.is_empty() {
            return Ok(if from_node.is_empty() { Ok(None) } else { Err(from_node) });
        }
        if from_node.is_empty() {
            let message =
                format!("the trace is the same as Node's: {} can be removed", adapted[0].display());
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
        let message = format!(
            "the trace is the same as Node's: {} in deviations.json can be removed",
            self.name
        );
        Outcome::Failed { differences: vec![message], trace: None }
    }

    /// Records this trace as the expected one.
    pub(crate) fn adapt(&self, trace: &str, why: &str) -> io::Result<()> {
        let body = trace.strip_prefix("{\n").unwrap_or(trace);
        let text = format!("{{\n {}: {},\n{body}", Value::from(WHY), Value::from(why));
        fs::create_dir_all(self.adapted.parent().unwrap_or(&self.adapted))?;
        fs::write(&self.adapted, text)
    }
}
