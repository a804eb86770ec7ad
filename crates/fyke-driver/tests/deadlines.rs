//! A turn ends at its deadline, regardless of earlier deadlines, on every driver of the system.

#![cfg(unix)]

use std::time::{Duration, Instant};

use fyke_driver::{Driver, DriverKind};

const SOON: Duration = Duration::from_millis(5);
const LATE: Duration = Duration::from_secs(3600);

/// Runs turns until `time` has passed, and returns their number. A turn may return early, but if every turn
/// did, the loop would spin.
fn wait(driver: &Driver, time: Duration) -> usize {
    let deadline = driver.now() + time;
    let mut turns = 0;
    loop {
        let now = driver.now();
        if now >= deadline {
            return turns;
        }
        turns += 1;
        driver.turn(Some(deadline), &mut |_| {}).unwrap();
    }
}

#[test]
fn turn_ends_at_its_deadline_after_an_earlier_turn_waited_for_a_later_one() {
    for kind in [DriverKind::Ready, DriverKind::Uring] {
        let driver = Driver::new(&kind).unwrap();
        let waker = driver.waker();
        // A wait that ends for another reason leaves the far deadline set.
        waker.wake();
        driver.now();
        driver.turn(Some(driver.now() + LATE), &mut |_| {}).unwrap();
        for _ in 0..10 {
            let turns = wait(&driver, SOON);
            assert!(turns < 10, "{kind:?}: {turns} turns for one deadline");
        }
    }
}

#[test]
fn turn_ends_at_its_deadline_even_if_the_clock_is_not_read() {
    for kind in [DriverKind::Ready, DriverKind::Uring] {
        let driver = Driver::new(&kind).unwrap();
        let started = Instant::now();
        for _ in 0..10 {
            driver.turn(Some(driver.now() + SOON), &mut |_| {}).unwrap();
        }
        assert!(started.elapsed() >= SOON, "{kind:?}: no turn waited");
    }
}

#[test]
fn turn_waits_for_a_deadline_that_was_postponed() {
    for kind in [DriverKind::Ready, DriverKind::Uring] {
        let driver = Driver::new(&kind).unwrap();
        let waker = driver.waker();
        // An idle timeout is postponed like this with every message.
        for _ in 0..100 {
            waker.wake();
            driver.now();
            driver.turn(Some(driver.now() + SOON), &mut |_| {}).unwrap();
        }
        wait(&driver, 4 * SOON);
    }
}
