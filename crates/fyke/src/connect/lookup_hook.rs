//! A user-defined lookup that replaces the system's.

use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;

use fyke_driver::Family;

use crate::lookup::AnswerPlace;
use crate::wiring::Core;
use crate::{Error, LookupHints, Result};
use fyke_machine::error::MakeError;

/// The question to a [`lookup`](crate::ConnectOptions::lookup) hook.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct LookupRequest {
    /// The host as it was passed to the connect.
    pub host: String,
    /// If set, only addresses of this family are requested.
    pub family: Option<Family>,
    /// The [`hints`](crate::ConnectOptions::hints) of the connect, or their defaults.
    pub hints: LookupHints,
    /// Whether all addresses are requested, because several may be tried. Otherwise only the first one is
    /// used.
    pub all: bool,
}

/// Receives the answer of a [`lookup`](crate::ConnectOptions::lookup) hook. It is `Send`, so a resolver on
/// another thread can answer: the answer wakes the loop, which continues the connect in its next turn.
///
/// The connect waits for the answer and keeps the loop alive until then. If the reply is dropped without an
/// answer, the connect fails with `EAI_FAIL`. A loop made with
/// [`node_exact`](crate::EventLoopBuilder::node_exact) behaves like Node: a connect that waits for a hook
/// does not keep the loop alive, and dropping the reply does nothing, so the socket stays connecting. In
/// both cases a [`lookup_timeout`](crate::ConnectOptions::lookup_timeout) limits the wait.
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
    /// Whether dropping the reply counts as an answer.
    answers_when_dropped: bool,
    /// `None` after an answer was given.
    place: Option<AnswerPlace>,
}

/// The hook as it is stored in the options.
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
    /// Makes a reply for `host`. `give` is called with the answer, on the loop's thread.
    pub(crate) fn new(
        core: &Core,
        host: String,
        answers_when_dropped: bool,
        give: Box<dyn FnOnce(Result<Vec<IpAddr>>)>,
    ) -> Self {
        Self { host, answers_when_dropped, place: Some(AnswerPlace::new(core, give)) }
    }

    /// Answers with the host's addresses, in the order in which to try them, or with the error that the
    /// connect fails with. An error made with [`Error::new`] is completed like a resolver's error: it keeps
    /// its code and gets the syscall `getaddrinfo` and the host. An empty list of addresses fails with
    /// `ENOTFOUND`. Does nothing if the connect has ended or its loop was dropped.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let options = fyke::ConnectOptions::new(("my.test", 1)).lookup(|request, reply| {
    ///         let code = fyke::ErrorCode::ENOTFOUND;
    ///         reply.answer(Err(fyke::Error::new(code, format!("{} is not in the table", request.host))));
    ///     });
    ///     let client = options.connect()?;
    ///     client.on_error(|_, error| assert_eq!(error.to_string(), "getaddrinfo ENOTFOUND my.test"));
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn answer(mut self, result: Result<Vec<IpAddr>>) {
        let result = match result {
            // HE-23
            Ok(addresses) if addresses.is_empty() => {
                Err(Error::lookup("ENOTFOUND", &self.host, None))
            }
            // The resolver's own errors have the same form (HE-03).
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
