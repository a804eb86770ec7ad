//! Random scripts of calls on the ends of several connections, compared with a naive model of the
//! allowed events (contracts C1, C2, C3, C8), on loops with both policies.

#[path = "../../fyke-machine/tests/lives/mod.rs"]
mod lives;
#[path = "../../fyke-machine/tests/random/mod.rs"]
mod random;
mod scripted;
mod scripts;
mod support;

use std::time::Duration;

use fyke::sim::SimOptions;
use lives::{Moment, Operation, Pair, Place, Reaction, Reading, Script, Side, Step, When};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use random::{any_script, config, gentle_script};
use scripts::{network, on_network, on_system};

const CLIENT: Place = Place { pair: 0, side: Side::Client };
const SERVER: Place = Place { pair: 0, side: Side::Server };

/// A connection whose ends read by `on_data`.
fn pair() -> Pair {
    Pair {
        allow_half_open: [false; 2],
        high_water_mark: [65_536; 2],
        reading: [Reading::Data; 2],
        pause_on_connect: false,
    }
}

/// A script of the server: a first write that fills a narrow network, and calls while it is in transit.
fn while_sending(operations: &[Operation]) -> Script {
    let step = |when, operation| Step { when, place: SERVER, operation };
    let mut steps = vec![
        step(When::Later, Operation::WriteThen(12_000)),
        step(When::Immediate, Operation::Refer),
    ];
    steps.extend(operations.iter().map(|operation| step(When::Now, *operation)));
    Script { node_exact: false, pairs: vec![pair()], steps, reactions: Vec::new() }
}

/// Regression, found by the fuzzer: an empty corked write counted as pending, and the last `uncork` did
/// not check whether the end could be sent. The connection stayed open for ever.
#[test]
fn a_cork_after_the_end_delays_it_only_until_uncork() {
    // All of it arrives before the last calls are made.
    let network =
        SimOptions { window_bytes: 300, latency: Duration::ZERO, ..SimOptions::default() };
    for first in [Operation::Write(0), Operation::WriteThen(0)] {
        for second in [Operation::Write(500), Operation::Write(0), Operation::Refer] {
            for end in [Operation::End, Operation::EndThen, Operation::EndWithThen(100)] {
                let script = while_sending(&[first, second, end, Operation::Cork, Operation::Cork]);
                on_network(&script, &network, false, None);
            }
        }
    }
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn c8_a_conversation_that_ends_normally_loses_nothing(
        script in gentle_script(), network in network(), unix in any::<bool>(),
    ) {
        on_network(&script, &network, unix, None);
    }

    #[test]
    fn c2_c3_any_sequence_of_calls_keeps_the_order_of_events_of_each_connection(
        script in any_script(), network in network(), unix in any::<bool>(),
    ) {
        on_network(&script, &network, unix, None);
    }

    #[test]
    fn the_same_script_on_the_same_network_gives_the_same_events(
        script in any_script(), network in network(), unix in any::<bool>(),
    ) {
        let once = on_network(&script, &network, unix, None);
        prop_assert_eq!(on_network(&script, &network, unix, None), once);
    }
}

on_every_driver! {
    fn c2_c3_c8_the_same_holds_on_every_driver(net) {
        let mut runner = TestRunner::new(config(256));
        let result = runner.run(&(any_script(), any::<bool>()), |(script, unix)| {
            on_system(net, &script, unix);
            Ok(())
        });
        result.unwrap_or_else(|failed| panic!("{failed}"));
    }

    fn rd_24_a_pause_before_reading_begins_keeps_the_read_buffer_empty(net) {
        // Regression, found by this file: reading began nevertheless, and received bytes were passed to
        // the callback.
        for (place, moment) in [(SERVER, Moment::Connection), (CLIENT, Moment::Connect)] {
            let resume = Step { when: When::Tick, place, operation: Operation::Resume };
            let operation = Operation::WriteThen(20);
            let other = Place { side: place.side.other(), ..place };
            let write = Step { when: When::Later, place: other, operation };
            let script = Script {
                node_exact: false,
                pairs: vec![Pair { reading: [Reading::Buffer(8); 2], ..pair() }],
                steps: vec![resume, write],
                reactions: vec![Reaction { place, moment, operation: Operation::Pause }],
            };
            on_system(net, &script, false);
        }
    }
}
