//! Failures, and answers that arrive too late.

use std::io;

use fyke_machine::connection::{Local, Refusal, Request};
use fyke_machine::planner::FamilySelection;
use fyke_machine::{Error, ErrorCode, policy};

use crate::shell::*;

#[test]
fn con_07_when_the_only_attempt_fails_with_its_own_error_the_socket_is_neither_connecting_nor_destroyed()
 {
    let mut shell = Shell::new(policy::DEFAULT);
    shell.connect(to_ip());
    shell.settle();
    shell.take();
    shell.refuse(A);
    let wanted = ["failed 10.0.0.1 ECONNREFUSED Failing", "error ECONNREFUSED", "close true"];
    assert_eq!(shell.take(), wanted);
    assert!(shell.open.is_empty());
}

#[test]
fn he_03_a_failed_lookup_is_reported_and_ends_the_connect() {
    let mut shell = Shell::new(policy::DEFAULT);
    shell.connect(to_host());
    shell.settle();
    shell.answer(Err(Error::new(ErrorCode::ENOTFOUND, "on purpose")));
    let wanted = ["resolve a.test true", "lookup ENOTFOUND", "error ENOTFOUND", "close true"];
    assert_eq!(shell.take(), wanted);
}

#[test]
fn after_the_first_attempt_fails_the_second_connects() {
    let mut shell = trying(FamilySelection::Race, &[A, B]);
    shell.take();
    shell.refuse(A);
    assert_eq!(
        shell.take(),
        ["failed 10.0.0.1 ECONNREFUSED Connecting", "attempt 10.0.0.2", "dial 10.0.0.2"]
    );
    assert_eq!(shell.open, [shell.attempt_at(B)]);
    shell.succeed(B);
    assert_eq!(shell.take(), ["connect", "ready"]);
}

#[test]
fn he_15_when_all_attempts_fail_one_error_lists_them() {
    let mut shell = trying(FamilySelection::Race, &[A, B]);
    shell.refuse(A);
    shell.fail(B, io::ErrorKind::TimedOut);
    let log = shell.take();
    assert_eq!(log[log.len() - 2..], ["error ECONNREFUSED", "close true"]);
    let attempts = shell.machine.errored().unwrap().attempts();
    let codes: Vec<ErrorCode> = attempts.iter().map(Error::code).collect();
    assert_eq!(codes, [ErrorCode::ECONNREFUSED, ErrorCode::ETIMEDOUT]);
    assert!(shell.open.is_empty());
}

#[test]
fn con_16_the_answer_to_an_earlier_connect_is_ignored() {
    let mut shell = Shell::new(policy::DEFAULT);
    shell.connect(to_host());
    shell.settle();
    let round = shell.machine.round();
    shell.destroy();
    shell.settle();
    shell.connect(to_host());
    shell.settle();
    shell.take();
    shell.answer_to(round, Ok(&[A]));
    assert!(shell.take().is_empty());
    shell.answer(Ok(&[B]));
    shell.succeed(B);
    assert_eq!(shell.take()[..2], ["lookup 10.0.0.2", "attempt 10.0.0.2"]);
}

#[test]
fn an_attempt_of_an_earlier_connect_does_not_belong_to_the_next() {
    let mut shell = Shell::new(policy::DEFAULT);
    shell.connect(to_ip());
    shell.settle();
    let old = shell.attempt_at(A);
    shell.destroy();
    shell.settle();
    shell.connect(to_ip());
    shell.settle();
    assert_ne!(shell.attempt_at(A), old);
    shell.take();
    shell.step(|machine, _, fx| machine.connected(old, fx));
    let refused = io::ErrorKind::ConnectionRefused.into();
    shell.step(|machine, cx, fx| machine.connect_failed(old, refused, cx, fx));
    shell.settle();
    assert!(shell.take().is_empty() && shell.machine.connecting());
}

/// No descriptor stays open.
#[test]
fn he_25_a_listener_of_an_attempt_may_destroy_the_socket() {
    for at in [
        "lookup 10.0.0.1",
        "lookup 10.0.0.2",
        "attempt 10.0.0.1",
        "timeout 10.0.0.1",
        "attempt 10.0.0.2",
        "failed 10.0.0.2",
        "attempt 10.0.0.3",
        "connect",
        "ready",
    ] {
        let mut shell = Shell::new(policy::DEFAULT);
        shell.destroys_at = Some(at);
        shell.connect(Request { selection: FamilySelection::Sequential, ..to_host() });
        shell.settle();
        shell.answer(Ok(&[A, B, C]));
        let wait = |shell: &mut Shell| shell.wait(500 * MS);
        let steps: [&dyn Fn(&mut Shell); 3] =
            [&wait, &|shell| shell.refuse(B), &|shell| shell.succeed(C)];
        for step in steps {
            if !shell.machine.destroyed() {
                step(&mut shell);
            }
        }
        let log = shell.take();
        let place = log.iter().position(|entry| entry.starts_with(at)).unwrap_or_else(|| {
            panic!("{at} was never emitted: {log:?}");
        });
        assert_eq!(log[place + 1..], ["close false"], "{at}: no system call, and no event");
        assert!(shell.open.is_empty() && shell.machine.wake().is_none(), "{at}");
    }
}

#[test]
fn con_07_a_listener_of_the_only_failure_may_destroy_the_socket() {
    let mut shell = Shell::new(policy::DEFAULT);
    shell.destroys_at = Some("failed");
    shell.connect(to_ip());
    shell.settle();
    shell.take();
    shell.refuse(A);
    assert_eq!(shell.take(), ["failed 10.0.0.1 ECONNREFUSED Failing", "close false"]);
    assert!(shell.machine.errored().is_none());
}

#[test]
fn a_descriptor_that_is_opened_after_its_attempt_ended_is_closed() {
    let mut shell = Shell::new(policy::DEFAULT);
    shell.connect(to_ip());
    shell.settle();
    let attempt = shell.attempt_at(A);
    shell.destroy();
    shell.open.push(attempt);
    shell.step(|machine, cx, fx| machine.opened(attempt, Ok(()), cx, fx));
    assert!(shell.open.is_empty());
}

#[test]
fn con_13_a_failed_bind_is_not_an_attempt_and_its_error_names_the_local_address() {
    let mut shell = Shell::new(policy::DEFAULT);
    shell.refusals.push_back(Refusal::Bind(io::ErrorKind::AddrInUse.into()));
    let local = Local { port: 81, ..Local::default() };
    shell.connect(Request { local, ..to_ip() });
    shell.settle();
    assert_eq!(shell.take().len(), 2);
    let error = shell.machine.errored().unwrap();
    assert_eq!((error.syscall(), error.port()), (Some("bind"), Some(81)));
}

#[test]
fn an_attempt_without_a_descriptor_is_reported_and_the_next_address_is_tried() {
    let mut shell = Shell::new(policy::DEFAULT);
    shell.refusals.push_back(Refusal::Open(io::ErrorKind::OutOfMemory.into()));
    shell.connect(to_host());
    shell.settle();
    shell.answer(Ok(&[A, B]));
    let log = shell.take();
    assert_eq!(log[4], "attempt 10.0.0.1");
    assert!(log[5].starts_with("failed 10.0.0.1"), "{log:?}");
    assert_eq!(log[6..], ["attempt 10.0.0.2", "dial 10.0.0.2"]);
}

#[test]
fn blk_21_he_27_a_blocked_address_is_announced_if_it_is_the_only_one_and_fails_if_not() {
    let mut shell = Shell::new(policy::DEFAULT);
    shell.refusals.push_back(Refusal::Blocked);
    shell.connect(to_ip());
    shell.settle();
    assert_eq!(shell.take(), ["attempt 10.0.0.1", "error ERR_IP_BLOCKED", "close true"]);

    let mut shell = Shell::new(policy::DEFAULT);
    shell.refusals.push_back(Refusal::Blocked);
    shell.connect(to_host());
    shell.settle();
    shell.answer(Ok(&[A, B]));
    assert_eq!(
        shell.take()[4..],
        ["failed 10.0.0.1 ERR_IP_BLOCKED Connecting", "attempt 10.0.0.2", "dial 10.0.0.2"]
    );
}

#[test]
fn a_failure_that_is_reported_twice_counts_once() {
    let mut shell = trying(FamilySelection::Race, &[A, B]);
    shell.refuse(A);
    shell.take();
    shell.refuse(A);
    assert!(shell.take().is_empty());
    shell.refuse(B);
    assert_eq!(shell.machine.errored().unwrap().attempts().len(), 2);
}
