//! Sequences of transitions on the bare machine: each test is a short life of two joined connections.

mod bench;

use bench::{End, Log, Machine, News, Side, User, pair, run, settings};
use fyke_machine::connection::{Event, Heard, Phase};
use fyke_machine::{Error, ErrorCode, Policy, policy};

fn default_pair() -> (Side<Log>, Side<Log>) {
    pair(policy::DEFAULT)
}

fn log(side: &Side<Log>) -> Vec<&str> {
    side.user.lines.iter().map(String::as_str).collect()
}

/// The number of bytes on the wire, and whether the end follows.
fn sent(side: &Side<Log>) -> (usize, bool) {
    side.wire.as_ref().unwrap().sent()
}

#[test]
fn wr_06_callbacks_run_in_order_when_the_kernel_has_accepted_the_bytes() {
    let (mut a, mut b) = default_pair();
    a.write(b"one", Some(1));
    a.write(b"two", Some(2));
    assert!(a.user.lines.is_empty(), "never inside the call");
    run(&mut a, &mut b);
    assert_eq!(log(&a), ["Call 1 ok", "Call 2 ok"]);
    assert_eq!(b.user.received, b"onetwo");
}

#[test]
fn wr_05_drain_is_emitted_once_and_before_the_callbacks() {
    let (mut a, mut b) = default_pair();
    a.window_bytes = 4;
    assert!(!a.write(&[7; 20], Some(1)));
    run(&mut a, &mut b);
    assert_eq!(log(&a), ["Drain", "Call 1 ok"]);
    assert_eq!(b.user.received.len(), 20);
}

#[test]
fn wr_05_drain_is_not_emitted_if_destroy_was_called_before() {
    let (mut a, mut b) = default_pair();
    a.step(|machine, _, fx| machine.cork(fx));
    assert!(!a.write(&[7; 20], None));
    a.step(Machine::uncork);
    a.destroy(None);
    run(&mut a, &mut b);
    assert_eq!(log(&a), ["Close false"]);
}

#[test]
fn wr_06_data_queued_meanwhile_is_sent_when_the_batch_in_flight_is_done() {
    let (mut a, mut b) = default_pair();
    a.window_bytes = 4;
    a.write(&[7; 20], None);
    a.settle();
    a.write(b"x", None);
    run(&mut a, &mut b);
    assert_eq!(b.user.received.len(), 21);
}

#[test]
fn wr_19_callbacks_of_a_dropped_queue_run_before_the_error() {
    let (mut a, mut b) = default_pair();
    a.step(|machine, _, fx| machine.cork(fx));
    a.write(b"held back", Some(1));
    a.destroy(Some(Error::new(ErrorCode::ETIMEDOUT, "on purpose")));
    run(&mut a, &mut b);
    assert_eq!(log(&a), ["Call 1 ETIMEDOUT", "Error ETIMEDOUT", "Close true"]);
}

#[test]
fn end_13_both_sides_end_automatically_and_close_is_last() {
    let (mut a, mut b) = default_pair();
    a.write(b"all", None);
    a.end(Some(1));
    run(&mut a, &mut b);
    assert_eq!(log(&a), ["Prefinish", "Call 1 ok", "Finish", "End", "Close false"]);
    assert_eq!(log(&b), ["Data 3", "End", "Prefinish", "Finish", "Close false"]);
}

#[test]
fn end_20_a_half_open_side_stays_open_until_it_is_ended() {
    let (mut a, mut b) = default_pair();
    b.change().half_open = true;
    a.end(None);
    run(&mut a, &mut b);
    assert_eq!(b.machine.phase, Phase::Open);
    assert!(b.write(b"late", None));
    b.end(None);
    run(&mut a, &mut b);
    assert_eq!(a.user.received, b"late");
    assert_eq!((a.machine.phase, b.machine.phase), (Phase::Closed, Phase::Closed));
}

#[test]
fn wr_20_destroy_sends_the_bytes_that_fit_and_fails_the_rest() {
    let (mut a, mut b) = default_pair();
    a.window_bytes = 4;
    a.write(&[1; 10], Some(1));
    a.settle();
    a.write(&[2; 5], Some(2));
    a.destroy(None);
    run(&mut a, &mut b);
    assert_eq!(log(&a), ["Call 1 ECANCELED", "Call 2 ECANCELED", "Close false"]);
    assert_eq!(b.user.received, [1; 4]);
}

#[test]
fn wr_19_an_accepted_write_succeeds_even_if_the_batch_in_flight_is_cancelled() {
    let (mut a, mut b) = default_pair();
    (a.tells_late, a.window_bytes) = (true, 8);
    a.write(&[1; 5], Some(1));
    a.settle();
    a.write(&[2; 20], Some(2));
    a.settle();
    assert!(a.user.lines.is_empty(), "the news waits for the next turn");
    a.destroy(None);
    run(&mut a, &mut b);
    assert_eq!(log(&a), ["Call 1 ok", "Call 2 ECANCELED", "Close false"]);
}

#[test]
fn wr_21_a_cork_after_the_end_delays_it_only_until_uncork() {
    let (mut a, mut b) = default_pair();
    a.window_bytes = 4;
    a.write(&[1; 10], None);
    a.settle();
    a.write(b"", None);
    a.end(None);
    a.step(|machine, _, fx| machine.cork(fx));
    run(&mut a, &mut b);
    assert_eq!(log(&a), [""; 0]);
    a.step(Machine::uncork);
    run(&mut a, &mut b);
    assert_eq!(log(&a), ["Prefinish", "Finish", "End", "Close false"]);
}

#[test]
fn dst_06_an_error_is_emitted_once_before_close() {
    let (mut a, mut b) = default_pair();
    a.destroy(Some(Error::new(ErrorCode::ETIMEDOUT, "first")));
    a.destroy(Some(Error::new(ErrorCode::EPIPE, "second")));
    run(&mut a, &mut b);
    assert_eq!(log(&a), ["Error ETIMEDOUT", "Close true"]);
    assert_eq!(a.machine.errored().unwrap().code(), ErrorCode::ETIMEDOUT);
}

#[test]
fn dst_10_a_reset_is_an_error_and_stored_bytes_are_lost() {
    let (mut a, mut b) = default_pair();
    a.step(|machine, _, fx| machine.pause(fx));
    b.write(b"stored", None);
    b.settle();
    a.turn();
    b.step(Machine::reset).unwrap();
    run(&mut a, &mut b);
    assert_eq!(log(&a), ["Error ECONNRESET", "Close true"]);
    assert!(a.user.received.is_empty());
}

#[test]
fn stored_bytes_are_delivered_before_the_error_if_the_option_is_set() {
    let (mut a, mut b) = default_pair();
    a.change().set_deliver_before_error(true);
    a.step(|machine, _, fx| machine.pause(fx));
    b.write(b"stored", None);
    b.settle();
    a.turn();
    b.step(Machine::reset).unwrap();
    run(&mut a, &mut b);
    assert!(a.user.lines.is_empty());
    a.step(|machine, _, fx| machine.resume(fx));
    run(&mut a, &mut b);
    assert_eq!(log(&a), ["Data 6", "Error ECONNRESET", "Close true"]);
}

#[test]
fn wr_15_a_write_after_the_end_is_refused_and_its_callback_gets_the_error() {
    let (mut a, mut b) = default_pair();
    a.end(None);
    assert!(!a.write(b"late", Some(1)));
    run(&mut a, &mut b);
    let code = "ERR_STREAM_WRITE_AFTER_END";
    assert_eq!(log(&a), [&format!("Call 1 {code}"), &format!("Error {code}"), "Close true"]);
}

#[test]
fn wr_16_only_the_callback_of_a_write_after_destroy_gets_the_error() {
    let (mut a, mut b) = default_pair();
    a.destroy(None);
    assert!(!a.write(b"late", Some(1)));
    run(&mut a, &mut b);
    assert_eq!(log(&a), ["Call 1 ERR_STREAM_DESTROYED", "Close false"]);
}

#[test]
fn wr_14_a_write_without_a_connection_fails_on_the_tick() {
    let (_, mut b) = default_pair();
    let mut a = Side::new(&settings(), policy::DEFAULT, Log::default());
    assert!(!a.write(b"nowhere", Some(1)));
    assert!(a.user.lines.is_empty());
    run(&mut a, &mut b);
    let code = "ERR_SOCKET_CLOSED";
    assert_eq!(log(&a), [&format!("Call 1 {code}"), &format!("Error {code}"), "Close true"]);
}

/// A client with a write before it is connected, which is parked.
fn with_parked_write(mut policy: Policy) -> Side<Log> {
    policy.parks_first_write = true;
    let mut side = Side::new(&settings(), policy, Log::default());
    side.connect();
    side.write(b"early", Some(1));
    side.settle();
    side
}

/// Regression: it was never sent, because writes were parked only under a policy that also offers them
/// immediately.
#[test]
fn wr_10_a_write_before_the_connection_is_sent_even_if_it_is_not_offered_immediately() {
    for at_once in [false, true] {
        let mut policy = policy::DEFAULT;
        policy.offers_writes_at_once = at_once;
        let mut a = with_parked_write(policy);
        let [ours, _theirs] = End::pair();
        a.establish(ours);
        assert_eq!(sent(&a), (5, false));
        assert_eq!(log(&a), ["Connect", "Call 1 ok", "Ready"]);
    }
}

/// Regression: it was reported after `close`, unless `ready` was emitted too.
#[test]
fn wr_12_a_parked_write_of_a_connection_that_ends_immediately_is_reported_before_close() {
    for ready in [false, true] {
        let mut policy = policy::DEFAULT;
        policy.ready_after_destroy = ready;
        let mut a = with_parked_write(policy);
        a.step(Machine::reset).unwrap();
        let [ours, _theirs] = End::pair();
        a.establish(ours);
        a.turn();
        let mut wanted = vec!["Connect", "Call 1 ERR_SOCKET_CLOSED", "Ready", "Close false"];
        wanted.retain(|line| ready || *line != "Ready");
        assert_eq!(log(&a), wanted);
    }
}

/// Connects again when its first callback runs, and writes: after the old cork, or parked.
struct Again {
    uncorks: bool,
    lines: Vec<String>,
}

impl User for Again {
    fn reported(side: &mut Side<Self>, news: News<'_>) {
        let News::Called(callback, result) = news else { return };
        let code = result.map_or_else(|error| error.code().as_str(), |()| "ok");
        side.user.lines.push(format!("{callback} {code}"));
        if callback == 1 {
            side.connect();
            if side.user.uncorks {
                side.step(Machine::uncork);
            }
            side.write(b"of the next connection", Some(3));
        }
    }
}

/// Regression: it was reported before the rest of the old queue, even when parked, and then its bytes
/// were counted as dropped.
#[test]
fn wr_19_a_write_on_the_next_connection_is_dropped_with_the_old_queue_only_if_it_is_in_it() {
    for (uncorks, reported) in [(true, "3 ok"), (false, "3 ERR_STREAM_DESTROYED")] {
        let again = Again { uncorks, lines: Vec::new() };
        let mut a = Side::new(&settings(), policy::NODE_EXACT, again);
        let [ours, _theirs] = End::pair();
        a.open(ours);
        a.step(|machine, _, fx| machine.cork(fx));
        a.write(b"one", Some(1));
        a.write(b"two", Some(2));
        a.destroy(None);
        a.settle();
        let [ours, _theirs] = End::pair();
        a.establish(ours);
        assert_eq!(a.user.lines, ["1 ERR_STREAM_DESTROYED", "2 ERR_STREAM_DESTROYED", reported]);
    }
}

#[test]
fn wr_21_cork_holds_back_later_writes() {
    let (mut a, mut b) = default_pair();
    a.write(b"before", None);
    a.step(|machine, _, fx| machine.cork(fx));
    a.write(b"after", None);
    run(&mut a, &mut b);
    assert_eq!(b.user.received, b"before");
    a.step(Machine::uncork);
    run(&mut a, &mut b);
    assert_eq!(b.user.received, b"beforeafter");
}

#[test]
fn rd_06_a_paused_side_stores_up_to_the_mark_and_then_stops() {
    let (mut a, mut b) = default_pair();
    b.step(|machine, _, fx| machine.pause(fx));
    for _ in 0..10 {
        a.write(&[3; 8], None);
        run(&mut a, &mut b);
    }
    assert_eq!(b.machine.read.stored_bytes(), 16);
    assert!(!b.machine.read.is_receiving());
    b.step(|machine, _, fx| machine.resume(fx));
    run(&mut a, &mut b);
    assert_eq!(b.user.received.len(), 80);
}

#[test]
fn rd_12_readable_is_emitted_and_read_n_returns_exactly_the_requested_bytes() {
    let (mut a, mut b) = default_pair();
    b.heard = Heard(1 << Event::Readable as u32);
    b.step(|machine, _, fx| machine.readable_listened(fx));
    a.write(b"abcdef", None);
    run(&mut a, &mut b);
    assert_eq!(log(&b), ["Readable"]);
    let taken = b.step(|machine, cx, fx| machine.take(Some(4), cx, fx));
    assert_eq!(taken.as_deref(), Some(&b"abcd"[..]));
    let taken = b.step(|machine, cx, fx| machine.take(Some(4), cx, fx));
    assert_eq!(taken, None);
    a.end(None);
    run(&mut a, &mut b);
    let taken = b.step(|machine, cx, fx| machine.take(Some(4), cx, fx));
    assert_eq!(taken.as_deref(), Some(&b"ef"[..]), "the rest, after the end");
}

#[test]
fn rd_14_unshifted_bytes_are_delivered_first() {
    let (mut a, mut b) = default_pair();
    b.step(|machine, _, fx| machine.pause(fx));
    a.write(b"world", None);
    run(&mut a, &mut b);
    assert!(b.step(|machine, cx, fx| machine.unshift(b"hello ", cx, fx)));
    b.step(|machine, _, fx| machine.resume(fx));
    run(&mut a, &mut b);
    assert_eq!(b.user.received, b"hello world");
}

#[test]
fn dst_18_the_callback_of_an_end_after_destroy_gets_an_error_except_under_nodes_policy() {
    for (policy, wanted) in [
        (policy::DEFAULT, &["Call 1 ERR_STREAM_DESTROYED", "Close false"][..]),
        (policy::NODE_EXACT, &["Close false"][..]),
    ] {
        let (mut a, mut b) = pair(policy);
        a.destroy(None);
        a.end(Some(1));
        run(&mut a, &mut b);
        assert_eq!(log(&a), wanted);
    }
}

#[test]
fn wr_08_under_nodes_policy_a_write_is_offered_inside_the_call() {
    for (policy, offered) in [(policy::DEFAULT, 0), (policy::NODE_EXACT, 1)] {
        let (mut a, _) = pair(policy);
        a.write(b"x", None);
        assert_eq!(sent(&a).0, offered);
    }
}

#[test]
fn end_01_under_nodes_policy_the_end_is_sent_in_the_next_turn() {
    let (mut a, _) = pair(policy::NODE_EXACT);
    a.end(None);
    a.settle();
    assert_eq!(sent(&a), (0, false));
    a.turn();
    assert_eq!(sent(&a), (0, true));
}

#[test]
fn a_connection_with_nothing_to_send_holds_no_queue() {
    let (mut a, mut b) = default_pair();
    a.write(b"x", Some(1));
    assert!(a.machine.write.has_queue());
    run(&mut a, &mut b);
    assert!(!a.machine.write.has_queue());
}

#[test]
fn a_long_chain_of_callbacks_does_not_grow_the_stack() {
    let (mut a, mut b) = default_pair();
    for number in 0..100_000 {
        a.write(b"", Some(number));
    }
    run(&mut a, &mut b);
    assert_eq!(a.user.lines.len(), 100_000);
}
