//! From the call of `connect` to a connection or a failure, on the bare machine.

mod failing;
mod policies;
mod shell;
mod waiting;

use fyke_machine::connection::{Phase, Target};
use fyke_machine::planner::FamilySelection;
use fyke_machine::policy;
use fyke_machine::writing::NoSpares;

use shell::*;

#[test]
fn con_03_an_address_is_tried_on_the_tick() {
    let mut shell = Shell::new(policy::DEFAULT);
    shell.connect(to_ip());
    assert!(shell.log.is_empty() && shell.machine.connecting() && shell.machine.holds());
    shell.settle();
    assert_eq!(shell.take(), ["attempt 10.0.0.1", "dial 10.0.0.1"]);
    assert_eq!(shell.machine.wake(), None, "the only address may take as long as it likes");
    shell.succeed(A);
    assert_eq!(shell.take(), ["connect", "ready"]);
    assert_eq!((shell.machine.phase, shell.open.len()), (Phase::Open, 1));
}

#[test]
fn con_03_a_socket_destroyed_before_the_tick_attempts_nothing() {
    for request in [to_ip(), to_host(), to(Target::Unix(unix("/a")))] {
        let mut shell = Shell::new(policy::DEFAULT);
        shell.connect(request);
        shell.destroy();
        shell.settle();
        assert_eq!(shell.take(), ["close false"]);
    }
}

#[test]
fn wr_10_data_written_before_the_connection_is_sent_between_connect_and_ready() {
    let mut shell = Shell::new(policy::DEFAULT);
    shell.connect(to_ip());
    shell.step(|machine, cx, fx| {
        machine.write(&mut Some(b"abc".as_slice().into()), Some(1), &mut NoSpares, cx, fx)
    });
    shell.settle();
    shell.succeed(A);
    let wanted =
        ["attempt 10.0.0.1", "dial 10.0.0.1", "connect", "sent 3", "callback true", "ready"];
    assert_eq!(shell.take(), wanted);
}

#[test]
fn he_02_every_address_is_reported_before_any_is_tried() {
    let mut shell = trying(FamilySelection::Race, &[A, B]);
    let wanted = [
        "resolve a.test true",
        "lookup 10.0.0.1",
        "lookup 10.0.0.2",
        "several",
        "attempt 10.0.0.1",
        "dial 10.0.0.1",
    ];
    assert_eq!(shell.take(), wanted);
}

#[test]
fn he_08_with_selection_off_only_the_first_address_is_reported_and_tried() {
    let mut shell = trying(FamilySelection::Off, &[A, B]);
    let wanted = ["resolve a.test false", "lookup 10.0.0.1", "attempt 10.0.0.1", "dial 10.0.0.1"];
    assert_eq!(shell.take(), wanted);
    shell.refuse(A);
    assert_eq!(shell.take()[1..], ["error ECONNREFUSED", "close true"]);
}
