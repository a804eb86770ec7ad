//! Calls on both ends of a connection of the simulated network, in any order and from any callback:
//! nothing panics, no rule of the model in `crates/fyke/tests/scripted` is broken, and every byte
//! arrives or is reported.
//!
//! Six bytes choose the network and the sockets; then three make a step, or what is done when
//! something happens.

#![no_main]

#[path = "../../crates/fyke/tests/scripted/mod.rs"]
mod scripted;

use std::path::Path;
use std::time::Duration;

use fyke::sim::SimOptions;
use fyke::{DriverKind, EventLoop};
use libfuzzer_sys::fuzz_target;
use scripted::{Moment, Operation, Reaction, Reading, Script, Side, Step, When, play};

/// Long after everything that happens by itself; the clock is virtual.
const QUIET: Duration = Duration::from_secs(24 * 60 * 60);
/// More would only be slow.
const STEPS_MAX: usize = 64;

const MOMENTS: [Moment; 11] = [
    Moment::Connection,
    Moment::Connect,
    Moment::Ready,
    Moment::Data,
    Moment::End,
    Moment::Drain,
    Moment::Finish,
    Moment::Error,
    Moment::Close,
    Moment::Written,
    Moment::Ended,
];
const MARKS: [usize; 4] = [65_536, 0, 1, 1000];

fuzz_target!(|input: &[u8]| {
    let Some((head, rest)) = input.split_first_chunk::<6>() else { return };
    let [seed, flags, marks, latency, window, piece] = *head;
    let flag = |bit: u8| flags >> bit & 1 == 1;
    let network = SimOptions {
        latency: [Duration::ZERO, Duration::from_micros(50), Duration::from_millis(40)]
            [usize::from(latency) % 3],
        window_bytes: [128 * 1024, 4096, 300][usize::from(window) % 3],
        piece_bytes_max: [64 * 1024, 3000, 100][usize::from(piece) % 3],
        cut: flag(0),
        reset_loses_unread: flag(1),
        ..SimOptions::seeded(seed.into())
    };
    let mark = |bits: u8| MARKS[usize::from(bits % 4)];
    let mut script = Script {
        allow_half_open: [flag(2), flag(3)],
        high_water_mark: [mark(marks), mark(marks >> 2)],
        reading: [reading(marks >> 4), reading(marks >> 6)],
        pause_on_connect: flag(4),
        steps: Vec::new(),
        reactions: Vec::new(),
    };
    for bytes in rest.chunks_exact(3).take(STEPS_MAX) {
        let [what, when, len] = [bytes[0], bytes[1], bytes[2]];
        let side = Side::BOTH[usize::from(what & 1)];
        let operation = operation(what >> 1, len);
        match when {
            0..128 => {
                let when = [When::Now, When::Tick, When::Immediate, When::Later];
                script.steps.push(Step { when: when[usize::from(bytes[1] % 4)], side, operation });
            }
            _ => {
                let moment = MOMENTS[usize::from(when) % MOMENTS.len()];
                script.reactions.push(Reaction { side, moment, operation });
            }
        }
    }
    let narrow = network.window_bytes.min(network.piece_bytes_max);
    let script = script.with_writes_up_to(narrow * 40);
    let event_loop = EventLoop::builder().driver(DriverKind::Sim(network)).build().unwrap();
    match flag(5) {
        true => play(&script, event_loop, Path::new("/a.sock"), Some(QUIET)),
        false => play(&script, event_loop, ("127.0.0.1", 0), Some(QUIET)),
    };
});

fn reading(bits: u8) -> Reading {
    [Reading::Data, Reading::Readable, Reading::Buffer(10), Reading::Buffer(1000)]
        [usize::from(bits % 4)]
}

fn operation(choice: u8, len: u8) -> Operation {
    // From nothing to 260,100 bytes, and finely around small numbers.
    let bytes = usize::from(len) * usize::from(len) * 4;
    match choice % 17 {
        0 => Operation::WriteThen(bytes),
        1 => Operation::Write(bytes),
        2 => Operation::Cork,
        3 => Operation::Uncork,
        4 => Operation::End,
        5 => Operation::EndThen,
        6 => Operation::EndWithThen(bytes),
        7 => Operation::Pause,
        8 => Operation::Resume,
        9 => Operation::AllowHalfOpen(len % 2 == 1),
        10 => Operation::Unref,
        11 => Operation::Refer,
        12 => Operation::Destroy,
        13 => Operation::DestroyWith,
        14 => Operation::DestroySoon,
        15 => Operation::Reset,
        _ => Operation::Unshift(bytes),
    }
}
