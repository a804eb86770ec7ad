//! References to sockets for other threads.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::{Inner, Socket};
use crate::runtime::Remote;
use crate::wiring::current_or_none;
use crate::{Error, ErrorCode, Result};

/// A reference to a [`Socket`] that can be sent to other threads. [`Socket::to_ref`] makes one.
///
/// A closure that a thread passes to [`post`](Self::post) runs on the thread of the socket's loop, with the
/// socket as its argument. The reference keeps neither the socket nor the loop alive. It is one pointer
/// with a reference count, and all references to one socket are equal and have the same hash, so a map with
/// one reference per connection is cheap. A socket without references has no extra cost.
///
/// ```
/// use std::sync::mpsc;
///
/// # fn main() -> fyke::Result<()> {
/// // A thread that computes answers, for all connections.
/// let (questions, work) = mpsc::channel::<(fyke::SocketRef, Vec<u8>)>();
/// std::thread::spawn(move || {
///     for (socket, mut question) in work {
///         question.make_ascii_uppercase();
///         // An error means that the connection is gone, so the answer is not needed.
///         let _ = socket.post(move |socket| { socket.end_with(question); });
///     }
/// });
///
/// fyke::run(move || {
///     let server = fyke::create_server(move |socket| {
///         socket.server().unwrap().close();
///         let questions = questions.clone();
///         socket.on_data(move |socket, data| {
///             questions.send((socket.to_ref(), data.to_vec())).unwrap();
///         });
///     });
///     server.listen_then(("127.0.0.1", 0), |server| {
///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
///         client.once_connect(|client| _ = client.write("hello"));
///         client.on_text(|_, text| assert_eq!(text, "HELLO"));
///     })
/// })
/// # }
/// ```
#[derive(Clone)]
pub struct SocketRef(Arc<Remote>);

/// # Other threads
impl Socket {
    /// Returns a reference to this socket for other threads. Every call returns the same reference.
    ///
    /// A socket that does not belong to a loop yet joins the current one. If there is no current loop, the
    /// reference is not usable: [`post`](SocketRef::post) fails with `ERR_NO_EVENT_LOOP`. No counterpart in
    /// Node.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| {
    ///         let reference = socket.to_ref();
    ///         std::thread::spawn(move || {
    ///             reference.post(|socket| _ = socket.end_with("from a thread"))
    ///         });
    ///     });
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.on_text(|_, text| assert_eq!(text, "from a thread"));
    ///     })
    /// })
    /// # }
    /// ```
    pub fn to_ref(&self) -> SocketRef {
        if self.inner.core.get().is_none() {
            if let Some(core) = current_or_none() {
                self.join(core);
            }
        }
        let core = self.inner.core.get();
        SocketRef(core.map_or_else(Remote::without_loop, |core| core.remote_of(&self.actor())))
    }

    /// Marks this socket as gone for other threads.
    pub(super) fn forget_remote(&self) {
        if let Some(core) = self.inner.core.get() {
            core.forget_remote(self.place());
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(core) = self.core.get() {
            core.forget_remote(std::ptr::from_ref(self).cast());
        }
    }
}

impl SocketRef {
    /// Runs `f` with the socket on the thread of its loop, and wakes the loop. `f` runs when
    /// [`LoopHandle::post`](crate::LoopHandle::post) would run it. Closures that one thread posts to one
    /// loop run in order.
    ///
    /// `Ok` means that `f` is queued. If the socket is gone or the loop was dropped before `f` runs,
    /// `f` is dropped without running. A socket is gone after its `close` event. A socket made by
    /// [`Socket::new`] may connect again, so it is gone when its last handle is dropped.
    ///
    /// # Errors
    /// `ERR_SOCKET_CLOSED` if the socket is gone, `ERR_EVENT_LOOP_CLOSED` if its loop was dropped. `f`
    /// is dropped then.
    pub fn post(&self, f: impl FnOnce(&Socket) + Send + 'static) -> Result<()> {
        if self.is_gone() {
            return Err(Error::new(ErrorCode::ERR_SOCKET_CLOSED, "the socket no longer exists"));
        }
        let remote = Arc::clone(&self.0);
        self.0.push(move || {
            let actor = current_or_none().and_then(|core| core.find_remote(&remote));
            if let Some(Ok(inner)) = actor.map(|actor| actor.as_any().downcast()) {
                let socket = Socket::from_inner(inner);
                socket.guarded(|| f(&socket));
                socket.sync();
            }
        })
    }

    /// Returns whether the socket is gone. After `false`, it may be gone the next moment, so use this only
    /// to clean up; otherwise check the result of [`post`](Self::post).
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.end());
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         let reference = client.to_ref();
    ///         assert!(!reference.is_gone());
    ///         client.destroy();
    ///         // After the `close` event:
    ///         let later = move || assert!(reference.is_gone() && reference.post(|_| ()).is_err());
    ///         fyke::timer::set_timeout(std::time::Duration::from_millis(1), later).unwrap();
    ///     })
    /// })
    /// # }
    /// ```
    pub fn is_gone(&self) -> bool {
        self.0.is_gone()
    }
}

/// Two references are equal if they refer to the same socket.
impl PartialEq for SocketRef {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SocketRef {}

impl Hash for SocketRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl fmt::Debug for SocketRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketRef").field("is_gone", &self.is_gone()).finish_non_exhaustive()
    }
}
