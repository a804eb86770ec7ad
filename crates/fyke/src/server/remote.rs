//! References to servers for other threads.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::{Inner, Server};
use crate::runtime::Remote;
use crate::wiring::current_or_none;
use crate::{Error, ErrorCode, Result};

/// A reference to a [`Server`] that can be sent to other threads. [`Server::to_ref`] makes one.
///
/// A closure that a thread passes to [`post`](Self::post) runs on the thread of the server's loop, with the
/// server as its argument. The reference keeps neither the server nor the loop alive. All references to one
/// server are equal and have the same hash.
///
/// ```
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     let server = fyke::create_server(|socket| { socket.end_with("bye"); });
///     let reference = server.to_ref();
///     server.listen_then(("127.0.0.1", 0), move |_| {
///         // For example after a signal, or when a user requests it.
///         std::thread::spawn(move || reference.post(|server| { server.close(); }));
///     })
/// })
/// # }
/// ```
#[derive(Clone)]
pub struct ServerRef(Arc<Remote>);

/// # Other threads
impl Server {
    /// Returns a reference to this server for other threads. Every call returns the same reference.
    ///
    /// A server that does not belong to a loop yet joins the current one. If there is no current loop, the
    /// reference is not usable: [`post`](ServerRef::post) fails with `ERR_NO_EVENT_LOOP`. No counterpart in
    /// Node.
    pub fn to_ref(&self) -> ServerRef {
        if self.inner.core.get().is_none() {
            if let Some(core) = current_or_none() {
                self.join(core);
            }
        }
        let core = self.inner.core.get();
        ServerRef(core.map_or_else(Remote::without_loop, |core| core.remote_of(&self.actor())))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(core) = self.core.get() {
            core.forget_remote(std::ptr::from_ref(self).cast());
        }
    }
}

impl ServerRef {
    /// Runs `f` with the server on the thread of its loop, and wakes the loop. `f` runs when
    /// [`LoopHandle::post`](crate::LoopHandle::post) would run it. Closures that one thread posts to one
    /// loop run in order.
    ///
    /// `Ok` means that `f` is queued. If the server is gone or the loop was dropped before `f` runs,
    /// `f` is dropped without running. A server is gone if it is not listening, has no connections, and
    /// its last handle was dropped. A closed server that still has a handle is not gone, because it may
    /// listen again.
    ///
    /// # Errors
    /// `ERR_SERVER_NOT_RUNNING` if the server is gone, `ERR_EVENT_LOOP_CLOSED` if its loop was dropped.
    /// `f` is dropped then.
    pub fn post(&self, f: impl FnOnce(&Server) + Send + 'static) -> Result<()> {
        if self.is_gone() {
            return Err(Error::new(
                ErrorCode::ERR_SERVER_NOT_RUNNING,
                "the server no longer exists",
            ));
        }
        let remote = Arc::clone(&self.0);
        self.0.push(move || {
            let actor = current_or_none().and_then(|core| core.find_remote(&remote));
            if let Some(Ok(inner)) = actor.map(|actor| actor.as_any().downcast()) {
                f(&Server { inner });
            }
        })
    }

    /// Returns whether the server is gone. After `false`, it may be gone the next moment; check the result
    /// of [`post`](Self::post) instead.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|_| {});
    ///     let reference = server.to_ref();
    ///     assert!(!reference.is_gone());
    ///     drop(server);
    ///     assert!(reference.is_gone());
    ///     assert!(reference.post(|_| unreachable!()).is_err());
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn is_gone(&self) -> bool {
        self.0.is_gone()
    }
}

/// Two references are equal if they refer to the same server.
impl PartialEq for ServerRef {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ServerRef {}

impl Hash for ServerRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl fmt::Debug for ServerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerRef").field("is_gone", &self.is_gone()).finish_non_exhaustive()
    }
}
