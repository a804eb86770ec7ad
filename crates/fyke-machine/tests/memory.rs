//! Random scripts, including many single bytes, compared with a limit on the memory of the machines
//! that is a function of the queued and stored bytes. A single test, because memory is counted for the
//! whole process.

mod bench;
mod lives;
mod play;
mod random;

use std::alloc::System;

use fyke_machine::{Policy, policy};
use play::{Setting, play};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use random::{any_script, config, crumbs};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn bytes_in_use() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

#[test]
fn c7_memory_is_bounded_by_the_queued_and_stored_bytes() {
    let mut runner = TestRunner::new(config(256));
    let script = prop_oneof![crumbs(), any_script()];
    let inverted = proptest::option::of(select(Policy::NAMES));
    let network = (select(&[500, 128 * 1024][..]), select(&[1, 7, 100, 64 * 1024][..]));
    let result = runner.run(&(script, inverted, network), |(script, inverted, network)| {
        let mut script = script.with_writes_up_to(20_000);
        // With several pairs, the allowance of the others would hide an excess of one.
        script.pairs.truncate(1);
        let policy = if script.node_exact { policy::NODE_EXACT } else { policy::DEFAULT };
        let setting = Setting {
            policy: inverted.map_or(policy, |name| policy.inverted(name)),
            plain: true,
            window_bytes: network.0,
            piece_bytes_max: network.1,
            tells_late: true,
            reset_loses_unread: false,
            memory: Some(bytes_in_use),
        };
        play(&script, &setting);
        Ok(())
    });
    result.unwrap_or_else(|failed| panic!("{failed}"));
}
