//! Host names to addresses, without blocking the loop. Numeric hosts never come here.

mod hints;
mod pool;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use fyke_driver::Family;
pub use hints::LookupHints;
use pool::{Failure, Outcome, Pool};

use crate::event_loop::{Core, Posted, Tick, Work};
use crate::{Error, Result};

/// What is asked. Equal queries that run at the same time are asked once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Query {
    pub(crate) host: String,
    pub(crate) family: Option<Family>,
    pub(crate) hints: LookupHints,
}

/// An answer on its way from the pool to the loop.
pub(crate) struct Answer {
    query: Query,
    outcome: Outcome,
}

/// Called with the answer, on the loop's thread. It holds the loop until then (PROC-01).
type Waiter = Box<dyn FnOnce(&Result<Vec<IpAddr>>)>;

/// The lookups of one loop.
#[derive(Default)]
pub(crate) struct Lookups {
    waiting: RefCell<HashMap<Query, Vec<(u64, Waiter)>>>,
    /// Counts who asks.
    asked: Cell<u64>,
    pool: RefCell<Option<Pool>>,
}

/// One who has asked.
#[derive(Debug)]
pub(crate) struct Ticket {
    core: Weak<Core>,
    query: Query,
    number: u64,
}

impl Ticket {
    /// Waits no longer, and holds the loop no longer. Who looks the name up goes on, and its
    /// answer is nobody's; after the answer this does nothing.
    pub(crate) fn cancel(self) {
        let Some(core) = self.core.upgrade() else { return };
        let waiter = {
            let mut waiting = core.lookups.waiting.borrow_mut();
            let Some(waiters) = waiting.get_mut(&self.query) else { return };
            let found = waiters.iter().position(|(number, _)| *number == self.number);
            let waiter = found.map(|index| waiters.remove(index));
            if waiters.is_empty() {
                waiting.remove(&self.query);
            }
            waiter
        };
        if waiter.is_some() {
            core.release();
        }
        // Here, with nothing borrowed.
        drop(waiter);
    }
}

/// Asks for the addresses of a host; `then` is called in a later turn, unless the ticket is
/// cancelled.
pub(crate) fn resolve(
    core: &Rc<Core>,
    query: Query,
    then: impl FnOnce(&Result<Vec<IpAddr>>) + 'static,
) -> Ticket {
    core.hold();
    let number = core.lookups.asked.get() + 1;
    core.lookups.asked.set(number);
    let is_new = {
        let mut waiting = core.lookups.waiting.borrow_mut();
        let waiters = waiting.entry(query.clone()).or_default();
        waiters.push((number, Box::new(then)));
        waiters.len() == 1
    };
    if is_new {
        ask(core, query.clone());
    }
    Ticket { core: Rc::downgrade(core), query, number }
}

fn ask(core: &Rc<Core>, query: Query) {
    if let Some((delay, addresses)) = core.driver.resolve(&query.host) {
        resolve_simulated(core, query, delay, addresses);
        return;
    }
    let posted = Arc::clone(&core.posted);
    let mut pool = core.lookups.pool.borrow_mut();
    pool.get_or_insert_with(|| Pool::new(move |query, outcome| report(&posted, query, outcome)))
        .ask(query);
}

fn report(posted: &Posted, query: Query, outcome: Outcome) {
    // A loop that is gone waits for nothing.
    let _ = posted.push(Work::Answer(Answer { query, outcome }));
}

/// In the simulated network names are the network's own, and so is the time that they take.
fn resolve_simulated(
    core: &Rc<Core>,
    query: Query,
    delay: std::time::Duration,
    addresses: Vec<IpAddr>,
) {
    let addresses = query.hints.select(query.family, addresses);
    let outcome = match addresses.is_empty() {
        true => Err(Failure { code: "ENOTFOUND", source: None }),
        false => Ok(addresses),
    };
    let mut answer = Some(Answer { query, outcome });
    let weak = Rc::downgrade(core);
    let callback = move || {
        if let (Some(core), Some(answer)) = (weak.upgrade(), answer.take()) {
            deliver(&core, answer);
        }
    };
    let mut timers = core.timers.borrow_mut();
    let timer = timers.set(core.now().saturating_add(delay), None, Box::new(callback));
    // Who waits for the answer holds the loop.
    timers.refer(timer, false);
}

/// Gives an answer to all who asked.
pub(crate) fn deliver(core: &Rc<Core>, answer: Answer) {
    let Answer { query, outcome } = answer;
    let waiters = core.lookups.waiting.borrow_mut().remove(&query).unwrap_or_default();
    let result =
        outcome.map_err(|Failure { code, source }| Error::lookup(code, &query.host, source));
    let result = Rc::new(result);
    for (_, waiter) in waiters {
        core.release();
        // Each by itself, so that a panic of one does not leave the others without an answer.
        let result = Rc::clone(&result);
        core.push_tick(Tick::Call(Box::new(move || waiter(&result))));
    }
}

impl Lookups {
    /// Nobody waits any more; threads end by themselves.
    pub(crate) fn abandon(&self) {
        let waiting = self.waiting.take();
        let pool = self.pool.take();
        drop((waiting, pool));
    }
}
