//! A server as plain data: limits, rounds, `close` and shutdown.

use std::net::SocketAddr;
use std::time::Duration;

use fyke_machine::acceptor::{Acceptor, Admission, Limits, Tally};
use fyke_machine::connection::Gone;
use fyke_machine::policy;

const SECOND: Duration = Duration::from_secs(1);

fn peer(ip: &str) -> Option<SocketAddr> {
    Some(SocketAddr::new(ip.parse().unwrap(), 1))
}

fn admit(acceptor: &mut Acceptor, ip: &str) -> Admission {
    acceptor.admit(peer(ip), || false)
}

fn at_most(max_connections: usize) -> Limits {
    let mut limits = Limits::default();
    limits.max_connections = Some(max_connections);
    limits
}

/// An acceptor that is listening and has `connections` connections.
fn listening(limits: Limits, connections: usize) -> Acceptor {
    let mut acceptor = Acceptor::new(limits);
    let round = acceptor.begin_round();
    assert!(acceptor.listens(round));
    for _ in 0..connections {
        assert_eq!(acceptor.admit(None, || false), Admission::Taken);
    }
    acceptor
}

#[test]
fn cls_12_a_new_limit_applies_from_the_next_connection_and_a_place_is_free_immediately() {
    let mut acceptor = listening(at_most(2), 2);
    assert_eq!(admit(&mut acceptor, "192.0.2.1"), Admission::Full);
    acceptor.gone(None);
    assert_eq!(admit(&mut acceptor, "192.0.2.1"), Admission::Taken);
    acceptor.set_max_connections(Some(0));
    assert_eq!(acceptor.connections(), 2, "those that there are stay");
    assert_eq!(admit(&mut acceptor, "192.0.2.1"), Admission::Full);
    acceptor.set_max_connections(None);
    assert_eq!(admit(&mut acceptor, "192.0.2.1"), Admission::Taken);
}

#[test]
fn a_limit_for_each_address_counts_an_ipv6_network_as_one() {
    let mut limits = Limits::default();
    limits.max_per_group = Some(1);
    let mut acceptor = listening(limits, 5);
    for (ip, admission) in [
        ("192.0.2.1", Admission::Taken),
        ("192.0.2.1", Admission::Full),
        ("::ffff:192.0.2.1", Admission::Full),
        ("192.0.2.2", Admission::Taken),
        ("2001:db8::1", Admission::Taken),
        ("2001:db8::2", Admission::Full),
        ("2001:db8:0:1::1", Admission::Taken),
    ] {
        assert_eq!(admit(&mut acceptor, ip), admission, "{ip}");
    }
    acceptor.gone(peer("2001:db8::1"));
    assert_eq!(admit(&mut acceptor, "2001:db8::2"), Admission::Taken);
}

#[test]
fn cls_15_a_blocked_address_does_not_count_as_a_connection_and_is_checked_after_the_limit() {
    let mut acceptor = listening(at_most(1), 0);
    assert_eq!(acceptor.admit(peer("192.0.2.1"), || true), Admission::Blocked);
    assert_eq!((acceptor.connections(), admit(&mut acceptor, "192.0.2.1")), (0, Admission::Taken));
    let full = acceptor.admit(peer("192.0.2.1"), || panic!("the limit is checked first"));
    assert_eq!(full, Admission::Full);
}

#[test]
fn srv_14_a_listener_of_an_earlier_round_is_rejected() {
    let mut acceptor = Acceptor::new(Limits::default());
    let round = acceptor.begin_round();
    acceptor.close();
    assert!(!acceptor.listens(round) && !acceptor.is_listening());
    let round = acceptor.begin_round();
    assert!(acceptor.is_round(round) && acceptor.listens(round) && acceptor.is_listening());
}

#[test]
fn cls_02_close_is_due_when_the_last_connection_is_closed() {
    let mut acceptor = listening(Limits::default(), 2);
    acceptor.close();
    for due in [false, true] {
        assert!(!acceptor.take_close(&policy::DEFAULT));
        acceptor.gone(None);
        assert_eq!(acceptor.take_close(&policy::DEFAULT), due);
    }
    acceptor.close_is_emitted();
    assert!(!acceptor.take_close(&policy::DEFAULT) && !acceptor.may_shut_down());
}

#[test]
fn close_waits_for_a_server_that_listens_again() {
    let mut acceptor = listening(Limits::default(), 1);
    acceptor.close();
    let round = acceptor.begin_round();
    acceptor.listens(round);
    acceptor.gone(None);
    assert!(!acceptor.take_close(&policy::DEFAULT));
    acceptor.close();
    assert!(acceptor.take_close(&policy::DEFAULT));
}

#[test]
fn cls_05_a_second_close_joins_the_first_except_under_nodes_policy() {
    for (policy, again) in [(policy::DEFAULT, false), (policy::NODE_EXACT, true)] {
        let mut acceptor = listening(Limits::default(), 0);
        acceptor.close();
        assert!(acceptor.take_close(&policy));
        acceptor.close();
        assert_eq!(acceptor.take_close(&policy), again);
    }
}

#[test]
fn a_listener_that_is_handed_over_causes_no_close_event() {
    let mut acceptor = listening(Limits::default(), 0);
    acceptor.stop();
    assert!(!acceptor.is_listening() && !acceptor.take_close(&policy::DEFAULT));
}

#[test]
fn a_shutdown_ends_with_its_last_connection_and_reports_how_connections_ended() {
    let mut acceptor = listening(Limits::default(), 3);
    assert!(acceptor.may_shut_down());
    assert!(!acceptor.shut_down(3, 10 * SECOND));
    acceptor.close();
    assert_eq!(acceptor.wake(), Some(10 * SECOND));
    assert!(!acceptor.count_gone(Gone::Ended));
    assert!(!acceptor.count_gone(Gone::Failed));
    assert!(acceptor.count_gone(Gone::Reset));
    let outcome = acceptor.end_shutdown(4 * SECOND).unwrap();
    assert_eq!(outcome.tally, Tally { ended: 1, failed: 1, reset: 1 });
    assert_eq!(outcome.remaining, 6 * SECOND);
    assert_eq!((acceptor.wake(), acceptor.end_shutdown(4 * SECOND)), (None, None));
}

#[test]
fn a_shutdown_without_connections_ends_immediately() {
    let mut acceptor = listening(Limits::default(), 0);
    assert!(acceptor.shut_down(0, 10 * SECOND));
}

#[test]
fn the_earlier_deadline_of_two_shutdowns_counts() {
    for deadlines in [[10, 5], [5, 10]] {
        let mut acceptor = listening(Limits::default(), 2);
        for deadline in deadlines {
            acceptor.shut_down(1, deadline * SECOND);
        }
        assert_eq!(acceptor.wake(), Some(5 * SECOND));
    }
}

#[test]
fn connections_that_are_open_at_the_deadline_count_as_reset() {
    let mut acceptor = listening(Limits::default(), 2);
    acceptor.shut_down(2, 10 * SECOND);
    assert!(!acceptor.expire(9 * SECOND), "too early is no harm");
    acceptor.count_gone(Gone::Ended);
    assert!(acceptor.expire(10 * SECOND));
    assert!(!acceptor.expire(11 * SECOND), "once");
    assert_eq!(acceptor.wake(), None);
    assert!(acceptor.count_gone(Gone::Ended));
    let outcome = acceptor.end_shutdown(11 * SECOND).unwrap();
    assert_eq!((outcome.tally.ended, outcome.tally.reset), (1, 1));
    assert_eq!(outcome.remaining, Duration::ZERO);
}
