//! Bytes in one direction: to a server that only receives, or from a server that only sends.

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use crate::arguments::{Arguments, Mode};
use crate::report::Report;
use crate::stream::{Connection, Stream, unless_blocked};
use crate::window::{Phase, Window};

const READ_BYTES: usize = 1 << 20;
/// The number of reads or writes of one connection before the others have their turn.
const STEPS_PER_TURN: usize = 16;

/// Returns whether more data may be available immediately.
pub(crate) fn step(
    stream: &mut dyn Connection,
    buffer: &mut [u8],
    mode: Mode,
    bytes: &mut u64,
) -> io::Result<bool> {
    for _ in 0..STEPS_PER_TURN {
        let result = if mode == Mode::Sink { stream.write(buffer) } else { stream.read(buffer) };
        match unless_blocked(result)? {
            Some(0) => return Err(io::Error::other("the server closed a connection")),
            Some(length) => *bytes += length as u64,
            None => return Ok(false),
        }
    }
    Ok(true)
}

pub(crate) fn run(arguments: &Arguments) -> io::Result<Report> {
    let sink = arguments.mode == Mode::Sink;
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![b'x'; if sink { arguments.size_bytes } else { READ_BYTES }];
    let mut streams = Vec::with_capacity(arguments.connections);
    for index in 0..arguments.connections {
        streams.push(Stream::connect(&arguments.target, index)?.register(poll.registry(), index)?);
    }
    let mut window = Window::new(arguments);
    let mut going_on = vec![false; streams.len()];
    let mut bytes = 0;
    let measured = loop {
        let wait = if going_on.contains(&true) { 0 } else { 100 };
        poll.poll(&mut events, Some(Duration::from_millis(wait)))?;
        match window.phase(Instant::now(), bytes > 0) {
            Phase::Begins => bytes = 0,
            Phase::Over(measured) => break measured,
            Phase::WarmUp | Phase::Measuring => {}
        }
        for event in &events {
            if if sink { event.is_writable() } else { event.is_readable() } {
                going_on[event.token().0] = true;
            }
        }
        for (stream, going_on) in streams.iter_mut().zip(&mut going_on) {
            if *going_on {
                *going_on = step(&mut **stream, &mut buffer, arguments.mode, &mut bytes)?;
            }
        }
    };
    let mut report = Report::new(arguments);
    report.measured(&measured, bytes / arguments.size_bytes as u64, bytes);
    Ok(report)
}
