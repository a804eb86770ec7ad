//! Host names to addresses, without blocking the loop. Numeric hosts never come here.

mod pool;

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use fyke_driver::Family;
use pool::{Failure, Outcome, Pool};

use crate::event_loop::{Core, Posted, Tick, Work};
use crate::{Error, Result};

/// What is asked. Equal queries that run at the same time are asked once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Query {
    pub(crate) host: String,
    pub(crate) family: Option<Family>,
}

impl Query {
    fn accepts(&self, ip: &IpAddr) -> bool {
        match self.family {
            None => true,
            Some(Family::V4) => ip.is_ipv4(),
            Some(Family::V6) => ip.is_ipv6(),
        }
    }
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
    waiting: RefCell<HashMap<Query, Vec<Waiter>>>,
    pool: RefCell<Option<Pool>>,
}

/// Asks for the addresses of a host; `then` is called in a later turn.
pub(crate) fn resolve(
    core: &Rc<Core>,
    query: Query,
    then: impl FnOnce(&Result<Vec<IpAddr>>) + 'static,
) {
    core.hold();
    let is_new = {
        let mut waiting = core.lookups.waiting.borrow_mut();
        let waiters = waiting.entry(query.clone()).or_default();
        waiters.push(Box::new(then));
        waiters.len() == 1
    };
    if !is_new {
        return;
    }
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
    let addresses: Vec<IpAddr> = addresses.into_iter().filter(|ip| query.accepts(ip)).collect();
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
    core.timers.borrow_mut().set(core.now() + delay, None, Box::new(callback));
}

/// Gives an answer to all who asked.
pub(crate) fn deliver(core: &Rc<Core>, answer: Answer) {
    let Answer { query, outcome } = answer;
    let waiters = core.lookups.waiting.borrow_mut().remove(&query).unwrap_or_default();
    let result =
        outcome.map_err(|Failure { code, source }| Error::lookup(code, &query.host, source));
    let result = Rc::new(result);
    for waiter in waiters {
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
