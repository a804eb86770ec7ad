//! Shared by the socket tests: every test runs on every driver, waits for events and not for the clock,
//! and fails instead of hanging.

#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

pub(crate) mod child;
pub(crate) mod frames;
pub(crate) mod futures;
pub(crate) mod net;
pub(crate) mod options;
pub(crate) mod steps;
pub(crate) mod timeouts;

use std::cell::RefCell;
use std::rc::Rc;

use fyke::{Result, Socket};

pub(crate) use net::{DEADLINE, Log, Net, drive, pattern, settled, when};

/// The simulated networks of `on_every_driver`.
pub(crate) fn sims() -> [Net; 1] {
    [Net::sim()]
}

/// Collects what a socket receives.
pub(crate) fn collect(socket: &Socket) -> Rc<RefCell<Vec<u8>>> {
    let bytes: Rc<RefCell<Vec<u8>>> = Rc::default();
    let sink = Rc::clone(&bytes);
    socket.on_data(move |_, data| sink.borrow_mut().extend_from_slice(data));
    bytes
}

/// A result as one word.
pub(crate) fn word(result: &Result<()>) -> String {
    result.as_ref().map_or_else(|error| error.code().to_string(), |()| String::from("ok"))
}
