//! Random networks for the model, and where scripts are played.

use std::path::Path;
use std::time::Duration;

use fyke::sim::SimOptions;
use fyke::{DriverKind, Endpoint, EventLoop};
use proptest::prelude::*;
use proptest::sample::select;

use crate::lives::{Event, Script};
use crate::scripted::{Setting, play};
use crate::support::Net;

/// Long after everything that happens automatically. The clock is virtual.
const QUIET: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn network() -> impl Strategy<Value = SimOptions> {
    let latency = select(&[0, 50, 40_000][..]).prop_map(Duration::from_micros);
    let window = select(&[500, 4096, 128 * 1024][..]);
    let piece = select(&[1, 100, 3000, 64 * 1024][..]);
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

/// Plays a script on a simulated network, twice: the second time all sockets use the general lane. The
/// events must be the same, unless the network splits data at random, which differs between the lanes.
pub(crate) fn on_network(
    script: &Script,
    network: &SimOptions,
    unix: bool,
    memory: Option<(fn() -> usize, usize)>,
) -> Vec<Event> {
    let events = on_network_by(false, script, network, unix, memory);
    let general = on_network_by(true, script, network, unix, memory);
    if !network.cut {
        assert_eq!(events, general, "the lanes change the events");
    }
    events
}

fn on_network_by(
    general_lanes: bool,
    script: &Script,
    network: &SimOptions,
    unix: bool,
    memory: Option<(fn() -> usize, usize)>,
) -> Vec<Event> {
    let narrow = network.window_bytes.min(network.piece_bytes_max);
    let script = script.clone().with_writes_up_to((narrow * 40).max(4000));
    let kind = DriverKind::Sim(network.clone());
    let number = std::cell::Cell::new(0);
    let endpoint = || match unix {
        true => {
            number.set(number.get() + 1);
            Path::new(&format!("/{}.sock", number.get())).into()
        }
        false => ("127.0.0.1", 0).into(),
    };
    let builder = EventLoop::builder().driver(kind).general_lanes(general_lanes);
    let event_loop = builder.node_exact(script.node_exact).build().unwrap();
    play(&script, Setting { event_loop, endpoint: &endpoint, quiet: Some(QUIET), memory })
}

/// Plays a script on the driver of `net`: on a real system, with a real clock.
pub(crate) fn on_system(net: &Net, script: &Script, unix: bool) {
    let endpoint = || -> Endpoint {
        match unix {
            true => net.path().into(),
            false => net.tcp(),
        }
    };
    let event_loop = net.event_loop_that_is(script.node_exact);
    play(script, Setting { event_loop, endpoint: &endpoint, quiet: None, memory: None });
}
