//! Connections beside the measured ones: one that floods, some that never read, some that are idle.

use std::io;
use std::thread;
use std::time::Duration;

use crate::arguments::{Arguments, Mode, Target};
use crate::stream::{Connection, Stream, unless_blocked};
use crate::transfer;

static CHUNK: [u8; 65536] = [b'n'; 65536];

/// Resources that are kept for the whole measurement.
pub(crate) struct Nuisance {
    _stuck: Vec<Box<dyn Connection>>,
    _idle: Vec<Stream>,
    _poll: mio::Poll,
}

pub(crate) fn start(arguments: &Arguments) -> io::Result<Nuisance> {
    if arguments.flood {
        flood(&arguments.target)?;
    }
    if arguments.bulk > 0 {
        send_in_bulk(&arguments.target, arguments.bulk)?;
    }
    let poll = mio::Poll::new()?;
    let mut stuck = Vec::new();
    for index in 0..arguments.stuck {
        stuck.push(Stream::connect(&arguments.target, index)?.register(poll.registry(), index)?);
    }
    // If nothing is accepted for this time, the buffers of both sides are full of unread data.
    let mut quiet = 0;
    while quiet < 5 && !stuck.is_empty() {
        quiet += 1;
        for stream in &mut stuck {
            while unless_blocked(stream.write(&CHUNK))?.is_some() {
                quiet = 0;
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
    let mut idle = Vec::with_capacity(arguments.idle);
    for index in 0..arguments.idle {
        let mut stream = Stream::connect(&arguments.target, index)?;
        // After its answer the connection is known to be accepted, so no backlog overflows.
        stream.write_all(&[0])?;
        stream.read_exact(&mut [0])?;
        idle.push(stream);
    }
    Ok(Nuisance { _stuck: stuck, _idle: idle, _poll: poll })
}

/// Starts one thread that sends on every connection as much as the server accepts. It ends with the
/// process.
fn send_in_bulk(target: &Target, connections: usize) -> io::Result<()> {
    let mut poll = mio::Poll::new()?;
    let mut streams = Vec::new();
    for index in 0..connections {
        streams.push(Stream::connect(target, index)?.register(poll.registry(), index)?);
    }
    thread::spawn(move || {
        let mut events = mio::Events::with_capacity(connections);
        let mut going_on = vec![true; connections];
        let (mut chunk, mut bytes) = (CHUNK, 0);
        loop {
            let wait = going_on.contains(&true).then_some(Duration::ZERO);
            if poll.poll(&mut events, wait).is_err() {
                return;
            }
            for event in &events {
                going_on[event.token().0] = true;
            }
            for (stream, going_on) in streams.iter_mut().zip(&mut going_on) {
                if *going_on {
                    let more = transfer::step(&mut **stream, &mut chunk, Mode::Sink, &mut bytes);
                    *going_on = more.unwrap_or(false);
                }
            }
        }
    });
    Ok(())
}

/// Two threads, so that neither direction ever waits for the other. They end with the process.
/// `bench/run` lets them run only when the measuring thread is idle.
fn flood(target: &Target) -> io::Result<()> {
    let (mut sender, mut receiver) = Stream::connect(target, 0)?.halves()?;
    thread::spawn(move || while sender.write_all(&CHUNK).is_ok() {});
    thread::spawn(move || {
        let mut buffer = vec![0; CHUNK.len()];
        while receiver.read_exact(&mut buffer).is_ok() {}
    });
    Ok(())
}
