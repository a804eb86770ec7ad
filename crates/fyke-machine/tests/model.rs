//! Random scripts of calls on the ends of joined machines, compared with a naive model of the allowed
//! events (contracts C1, C2, C3, C8), with both policies and with each choice inverted.

mod bench;
mod lives;
mod play;
mod random;

use bench::{End, Log, Machine, Side, run, settings};
use fyke_machine::connection::{Event, Heard};
use fyke_machine::{Policy, policy};
use lives::{Operation, Script, When};
use play::{Setting, play};
use proptest::prelude::*;
use proptest::sample::select;
use random::{any_script, config, gentle_script};

/// The network, for all policies.
fn network() -> impl Strategy<Value = Setting> {
    let window = select(&[500, 4096, 128 * 1024][..]);
    let piece = select(&[1, 100, 3000, 64 * 1024][..]);
    (window, piece, any::<[bool; 2]>()).prop_map(
        |(window_bytes, piece_bytes_max, [tells_late, reset_loses_unread])| Setting {
            policy: policy::DEFAULT,
            plain: true,
            window_bytes,
            piece_bytes_max,
            tells_late,
            reset_loses_unread,
            memory: None,
        },
    )
}

/// The script, with writes that the network can transfer in a short time.
fn fitting(script: Script, setting: &Setting) -> Script {
    let narrow = setting.window_bytes.min(setting.piece_bytes_max);
    script.with_writes_up_to((narrow * 40).clamp(4000, 20_000))
}

fn policy_of(script: &Script) -> Policy {
    if script.node_exact { policy::NODE_EXACT } else { policy::DEFAULT }
}

/// The events of both sides when the accepted one listens only for data and callbacks: then an end
/// takes one step.
fn events_of_an_end_without_listeners(script: &Script, plain: bool) -> [Vec<String>; 2] {
    let [ours, theirs] = End::pair();
    let policy = policy_of(script);
    let [mut client, mut server] = [(); 2].map(|()| Side::new(&settings(), policy, Log::default()));
    client.open(ours);
    client.heard =
        Heard(1 << Event::Data as u32 | 1 << Event::End as u32 | 1 << Event::Close as u32);
    server.accept(theirs);
    for side in [&mut client, &mut server] {
        side.plain = plain;
        side.listen_for_data();
        side.step(|machine, _, fx| machine.start_receiving(fx));
    }
    for (number, step) in (0..).zip(&script.steps) {
        let (side, reported) = match step.place.side {
            lives::Side::Client => (&mut client, Some(number)),
            lives::Side::Server => (&mut server, Some(number)),
        };
        match step.operation {
            Operation::Write(len) => _ = side.write(&vec![7; len.min(500)], None),
            Operation::WriteThen(len) => _ = side.write(&vec![8; len.min(500)], reported),
            Operation::End => side.end(None),
            Operation::EndThen | Operation::EndWithThen(_) => side.end(reported),
            Operation::Pause => side.step(|machine, _, fx| machine.pause(fx)),
            Operation::Resume => side.step(|machine, _, fx| machine.resume(fx)),
            Operation::Cork => side.step(|machine, _, fx| machine.cork(fx)),
            Operation::Uncork => side.step(Machine::uncork),
            Operation::AllowHalfOpen(allow) => side.change().half_open = allow,
            Operation::Destroy => side.destroy(None),
            _ => {}
        }
        if step.when != When::Now {
            client.turn();
            server.turn();
        }
    }
    run(&mut client, &mut server);
    let [client, mut server] = [client, server].map(|side| {
        let mut lines = side.user.lines;
        lines.push(format!("{:?} {}", side.machine.phase, side.machine.read.bytes_read));
        lines
    });
    server.retain(|line| !SEEN.iter().any(|event| line.starts_with(event)));
    [client, server]
}

/// The events that the accepted side does not listen for.
const SEEN: [&str; 4] = ["End", "Prefinish", "Finish", "Close"];

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn c8_a_conversation_that_ends_normally_loses_nothing(
        script in gentle_script(), setting in network(),
    ) {
        let script = fitting(script, &setting);
        play(&script, &Setting { policy: policy_of(&script), ..setting });
    }

    #[test]
    fn c2_c3_any_sequence_of_calls_keeps_the_order_of_events(
        script in any_script(), setting in network(),
    ) {
        let script = fitting(script, &setting);
        play(&script, &Setting { policy: policy_of(&script), ..setting });
    }

    #[test]
    fn c2_c3_c8_the_same_holds_with_any_single_choice_inverted(
        script in any_script(), setting in network(), name in select(Policy::NAMES),
    ) {
        let script = fitting(script, &setting);
        play(&script, &Setting { policy: policy_of(&script).inverted(name), ..setting });
    }

    #[test]
    fn the_plain_lanes_change_no_event(script in any_script(), setting in network()) {
        let script = fitting(script, &setting);
        let setting = Setting { policy: policy_of(&script), ..setting };
        let general = play(&script, &Setting { plain: false, ..setting });
        let plain = play(&script, &Setting { plain: true, ..setting });
        prop_assert_eq!(general.events, plain.events);
    }

    #[test]
    fn an_end_without_listeners_has_the_same_result_in_one_step_and_in_many(script in any_script()) {
        let plain = events_of_an_end_without_listeners(&script, true);
        prop_assert_eq!(plain, events_of_an_end_without_listeners(&script, false));
    }
}
