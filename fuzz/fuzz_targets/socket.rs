//! Calls on the ends of up to three connections of the simulated network, in any order and from any
//! callback, on loops with both policies: nothing panics, no rule of the model in
//! `crates/fyke-machine/tests/lives` is broken, every byte arrives or is reported, every callback runs
//! once, and memory is bounded by the content of the queues.

#![no_main]

#[path = "../../crates/fyke-machine/tests/lives/mod.rs"]
mod lives;
#[path = "../../crates/fyke/tests/scripted/mod.rs"]
mod scripted;

use std::alloc::System;
use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use fyke::sim::SimOptions;
use fyke::{DriverKind, Endpoint, EventLoop};
use libfuzzer_sys::fuzz_target;
use lives::Script;
use scripted::{Setting, play};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Long after everything that happens automatically. The clock is virtual.
const QUIET: Duration = Duration::from_secs(24 * 60 * 60);

/// For memory that is not a queue of a socket, beside the data in transit.
const OTHER_BYTES: usize = 128 * 1024;
/// The memory of a byte in transit, as a piece of its own.
const WIRE_BYTES: usize = 100;

fn bytes_in_use() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

fuzz_target!(|input: &[u8]| {
    let Some((choices, script)) = Script::from_bytes(input) else { return };
    let network = SimOptions {
        latency: [Duration::ZERO, Duration::from_micros(50), Duration::from_millis(40)]
            [choices.latency % 3],
        window_bytes: [128 * 1024, 4096, 300][choices.window % 3],
        piece_bytes_max: [64 * 1024, 3000, 100, 1][choices.piece % 4],
        cut: choices.flag(0),
        reset_loses_unread: choices.flag(1),
        ..SimOptions::seeded(choices.seed.into())
    };
    let narrow = network.window_bytes.min(network.piece_bytes_max);
    let script = script.with_writes_up_to((narrow * 40).max(4000));
    let wires = 2 * script.pairs.len() * network.window_bytes * WIRE_BYTES;
    let builder = EventLoop::builder().driver(DriverKind::Sim(network));
    let number = Cell::new(0);
    let endpoint = || -> Endpoint {
        number.set(number.get() + 1);
        match choices.flag(5) {
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
