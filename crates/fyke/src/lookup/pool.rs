//! The threads that resolve names with `getaddrinfo`. It blocks, and it is the only way to get the same
//! answers as every other program on the machine.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use dns_lookup::{AddrFamily, AddrInfoHints, LookupError, LookupErrorKind, getaddrinfo};
use fyke_driver::Family;

use super::hints::LookupHints;

/// The maximum number of threads of one loop. A thread is started only when a query finds no idle one.
// Contract C11
pub(super) const LOOKUP_THREADS_MAX: usize = 4;

/// The maximum number of queries of one loop that wait for a thread. Further queries fail at once.
pub(super) const LOOKUP_QUEUE_MAX: usize = 4096;

/// A query. Equal queries that run at the same time are resolved only once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Query {
    pub(crate) host: String,
    pub(crate) family: Option<Family>,
    pub(crate) hints: LookupHints,
}

/// The addresses of a name, or the error code and the system's error.
pub(crate) type Outcome = Result<Vec<IpAddr>, Failure>;

/// Why a name could not be resolved.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(super) code: &'static str,
    pub(super) source: Option<io::Error>,
}

/// Answers a query. May block.
type Resolve = dyn Fn(&Query) -> Outcome + Send + Sync;

type Report = dyn Fn(Query, Outcome) + Send + Sync;

/// Dropping the pool ends its threads: idle ones at once, the others when the system has answered.
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    resolve: Box<Resolve>,
    report: Box<Report>,
}

#[derive(Default)]
struct State {
    /// The queries that wait for a thread, by number: the oldest first.
    queries: BTreeMap<u64, Query>,
    asked: u64,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl Pool {
    /// Makes a pool that uses the system's resolver.
    pub(super) fn new(report: impl Fn(Query, Outcome) + Send + Sync + 'static) -> Self {
        Self::with_resolver(resolve, report)
    }

    pub(super) fn with_resolver(
        resolve: impl Fn(&Query) -> Outcome + Send + Sync + 'static,
        report: impl Fn(Query, Outcome) + Send + Sync + 'static,
    ) -> Self {
        let shared = Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            resolve: Box::new(resolve),
            report: Box::new(report),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Submits a query; the answer is reported, usually from another thread. Returns the number with which
    /// the query can be withdrawn.
    pub(super) fn ask(&self, query: Query) -> u64 {
        let mut state = self.shared.lock();
        state.asked += 1;
        let number = state.asked;
        if state.queries.len() >= LOOKUP_QUEUE_MAX {
            drop(state);
            let message = format!("{LOOKUP_QUEUE_MAX} lookups are queued, which is the maximum");
            self.fail(query, io::Error::new(io::ErrorKind::ResourceBusy, message));
            return number;
        }
        state.queries.insert(number, query);
        if state.idle >= state.queries.len() || state.threads >= LOOKUP_THREADS_MAX {
            self.shared.changed.notify_one();
            return number;
        }
        state.threads += 1;
        let shared = Arc::clone(&self.shared);
        let name = String::from("fyke-lookup");
        if let Err(error) = thread::Builder::new().name(name).spawn(move || shared.work()) {
            state.threads -= 1;
            // If a thread is running, it takes the query later. Without a thread the query would wait
            // forever.
            if state.threads == 0 {
                let query = state.queries.remove(&number);
                drop(state);
                if let Some(query) = query {
                    self.fail(query, error);
                }
            }
        }
        number
    }

    /// Removes a query from the queue. Returns whether it was still there; if not, a thread has taken it,
    /// and its answer will be reported.
    pub(super) fn withdraw(&self, number: u64) -> bool {
        self.shared.lock().queries.remove(&number).is_some()
    }

    fn fail(&self, query: Query, source: io::Error) {
        let failure = Failure { code: "EAI_AGAIN", source: Some(source) };
        (self.shared.report)(query, Err(failure));
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let queries = {
            let mut state = self.shared.lock();
            state.closed = true;
            std::mem::take(&mut state.queries)
        };
        drop(queries);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(query) = self.next() {
            let outcome = (self.resolve)(&query);
            (self.report)(query, outcome);
        }
    }

    fn next(&self) -> Option<Query> {
        let mut state = self.lock();
        loop {
            if state.closed {
                state.threads -= 1;
                return None;
            }
            if let Some((_, query)) = state.queries.pop_first() {
                return Some(query);
            }
            state.idle += 1;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }
}

/// SOCK_STREAM, which is 1 on all systems (sys/socket.h): it makes the resolver return each address once,
/// not once per socket type.
const STREAM: i32 = 1;

fn resolve(query: &Query) -> Outcome {
    let family = query.family.map_or(0, |family| match family {
        Family::V4 => AddrFamily::Inet.into(),
        Family::V6 => AddrFamily::Inet6.into(),
    });
    let hints = AddrInfoHints {
        flags: query.hints.system_flags(),
        address: family,
        socktype: STREAM,
        ..AddrInfoHints::default()
    };
    let found = getaddrinfo(Some(&query.host), None, Some(hints))
        .map_err(|error| Failure { code: code(&error), source: Some(error.into()) })?;
    let addresses: Vec<IpAddr> =
        found.filter_map(Result::ok).map(|found| found.sockaddr.ip()).collect();
    if addresses.is_empty() {
        return Err(Failure { code: "ENOTFOUND", source: None });
    }
    Ok(addresses)
}

/// glibc's EAI_ADDRFAMILY: the host has addresses, but none of the requested family.
const ADDRESS_FAMILY: i32 = -9;

/// The codes for "no such name" and "no such data" are both ENOTFOUND.
// HE-03
fn code(error: &LookupError) -> &'static str {
    if cfg!(target_os = "linux") && error.error_num() == ADDRESS_FAMILY {
        return "ENOTFOUND";
    }
    match error.kind() {
        LookupErrorKind::NoName | LookupErrorKind::NoData => "ENOTFOUND",
        LookupErrorKind::Again => "EAI_AGAIN",
        LookupErrorKind::Badflags => "EAI_BADFLAGS",
        LookupErrorKind::Family => "EAI_FAMILY",
        LookupErrorKind::Memory => "EAI_MEMORY",
        LookupErrorKind::Service => "EAI_SERVICE",
        LookupErrorKind::Socktype => "EAI_SOCKTYPE",
        _ => "EAI_FAIL",
    }
}
