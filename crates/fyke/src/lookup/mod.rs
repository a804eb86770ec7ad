//! Resolves host names to addresses without blocking the loop. IP addresses are never looked up.

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
use crate::wiring::{Core, Deferred, current_or_none, current_with};
use crate::{Error, Result};
use fyke_machine::error::MakeError;

/// An answer on its way from the pool to the loop.
struct Answer {
    query: Query,
    outcome: Outcome,
}

/// Called with the answer, on the loop's thread. Keeps the loop alive until then.
// PROC-01
type Waiter = Box<dyn FnOnce(&Result<Vec<IpAddr>>)>;

/// The lookups of one loop. When the loop drops them, no waiter remains, and the threads end by themselves.
#[derive(Default)]
struct Lookups {
    queries: RefCell<HashMap<Query, Asked>>,
    /// Counts the waiters.
    asked: Cell<u64>,
    pool: RefCell<Option<Pool>>,
    /// Answers that user code will give.
    awaited: Awaited,
}

/// A query that is not answered yet.
struct Asked {
    /// The waiters, by number. Empty if all were cancelled after the system had started the lookup: a later
    /// request for the same query then gets that answer, and no second thread is kept busy.
    waiters: BTreeMap<u64, Waiter>,
    by: By,
}

/// The source of the answer to a query.
enum By {
    /// The thread pool; the number identifies the query there.
    Pool(u64),
    /// The simulated network, when this timer is due.
    Timer(TimerId),
}

/// A lookup with a waiter. Dropping the ticket changes nothing; [`cancel`](Self::cancel) stops waiting.
#[derive(Debug)]
pub(crate) struct Ticket {
    core: Weak<Core>,
    query: Query,
    number: u64,
}

impl Ticket {
    /// Stops waiting, and no longer keeps the loop alive. A query without a waiter leaves the queue. The
    /// system's resolver cannot be stopped: a lookup that has started keeps its thread until it is
    /// answered. Does nothing after the answer.
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
        // Dropped here, while nothing is borrowed.
        drop(waiter);
    }
}

/// Requests the addresses of a host. `then` is called in a later turn, unless the ticket is cancelled.
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

/// Returns a function that reports answers to the loop from other threads. It keeps nothing of the loop
/// alive, even if a thread is still busy when the loop is dropped.
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
    // A loop that was dropped needs no answer.
    let _ = posted.push(Box::new(call));
}

/// Resolves a name in the simulated network, which has its own names and its own lookup time.
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
    // The waiters keep the loop alive, not the timer.
    core.refer_timer(timer, false);
    timer
}

/// Gives an answer to all of its waiters.
fn deliver(core: &Rc<Core>, answer: Answer) {
    let Answer { query, outcome } = answer;
    let asked = core.service::<Lookups>().queries.borrow_mut().remove(&query);
    let waiters = asked.map(|asked| asked.waiters).unwrap_or_default();
    let result =
        outcome.map_err(|Failure { code, source }| Error::lookup(code, &query.host, source));
    let result = Rc::new(result);
    for waiter in waiters.into_values() {
        core.release();
        // Deferred separately, so that a panic in one waiter does not leave the others without an answer.
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

    /// Withdraws a query that has no waiters. Returns whether that was possible.
    fn withdraw(&self, core: &Core, by: &By) -> bool {
        match by {
            By::Pool(number) => {
                self.pool.borrow().as_ref().is_none_or(|pool| pool.withdraw(*number))
            }
            By::Timer(timer) => {
                // The timer captured nothing of the user's, so dropping its callback is allowed here.
                core.cancel_timer(*timer);
                true
            }
        }
    }
}

/// A pending answer from user code. The receiver of the answer stays with its loop, so this value can move
/// to other threads.
pub(crate) struct AnswerPlace {
    posted: Arc<Posted>,
    number: u64,
}

impl AnswerPlace {
    /// `give` is called on the loop's thread.
    pub(crate) fn new(core: &Core, give: Give) -> Self {
        let number = core.service::<Lookups>().awaited.add(give);
        Self { posted: Arc::clone(&core.posted), number }
    }

    /// Gives the answer; `None` means that there will be no answer. It takes effect at once in a callback
    /// of the loop, otherwise in the loop's next turn.
    pub(crate) fn fill(self, answer: Option<Result<Vec<IpAddr>>>) {
        let Self { posted, number } = self;
        match current_with(&posted) {
            Some(core) => fill(&core, number, answer),
            None => {
                let call = move || {
                    if let Some(core) = current_or_none() {
                        fill(&core, number, answer);
                    }
                };
                // A loop that was dropped needs no answer.
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
    // If there is no answer, `give` is dropped here, while nothing is borrowed.
    if let (Some(give), Some(answer)) = (give, answer) {
        give(answer);
    }
}
