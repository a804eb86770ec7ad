//! `fyke-conform all`: plays every scenario of some folders, each in a separate process, and compares
//! the traces with Node's.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, io, thread};

use crate::case::{Case, Deviations, Outcome, deviations};
use crate::mode::{Mode, drivers};

const USAGE: &str = "usage: fyke-conform all [DIR…] [--match TEXT] [--jobs N] [--verbose]\n\
       [--node | --default] [--driver NAME] [--adapt WHY]";

/// The command-line arguments.
#[derive(Debug, Default)]
struct Request {
    folders: Vec<PathBuf>,
    modes: Vec<Mode>,
    text: String,
    jobs: Option<usize>,
    verbose: bool,
    drivers: Vec<String>,
    /// Records the traces of failing scenarios as adapted, with these behaviours as the reason.
    adapt: Option<String>,
}

pub(crate) fn all(arguments: &[String]) -> ExitCode {
    let request = match parse(arguments) {
        Ok(request) => request,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&request) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn parse(arguments: &[String]) -> Result<Request, String> {
    let mut request = Request::default();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--match" => request.text.clone_from(value()?),
            "--jobs" => {
                let jobs = value()?.parse().ok().filter(|jobs| *jobs > 0);
                request.jobs = Some(jobs.ok_or("--jobs needs a number")?);
            }
            "--verbose" => request.verbose = true,
            "--driver" => request.drivers.push(value()?.clone()),
            "--adapt" => {
                request.adapt = Some(value()?.clone());
                request.modes = vec![Mode::Default];
            }
            "--node" => request.modes = vec![Mode::Node],
            Mode::OPTION => request.modes = vec![Mode::Default],
            option if option.starts_with('-') => return Err(format!("unknown option {option}")),
            folder => request.folders.push(folder.into()),
        }
    }
    if request.modes.is_empty() {
        request.modes = vec![Mode::Node, Mode::Default];
    }
    if request.drivers.is_empty() {
        request.drivers = drivers();
    }
    if request.folders.is_empty() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        request.folders = vec![here.join("scenarios"), here.join("random")];
    }
    Ok(request)
}

/// Returns the number of failures.
fn run(request: &Request) -> io::Result<usize> {
    let (mut cases, deviations) = (Vec::new(), deviations()?);
    for folder in &request.folders {
        cases.extend(find_cases(folder, &request.text, &deviations)?);
    }
    let jobs = request.jobs.or_else(|| thread::available_parallelism().ok().map(Into::into));
    let mut failed = 0;
    for (driver, mode) in
        request.drivers.iter().flat_map(|driver| request.modes.iter().map(move |m| (driver, *m)))
    {
        let mut outcomes = run_cases(&cases, driver, mode, jobs.unwrap_or(1));
        let again = run_failed_again(&cases, driver, mode, &mut outcomes);
        if let Some(why) = &request.adapt {
            for (case, outcome) in cases.iter().zip(&outcomes) {
                if let Outcome::Failed { trace: Some(trace), .. } = outcome {
                    case.adapt(trace, why)?;
                }
            }
        }
        println!("{}, {driver}:", mode.name());
        failed += report(&cases, &outcomes, request.verbose);
        if again > 0 {
            println!("({again} of them only when run alone)");
        }
    }
    Ok(failed)
}

/// The times of a scenario are milliseconds apart, and on a busy machine two timers may run in one
/// turn. So failed scenarios are played once more, one at a time. Returns how many passed then.
fn run_failed_again(cases: &[Case], driver: &str, mode: Mode, outcomes: &mut [Outcome]) -> usize {
    let mut passed = 0;
    for (case, outcome) in cases.iter().zip(outcomes) {
        if matches!(outcome, Outcome::Failed { .. }) {
            *outcome = case.run(driver, mode);
            passed += usize::from(!matches!(outcome, Outcome::Failed { .. }));
        }
    }
    passed
}

/// Several run at once, because most of the time they wait for a timer.
fn run_cases(cases: &[Case], driver: &str, mode: Mode, jobs: usize) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let work = || {
        let indices = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)));
        let mine = indices.map_while(|index| Some((index, cases.get(index)?.run(driver, mode))));
        mine.collect::<Vec<_>>()
    };
    let mut outcomes: Vec<(usize, Outcome)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        let done = workers.into_iter().map(|worker| worker.join().expect("no case panics"));
        done.flatten().collect()
    });
    outcomes.sort_by_key(|(index, _)| *index);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// The scenarios of a folder whose names contain the text, sorted by name.
fn find_cases(folder: &Path, text: &str, deviations: &Deviations) -> io::Result<Vec<Case>> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        if file.extension().is_some_and(|end| end == "json") {
            cases.push(Case::new(file, deviations));
        }
    }
    cases.retain(|case| case.name.contains(text));
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

fn report(cases: &[Case], outcomes: &[Outcome], verbose: bool) -> usize {
    let (mut passed, mut failed, mut deviates, mut skipped) = (0, 0, 0, 0);
    for (case, outcome) in cases.iter().zip(outcomes) {
        match outcome {
            Outcome::Passed { adapted } => {
                passed += 1;
                if let (true, Some(why)) = (verbose, adapted) {
                    println!("adapted {}: {why}", case.name);
                }
            }
            Outcome::Deviates(why) => {
                deviates += 1;
                println!("deviates {}: {why}", case.name);
            }
            Outcome::Skipped(reasons) => {
                skipped += 1;
                if verbose {
                    println!("skipped {}: {}", case.name, reasons.join(", "));
                }
            }
            Outcome::Failed { differences, .. } => {
                failed += 1;
                println!("FAILED {}", case.name);
                differences.iter().for_each(|line| println!("  {line}"));
            }
        }
    }
    println!("{passed} passed, {failed} failed, {deviates} deviate, {skipped} skipped");
    failed
}
