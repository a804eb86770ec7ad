//! Whether a batch in flight makes progress, and when the machine must be woken to check.

use std::time::Duration;

use fyke_machine::connection::{Connection, Context, Effect, Effects, Heard, Phase, Settings};
use fyke_machine::writing::NoSpares;
use fyke_machine::{ErrorCode, Moment, policy};

type Machine = Connection<u32>;

fn at(seconds: u64) -> Moment {
    Duration::from_secs(seconds).into()
}

/// A connection with 20 written bytes, of which the kernel has accepted four, watched from time zero.
fn writing() -> Machine {
    let mut machine = Machine::new(&Settings {
        half_open: false,
        high_water_mark_bytes: 16,
        write_queue_bytes_max: u32::MAX,
        readable: true,
        writable: true,
    });
    machine.phase = Phase::Open;
    machine.write.push_copy(&[7; 20], &mut NoSpares);
    machine.write.submit();
    assert!(!machine.write.sent(4));
    machine.write.watch(at(10), Moment::ZERO);
    machine
}

fn step(
    machine: &mut Machine,
    now: Moment,
    transition: impl FnOnce(&mut Machine, &Context<'_>, &mut Effects<u32>),
) {
    let cx = Context { now, turn: 1, policy: &policy::DEFAULT, heard: Heard::default() };
    let mut fx = Effects::default();
    transition(machine, &cx, &mut fx);
    while let Some(effect) = fx.take_next() {
        if let Effect::Then(then) = effect {
            machine.then(then, &cx, &mut fx);
        }
    }
}

#[test]
fn a_batch_without_progress_for_the_timeout_fails_the_connection() {
    let mut machine = writing();
    assert_eq!(machine.wake(), Some(at(10)));
    step(&mut machine, at(9), Machine::expire);
    assert!(!machine.destroyed(), "too early is no harm");
    step(&mut machine, at(10), Machine::expire);
    assert_eq!(machine.errored().unwrap().code(), ErrorCode::ERR_WRITE_STALLED);
    assert_eq!(machine.wake(), None);
}

#[test]
fn a_batch_that_makes_progress_gets_another_period() {
    let mut machine = writing();
    assert!(!machine.write.sent(1));
    step(&mut machine, at(10), Machine::expire);
    assert!(!machine.destroyed());
    assert_eq!(machine.wake(), Some(at(20)));
    step(&mut machine, at(20), Machine::expire);
    assert!(machine.destroyed());
}

#[test]
fn a_batch_that_is_sent_has_no_deadline() {
    let mut machine = writing();
    assert!(machine.write.sent(16));
    assert_eq!(machine.wake(), None);
    step(&mut machine, at(10), Machine::expire);
    assert!(!machine.destroyed());
}

#[test]
fn a_destroyed_connection_has_no_deadline() {
    let mut machine = writing();
    step(&mut machine, at(1), |machine, cx, fx| machine.destroy(None, false, cx, fx));
    assert_eq!(machine.wake(), None);
    step(&mut machine, at(10), Machine::expire);
    assert!(machine.errored().is_none());
}
