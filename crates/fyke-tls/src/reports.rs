//! What rustls reports during a handshake: secrets, sessions, and certificates that are not acceptable.
//!
//! rustls reports to the configuration, which many connections share. But it does so while the engine of one connection
//! is called, on the thread of that connection. So a connection [collects](collect) what is reported during
//! these calls. No connection needs a separate configuration, and listeners may be added at any time.

use std::cell::RefCell;
use std::fmt::Write;
use std::sync::Arc;

use rustls::KeyLog;
use rustls::pki_types::CertificateDer;

use crate::resumption::Session;

thread_local! {
    /// Of the connection whose engine is being called.
    static CURRENT: RefCell<Option<Reports>> = const { RefCell::new(None) };
}

/// What a connection wants to know during one call of its engine, and what was reported.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    pub(crate) wants_keys: bool,
    pub(crate) wants_sessions: bool,
    /// The session that a client wants to continue.
    pub(crate) offered: Option<Session>,
    /// Lines of the key log.
    pub(crate) keys: Vec<String>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) rejected: Option<Rejected>,
}

/// Certificates of a peer that are not acceptable, and why.
#[derive(Debug)]
pub(crate) struct Rejected {
    pub(crate) error: rustls::Error,
    pub(crate) chain: Vec<Vec<u8>>,
}

impl Rejected {
    pub(crate) fn new(
        error: rustls::Error,
        end: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
    ) -> Self {
        let chain = std::iter::once(end).chain(others);
        Self { error, chain: chain.map(|certificate| certificate.to_vec()).collect() }
    }
}

/// Restores what an outer call collects, even if `f` panics.
struct Outer(Option<Reports>);

impl Drop for Outer {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// Returns the result of `f`, which calls rustls, and what rustls reported meanwhile.
pub(crate) fn collect<T>(wanted: Reports, f: impl FnOnce() -> T) -> (T, Reports) {
    let outer = Outer(CURRENT.replace(Some(wanted)));
    let result = f();
    let reports = CURRENT.take().unwrap_or_default();
    drop(outer);
    (result, reports)
}

/// Calls `f` if the reports of this call are collected.
pub(crate) fn report<T>(f: impl FnOnce(&mut Reports) -> T) -> Option<T> {
    CURRENT.with_borrow_mut(|current| current.as_mut().map(f))
}

/// The key log of all contexts: reports to the connections that want it, besides the log of the configuration.
#[derive(Debug)]
pub(crate) struct Keys(pub(crate) Arc<dyn KeyLog>);

fn are_wanted() -> bool {
    report(|reports| reports.wants_keys).unwrap_or(false)
}

impl KeyLog for Keys {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        if are_wanted() {
            let line = line(label, client_random, secret);
            report(|reports| reports.keys.push(line));
        }
        if self.0.will_log(label) {
            self.0.log(label, client_random, secret);
        }
    }

    fn will_log(&self, label: &str) -> bool {
        are_wanted() || self.0.will_log(label)
    }
}

/// A line in the format of NSS, which Wireshark reads.
fn line(label: &str, client_random: &[u8], secret: &[u8]) -> String {
    let mut line = String::from(label);
    for bytes in [client_random, secret] {
        line.push(' ');
        for byte in bytes {
            let _ = write!(line, "{byte:02x}");
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use rustls::NoKeyLog;

    use super::*;

    fn log_one() {
        let keys = Keys(Arc::new(NoKeyLog));
        assert_eq!(keys.will_log("LABEL"), are_wanted());
        keys.log("LABEL", &[0, 0xff], &[1]);
    }

    #[test]
    fn reports_belong_to_the_innermost_call() {
        let wants = || Reports { wants_keys: true, ..Reports::default() };
        let ((), outer) = collect(wants(), || {
            let ((), inner) = collect(Reports::default(), log_one);
            assert!(inner.keys.is_empty(), "it did not want any");
            let panics = || collect(wants(), || -> () { panic!("on purpose") });
            assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
            log_one();
        });
        assert_eq!(outer.keys, ["LABEL 00ff 01\n"]);
        log_one();
        assert!(report(|_| ()).is_none());
    }
}
