//! A lookup of the user's in the place of the system's.

use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;

use fyke_driver::Family;

use crate::{Error, LookupHints, Result};
use fyke_machine::error::MakeError;

/// What a [`lookup`](crate::ConnectOptions::lookup) hook is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LookupRequest {
    /// The host as it was given.
    pub host: String,
    /// Only addresses of this family are wanted.
    pub family: Option<Family>,
    /// What the [`hints`](crate::ConnectOptions::hints) of the connect say, or its defaults.
    pub hints: LookupHints,
    /// All addresses are wanted: several may be tried. Otherwise only the first counts.
    pub all: bool,
}

/// Where a [`lookup`](crate::ConnectOptions::lookup) hook gives its answer: at once, or later, on
/// the loop's thread.
///
/// The connect waits for the answer and holds the loop until then; if the reply is dropped without
/// an answer, the connect fails with `EAI_FAIL`. On loops made with
/// [`node_exact`](crate::Builder::node_exact) it is as in Node: a connect that waits for a hook does
/// not hold the loop, and dropping the reply does nothing, so the socket stays connecting. A
/// [`lookup_timeout`](crate::ConnectOptions::lookup_timeout) ends the waiting on either.
pub struct LookupReply {
    host: String,
    /// Whether dropping this without an answer is one.
    answers_when_dropped: bool,
    /// Takes the answer. None when it was given.
    give: Option<Box<dyn FnOnce(Result<Vec<IpAddr>>)>>,
}

/// The hook as the options keep it.
#[derive(Clone)]
pub(crate) struct LookupHook(Rc<dyn Fn(LookupRequest, LookupReply)>);

impl LookupHook {
    pub(super) fn new(f: impl Fn(LookupRequest, LookupReply) + 'static) -> Self {
        Self(Rc::new(f))
    }

    pub(crate) fn ask(&self, request: LookupRequest, reply: LookupReply) {
        (self.0)(request, reply);
    }
}

impl fmt::Debug for LookupHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LookupHook")
    }
}

impl LookupReply {
    /// `give` takes the answer about `host`.
    pub(crate) fn new(
        host: String,
        answers_when_dropped: bool,
        give: Box<dyn FnOnce(Result<Vec<IpAddr>>)>,
    ) -> Self {
        Self { host, answers_when_dropped, give: Some(give) }
    }

    /// The host's addresses, in the order in which they are to be tried, or the error that the
    /// connect ends with: one that is made by [`Error::new`] gets the form of a resolver's error,
    /// with its code, the syscall `getaddrinfo` and the host. No addresses is `ENOTFOUND` (HE-23).
    pub fn answer(mut self, result: Result<Vec<IpAddr>>) {
        self.give(result);
    }

    fn give(&mut self, result: Result<Vec<IpAddr>>) {
        let Some(give) = self.give.take() else { return };
        let result = match result {
            Ok(addresses) if addresses.is_empty() => {
                Err(Error::lookup("ENOTFOUND", &self.host, None))
            }
            // As the resolver's own errors are (HE-03).
            Err(error) if error.syscall().is_none() => {
                Err(Error::lookup(error.code().as_str(), &self.host, None))
            }
            result => result,
        };
        give(result);
    }
}

impl Drop for LookupReply {
    fn drop(&mut self) {
        if self.answers_when_dropped {
            let error = Error::lookup("EAI_FAIL", &self.host, None);
            self.give(Err(error));
        }
    }
}

impl fmt::Debug for LookupReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookupReply").field("host", &self.host).finish_non_exhaustive()
    }
}
