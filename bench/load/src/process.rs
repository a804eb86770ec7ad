//! Reads figures about the server and this process from `/proc`.

use std::fs;
use std::io::{self, BufRead};
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};

/// Processor time of all threads of a process, to the nanosecond. Zero for a process that has gone.
pub(crate) fn processor_time(pid: &str) -> Duration {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Duration::ZERO };
    let times = threads.flatten().filter_map(|thread| {
        let line = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(times.sum())
}

/// The number of voluntary context switches of its threads.
pub(crate) fn voluntary_switches(pid: &str) -> u64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    let counts = threads.flatten().filter_map(|thread| {
        field(&thread.path().join("status").to_string_lossy(), "voluntary_ctxt_switches")
    });
    counts.sum()
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Memory {
    /// Its proportional share of resident memory.
    pub proportional_bytes: u64,
    pub resident_bytes: u64,
}

pub(crate) fn memory(pid: &str) -> Memory {
    let path = format!("/proc/{pid}/smaps_rollup");
    let kibibytes = |name| field(&path, name).unwrap_or(0) * 1024;
    Memory { proportional_bytes: kibibytes("Pss"), resident_bytes: kibibytes("Rss") }
}

/// The number of a line `name: number` in a file.
fn field(path: &str, name: &str) -> Option<u64> {
    let file = io::BufReader::new(fs::File::open(path).ok()?);
    let line = file
        .lines()
        .map_while(Result::ok)
        .find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

pub(crate) fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With the old limit, too many connections fail with an error.
    let _ = setrlimit(Resource::Nofile, limit);
}
