//! Random scripts of calls on both ends of a connection, against a naive model of what may happen
//! (contracts C1, C2, C3, C8).

mod scripted;
mod support;

use std::time::Duration;

use fyke::sim::SimOptions;
use fyke::{DriverKind, EventLoop};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use scripted::{Moment, Operation, Reaction, Reading, Script, Side, Step, When, play};

/// Long after everything that happens by itself; the clock is virtual.
const QUIET: Duration = Duration::from_secs(24 * 60 * 60);

fn side() -> impl Strategy<Value = Side> {
    select(&Side::BOTH[..])
}

/// Nothing, a little, about the high-water mark, and more than fits into a window.
fn len() -> impl Strategy<Value = usize> {
    prop_oneof![0..20_usize, 0..20_000_usize, 60_000..70_000_usize, 100_000..400_000_usize]
}

/// What every connection has in it.
fn gentle() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => len().prop_map(Operation::WriteThen),
        2 => len().prop_map(Operation::Write),
        2 => select(&[Operation::Cork, Operation::Uncork][..]),
        3 => select(&[Operation::Pause, Operation::Resume][..]),
        1 => select(&[Operation::Unref, Operation::Refer][..]),
        1 => any::<bool>().prop_map(Operation::AllowHalfOpen),
        1 => len().prop_map(Operation::Unshift),
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
    let all = [
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
    select(all.to_vec())
}

fn reading() -> impl Strategy<Value = Reading> {
    prop_oneof![
        2 => Just(Reading::Data),
        1 => Just(Reading::Readable),
        1 => select(&[10, 1000, 100_000][..]).prop_map(Reading::Buffer),
    ]
}

fn script(operation: impl Strategy<Value = Operation> + Clone) -> impl Strategy<Value = Script> {
    let step = (when(), side(), operation.clone()).prop_map(|(when, side, operation)| Step {
        when,
        side,
        operation,
    });
    let reaction = (side(), moment(), operation).prop_map(|(side, moment, operation)| Reaction {
        side,
        moment,
        operation,
    });
    let mark = || select(&[0, 1, 1000, 65_536, 200_000][..]);
    let options = (any::<[bool; 2]>(), [mark(), mark()], [reading(), reading()], any::<bool>());
    (options, vec(step, 0..24), vec(reaction, 0..6)).prop_map(|(options, steps, reactions)| {
        let (allow_half_open, high_water_mark, reading, pause_on_connect) = options;
        Script { allow_half_open, high_water_mark, reading, pause_on_connect, steps, reactions }
    })
}

/// Scripts in which nothing may be lost, but by writing after the end.
fn gentle_script() -> impl Strategy<Value = Script> {
    script(prop_oneof![12 => gentle(), 1 => ending()].boxed())
}

fn any_script() -> impl Strategy<Value = Script> {
    script(prop_oneof![12 => gentle(), 2 => ending(), 2 => abrupt()].boxed())
}

fn network() -> impl Strategy<Value = SimOptions> {
    let latency = select(&[0, 50, 40_000][..]).prop_map(Duration::from_micros);
    let window = select(&[500, 4096, 128 * 1024][..]);
    let piece = select(&[100, 3000, 64 * 1024][..]);
    (any::<u64>(), latency, window, piece, any::<[bool; 2]>()).prop_map(
        |(seed, latency, window_bytes, piece_bytes_max, [cut, reset_loses_unread])| SimOptions {
            latency,
            window_bytes,
            piece_bytes_max,
            cut,
            reset_loses_unread,
            ..SimOptions::seeded(seed)
        },
    )
}

fn on_network(script: &Script, network: &SimOptions, unix: bool) -> Vec<String> {
    let narrow = network.window_bytes.min(network.piece_bytes_max);
    let script = &script.clone().with_writes_up_to(narrow * 40);
    let kind = DriverKind::Sim(network.clone());
    let event_loop = EventLoop::builder().driver(kind).build().unwrap();
    match unix {
        true => play(script, event_loop, std::path::Path::new("/a.sock"), Some(QUIET)),
        false => play(script, event_loop, ("127.0.0.1", 0), Some(QUIET)),
    }
}

/// A script of the server's: a first write that fills a narrow network, and calls while it is on its
/// way.
fn while_sending(operations: &[Operation]) -> Script {
    let step = |when, operation| Step { when, side: Side::Server, operation };
    let mut steps = vec![
        step(When::Later, Operation::WriteThen(12_000)),
        step(When::Immediate, Operation::Refer),
    ];
    steps.extend(operations.iter().map(|operation| step(When::Now, *operation)));
    Script {
        allow_half_open: [false; 2],
        high_water_mark: [65_536; 2],
        reading: [Reading::Data; 2],
        pause_on_connect: false,
        steps,
        reactions: Vec::new(),
    }
}

/// Found by the fuzzer: an empty write that was corked with others counted as still to come, and
/// the last `uncork` did not look whether the end could go out. The connection stayed open for ever.
#[test]
fn a_cork_after_the_end_holds_it_up_only_until_uncork() {
    // All of it arrives before the last calls are made.
    let network =
        SimOptions { window_bytes: 300, latency: Duration::ZERO, ..SimOptions::default() };
    for first in [Operation::Write(0), Operation::WriteThen(0)] {
        for second in [Operation::Write(500), Operation::Write(0), Operation::Refer] {
            for end in [Operation::End, Operation::EndThen, Operation::EndWithThen(100)] {
                let script = while_sending(&[first, second, end, Operation::Cork, Operation::Cork]);
                on_network(&script, &network, false);
            }
        }
    }
}

/// So many cases, unless the environment says otherwise.
fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig { failure_persistence: None, ..<_>::default() };
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => default,
        None => ProptestConfig { cases, ..default },
    }
}

proptest! {
    #![proptest_config(config(128))]

    #[test]
    fn c8_a_conversation_without_violence_loses_nothing(
        script in gentle_script(), network in network(), unix in any::<bool>(),
    ) {
        on_network(&script, &network, unix);
    }

    #[test]
    fn c2_c3_whatever_is_called_a_socket_lives_one_life(
        script in any_script(), network in network(), unix in any::<bool>(),
    ) {
        on_network(&script, &network, unix);
    }

    #[test]
    fn the_same_script_on_the_same_network_gives_the_same_events(
        script in any_script(), network in network(), unix in any::<bool>(),
    ) {
        let once = on_network(&script, &network, unix);
        prop_assert_eq!(on_network(&script, &network, unix), once);
    }
}

on_every_driver! {
    fn c2_c3_c8_the_same_holds_on_every_driver(net) {
        // Fewer: where the sockets are the system's it is slower, and nothing is virtual.
        let mut runner = TestRunner::new(config(40));
        let result = runner.run(&(any_script(), 0..2_usize), |(script, transport)| {
            let endpoint = net.endpoints()[transport].clone();
            play(&script, net.event_loop(), endpoint, None);
            Ok(())
        });
        result.unwrap_or_else(|failed| panic!("{failed}"));
    }

    fn rd_24_a_pause_before_reading_begins_lets_nothing_into_the_read_buffer(net) {
        // Found by this file: reading began all the same, and what came went to the callback.
        for (side, moment) in [(Side::Server, Moment::Connection), (Side::Client, Moment::Connect)] {
            let resume = Step { when: When::Tick, side, operation: Operation::Resume };
            let operation = Operation::WriteThen(20);
            let write = Step { when: When::Later, side: side.other(), operation };
            let script = Script {
                reading: [Reading::Buffer(8); 2],
                steps: vec![resume, write],
                reactions: vec![Reaction { side, moment, operation: Operation::Pause }],
                ..while_sending(&[])
            };
            play(&script, net.event_loop(), net.tcp(), None);
        }
    }
}
