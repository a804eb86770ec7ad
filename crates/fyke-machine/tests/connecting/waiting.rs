//! Timeouts, and attempts that start later.

use std::io;

use fyke_machine::connection::{Phase, Request, Target};
use fyke_machine::planner::FamilySelection;
use fyke_machine::{ErrorCode, Moment, policy};

use crate::shell::*;

#[test]
fn a_race_starts_the_next_attempt_after_a_delay_and_closes_the_others_when_one_connects() {
    let mut shell = trying(FamilySelection::Race, &[A, B, C]);
    shell.take();
    shell.wait(250 * MS);
    shell.wait(250 * MS);
    assert_eq!(
        shell.take(),
        ["attempt 10.0.0.2", "dial 10.0.0.2", "attempt 10.0.0.3", "dial 10.0.0.3"]
    );
    assert_eq!((shell.open.len(), shell.machine.wake()), (3, None));
    shell.succeed(B);
    assert_eq!(shell.take(), ["connect", "ready"]);
    assert_eq!(shell.open, [shell.attempt_at(B)]);
}

#[test]
fn he_12_an_attempt_that_times_out_is_closed_and_reported_and_the_next_begins() {
    let mut shell = trying(FamilySelection::Sequential, &[A, B]);
    shell.take();
    shell.wait(500 * MS);
    assert_eq!(shell.take(), ["timeout 10.0.0.1", "attempt 10.0.0.2", "dial 10.0.0.2"]);
    assert_eq!(shell.open, [shell.attempt_at(B)]);
    assert_eq!(shell.machine.wake(), None, "the last one may take as long as it likes");
    shell.refuse(B);
    let attempts = shell.machine.errored().unwrap().attempts();
    assert_eq!(attempts[0].code(), ErrorCode::ETIMEDOUT);
}

#[test]
fn an_early_wake_does_no_harm() {
    let mut shell = trying(FamilySelection::Sequential, &[A, B]);
    shell.take();
    shell.now = 499 * MS;
    shell.step(Machine::expire);
    assert!(shell.take().is_empty());
    assert_eq!(shell.machine.wake(), Some((500 * MS).into()));
}

#[test]
fn the_connect_timeout_ends_every_stage_of_a_connect() {
    let resolving: fn(&mut Shell) = |_| {};
    let trying: fn(&mut Shell) = |shell| shell.answer(Ok(&[A, B]));
    let cases = [
        (to_host(), resolving, Moment::from(3000 * MS)),
        (to_host(), trying, (250 * MS).into()),
        (to_ip(), resolving, (3000 * MS).into()),
        (Request { lookup_timeout: Some(5000 * MS), ..to_host() }, resolving, (3000 * MS).into()),
        (
            to(Target::Unix(unix("/a"))),
            |shell| shell.fail("/a", io::ErrorKind::WouldBlock),
            MS.into(),
        ),
    ];
    for (request, begin, first_wake) in cases {
        let mut shell = Shell::new(policy::DEFAULT);
        shell.connect(Request { connect_timeout: Some(3000 * MS), ..request });
        shell.settle();
        begin(&mut shell);
        assert_eq!(shell.machine.wake(), Some(first_wake), "{:?}", shell.log);
        shell.now = 3000 * MS;
        shell.take();
        shell.step(Machine::expire);
        shell.settle();
        assert_eq!(shell.take(), ["error ETIMEDOUT", "close true"]);
        assert!(shell.open.is_empty() && shell.machine.wake().is_none());
    }
}

#[test]
fn the_connect_timeout_stops_when_the_connection_is_established() {
    let mut shell = Shell::new(policy::DEFAULT);
    shell.connect(Request { connect_timeout: Some(3000 * MS), ..to_ip() });
    shell.settle();
    shell.succeed(A);
    assert_eq!(shell.machine.wake(), None);
    shell.now = 3000 * MS;
    shell.step(Machine::expire);
    assert_eq!(shell.machine.phase, Phase::Open);
}

#[test]
fn a_lookup_that_times_out_is_reported_and_its_answer_ignored() {
    let mut shell = Shell::new(policy::DEFAULT);
    shell.connect(Request { lookup_timeout: Some(100 * MS), ..to_host() });
    shell.settle();
    shell.take();
    shell.wait(100 * MS);
    assert_eq!(shell.take(), ["lookup ETIMEDOUT", "error ETIMEDOUT", "close true"]);
    assert_eq!(shell.machine.errored().unwrap().host(), Some("a.test"));
    shell.answer(Ok(&[A]));
    assert!(shell.take().is_empty());
}

#[test]
fn the_lookup_timeout_stops_when_the_lookup_is_answered() {
    let mut shell = Shell::new(policy::DEFAULT);
    shell.connect(Request { lookup_timeout: Some(100 * MS), ..to_host() });
    shell.settle();
    shell.answer(Ok(&[A]));
    assert_eq!(shell.machine.wake(), None);
}

#[test]
fn ipc_10_a_connect_to_a_unix_server_with_a_full_queue_is_retried_after_growing_pauses() {
    let mut shell = Shell::new(policy::DEFAULT);
    shell.connect(to(Target::Unix(unix("/a"))));
    shell.settle();
    assert_eq!(shell.take(), ["attempt /a", "dial /a"]);
    for pause in [1, 2, 4, 8, 16, 32, 64, 100, 100] {
        shell.fail("/a", io::ErrorKind::WouldBlock);
        assert!(shell.take().is_empty());
        shell.wait(pause * MS);
        assert_eq!(shell.take(), ["dial /a"]);
        assert_eq!(shell.machine.wake(), None);
    }
    shell.succeed("/a");
    assert_eq!(shell.take(), ["connect", "ready"]);
    assert_eq!(shell.machine.wake(), None);
}
