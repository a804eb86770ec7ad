//! Common traits of handles, and what may be added without breaking programs.

mod support;

use std::fmt::Debug;
use std::hash::{BuildHasher, Hash, RandomState};
use std::time::Duration;

use fyke::{
    AbortController, AbortSignal, EventLoop, ListenerId, LoopHandle, Server, Socket, timer,
};
use support::Net;

/// Clones are equal and have the same hash. Handles of different objects are not equal.
fn is_a_handle<T: Clone + Debug + Eq + Hash>(one: &T, other: &T) {
    let hashes = RandomState::new();
    assert_eq!(*one, one.clone());
    assert_eq!(hashes.hash_one(one), hashes.hash_one(one.clone()));
    assert_ne!(one, other);
}

#[test]
fn handles_are_compared_and_hashed_by_identity() {
    Net::sim().run(|| {
        let (one, other) = (Socket::new(), Socket::new());
        is_a_handle::<Socket>(&one, &other);
        is_a_handle::<ListenerId>(&one.on_end(|_| {}), &other.on_end(|_| {}));
        is_a_handle::<Server>(&Server::new(), &Server::new());
        let (one, other) = (AbortController::new(), AbortController::new());
        is_a_handle::<AbortController>(&one, &other);
        is_a_handle::<AbortSignal>(&one.signal(), &other.signal());
        assert_eq!(one.signal(), one.clone().signal());
        let set = || timer::set_timeout(Duration::from_millis(1), || {}).unwrap();
        is_a_handle::<timer::Timer>(&set(), &set());
    });
}

#[test]
fn handles_of_loops_are_equal_when_the_loop_is_the_same() {
    let loops: [EventLoop; 2] = std::array::from_fn(|_| EventLoop::new().unwrap());
    is_a_handle::<LoopHandle>(&loops[0].handle(), &loops[1].handle());
    assert_eq!(loops[0].handle(), loops[0].handle());
}

/// The first timer of each loop has the same number.
#[test]
fn timers_of_different_loops_are_not_equal() {
    let set = |event_loop: &EventLoop| {
        event_loop.enter(|| timer::set_timeout(Duration::ZERO, || {})).unwrap()
    };
    let (one, other) = (EventLoop::new().unwrap(), EventLoop::new().unwrap());
    assert_ne!(set(&one), set(&other));
}
