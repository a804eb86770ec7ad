//! Random scripts with many single bytes, compared with a limit on memory that is a function of the
//! bytes in the queues. A single test, because memory is counted for the whole process.

#![allow(dead_code, reason = "the model has more than this part of it needs")]

#[path = "../../fyke-machine/tests/lives/mod.rs"]
mod lives;
#[path = "../../fyke-machine/tests/random/mod.rs"]
mod random;
mod scripted;
mod scripts;
mod support;

use std::alloc::System;
use std::time::Duration;

use fyke::sim::SimOptions;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use random::{config, crumbs};
use scripts::on_network;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// For memory that is not a queue of a socket: data in transit in the simulated network, tables, pooled
/// buffers.
const OTHER_BYTES: usize = 100 * 1024;

fn bytes_in_use() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Narrow, so that little data is in transit.
fn network() -> impl Strategy<Value = SimOptions> {
    let piece = select(&[1, 7, 100][..]);
    (any::<u64>(), piece, any::<bool>()).prop_map(|(seed, piece_bytes_max, cut)| SimOptions {
        latency: Duration::ZERO,
        window_bytes: 50,
        piece_bytes_max,
        cut,
        ..SimOptions::seeded(seed)
    })
}

#[test]
fn c7_memory_is_bounded_by_the_content_of_the_queues() {
    let mut runner = TestRunner::new(config(64));
    let result = runner.run(&(crumbs(), network(), any::<bool>()), |(script, network, unix)| {
        on_network(&script, &network, unix, Some((bytes_in_use, OTHER_BYTES)));
        Ok(())
    });
    result.unwrap_or_else(|failed| panic!("{failed}"));
}
