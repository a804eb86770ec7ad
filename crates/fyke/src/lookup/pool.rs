//! The threads that ask the system for names: `getaddrinfo` blocks, and there is no other way to
//! get the answers that every other program on the machine gets.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use dns_lookup::{AddrFamily, AddrInfoHints, LookupError, LookupErrorKind, getaddrinfo};
use fyke_driver::Family;

use super::Query;

/// Threads at most; started one by one, when a query finds no idle one (contract C11).
pub(super) const LOOKUP_THREADS_MAX: usize = 4;

/// Addresses of a name, or the code of the failure and the system's own error.
pub(crate) type Outcome = Result<Vec<IpAddr>, Failure>;

/// Why a name could not be resolved.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(super) code: &'static str,
    pub(super) source: Option<std::io::Error>,
}

type Report = Arc<dyn Fn(Query, Outcome) + Send + Sync>;

/// Ends its threads when dropped: at once the idle ones, the others after their query.
pub(super) struct Pool {
    shared: Arc<Shared>,
    report: Report,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queries: VecDeque<Query>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl Pool {
    pub(super) fn new(report: impl Fn(Query, Outcome) + Send + Sync + 'static) -> Self {
        let shared = Shared { state: Mutex::default(), changed: Condvar::new() };
        Self { shared: Arc::new(shared), report: Arc::new(report) }
    }

    /// Asks; the answer is reported from another thread.
    pub(super) fn ask(&self, query: Query) {
        let mut state = self.shared.lock();
        state.queries.push_back(query);
        if state.idle >= state.queries.len() || state.threads >= LOOKUP_THREADS_MAX {
            self.shared.changed.notify_one();
            return;
        }
        state.threads += 1;
        let (shared, report) = (Arc::clone(&self.shared), Arc::clone(&self.report));
        let name = String::from("fyke-lookup");
        let started = thread::Builder::new().name(name).spawn(move || shared.work(&*report));
        if let Err(error) = started {
            state.threads -= 1;
            // Another thread will come to it; if there is none, nobody will.
            if state.threads == 0 {
                let query = state.queries.pop_back();
                drop(state);
                let failure = Failure { code: "EAI_AGAIN", source: Some(error) };
                if let Some(query) = query {
                    (self.report)(query, Err(failure));
                }
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, report: &(dyn Fn(Query, Outcome) + Send + Sync)) {
        while let Some(query) = self.next() {
            let outcome = resolve(&query);
            report(query, outcome);
        }
    }

    fn next(&self) -> Option<Query> {
        let mut state = self.lock();
        loop {
            if state.closed {
                state.threads -= 1;
                return None;
            }
            if let Some(query) = state.queries.pop_front() {
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
