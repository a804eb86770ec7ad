//! Tests of the sending side without a socket.

use super::*;

fn side() -> WriteSide<u32> {
    WriteSide::new(10)
}

fn write(side: &mut WriteSide<u32>, bytes: &[u8], callback: u32) -> bool {
    drop(side.push(bytes.into(), Some(callback), &mut NoSpares));
    side.has_room()
}

fn due(side: &mut WriteSide<u32>) -> Vec<u32> {
    let number = side.in_flight_number();
    std::iter::from_fn(|| side.next_callback(number)).collect()
}

#[test]
fn wr_03_there_is_room_below_the_mark_but_not_at_it() {
    let mut side = side();
    assert!(write(&mut side, &[0; 5], 1));
    assert!(write(&mut side, &[0; 4], 2));
    assert!(!write(&mut side, &[0; 1], 3));
    assert!(side.is_full());
}

#[test]
fn wr_03_with_a_mark_of_zero_there_is_room_only_when_empty() {
    let mut side = WriteSide::<u32>::new(0);
    assert!(side.has_room());
    drop(side.push(b"a".into(), None, &mut NoSpares));
    assert!(side.is_full() && !side.has_room());
}

#[test]
fn wr_05_drain_is_due_once_when_everything_is_sent() {
    let mut side = side();
    write(&mut side, &[0; 20], 1);
    side.submit();
    assert!(!side.sent(19) && !side.take_drain());
    assert_eq!((side.queued_bytes(), side.unsent_bytes()), (20, 1));
    assert!(side.sent(1) && side.take_drain() && !side.take_drain());
}

#[test]
fn wr_05_drain_is_not_due_after_end() {
    let mut side = side();
    write(&mut side, &[0; 20], 1);
    side.side = Side::Ended;
    side.submit();
    side.sent(20);
    assert!(!side.take_drain());
}

#[test]
fn wr_08_callbacks_of_a_batch_are_due_in_order_and_later_ones_wait() {
    let mut side = side();
    write(&mut side, b"one", 1);
    write(&mut side, b"", 2);
    write(&mut side, b"three", 3);
    side.submit();
    write(&mut side, b"four", 4);
    assert!(!side.can_submit(), "one batch at a time");
    assert!(side.sent(8));
    assert_eq!(due(&mut side), [1, 2, 3]);
    assert!(side.can_submit());
}

#[test]
fn wr_24_an_empty_write_is_done_without_a_batch() {
    let mut side = side();
    assert!(write(&mut side, b"", 1));
    assert!(side.can_submit());
    assert!(side.submit().is_none());
    assert_eq!(due(&mut side), [1]);
}

#[test]
fn wr_24_an_empty_write_waits_for_the_batch_before_it() {
    let mut side = side();
    write(&mut side, b"one", 1);
    side.submit();
    write(&mut side, b"", 2);
    side.sent(3);
    assert_eq!(due(&mut side), [1]);
    assert!(side.can_submit());
}

#[test]
fn wr_21_corked_writes_wait_and_are_sent_together() {
    let mut side = side();
    side.cork(false);
    side.cork(false);
    write(&mut side, b"a", 1);
    side.uncork();
    assert!(!side.can_submit());
    side.uncork();
    side.uncork();
    assert!(side.can_submit());
    assert_eq!(side.submit().map(|batch| batch.remaining()), Some(1));
}

/// Regression: the count was 0 after `close`.
#[test]
fn prop_13_a_closed_side_counts_its_corks_without_a_queue() {
    for corks in [1, 255, 256] {
        let mut side = side();
        (0..corks).for_each(|_| side.cork(false));
        side.leave_queue();
        assert_eq!((side.corked(), side.reclaim().is_some()), (corks, corks < 256));
        side.uncork();
        assert_eq!(side.corked(), corks - 1);
        side.uncork_all();
        assert_eq!(side.corked(), 0);
    }
}

#[test]
fn wr_21_data_written_before_cork_is_not_held_back() {
    let mut side = side();
    write(&mut side, b"be", 1);
    write(&mut side, b"fore", 2);
    side.cork(false);
    write(&mut side, b"after", 3);
    assert_eq!(side.submit().map(|batch| batch.remaining()), Some(6));
    assert!(side.sent(6));
    assert_eq!(due(&mut side), [1, 2]);
    assert!(!side.can_submit());
    side.uncork();
    assert_eq!(side.submit().map(|batch| batch.remaining()), Some(5));
}

/// Regression: a parked write was counted twice, as parked and as not held back by `cork`.
#[test]
fn wr_21_a_cork_behind_a_parked_write_holds_back_only_later_writes() {
    let mut side = side();
    write(&mut side, b"first", 1);
    side.park();
    write(&mut side, b"next", 2);
    side.cork(false);
    write(&mut side, b"held back", 3);
    assert_eq!(side.submit_parked().map(|batch| batch.remaining()), Some(5));
    assert!(side.sent(5));
    assert_eq!(side.submit().map(|batch| batch.remaining()), Some(4));
    assert!(side.sent(4) && !side.can_submit());
    side.uncork();
    assert_eq!(side.submit().map(|batch| batch.remaining()), Some(9));
}

/// Regression: the callback of the empty write was never called. The write counted as one of those that
/// `cork` does not hold back, of which none was left.
#[test]
fn wr_24_an_empty_write_between_a_parked_write_and_a_cork_is_reported() {
    let mut side = side();
    write(&mut side, b"first", 1);
    side.park();
    write(&mut side, b"", 2);
    side.cork(false);
    assert_eq!(side.submit_parked().map(|batch| batch.remaining()), Some(5));
    assert!(side.sent(5));
    side.uncork();
    assert!(side.can_submit() && side.submit().is_none());
    assert_eq!(due(&mut side), [1, 2]);
}

#[test]
fn wr_21_an_uncork_before_the_queue_is_submitted_sends_everything_together() {
    let mut side = side();
    write(&mut side, b"a", 1);
    side.cork(false);
    write(&mut side, b"b", 2);
    side.uncork();
    assert_eq!(side.submit().map(|batch| batch.remaining()), Some(2));
}

#[test]
fn large_owned_writes_keep_their_place_between_copied_ones() {
    let mut side = WriteSide::<u32>::new(10);
    let big = vec![7; 5000];
    drop(side.push(b"a".into(), None, &mut NoSpares));
    drop(side.push(big.into(), None, &mut NoSpares));
    drop(side.push(b"z".into(), None, &mut NoSpares));
    assert_eq!(side.submit().map(|batch| batch.remaining()), Some(5002));
}

#[test]
fn prop_05_bytes_that_were_never_submitted_are_not_counted() {
    let mut side = side();
    write(&mut side, b"four", 1);
    side.submit();
    write(&mut side, b"five5", 2);
    drop(side.give_up_queue());
    assert_eq!(side.accepted_bytes(), 4);
}

/// Regression: the bytes were subtracted twice. A callback that gets the failure may connect the
/// socket again.
#[test]
fn prop_05_a_queue_that_is_dropped_write_by_write_is_subtracted_once() {
    let mut side = side();
    write(&mut side, b"one", 1);
    write(&mut side, b"seven 7", 2);
    drop(side.give_up_queue());
    assert_eq!(side.next_failing(10), Some(1));
    assert_eq!(side.queued_bytes(), 7);
    drop(side.give_up_queue());
    assert_eq!((side.accepted_bytes(), side.queued_bytes()), (0, 0));
}

#[test]
fn the_count_of_sent_bytes_grows_even_if_the_next_batch_has_the_same_rest() {
    let mut side = side();
    write(&mut side, &[0; 20], 1);
    side.submit();
    side.sent(15);
    let before = (side.unsent_bytes(), side.sent_bytes());
    side.sent(5);
    write(&mut side, &[0; 20], 2);
    side.submit();
    side.sent(15);
    assert_eq!((before, side.unsent_bytes(), side.sent_bytes()), ((5, 15), 5, 35));
}
