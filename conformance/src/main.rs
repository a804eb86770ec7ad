//! Plays the conformance scenarios on fyke: `fyke-conform SCENARIO.json` prints the trace of one,
//! `fyke-conform all` compares all with what Node did. The format is in `FORMAT.md`.

#![forbid(unsafe_code)]

mod all;
#[cfg(test)]
mod bare;
mod case;
mod compare;
mod mode;
mod names;
mod payload;
mod play;
mod ports;
mod random;
mod scenario;
mod supported;
mod trace;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use mode::Mode;
use scenario::Scenario;

/// A loop that never returns cannot stop itself at the limit, so the process ends after this additional
/// time.
const PATIENCE: Duration = Duration::from_secs(20);

/// Exit status for a file that is not a scenario.
const INVALID: u8 = 2;
/// Exit status for a scenario that needs a feature that fyke does not have.
const SKIPPED: u8 = 3;
/// Exit status for a loop that hangs.
const STUCK: i32 = 4;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [word, rest @ ..] if word == "all" => all::all(rest),
        [file] => play_one(Path::new(file), Mode::Node),
        [option, file] if option == Mode::OPTION => play_one(Path::new(file), Mode::Default),
        _ => {
            eprintln!("usage: fyke-conform [--default] SCENARIO.json | fyke-conform all [DIR…]");
            ExitCode::from(INVALID)
        }
    }
}

fn play_one(file: &Path, mode: Mode) -> ExitCode {
    let scenario = match Scenario::load(file) {
        Ok(scenario) => scenario,
        Err(complaint) => {
            eprintln!("bad scenario {}: {complaint}", file.display());
            return ExitCode::from(INVALID);
        }
    };
    let reasons = supported::missing(&scenario);
    if !reasons.is_empty() {
        eprintln!("{} needs {}", scenario.name, reasons.join(", "));
        return ExitCode::from(SKIPPED);
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let scale = std::env::var("CONFORM_SCALE").ok().and_then(|scale| scale.parse().ok());
    let scale: f64 = scale.unwrap_or(1.0);
    let limit = Duration::from_secs_f64(scenario.limit_ms * scale / 1000.0);
    thread::spawn(move || {
        thread::sleep(limit + PATIENCE);
        eprintln!("the loop hangs");
        std::process::exit(STUCK);
    });
    let printed = play::play(scenario, scale, mode)
        .and_then(|trace| std::io::stdout().write_all(trace.print().as_bytes()));
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
