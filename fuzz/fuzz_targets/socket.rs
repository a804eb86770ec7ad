//! Calls on the ends of up to three connections of the simulated network, in any order and from any
//! callback, on loops of both manners: nothing panics, no rule of the model in
//! `crates/fyke/tests/scripted` is broken, every byte arrives or is reported, every callback is called
//! once, and memory is bounded by what is in the queues.
//!
//! Seven bytes choose the network and the sockets; then four make a step, or what is done when
//! something happens.

#![no_main]

#[path = "../../crates/fyke/tests/scripted/mod.rs"]
mod scripted;

use std::alloc::System;
use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use fyke::sim::SimOptions;
use fyke::{DriverKind, Endpoint, EventLoop};
use libfuzzer_sys::fuzz_target;
use scripted::{
    Moment, Operation, Pair, Place, Reaction, Reading, Script, Setting, Side, Step, When, play,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Long after everything that happens by itself; the clock is virtual.
const QUIET: Duration = Duration::from_secs(24 * 60 * 60);
/// More would only be slow.
const STEPS_MAX: usize = 64;

/// For what is no queue of a socket's, beside the simulated wires.
const OTHER_BYTES: usize = 128 * 1024;
/// What a byte on a wire may take, as a piece of its own.
const WIRE_BYTES: usize = 100;

const MARKS: [usize; 4] = [65_536, 0, 1, 1000];

fn bytes_in_use() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

fuzz_target!(|input: &[u8]| {
    let Some((head, rest)) = input.split_first_chunk::<7>() else { return };
    let [seed, flags, marks, latency, window, piece, shape] = *head;
    let flag = |bit: u8| flags >> bit & 1 == 1;
    let network = SimOptions {
        latency: [Duration::ZERO, Duration::from_micros(50), Duration::from_millis(40)]
            [usize::from(latency) % 3],
        window_bytes: [128 * 1024, 4096, 300][usize::from(window) % 3],
        piece_bytes_max: [64 * 1024, 3000, 100, 1][usize::from(piece) % 4],
        cut: flag(0),
        reset_loses_unread: flag(1),
        ..SimOptions::seeded(seed.into())
    };
    let mark = |bits: u8| MARKS[usize::from(bits % 4)];
    let pair = Pair {
        allow_half_open: [flag(2), flag(3)],
        high_water_mark: [mark(marks), mark(marks >> 2)],
        reading: [reading(marks >> 4), reading(marks >> 6)],
        pause_on_connect: flag(4),
    };
    let mut script = Script {
        node_exact: shape >> 2 & 1 == 1,
        pairs: vec![pair; usize::from(shape % 4).clamp(1, 3)],
        steps: Vec::new(),
        reactions: Vec::new(),
    };
    for bytes in rest.chunks_exact(4).take(STEPS_MAX) {
        let [what, at, when, len] = [bytes[0], bytes[1], bytes[2], bytes[3]];
        let place = place(at);
        let operation = operation(what, len);
        match when {
            0..128 => {
                let all = [When::Now, When::Tick, When::Immediate, When::Later];
                let when = all[usize::from(when) % all.len()];
                script.steps.push(Step { when, place, operation });
            }
            _ => {
                let moment = Moment::ALL[usize::from(when - 128) % Moment::ALL.len()];
                script.reactions.push(Reaction { place, moment, operation });
            }
        }
    }
    let narrow = network.window_bytes.min(network.piece_bytes_max);
    let script = script.with_writes_up_to((narrow * 40).max(4000));
    let wires = 2 * script.pairs.len() * network.window_bytes * WIRE_BYTES;
    let builder = EventLoop::builder().driver(DriverKind::Sim(network));
    let number = Cell::new(0);
    let endpoint = || -> Endpoint {
        number.set(number.get() + 1);
        match flag(5) {
            true => Path::new(&format!("/{}.sock", number.get())).into(),
            false => ("127.0.0.1", 0).into(),
        }
    };
    let setting = Setting {
        event_loop: builder.node_exact(script.node_exact).build().unwrap(),
        endpoint: &endpoint,
        quiet: Some(QUIET),
        memory: Some((bytes_in_use, OTHER_BYTES + wires)),
    };
    play(&script, setting);
});

/// A place that a script with fewer connections does not have is one where nothing is done.
fn place(at: u8) -> Place {
    Place { pair: usize::from(at >> 1) % 3, side: Side::BOTH[usize::from(at & 1)] }
}

fn reading(bits: u8) -> Reading {
    [Reading::Data, Reading::Readable, Reading::Buffer(10), Reading::Exact(100)]
        [usize::from(bits % 4)]
}

fn operation(choice: u8, len: u8) -> Operation {
    // From nothing to 260,100 bytes, and finely around small numbers.
    let bytes = usize::from(len) * usize::from(len) * 4;
    match choice % 24 {
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
        16 => Operation::Unshift(bytes),
        17 => Operation::Trickle(bytes / 4),
        18 => Operation::ReadExact(bytes.max(1)),
        19 => Operation::Pipe(place(len)),
        20 => Operation::UnpipeAll,
        21 => Operation::Timeout(u64::from(len % 8)),
        _ => Operation::Connect,
    }
}
