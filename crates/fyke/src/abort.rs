//! Cancelling from outside: Node's `AbortController` and `AbortSignal`.

use std::cell::RefCell;
use std::fmt;
use std::rc::{Rc, Weak};

use crate::server::{self, Server};
use crate::socket::{self, Socket};
use crate::{Error, ErrorCode};

/// Aborts everything that was given its [signal](Self::signal).
///
/// A socket is destroyed with an error of code `ABORT_ERR`; a server is closed, and its
/// connections stay. Not `Send`: to abort from another thread, post the call with a
/// [`LoopHandle`](crate::LoopHandle). Node: `AbortController`.
///
/// ```
/// use fyke::{AbortController, ConnectOptions, ErrorCode};
///
/// fyke::run(|| {
///     let controller = AbortController::new();
///     let options = ConnectOptions::new(("127.0.0.1", 1))?.signal(&controller.signal());
///     let client = options.connect(|_| unreachable!("aborted before"))?;
///     client.on_error(|_, error| assert_eq!(error.code(), ErrorCode::ABORT_ERR));
///     controller.abort();
///     assert!(client.destroyed());
///     Ok(())
/// })?;
/// # Ok::<(), fyke::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct AbortController {
    signal: AbortSignal,
}

/// Tells what it was given to that it shall stop. Made by [`AbortController::signal`].
#[derive(Clone, Default)]
pub struct AbortSignal(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    aborted: Option<Error>,
    targets: Vec<Target>,
}

/// What is to be stopped. Not kept alive by the signal.
enum Target {
    Socket(Weak<socket::Inner>),
    /// With the round of `listen` that the signal was given to: a later one is not its business.
    Server(Weak<server::Inner>, u64),
}

impl AbortController {
    /// A controller that has not aborted.
    pub fn new() -> Self {
        Self::default()
    }

    /// The signal to give away. All are the same.
    pub fn signal(&self) -> AbortSignal {
        self.signal.clone()
    }

    /// Stops everything that was given the signal. Repeating it does nothing.
    pub fn abort(&self) {
        self.abort_with("the operation was aborted");
    }

    /// The same, with a reason that the errors tell.
    pub fn abort_with(&self, reason: impl Into<String>) {
        let error = Error::new(ErrorCode::ABORT_ERR, reason);
        let targets = {
            let mut state = self.signal.0.borrow_mut();
            if state.aborted.is_some() {
                return;
            }
            state.aborted = Some(error.clone());
            std::mem::take(&mut state.targets)
        };
        for target in targets {
            match target {
                Target::Socket(socket) => {
                    if let Some(inner) = socket.upgrade() {
                        Socket::from_inner(inner).destroy_with(error.clone());
                    }
                }
                Target::Server(server, round) => {
                    if let Some(inner) = server.upgrade() {
                        Server::from_inner(inner).abort(round);
                    }
                }
            }
        }
    }
}

impl AbortSignal {
    /// Whether it was aborted.
    pub fn aborted(&self) -> bool {
        self.0.borrow().aborted.is_some()
    }

    /// The error that everything it stopped was given.
    pub fn reason(&self) -> Option<Error> {
        self.0.borrow().aborted.clone()
    }

    /// From here on `socket` is destroyed by the signal.
    pub(crate) fn watch_socket(&self, socket: &Socket) {
        self.add(Target::Socket(socket.downgrade()));
    }

    pub(crate) fn watch_server(&self, server: &Server, round: u64) {
        self.add(Target::Server(Rc::downgrade(server.inner()), round));
    }

    fn add(&self, target: Target) {
        let mut state = self.0.borrow_mut();
        // Before the list would grow, what is gone goes.
        if state.targets.len() == state.targets.capacity() {
            state.targets.retain(|target| match target {
                Target::Socket(socket) => socket.strong_count() > 0,
                Target::Server(server, _) => server.strong_count() > 0,
            });
        }
        state.targets.push(target);
    }

    /// `server` was closed: a later abort is not its business (PROC-09).
    pub(crate) fn forget_server(&self, server: &Server) {
        let server = Rc::downgrade(server.inner());
        self.0.borrow_mut().targets.retain(|target| match target {
            Target::Server(other, _) => !Weak::ptr_eq(other, &server),
            Target::Socket(_) => true,
        });
    }

    /// `socket` has closed: a later abort is not its business (PROC-06).
    pub(crate) fn forget_socket(&self, socket: &Socket) {
        let mut state = self.0.borrow_mut();
        state.targets.retain(|target| match target {
            Target::Socket(other) => !Weak::ptr_eq(other, &socket.downgrade()),
            Target::Server(..) => true,
        });
    }
}

impl fmt::Debug for AbortSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortSignal").field("aborted", &self.aborted()).finish()
    }
}
