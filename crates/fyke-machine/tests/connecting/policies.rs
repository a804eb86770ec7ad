//! Behaviour that depends on the policy, and a second connect during the first.

use std::io;

use fyke_driver::Address;
use fyke_machine::connection::{Phase, Request, Target};
use fyke_machine::planner::FamilySelection;
use fyke_machine::{ErrorCode, policy};

use crate::shell::*;

#[test]
fn con_04_immediate_results_are_emitted_inside_the_call_if_the_policy_says_so() {
    for (request, reported) in [
        (to_ip(), &[][..]),
        (to_host(), &["resolve a.test true"]),
        (to(Target::Unix(unix("/a"))), &["attempt /a", "dial /a"]),
    ] {
        let mut shell = Shell::new(policy::NODE_EXACT);
        shell.step(|machine, cx, fx| machine.connect(request, false, true, cx, fx));
        assert_eq!(shell.take(), reported);
    }
}

#[test]
fn he_26_a_lookup_answered_after_destroy_is_reported_only_under_nodes_policy_and_for_one_address() {
    for (policy, selection, reported) in [
        (policy::DEFAULT, FamilySelection::Off, &[][..]),
        (policy::NODE_EXACT, FamilySelection::Race, &[]),
        (policy::NODE_EXACT, FamilySelection::Off, &["lookup 10.0.0.1"]),
    ] {
        let mut shell = Shell::new(policy);
        shell.connect(Request { selection, ..to_host() });
        shell.settle();
        shell.destroy();
        shell.settle();
        shell.take();
        shell.answer(Ok(&[A, B]));
        assert_eq!(shell.take(), reported);
        shell.answer(Ok(&[A, B]));
        assert!(shell.take().is_empty(), "once is enough");
    }
}

#[test]
fn con_10_an_immediate_refusal_is_not_a_failed_attempt_under_nodes_policy() {
    for (policy, count) in [(policy::DEFAULT, 1), (policy::NODE_EXACT, 0)] {
        let mut shell = Shell::new(policy);
        shell.connect(to_ip());
        shell.settle();
        shell.fail(A, io::ErrorKind::AddrNotAvailable);
        let log = shell.take();
        let failed = log.iter().filter(|entry| entry.starts_with("failed")).count();
        assert_eq!((failed, log.last().unwrap().as_str()), (count, "close true"), "{log:?}");
    }
}

#[test]
fn ipc_10_under_nodes_policy_a_full_queue_is_an_error() {
    let mut shell = Shell::new(policy::NODE_EXACT);
    shell.connect(to(Target::Unix(unix("/a"))));
    shell.settle();
    shell.take();
    shell.fail("/a", io::ErrorKind::WouldBlock);
    let log = shell.take();
    assert!(log[0].starts_with("failed /a"), "{log:?}");
    assert_eq!(log.last().unwrap(), "close true");
}

#[test]
fn con_18_a_second_connect_is_refused_while_one_is_in_progress() {
    let code = |shell: &Shell| {
        let checked = shell.machine.check_connect(&shell.policy);
        checked.map_err(|error| error.code()).err()
    };
    let mut shell = Shell::new(policy::DEFAULT);
    assert_eq!(code(&shell), None);
    shell.connect(to_ip());
    assert_eq!(code(&shell), Some(ErrorCode::EALREADY));
    shell.settle();
    shell.succeed(A);
    assert_eq!(code(&shell), Some(ErrorCode::EISCONN));
    shell.destroy();
    assert_eq!(code(&shell), Some(ErrorCode::ERR_SOCKET_CLOSED));
    shell.settle();
    assert_eq!(code(&shell), None);
    shell.policy = policy::NODE_EXACT;
    shell.machine.phase = Phase::Destroyed;
    assert_eq!(code(&shell), None);
}

#[test]
fn he_04_a_hook_keeps_the_loop_alive_until_it_answers_except_under_nodes_policy() {
    for (policy, holds) in [(policy::DEFAULT, true), (policy::NODE_EXACT, false)] {
        let mut shell = Shell::new(policy);
        shell.connect(Request { has_hook: true, ..to_host() });
        shell.settle();
        assert_eq!(shell.machine.holds(), holds);
        shell.answer(Ok(&[A]));
        assert!(shell.machine.holds());
    }
}

#[test]
fn he_24_an_attempt_that_destroy_cancels_is_reported_under_nodes_policy_if_it_is_one_of_several() {
    for (policy, addresses, reported) in [
        (policy::DEFAULT, &[A, B][..], &["close false"][..]),
        (policy::NODE_EXACT, &[A], &["close false"]),
        (policy::NODE_EXACT, &[A, B], &["failed 10.0.0.1 ECANCELED Destroyed", "close false"]),
    ] {
        let mut shell = Shell::new(policy);
        shell.connect(to_host());
        shell.settle();
        shell.answer(Ok(addresses));
        shell.take();
        shell.destroy();
        shell.settle();
        assert_eq!(shell.take(), reported);
    }
}

#[test]
fn con_18_under_nodes_policy_an_address_is_connected_to_again_once() {
    let mut shell = connected(policy::NODE_EXACT);
    let again = Address::Ip(ip(B));
    for outcome in [&["connect", "ready"][..], &["error EISCONN", "close true"]] {
        let again = again.clone();
        shell.step(|machine, cx, fx| machine.connect_again(again, false, cx, fx));
        assert_eq!(shell.machine.phase, Phase::Reopening);
        shell.settle();
        shell.turn();
        assert_eq!(shell.take(), [&["attempt again 10.0.0.2"], outcome].concat());
    }
}

#[test]
fn con_18_under_nodes_policy_a_second_connect_to_an_address_while_connecting_is_an_error() {
    let mut shell = Shell::new(policy::NODE_EXACT);
    shell.connect(to_ip());
    shell.settle();
    shell.take();
    shell.step(|machine, cx, fx| machine.connect_again(Address::Ip(ip(A)), false, cx, fx));
    shell.settle();
    assert_eq!(shell.take(), ["attempt again 10.0.0.1", "error EALREADY", "close true"]);
    assert!(shell.open.is_empty());
}

#[test]
fn con_18_under_nodes_policy_a_path_is_refused_in_the_next_turn_on_an_established_connection() {
    let mut shell = connected(policy::NODE_EXACT);
    shell.step(|machine, cx, fx| machine.connect_again(unix("/a"), true, cx, fx));
    assert_eq!(shell.take(), ["attempt again /a"], "inside the call");
    shell.settle();
    assert!(shell.take().is_empty());
    shell.turn();
    assert_eq!(shell.take(), ["failed /a EISCONN Open", "error EISCONN", "close true"]);
}

/// The second connect finds that the first one is connected: in the next turn, or when the driver
/// reports it.
#[test]
fn con_18_under_nodes_policy_a_second_connect_to_a_path_is_refused_when_the_first_has_connected() {
    for is_connected in [true, false] {
        let mut shell = Shell::new(policy::NODE_EXACT);
        shell.is_connected = is_connected;
        shell.connect(to(Target::Unix(unix("/a"))));
        shell.settle();
        shell.step(|machine, cx, fx| machine.connect_again(unix("/a"), true, cx, fx));
        shell.settle();
        shell.take();
        shell.turn();
        if !is_connected {
            assert!(shell.take().is_empty());
            shell.succeed("/a");
        }
        assert_eq!(shell.take(), ["failed /a EISCONN Open", "error EISCONN", "close true"]);
    }
}

#[test]
fn con_18_under_nodes_policy_a_failure_of_the_first_connect_to_a_path_is_reported_separately() {
    let mut shell = Shell::new(policy::NODE_EXACT);
    shell.connect(to(Target::Unix(unix("/a"))));
    shell.settle();
    shell.step(|machine, cx, fx| machine.connect_again(unix("/a"), true, cx, fx));
    shell.settle();
    shell.take();
    shell.turn();
    shell.refuse("/a");
    let wanted = ["failed /a ECONNREFUSED Failing", "error ECONNREFUSED", "close true"];
    assert_eq!(shell.take(), wanted);
}

/// The tick of the first connect also runs, and finds the second.
#[test]
fn con_17_under_nodes_policy_a_connect_before_close_is_tried_once() {
    let mut shell = Shell::new(policy::NODE_EXACT);
    shell.connect(to_host());
    shell.destroy();
    shell.connect(to_host());
    while let Some(tick) = shell.ticks.pop_front() {
        shell.step(|machine, cx, fx| machine.tick(tick, cx, fx));
    }
    assert_eq!(shell.take(), ["resolve a.test true"]);
}
