//! The checks and generators of the project.
//!
//! - `cargo xtask conformance-table --write` writes `docs/CONFORMANCE.md`; `--check` reports what is
//!   wrong with it.
//! - `cargo xtask api` writes `docs/api.txt`; `--check` compares it with the source, and counts the public
//!   functions that have a running example.
//! - `cargo xtask layers` reports modules that name one of a higher layer (`docs/layers.txt`).

#![forbid(unsafe_code)]

mod api;
mod behaviour;
mod layers;
mod names;
mod policy;
mod source;
mod table;
mod tests_by_id;

use std::path::Path;
use std::process::ExitCode;

use behaviour::Behaviour;
use policy::Policy;
use table::Table;
use tests_by_id::TestsById;

const BEHAVIOUR: &str = "docs/BEHAVIOUR.md";
const POLICY: &str = "crates/fyke-machine/src/policy.rs";
const CONFORMANCE: &str = "docs/CONFORMANCE.md";
/// The folders with tests.
const SOURCES: [&str; 2] = ["crates", "conformance/src"];

const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the root");
    let complaints = match arguments.as_slice() {
        ["conformance-table", "--write"] => write(root),
        ["conformance-table", "--check"] => check(root),
        ["api"] => api::write(root),
        ["api", "--check"] => api::check(root),
        ["layers"] => layers::check(root),
        _ => {
            eprintln!("usage: cargo xtask conformance-table --write | --check");
            eprintln!("       cargo xtask api [--check]");
            eprintln!("       cargo xtask layers");
            return ExitCode::from(USAGE);
        }
    };
    let complaints = complaints.unwrap_or_else(|complaint| vec![complaint]);
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Writes the table for the current tests, and also reports missing tests.
fn write(root: &Path) -> Result<Vec<String>, String> {
    let behaviour = Behaviour::parse(&read(root, BEHAVIOUR)?)?;
    let tests = TestsById::find(root, &SOURCES, &behaviour)?;
    let policy = Policy::parse(&read(root, POLICY)?, &behaviour)?;
    let before = std::fs::read_to_string(root.join(CONFORMANCE)).unwrap_or_default();
    let table = Table::new(&behaviour, &tests, &policy, &before)?;
    std::fs::write(root.join(CONFORMANCE), table.print())
        .map_err(|error| format!("{CONFORMANCE}: {error}"))?;
    Ok(table.complaints())
}

fn check(root: &Path) -> Result<Vec<String>, String> {
    let behaviour = Behaviour::parse(&read(root, BEHAVIOUR)?)?;
    let tests = TestsById::find(root, &SOURCES, &behaviour)?;
    let policy = Policy::parse(&read(root, POLICY)?, &behaviour)?;
    let before = read(root, CONFORMANCE)?;
    let table = Table::new(&behaviour, &tests, &policy, &before)?;
    let mut complaints = table.complaints();
    if table.print() != before {
        complaints.push(format!(
            "{CONFORMANCE} is out of date: run cargo xtask conformance-table --write"
        ));
    }
    Ok(complaints)
}

fn read(root: &Path, path: &str) -> Result<String, String> {
    std::fs::read_to_string(root.join(path)).map_err(|error| format!("{path}: {error}"))
}
