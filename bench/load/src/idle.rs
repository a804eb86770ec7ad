//! Idle connections: the user memory of the server for each.

use std::io;
use std::thread::sleep;
use std::time::Duration;

use crate::arguments::Arguments;
use crate::message::{Checker, Pattern};
use crate::process::{Memory, memory};
use crate::report::Report;
use crate::stream::Stream;

/// Garbage collectors and allocators release unused memory when the process is idle.
const SETTLING: Duration = Duration::from_secs(1);
/// Fewer than the shortest backlog of the servers.
const OPENED_AT_ONCE: usize = 100;

fn one_message(
    stream: &mut Stream,
    pattern: &Pattern,
    index: usize,
    buffer: &mut Vec<u8>,
) -> io::Result<bool> {
    buffer.clear();
    pattern.write(index, 0, buffer);
    stream.write_all(buffer)?;
    buffer.fill(0);
    stream.read_exact(buffer)?;
    Ok(Checker::default().take(pattern, index, buffer) == Some(1))
}

pub(crate) fn run(arguments: &Arguments) -> io::Result<Report> {
    let pid = arguments.pid.map(|pid| pid.to_string()).unwrap_or_default();
    let pattern = Pattern::new(arguments.size_bytes);
    let mut buffer = Vec::new();

    // The first connection includes one-time costs.
    let mut first = Stream::connect(&arguments.target, 0)?;
    let mut wrong = u64::from(!one_message(&mut first, &pattern, 0, &mut buffer)?);
    sleep(SETTLING);
    let before = memory(&pid);

    let mut streams = Vec::with_capacity(arguments.connections);
    for index in 0..arguments.connections {
        streams.push(Stream::connect(&arguments.target, index)?);
        if index % OPENED_AT_ONCE == 0 {
            sleep(Duration::from_millis(1));
        }
    }
    sleep(SETTLING);
    let opened = memory(&pid);

    for (index, stream) in streams.iter_mut().enumerate() {
        wrong += u64::from(!one_message(stream, &pattern, index, &mut buffer)?);
    }
    sleep(SETTLING);
    let used = memory(&pid);

    let mut report = Report::new(arguments);
    let mut each = |name: &str, at: Memory, of: fn(&Memory) -> u64| {
        let grown = of(&at) as f64 - of(&before) as f64;
        report.number(name, grown / arguments.connections as f64);
    };
    each("bytes_per_opened_connection", opened, |memory| memory.proportional_bytes);
    each("bytes_per_connection", used, |memory| memory.proportional_bytes);
    each("resident_bytes_per_connection", used, |memory| memory.resident_bytes);
    report.number("megabytes_at_start", before.proportional_bytes as f64 / 1e6);
    report.wrong(wrong);
    Ok(report)
}
