//! The loop: one thread's sockets, timers and callbacks. `docs/LOOP.md` numbers the phases of a
//! turn, and the comments here refer to the numbers.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fyke_driver::DriverKind;

use crate::runtime::{self, Posted};
use crate::wiring::{Core, Entered, current};
use crate::{Error, ErrorCode, Result};
use fyke_machine::error::MakeError;
use fyke_machine::{Lanes, policy};

/// Makes an event loop on this thread, calls `setup` inside it, and runs it until nothing keeps it alive:
/// no listening server, open socket, lookup or timer, unless it was `unref`'ed. That is Node's rule.
///
/// `setup` may fail with any error type that fyke's [`Error`] converts into, so `?` works inside it on
/// whatever that type takes: [`fyke::Error`](Error) itself and [`io::Error`](std::io::Error) take
/// errors of fyke and of the standard library, `anyhow::Error` and `Box<dyn std::error::Error>` take
/// nearly all.
///
/// # Errors
/// What `setup` returns; the loop does not run then. An error of a server that has no `on_error`
/// listener, at once; the first such error of an outgoing connection, when the loop has ended (see
/// [`Socket::on_error`](crate::Socket::on_error)). `EMFILE`, `ENOMEM` and the like if the loop cannot be
/// made.
///
/// ```
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     let server = fyke::create_server(|socket| {
///         socket.end_with("hello\n");
///     });
///     server.listen_then(("127.0.0.1", 0), |server| {
///         println!("listening on {:?}", server.address());
///         server.close(); // nothing holds the loop any more
///     })
/// })
/// # }
/// ```
///
/// With errors of several kinds, what `main` returns says which error type is meant:
///
/// ```
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     fyke::run(|| {
///         let port: u16 = std::env::var("PORT").as_deref().unwrap_or("0").parse()?;
///         let server = fyke::create_server(|socket| {
///             socket.end_with("hello\n");
///         });
///         server.listen_then(("127.0.0.1", port), |server| { server.close(); })?;
///         Ok(())
///     })
/// }
/// ```
pub fn run<E: From<Error>>(setup: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
    let event_loop = EventLoop::new()?;
    event_loop.enter(setup)?;
    event_loop.run()?;
    Ok(())
}

/// A loop that the caller drives: [`run`](Self::run) to the end, or [`turn`](Self::turn) by
/// [`turn`](Self::turn) from a loop of their own. [`fyke::run`](run) is the short form.
///
/// It belongs to the thread that made it (`!Send`). A thread may have several; inside
/// [`enter`](Self::enter) and inside callbacks the loop they belong to is the current one.
///
/// Dropping a loop closes everything that belongs to it, without events. Sockets and servers that
/// the caller still holds then answer like closed ones.
///
/// ```
/// use std::time::Duration;
///
/// let event_loop = fyke::EventLoop::new()?;
/// event_loop.enter(|| fyke::timer::set_timeout(Duration::from_millis(1), || println!("tick")))?;
/// while event_loop.turn(Some(Duration::from_millis(10)))? {
///     // a host does its own work here
/// }
/// # Ok::<(), fyke::Error>(())
/// ```
pub struct EventLoop {
    core: Rc<Core>,
}

/// Settings of an [`EventLoop`].
#[derive(Clone, Debug, Default)]
pub struct EventLoopBuilder {
    driver: Option<DriverKind>,
    node_exact: bool,
    general_lanes: bool,
}

impl EventLoopBuilder {
    /// Which driver to use. Without it the environment variable `FYKE_DRIVER` decides (`auto`,
    /// `ready` or `uring`), and else [`DriverKind::Auto`].
    #[must_use]
    pub fn driver(mut self, kind: DriverKind) -> Self {
        self.driver = Some(kind);
        self
    }

    /// Whether the loop's sockets and servers also do what looks like an accident of Node's, and
    /// what fyke therefore does otherwise. Default: no. For a program that is moved here as it is,
    /// for a stand-in of `require('net')`, and for comparing the two event by event.
    ///
    /// What changes, with the numbers of the behaviours: every `write` is offered to the kernel at
    /// once, not when the batch of callbacks ends (WR-08, WR-17); addresses are gone after
    /// `destroy` (PROP-08, PROP-09); `ready` comes after `connect` also when a listener destroyed
    /// the socket (CON-05); what is known at once about an attempt to connect is told **inside**
    /// `connect`, so contract C1 does not hold there (CON-04, HE-04); the writes and ends of a
    /// connect that never stood are told of it in Node's order, with Node's codes, some of them
    /// after `close` and one of them never (WR-12, WR-13, DST-18); `connect` while connecting or
    /// connected is tried; a second `close` of a server is a second event; the
    /// callbacks of connects that failed run with the next that succeeds, and each call of
    /// `set_idle_timeout_then` adds one more; `read_n` takes up to 1 GiB, and
    /// callbacks do not count toward `write_queue_bytes_max`; error texts give IPv6 addresses without
    /// brackets, as in `connect ECONNREFUSED ::1:80`; an error of an outgoing connection without
    /// `on_error` ends `run` at once.
    /// Names are tried one by one ([`FamilySelection::Sequential`](crate::FamilySelection)) only
    /// where asked for: that is a setting of its own.
    #[must_use]
    pub fn node_exact(mut self, exact: bool) -> Self {
        self.node_exact = exact;
        self
    }

    /// Makes every socket take the general way for everything, so that tests can compare.
    #[doc(hidden)]
    #[must_use]
    pub fn general_lanes(mut self, general: bool) -> Self {
        self.general_lanes = general;
        self
    }

    /// Makes the loop.
    ///
    /// # Errors
    /// What the system says, when it has no descriptors or memory left;
    /// `ERR_INVALID_ARG_VALUE` when `FYKE_DRIVER` names no driver.
    pub fn build(self) -> Result<EventLoop> {
        let kind = self.driver.map_or_else(kind_from_environment, Ok)?;
        let policy = if self.node_exact { policy::NODE_EXACT } else { policy::DEFAULT };
        let lanes = match self.general_lanes {
            true => Lanes::GENERAL,
            false => Lanes::allowed_by(&policy),
        };
        let core =
            Core::new(&kind, policy, lanes).map_err(|source| Error::system("open", source))?;
        Ok(EventLoop { core })
    }
}

fn kind_from_environment() -> Result<DriverKind> {
    match std::env::var("FYKE_DRIVER").as_deref() {
        Err(_) | Ok("" | "auto") => Ok(DriverKind::Auto),
        Ok("ready") => Ok(DriverKind::Ready),
        Ok("uring") => Ok(DriverKind::Uring),
        Ok(other) => {
            let message = format!("FYKE_DRIVER is auto, ready or uring, not {other:?}");
            Err(Error::new(ErrorCode::ERR_INVALID_ARG_VALUE, message))
        }
    }
}

impl EventLoop {
    /// A loop with the default settings.
    ///
    /// # Errors
    /// As [`EventLoopBuilder::build`].
    pub fn new() -> Result<Self> {
        Self::builder().build()
    }

    /// A loop with settings.
    pub fn builder() -> EventLoopBuilder {
        EventLoopBuilder::default()
    }

    /// Makes this the current loop while `f` runs. What `f` starts goes on in the next turn.
    pub fn enter<T>(&self, f: impl FnOnce() -> T) -> T {
        self.core.enter();
        let _entered = Entered::new(&self.core);
        f()
    }

    /// Turns until nothing holds the loop.
    ///
    /// # Errors
    /// As [`turn`](Self::turn). The loop is intact and can be run again.
    pub fn run(&self) -> Result<()> {
        let _entered = Entered::new(&self.core);
        runtime::run(&self.core)
    }

    /// One turn: runs what is due, waits for at most `timeout` (none: until something happens),
    /// and runs what happened. Says whether anything is left that holds the loop.
    ///
    /// # Errors
    /// An error of a server that no `on_error` listens to. The first such error of an outgoing connection, in
    /// the turn after which nothing holds the loop; on a loop made with
    /// [`node_exact`](EventLoopBuilder::node_exact), at once. The loop is intact and can be turned again.
    /// `ERR_EVENT_LOOP_BUSY` when called from a callback of the same loop.
    pub fn turn(&self, timeout: Option<Duration>) -> Result<bool> {
        let _entered = Entered::new(&self.core);
        runtime::turn(&self.core, timeout)
    }

    /// When the loop wants to be turned next because of a timer, if there is one. For a host that
    /// waits by itself, together with [`as_fd`](Self::as_fd).
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.core.has_due_work() || self.core.driver.has_work() {
            return Some(Instant::now());
        }
        let driver = self.core.driver.next_deadline();
        let deadline = self.core.next_deadline().into_iter().chain(driver).min();
        deadline.map(|at| self.core.instant(at.into()))
    }

    /// A handle for other threads.
    pub fn handle(&self) -> LoopHandle {
        LoopHandle(Arc::clone(&self.core.posted))
    }

    /// The name of the driver in use: `ready`, `uring` or `sim`.
    pub fn driver_name(&self) -> &'static str {
        self.core.driver.name()
    }

    /// A descriptor that becomes readable when a [`turn`](Self::turn) has something to do, for a
    /// host's own `epoll` or `poll`. Timers are not in it: see
    /// [`next_deadline`](Self::next_deadline). None with the simulated network.
    #[cfg(unix)]
    pub fn as_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.core.driver.as_fd()
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        let _entered = Entered::new(&self.core);
        self.core.shut_down();
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.fmt(f)
    }
}

/// Sends work to a loop from any thread. Made by [`EventLoop::handle`](crate::EventLoop::handle) or
/// [`LoopHandle::current`]. For work on one socket or server, see
/// [`SocketRef`](crate::SocketRef) and [`ServerRef`](crate::ServerRef).
///
/// A handle does not keep the loop alive; a [`KeepAlive`] does.
///
/// ```
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     let handle = fyke::LoopHandle::current()?;
///     let alive = handle.keep_alive();
///     std::thread::spawn(move || {
///         let sum: u64 = (1..=10).sum();
///         handle.post(move || assert_eq!(sum, 55)).unwrap();
///         drop(alive);
///     });
///     Ok(())
/// })
/// # }
/// ```
#[derive(Clone)]
pub struct LoopHandle(Arc<Posted>);

/// Keeps a loop alive as long as it exists. Made by [`LoopHandle::keep_alive`]; may be dropped on
/// any thread.
pub struct KeepAlive(Arc<Posted>);

impl LoopHandle {
    /// A handle of the loop that the running code belongs to: inside [`fyke::run`](run),
    /// [`EventLoop::enter`] and callbacks.
    ///
    /// # Errors
    /// `ERR_NO_EVENT_LOOP` outside of a loop.
    pub fn current() -> Result<Self> {
        current().map(|core| Self(Arc::clone(&core.posted)))
    }

    /// Runs `work` on the loop's thread, in the next turn (phase 3 of `docs/LOOP.md`), and wakes
    /// the loop. Work posted by one thread runs in order.
    ///
    /// # Errors
    /// `ERR_EVENT_LOOP_CLOSED` when the loop is gone. A loop that ends before the work ran drops
    /// it: hold a [`KeepAlive`] if it must run.
    pub fn post(&self, work: impl FnOnce() + Send + 'static) -> Result<()> {
        self.0.push(Box::new(work))
    }

    /// Makes the loop's `turn` return early, without work.
    pub fn wake(&self) {
        self.0.wake();
    }

    /// Keeps the loop alive until the result is dropped.
    pub fn keep_alive(&self) -> KeepAlive {
        self.0.hold();
        KeepAlive(Arc::clone(&self.0))
    }
}

impl Drop for KeepAlive {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// Two handles are equal when they are of one loop.
impl PartialEq for LoopHandle {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for LoopHandle {}

impl Hash for LoopHandle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl fmt::Debug for LoopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopHandle").finish_non_exhaustive()
    }
}

impl fmt::Debug for KeepAlive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeepAlive").finish_non_exhaustive()
    }
}
