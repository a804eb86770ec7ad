//! Idle connections: the user memory of the server for each.

use std::io;
use std::thread::sleep;
use std::time::Duration;

use crate::arguments::Arguments;
use crate::message::{Checker, Messages};
use crate::process::{Memory, memory};
use crate::report::Report;
use crate::stream::Stream;

/// Garbage collectors and allocators release unused memory when the process is idle.
const SETTLING: Duration = Duration::from_secs(1);
/// Fewer than the shortest backlog of the servers.
const OPENED_AT_ONCE: usize = 100;

/// Sends a message and waits for its answer. Returns whether the answer is right.
fn one_message(stream: &mut Stream, messages: &Messages, index: usize) -> io::Result<bool> {
    let mut message = Vec::new();
    messages.write(index, 0, &mut message);
    stream.write_all(&message)?;
    let (mut checker, mut buffer) = (Checker::default(), [0; 4096]);
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Err(io::Error::other(format!("connection {index} was closed")));
        }
        match checker.take(messages, index, &buffer[..length]) {
            Some(0) => {}
            complete => return Ok(complete == Some(1)),
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> io::Result<Report> {
    let pid = arguments.pid.map(|pid| pid.to_string()).unwrap_or_default();
    let messages = Messages::new(arguments);

    // The first connection includes one-time costs.
    let mut first = Stream::connect(&arguments.target, 0)?;
    let mut wrong = u64::from(!one_message(&mut first, &messages, 0)?);
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
        wrong += u64::from(!one_message(stream, &messages, index)?);
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
