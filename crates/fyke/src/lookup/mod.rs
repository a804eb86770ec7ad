//! Host names to addresses, without blocking the loop. Numeric hosts never come here.

mod awaited;
mod hints;
mod pool;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use awaited::{Awaited, Give};
pub use hints::LookupHints;
pub(crate) use pool::Query;
use pool::{Failure, Outcome, Pool};

use crate::runtime::{Posted, TimerId};
use crate::wiring::{Core, Deferred, current_or_none};
use crate::{Error, Result};
use fyke_machine::error::MakeError;

/// An answer on its way from the pool to the loop.
struct Answer {
    query: Query,
    outcome: Outcome,
}

/// Called with the answer, on the loop's thread. It holds the loop until then (PROC-01).
type Waiter = Box<dyn FnOnce(&Result<Vec<IpAddr>>)>;

/// The lookups of one loop. Dropped with it: then nothing waits any more, and the threads end by
/// themselves.
#[derive(Default)]
struct Lookups {
    queries: RefCell<HashMap<Query, Asked>>,
    /// Counts the waiters.
    asked: Cell<u64>,
    pool: RefCell<Option<Pool>>,
    /// What the user's code is to answer.
    awaited: Awaited,
}

/// A query that was asked and is not answered yet.
struct Asked {
    /// By number. Empty when all were cancelled while the system was already looking the name up:
    /// then whoever asks the same again gets that answer, and no second thread is kept busy.
    waiters: BTreeMap<u64, Waiter>,
    by: By,
}

/// Who answers a query.
enum By {
    /// The pool; this is its number there.
    Pool(u64),
    /// The simulated network, when this timer is due.
    Timer(TimerId),
}

/// A lookup that somebody waits for. Dropping it changes nothing; [`cancel`](Self::cancel) does.
#[derive(Debug)]
pub(crate) struct Ticket {
    core: Weak<Core>,
    query: Query,
    number: u64,
}

impl Ticket {
    /// Stops waiting, and no longer holds the loop. A query without a waiter leaves the queue. The
    /// system cannot be stopped: a lookup that has begun keeps its thread until it is answered.
    /// After the answer this does nothing.
    pub(crate) fn cancel(self) {
        let Some(core) = self.core.upgrade() else { return };
        let waiter = {
            let lookups = core.service::<Lookups>();
            let mut queries = lookups.queries.borrow_mut();
            let Some(asked) = queries.get_mut(&self.query) else { return };
            let waiter = asked.waiters.remove(&self.number);
            if asked.waiters.is_empty() && lookups.withdraw(&core, &asked.by) {
                queries.remove(&self.query);
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
    let lookups = core.service::<Lookups>();
    let number = lookups.asked.get() + 1;
    lookups.asked.set(number);
    let waiter: Waiter = Box::new(then);
    let mut queries = lookups.queries.borrow_mut();
    if let Some(asked) = queries.get_mut(&query) {
        asked.waiters.insert(number, waiter);
    } else {
        let by = lookups.ask(core, query.clone());
        let waiters = BTreeMap::from([(number, waiter)]);
        queries.insert(query.clone(), Asked { waiters, by });
    }
    Ticket { core: Rc::downgrade(core), query, number }
}

/// Reports to the loop from other threads. A thread that is still busy when the loop is gone keeps
/// nothing of it.
fn reporter(core: &Core) -> impl Fn(Query, Outcome) + Send + Sync + 'static {
    let posted = Arc::downgrade(&core.posted);
    move |query, outcome| {
        if let Some(posted) = posted.upgrade() {
            report(&posted, query, outcome);
        }
    }
}

fn report(posted: &Posted, query: Query, outcome: Outcome) {
    let answer = Answer { query, outcome };
    let call = move || {
        if let Some(core) = current_or_none() {
            deliver(&core, answer);
        }
    };
    // A loop that is gone waits for nothing.
    let _ = posted.push(Box::new(call));
}

/// In the simulated network names are the network's own, and so is the time that they take.
fn resolve_simulated(
    core: &Rc<Core>,
    query: Query,
    delay: Duration,
    addresses: Vec<IpAddr>,
) -> TimerId {
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
    let timer = core.set_timer(core.now().saturating_add(delay), None, Box::new(callback));
    // What waits for the answer holds the loop.
    core.refer_timer(timer, false);
    timer
}

/// Gives an answer to everything that waits for it.
fn deliver(core: &Rc<Core>, answer: Answer) {
    let Answer { query, outcome } = answer;
    let asked = core.service::<Lookups>().queries.borrow_mut().remove(&query);
    let waiters = asked.map(|asked| asked.waiters).unwrap_or_default();
    let result =
        outcome.map_err(|Failure { code, source }| Error::lookup(code, &query.host, source));
    let result = Rc::new(result);
    for waiter in waiters.into_values() {
        core.release();
        // Each by itself, so that a panic of one does not leave the others without an answer.
        let result = Rc::clone(&result);
        core.push_tick(Deferred::Call(Box::new(move || waiter(&result))));
    }
}

impl Lookups {
    fn ask(&self, core: &Rc<Core>, query: Query) -> By {
        if let Some((delay, addresses)) = core.driver.resolve(&query.host) {
            return By::Timer(resolve_simulated(core, query, delay, addresses));
        }
        let mut pool = self.pool.borrow_mut();
        let pool = pool.get_or_insert_with(|| Pool::new(reporter(core)));
        By::Pool(pool.ask(query))
    }

    /// Takes a query back that nothing waits for any more. Returns whether that was possible.
    fn withdraw(&self, core: &Core, by: &By) -> bool {
        match by {
            By::Pool(number) => {
                self.pool.borrow().as_ref().is_none_or(|pool| pool.withdraw(*number))
            }
            By::Timer(timer) => {
                // What the timer captured is not the user's, so it may be dropped here.
                core.cancel_timer(*timer);
                true
            }
        }
    }
}

/// The place of one answer that the user's code gives. What takes the answer stays with its loop, so this can go to other threads.
pub(crate) struct AnswerPlace {
    posted: Arc<Posted>,
    number: u64,
}

impl AnswerPlace {
    /// `give` is called on the thread of the loop.
    pub(crate) fn new(core: &Core, give: Give) -> Self {
        let number = core.service::<Lookups>().awaited.add(give);
        Self { posted: Arc::clone(&core.posted), number }
    }

    /// Gives the answer, or none for good: at once in a callback of the loop, otherwise in its next turn.
    pub(crate) fn fill(self, answer: Option<Result<Vec<IpAddr>>>) {
        let Self { posted, number } = self;
        match current_or_none().filter(|core| Arc::ptr_eq(&core.posted, &posted)) {
            Some(core) => fill(&core, number, answer),
            None => {
                let call = move || {
                    if let Some(core) = current_or_none() {
                        fill(&core, number, answer);
                    }
                };
                // A loop that is gone waits for nothing.
                let _ = posted.push(Box::new(call));
            }
        }
    }
}

fn fill(core: &Core, number: u64, answer: Option<Result<Vec<IpAddr>>>) {
    if core.is_closed() {
        return;
    }
    let give = core.service::<Lookups>().awaited.take(number);
    // What is not given is dropped here, with nothing borrowed.
    if let (Some(give), Some(answer)) = (give, answer) {
        give(answer);
    }
}
