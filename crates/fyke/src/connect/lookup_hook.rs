//! A lookup of the user's in the place of the system's.

use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;

use fyke_driver::Family;

use crate::lookup::AnswerPlace;
use crate::wiring::Core;
use crate::{Error, LookupHints, Result};
use fyke_machine::error::MakeError;

/// What a [`lookup`](crate::ConnectOptions::lookup) hook is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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

/// The place for the answer of a [`lookup`](crate::ConnectOptions::lookup) hook. It is `Send`, so a
/// resolver on another thread can answer: the loop is woken, and goes on with the answer in its next turn.
///
/// The connect waits for the answer and holds the loop until then; if the reply is dropped without
/// an answer, the connect fails with `EAI_FAIL`. On loops made with
/// [`node_exact`](crate::EventLoopBuilder::node_exact) it is as in Node: a connect that waits for a hook does
/// not hold the loop, and dropping the reply does nothing, so the socket stays connecting. A
/// [`lookup_timeout`](crate::ConnectOptions::lookup_timeout) ends the waiting on either.
///
/// ```
/// use fyke::{ConnectOptions, ErrorCode};
///
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     let options = ConnectOptions::new(("my.test", 1)).lookup(|request, reply| {
///         std::thread::spawn(move || {
///             assert_eq!(request.host, "my.test");
///             reply.answer(Ok(vec!["127.0.0.1".parse().unwrap()]));
///         });
///     });
///     let client = options.connect()?;
///     client.on_error(|_, error| assert_eq!(error.code(), ErrorCode::ECONNREFUSED));
///     Ok(())
/// })
/// # }
/// ```
pub struct LookupReply {
    host: String,
    /// Whether dropping this without an answer is one.
    answers_when_dropped: bool,
    /// None when the answer was given.
    place: Option<AnswerPlace>,
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
    /// `give` takes the answer about `host`, on the thread of the loop.
    pub(crate) fn new(
        core: &Core,
        host: String,
        answers_when_dropped: bool,
        give: Box<dyn FnOnce(Result<Vec<IpAddr>>)>,
    ) -> Self {
        Self { host, answers_when_dropped, place: Some(AnswerPlace::new(core, give)) }
    }

    /// The host's addresses, in the order in which they are to be tried, or the error that the
    /// connect ends with: one that is made by [`Error::new`] gets the form of a resolver's error,
    /// with its code, the syscall `getaddrinfo` and the host. No addresses means `ENOTFOUND`. Does
    /// nothing if the connect or its loop is over.
    pub fn answer(mut self, result: Result<Vec<IpAddr>>) {
        let result = match result {
            // HE-23
            Ok(addresses) if addresses.is_empty() => {
                Err(Error::lookup("ENOTFOUND", &self.host, None))
            }
            // As the resolver's own errors are (HE-03).
            Err(error) if error.syscall().is_none() => {
                Err(Error::lookup(error.code().as_str(), &self.host, None))
            }
            result => result,
        };
        if let Some(place) = self.place.take() {
            place.fill(Some(result));
        }
    }
}

impl Drop for LookupReply {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        let failed = || Err(Error::lookup("EAI_FAIL", &self.host, None));
        place.fill(self.answers_when_dropped.then(failed));
    }
}

impl fmt::Debug for LookupReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookupReply").field("host", &self.host).finish_non_exhaustive()
    }
}
