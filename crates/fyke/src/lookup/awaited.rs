//! Lookup answers from user code that a loop waits for.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;

use crate::Result;

/// Called with the answer, on the loop's thread.
pub(super) type Give = Box<dyn FnOnce(Result<Vec<IpAddr>>)>;

/// The receivers of the answers, by number.
#[derive(Default)]
pub(super) struct Awaited {
    gives: RefCell<HashMap<u64, Give>>,
    last: Cell<u64>,
}

impl Awaited {
    pub(super) fn add(&self, give: Give) -> u64 {
        let number = self.last.get() + 1;
        self.last.set(number);
        self.gives.borrow_mut().insert(number, give);
        number
    }

    pub(super) fn take(&self, number: u64) -> Option<Give> {
        self.gives.borrow_mut().remove(&number)
    }
}
