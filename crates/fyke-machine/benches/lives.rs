//! The number of steps per second in random lives of joined machines, including all checks against the
//! model. A step is an input of a machine: a call, received data, a tick, or accepted bytes. `cargo
//! bench -p fyke-machine`

#![allow(clippy::disallowed_types, reason = "the machine reads no clock, but the benchmark does")]

#[path = "../tests/bench/mod.rs"]
mod bench;
#[path = "../tests/lives/mod.rs"]
mod lives;
#[path = "../tests/play/mod.rs"]
mod play;
#[path = "../tests/random/mod.rs"]
mod random;

use std::time::{Duration, Instant};

use fyke_machine::policy;
use lives::Script;
use play::{Setting, play};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

const SCRIPTS: usize = 1000;
const WRITE_BYTES_MAX: usize = 1000;
const MEASURED: Duration = Duration::from_secs(2);

fn main() {
    let mut runner = TestRunner::new(random::config(1));
    let mut next = || {
        let script = random::any_script().new_tree(&mut runner).expect("nothing is rejected");
        script.current().with_writes_up_to(WRITE_BYTES_MAX)
    };
    let scripts: Vec<Script> = (0..SCRIPTS).map(|_| next()).collect();
    for (name, policy) in [("default", policy::DEFAULT), ("node_exact", policy::NODE_EXACT)] {
        for plain in [true, false] {
            let setting = Setting {
                policy,
                plain,
                window_bytes: 128 * 1024,
                piece_bytes_max: 64 * 1024,
                tells_late: false,
                reset_loses_unread: false,
                memory: None,
            };
            let ways = if plain { "with short ways" } else { "without short ways" };
            println!("{name}, {ways}: {:.2} million steps a second", rate(&scripts, &setting));
        }
    }
}

/// Millions of steps per second.
fn rate(scripts: &[Script], setting: &Setting) -> f64 {
    let (mut steps, began) = (0, Instant::now());
    while began.elapsed() < MEASURED {
        steps += scripts.iter().map(|script| play(script, setting).inputs).sum::<u64>();
    }
    steps as f64 / began.elapsed().as_secs_f64() / 1e6
}
