//! The plain lanes: when a connection uses them, and that they have the same results as the general
//! lanes.

mod bench;

use bench::{Log, Machine, Side, pair, run};

use fyke_machine::connection::Phase;
use fyke_machine::{Lanes, Moment, policy};

fn plain_pair() -> (Side<Log>, Side<Log>) {
    let (mut a, mut b) = pair(policy::DEFAULT);
    for side in [&mut a, &mut b] {
        side.plain = true;
        side.machine.allow(Lanes::allowed_by(&policy::DEFAULT));
    }
    (a, b)
}

fn is_plain(side: &mut Side<Log>) -> (bool, bool) {
    let reads = side.machine.receive_plain(1, Moment::ZERO);
    // A write of exactly the available room may use the lane.
    let writes = side.machine.write_plain(
        b"x",
        &mut None,
        false,
        Moment::ZERO,
        &mut fyke_machine::writing::NoSpares,
    );
    let writes = writes != fyke_machine::PlainWrite::No;
    if writes {
        drop(side.machine.outgoing_sent());
        side.machine.left_dirty_list();
    }
    (reads, writes)
}

#[test]
fn each_direction_leaves_its_plain_lane_and_returns_independently() {
    let (mut a, mut b) = plain_pair();
    assert_eq!(is_plain(&mut a), (true, true));
    a.step(|machine, _, fx| machine.pause(fx));
    assert_eq!(is_plain(&mut a), (false, true));
    a.step(|machine, _, fx| machine.resume(fx));
    run(&mut a, &mut b);
    assert_eq!(is_plain(&mut a), (true, true));
    a.step(|machine, _, fx| machine.cork(fx));
    assert_eq!(is_plain(&mut a), (true, false));
    a.step(Machine::uncork);
    assert_eq!(is_plain(&mut a), (true, true));
    a.write(b"told", Some(1));
    assert_eq!(is_plain(&mut a), (true, true), "a callback waits");
    run(&mut a, &mut b);
    assert_eq!(is_plain(&mut a), (true, true));
    a.window_bytes = 0;
    a.write_payload(vec![7; 5000].into(), None);
    a.settle();
    assert_eq!(is_plain(&mut a), (true, false), "a batch is in flight");
    a.window_bytes = usize::MAX;
    run(&mut a, &mut b);
    assert_eq!(is_plain(&mut a), (true, true));
    a.end(None);
    assert_eq!(is_plain(&mut a), (true, false));
    a.destroy(None);
    assert_eq!(is_plain(&mut a), (false, false));
}

#[test]
fn an_idle_timeout_that_must_be_listed_uses_the_general_lane_until_it_is() {
    let (mut a, _) = plain_pair();
    let second = std::time::Duration::from_secs(1);
    a.step(|machine, cx, _| machine.set_timeout(Some(second), cx));
    assert_eq!(is_plain(&mut a), (true, true), "the bench has listed it");
    assert!(a.machine.change().look_at_idle(second));
    assert_eq!(is_plain(&mut a), (false, false), "activity begins another period");
    a.step(|machine, cx, _| machine.set_timeout(None, cx));
    assert_eq!(is_plain(&mut a), (true, true));
}

#[test]
fn a_lane_that_the_loop_does_not_allow_is_never_plain() {
    let (mut a, _) = pair(policy::DEFAULT);
    assert_eq!(is_plain(&mut a), (false, false));
    a.machine.allow(Lanes::allowed_by(&policy::NODE_EXACT));
    assert_eq!(is_plain(&mut a), (false, false));
}

/// Everything that can be asked after the life of a server's connection whose peer has sent bytes and
/// ended.
fn after_an_end(plain: bool) -> (String, Vec<String>) {
    let (mut a, mut b) = if plain { plain_pair() } else { pair(policy::DEFAULT) };
    b.machine.change().served = true;
    a.write(b"request", None);
    a.settle();
    b.write(b"answer", None);
    b.settle();
    a.end(None);
    run(&mut a, &mut b);
    let machine = &b.machine;
    assert_eq!(machine.phase, Phase::Closed);
    let asked = (
        (machine.ready_state(), machine.readable(), machine.writable(), machine.is_draining()),
        (machine.read.bytes_read, machine.read.did_read, machine.read.has_emitted_end()),
        (machine.write.accepted_bytes(), machine.write.is_ended(), machine.write.is_finished()),
        (machine.read.has_ended(), machine.write.need_drain(), machine.write.queued_bytes()),
        (machine.errored().is_some(), machine.has_failed(), machine.holds()),
    );
    (format!("{asked:?}"), b.user.lines)
}

#[test]
fn an_end_in_one_step_leaves_the_same_state_as_the_separate_steps() {
    let (general, steps) = after_an_end(false);
    let (plain, none) = after_an_end(true);
    assert_eq!(plain, general);
    assert!(
        steps.contains(&"Close false".to_owned())
            && none.iter().all(|line| line.starts_with("Data"))
    );
}
