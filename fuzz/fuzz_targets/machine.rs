//! Calls on joined machines, in any order and from any callback, with both policies and with any choice
//! inverted: nothing panics, no rule of the model in `crates/fyke-machine/tests/lives` is broken, every
//! byte arrives or is reported, every callback runs once, memory is bounded by the queued and stored
//! bytes, and the plain lanes change no event.

#![no_main]

#[path = "../../crates/fyke-machine/tests/bench/mod.rs"]
mod bench;
#[path = "../../crates/fyke-machine/tests/lives/mod.rs"]
mod lives;
#[path = "../../crates/fyke-machine/tests/play/mod.rs"]
mod play;

use std::alloc::System;

use fyke_machine::{Policy, policy};
use libfuzzer_sys::fuzz_target;
use lives::Script;
use play::{Setting, play};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn bytes_in_use() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

fuzz_target!(|input: &[u8]| {
    let Some((choices, script)) = Script::from_bytes(input) else { return };
    let policy = if script.node_exact { policy::NODE_EXACT } else { policy::DEFAULT };
    let inverted = Policy::NAMES.get(usize::from(choices.seed) % (2 * Policy::NAMES.len()));
    let setting = Setting {
        policy: inverted.map_or(policy, |name| policy.inverted(name)),
        plain: true,
        window_bytes: [128 * 1024, 4096, 300][choices.window % 3],
        piece_bytes_max: [64 * 1024, 3000, 100, 1][choices.piece % 4],
        tells_late: choices.flag(5),
        reset_loses_unread: choices.flag(1),
        memory: Some(bytes_in_use),
    };
    let narrow = setting.window_bytes.min(setting.piece_bytes_max);
    let script = script.with_writes_up_to((narrow * 40).clamp(4000, 20_000));
    let plain = play(&script, &setting);
    let general = play(&script, &Setting { plain: false, memory: None, ..setting });
    assert!(plain.events == general.events, "the short ways change an event");
});
