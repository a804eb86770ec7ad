//! The threads that ask the system for names: `getaddrinfo` blocks, and there is no other way to
//! get the answers that every other program on the machine gets.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use dns_lookup::{AddrFamily, AddrInfoHints, LookupError, LookupErrorKind, getaddrinfo};
use fyke_driver::Family;

use super::hints::LookupHints;

/// The most threads of one loop; they are started one by one, when a query finds no idle one
/// (contract C11).
pub(super) const LOOKUP_THREADS_MAX: usize = 4;

/// The most queries of one loop that wait for a thread. Further ones fail at once.
pub(super) const LOOKUP_QUEUE_MAX: usize = 4096;

/// What is asked. Equal queries that run at the same time are asked once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Query {
    pub(crate) host: String,
    pub(crate) family: Option<Family>,
    pub(crate) hints: LookupHints,
}

/// The addresses of a name, or the code of the failure and the system's own error.
pub(crate) type Outcome = Result<Vec<IpAddr>, Failure>;

/// Why a name could not be resolved.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(super) code: &'static str,
    pub(super) source: Option<io::Error>,
}

/// Answers a query, and may block.
type Resolve = dyn Fn(&Query) -> Outcome + Send + Sync;

type Report = dyn Fn(Query, Outcome) + Send + Sync;

/// Dropping it ends its threads: idle ones at once, the others when the system has answered.
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
    /// A pool that asks the system.
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

    /// Asks; the answer is reported, usually from another thread. Returns the number by which the
    /// query can be withdrawn.
    pub(super) fn ask(&self, query: Query) -> u64 {
        let mut state = self.shared.lock();
        state.asked += 1;
        let number = state.asked;
        if state.queries.len() >= LOOKUP_QUEUE_MAX {
            drop(state);
            let message = format!("{LOOKUP_QUEUE_MAX} lookups wait already");
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
            // A thread that runs takes the query later. Without one it would wait for ever.
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

    /// Takes a query out of the queue. Returns whether it was still there: if not, a thread has it,
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

/// SOCK_STREAM, which is 1 everywhere (sys/socket.h): each address once, not once per type.
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

/// EAI_ADDRFAMILY of glibc: the host has addresses, and none of the family.
const ADDRESS_FAMILY: i32 = -9;

/// "No such name" and "no such data" are both ENOTFOUND (HE-03).
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
