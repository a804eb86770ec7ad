//! Connections beside the measured ones: one that floods, some that never read, some that do nothing.

use std::io;
use std::thread;
use std::time::Duration;

use crate::arguments::{Arguments, Target};
use crate::stream::{Connection, Stream, unless_blocked};

static CHUNK: [u8; 65536] = [b'n'; 65536];

/// What lives as long as the measurement.
pub(crate) struct Nuisance {
    _stuck: Vec<Box<dyn Connection>>,
    _idle: Vec<Stream>,
    _poll: mio::Poll,
}

pub(crate) fn start(arguments: &Arguments) -> io::Result<Nuisance> {
    if arguments.flood {
        flood(&arguments.target)?;
    }
    let poll = mio::Poll::new()?;
    let mut stuck = Vec::new();
    for index in 0..arguments.stuck {
        stuck.push(Stream::connect(&arguments.target, index)?.register(poll.registry(), index)?);
    }
    // When nothing is taken for so long, the buffers of both sides are full of what nobody reads.
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
        // Once it has its answer it was accepted: no backlog overflows.
        stream.write_all(&[0])?;
        stream.read_exact(&mut [0])?;
        idle.push(stream);
    }
    Ok(Nuisance { _stuck: stuck, _idle: idle, _poll: poll })
}

/// Two threads, so that neither direction ever waits for the other. They end with the process.
/// `bench/run` lets them run only when the one that measures has nothing to do.
fn flood(target: &Target) -> io::Result<()> {
    let (mut sender, mut receiver) = Stream::connect(target, 0)?.halves()?;
    thread::spawn(move || while sender.write_all(&CHUNK).is_ok() {});
    thread::spawn(move || {
        let mut buffer = vec![0; CHUNK.len()];
        while receiver.read_exact(&mut buffer).is_ok() {}
    });
    Ok(())
}
