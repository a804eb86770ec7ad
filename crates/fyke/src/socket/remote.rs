//! Sockets as other threads know them.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::{Inner, Socket};
use crate::runtime::Remote;
use crate::wiring::current_or_none;
use crate::{Error, ErrorCode, Result};

/// A reference to a [`Socket`] that may go to other threads. Made by [`Socket::to_ref`].
///
/// What a thread [`post`](Self::post)s runs on the thread of the socket's loop, with the socket. The
/// reference keeps neither the socket nor the loop alive. It is one pointer, a clone counts up, and all
/// references to one socket are equal and have the same hash: so a map of them, one for each connection,
/// is cheap. A socket that has no reference costs nothing.
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
///         // An error means that the connection is gone, and nobody waits for the answer.
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
    /// Returns a reference to this socket for other threads: always the same one.
    ///
    /// A socket that belongs to no loop yet joins the current one. If there is none, the reference is
    /// of no use: its [`post`](SocketRef::post) fails with `ERR_NO_EVENT_LOOP`.
    pub fn to_ref(&self) -> SocketRef {
        if self.inner.core.get().is_none() {
            if let Some(core) = current_or_none() {
                self.join(core);
            }
        }
        let core = self.inner.core.get();
        SocketRef(core.map_or_else(Remote::without_loop, |core| core.remote_of(&self.actor())))
    }

    /// For other threads this socket is gone.
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
    /// Runs `f` with the socket on the thread of its loop, in the loop's next turn, and wakes the loop.
    /// What one thread posts to one loop runs in order.
    ///
    /// `Ok` means that `f` is on its way. If the socket or the loop is gone before `f` runs, `f` is
    /// dropped without running. A socket is gone after its `close` event; one that was made by
    /// [`Socket::new`], and so may connect again, when its last handle is dropped.
    ///
    /// # Errors
    /// `ERR_SOCKET_CLOSED` if the socket is gone, `ERR_EVENT_LOOP_CLOSED` if its loop is. `f` is dropped
    /// then.
    pub fn post(&self, f: impl FnOnce(&Socket) + Send + 'static) -> Result<()> {
        if self.is_gone() {
            return Err(Error::new(ErrorCode::ERR_SOCKET_CLOSED, "the socket is gone"));
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

    /// Whether the socket is gone. It may be gone in the next moment if it is not, so this is for
    /// cleaning up; [`post`](Self::post) answers for itself.
    pub fn is_gone(&self) -> bool {
        self.0.is_gone()
    }
}

/// Two references are equal when they are of one socket.
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
