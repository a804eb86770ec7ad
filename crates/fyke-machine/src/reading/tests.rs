//! Tests of the receiving side without a socket.

use super::*;

fn flowing() -> ReadSide {
    let mut side = ReadSide::new(10);
    assert!(side.listened());
    side.begin_resume();
    side
}

#[test]
fn rd_04_the_first_listener_starts_the_flow_but_not_after_pause() {
    let mut side = ReadSide::new(10);
    side.pause();
    assert!(!side.listened());
    assert_eq!(side.flow(), Flow::Paused);
    assert!(side.resume());
}

#[test]
fn rd_05_resume_is_deferred_once() {
    let mut side = ReadSide::new(10);
    assert!(side.resume());
    side.pause();
    assert!(!side.resume());
}

#[test]
fn rd_13_flow_without_a_listener_discards_and_counts() {
    let mut side = flowing();
    assert_eq!(side.received(b"abc", false), Arrival::Discard);
    assert_eq!(side.received(b"abc", true), Arrival::Deliver);
    assert_eq!((side.bytes_read, side.stored_bytes()), (6, 0));
}

#[test]
fn rd_03_the_mark_is_checked_after_each_chunk() {
    let mut side = ReadSide::new(10);
    assert_eq!(side.received(&[0; 9], true), Arrival::Stored { stop: false });
    assert!(side.has_room());
    assert_eq!(side.received(&[0; 90], true), Arrival::Stored { stop: true });
    assert!(!side.has_room());
    assert_eq!(side.stored_bytes(), 99);
}

#[test]
fn rd_18_end_waits_until_everything_is_read_and_is_emitted_once() {
    let mut side = ReadSide::new(10);
    side.received(b"abc", true);
    assert!(!side.end_of_stream());
    assert!(!side.take_end());
    side.resume();
    side.begin_resume();
    assert_eq!(side.next_stored().as_deref(), Some(&b"abc"[..]));
    assert!(side.taken());
    assert!(!side.taken());
    assert!(side.take_end());
    assert!(!side.take_end());
}

#[test]
fn bytes_received_while_paused_are_delivered_in_order_after_resume() {
    let mut side = ReadSide::new(10);
    side.pause();
    side.received(b"one", true);
    side.received(b"two", true);
    assert_eq!(side.next_stored(), None);
    side.resume();
    side.begin_resume();
    assert_eq!(side.next_stored().as_deref(), Some(&b"one"[..]));
    // The new bytes are queued behind the stored ones.
    assert_eq!(side.received(b"three", true), Arrival::Stored { stop: false });
    assert_eq!(side.next_stored().as_deref(), Some(&b"two"[..]));
    assert_eq!(side.next_stored().as_deref(), Some(&b"three"[..]));
    assert_eq!(side.next_stored(), None);
}
