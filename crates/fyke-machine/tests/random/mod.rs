//! Random scripts.

#![allow(dead_code, reason = "each test that plays scripts uses its part")]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;

use crate::lives::{Moment, Operation, Pair, Place, Reaction, Reading, Script, Side, Step, When};

const PAIRS_MAX: usize = 3;

/// Nothing, a little, about the high-water mark, and more than fits into a window.
fn len() -> impl Strategy<Value = usize> {
    prop_oneof![0..20_usize, 0..20_000_usize, 60_000..70_000_usize, 100_000..400_000_usize]
}

/// Mostly on the first connection, so that the calls interact.
fn place() -> impl Strategy<Value = Place> {
    let pair = prop_oneof![3 => Just(0), 1 => 0..PAIRS_MAX];
    (pair, select(&Side::BOTH[..])).prop_map(|(pair, side)| Place { pair, side })
}

/// The part of every connection.
fn gentle() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => len().prop_map(Operation::WriteThen),
        2 => len().prop_map(Operation::Write),
        1 => (0..100_usize).prop_map(Operation::Trickle),
        2 => select(&[Operation::Cork, Operation::Uncork][..]),
        3 => select(&[Operation::Pause, Operation::Resume][..]),
        1 => select(&[Operation::Unref, Operation::Refer][..]),
        1 => any::<bool>().prop_map(Operation::AllowHalfOpen),
        1 => len().prop_map(Operation::Unshift),
        1 => (1..2000_usize).prop_map(Operation::ReadExact),
        1 => (0..5_u64).prop_map(Operation::Timeout),
        1 => place().prop_map(Operation::Pipe),
        1 => Just(Operation::UnpipeAll),
    ]
}

fn ending() -> impl Strategy<Value = Operation> {
    prop_oneof![
        select(&[Operation::End, Operation::EndThen][..]),
        len().prop_map(Operation::EndWithThen),
    ]
}

fn abrupt() -> impl Strategy<Value = Operation> {
    let all =
        [Operation::Destroy, Operation::DestroyWith, Operation::DestroySoon, Operation::Reset];
    select(all.to_vec())
}

fn when() -> impl Strategy<Value = When> {
    select(&[When::Now, When::Now, When::Tick, When::Immediate, When::Later][..])
}

fn moment() -> impl Strategy<Value = Moment> {
    select(&Moment::ALL[..])
}

fn reading() -> impl Strategy<Value = Reading> {
    prop_oneof![
        3 => Just(Reading::Data),
        1 => Just(Reading::Readable),
        1 => select(&[100, 5000][..]).prop_map(Reading::Exact),
        1 => select(&[10, 1000, 100_000][..]).prop_map(Reading::Buffer),
    ]
}

fn pair() -> impl Strategy<Value = Pair> {
    let mark = || select(&[0, 1, 1000, 65_536, 65_536, 200_000][..]);
    let all = (any::<[bool; 2]>(), [mark(), mark()], [reading(), reading()], any::<bool>());
    all.prop_map(|(allow_half_open, high_water_mark, reading, pause_on_connect)| Pair {
        allow_half_open,
        high_water_mark,
        reading,
        pause_on_connect,
    })
}

fn script(
    pairs: impl Strategy<Value = Pair>,
    operation: impl Strategy<Value = Operation> + Clone,
) -> impl Strategy<Value = Script> {
    let step = (when(), place(), operation.clone()).prop_map(|(when, place, operation)| Step {
        when,
        place,
        operation,
    });
    let reaction = (place(), moment(), operation).prop_map(|(place, moment, operation)| Reaction {
        place,
        moment,
        operation,
    });
    let pairs = vec(pairs, 1..=PAIRS_MAX);
    (any::<bool>(), pairs, vec(step, 0..24), vec(reaction, 0..8)).prop_map(
        |(node_exact, pairs, steps, reactions)| Script { node_exact, pairs, steps, reactions },
    )
}

/// Scripts in which nothing may be lost, except by writing after the end.
pub(crate) fn gentle_script() -> impl Strategy<Value = Script> {
    script(pair(), prop_oneof![12 => gentle(), 1 => ending()].boxed())
}

pub(crate) fn any_script() -> impl Strategy<Value = Script> {
    let connect = Just(Operation::Connect);
    let all = prop_oneof![12 => gentle(), 2 => ending(), 2 => abrupt(), 2 => connect];
    script(pair(), all.boxed())
}

/// Single bytes, on ends that do not read them, and that queue them differently.
pub(crate) fn crumbs() -> impl Strategy<Value = Script> {
    let pair = [reading(), reading()].prop_map(|reading| Pair {
        allow_half_open: [true; 2],
        high_water_mark: [65_536; 2],
        reading,
        pause_on_connect: false,
    });
    let operation = prop_oneof![
        2 => (1000..8000_usize).prop_map(Operation::Trickle),
        2 => (1000..8000_usize).prop_map(Operation::Write),
        2 => Just(Operation::Pause),
        1 => select(&[Operation::Cork, Operation::Uncork][..]),
        1 => (0..20_usize).prop_map(Operation::Unshift),
        1 => (1..20_usize).prop_map(Operation::ReadExact),
    ];
    script(pair, operation.boxed())
}

/// The seed of the checks, so that they play the same scripts each time. The fuzz target looks for new
/// ones.
const SEED: u64 = 1;

/// This many cases, unless `PROPTEST_CASES` is set; `PROPTEST_RNG_SEED=…` changes the seed.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig { failure_persistence: None, ..<_>::default() };
    let rng_seed = match default.rng_seed {
        RngSeed::Random => RngSeed::Fixed(SEED),
        fixed => fixed,
    };
    println!("the seed: {rng_seed:?}");
    let cases = match std::env::var_os("PROPTEST_CASES") {
        Some(_) => default.cases,
        None => cases,
    };
    ProptestConfig { cases, rng_seed, ..default }
}
