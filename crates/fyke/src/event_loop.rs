//! The event loop: the sockets, timers and callbacks of one thread. `docs/LOOP.md` numbers the
//! phases of a turn, and the comments here refer to these numbers.

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

/// Makes an event loop on this thread, calls `setup` inside it, and runs the loop until nothing
/// keeps it alive. As in Node, a listening server, an open socket, a lookup and a timer keep it
/// alive, unless they are `unref`'ed.
///
/// `setup` may fail with any error type that fyke's [`Error`] converts into, so `?` works inside it
/// for every error that this type can be made from. [`fyke::Error`](Error) and
/// [`io::Error`](std::io::Error) can be made from errors of fyke and of the standard library;
/// `anyhow::Error` and `Box<dyn std::error::Error>` from nearly all errors.
///
/// # Errors
/// - The error that `setup` returns. The loop does not run in this case.
/// - An error of a server without an `on_error` listener, at once.
/// - The first error of an outgoing connection without an `on_error` listener, when the loop has
///   ended (see [`Socket::on_error`](crate::Socket::on_error)).
/// - `EMFILE`, `ENOMEM` and similar if the loop cannot be made.
///
/// ```
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     let server = fyke::create_server(|socket| {
///         socket.end_with("hello\n");
///     });
///     server.listen_then(("127.0.0.1", 0), |server| {
///         println!("listening on {}", server.address().unwrap());
///         server.close(); // nothing holds the loop any more
///     })
/// })
/// # }
/// ```
///
/// If errors of several kinds occur, the return type of `main` selects the error type:
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

/// An event loop that the caller drives: call [`run`](Self::run) to run it to the end, or
/// [`turn`](Self::turn) repeatedly from your own loop. [`fyke::run`](run) is the short form.
///
/// A loop belongs to the thread that made it (`!Send`). A thread may have several loops. Inside
/// [`enter`](Self::enter) and inside callbacks, the loop that they belong to is the current one.
///
/// Dropping a loop closes everything that belongs to it, without events. Sockets and servers that
/// the caller still holds then behave like closed ones.
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
    /// Selects the driver. By default the environment variable `FYKE_DRIVER` selects it (`auto`,
    /// `ready` or `uring`); if the variable is not set, the driver is [`DriverKind::Auto`].
    ///
    /// ```
    /// use fyke::{DriverKind, EventLoop};
    ///
    /// let event_loop = EventLoop::builder().driver(DriverKind::Ready).build()?;
    /// assert_eq!(event_loop.driver_name(), "ready");
    /// # Ok::<(), fyke::Error>(())
    /// ```
    #[must_use]
    pub fn driver(mut self, kind: DriverKind) -> Self {
        self.driver = Some(kind);
        self
    }

    /// Makes the loop's sockets and servers behave like Node's also where fyke differs on purpose,
    /// because Node's behaviour looks like an accident. Default: false. Use this for a program that
    /// is ported unchanged, for a replacement of `require('net')`, or to compare fyke with Node
    /// event by event.
    ///
    /// With `true`:
    /// - Every `write` is offered to the kernel inside the call, not when the batch of callbacks
    ///   ends.
    /// - A socket has no addresses after `destroy`.
    /// - `ready` is emitted after `connect` even if a listener destroyed the socket.
    /// - Events of a connection attempt that are known at once are emitted **inside** `connect`, so
    ///   callbacks can run inside a call that you make.
    /// - If a connect fails, its queued writes and ends are reported in Node's order and with
    ///   Node's codes: some of them after `close`, and one of them never.
    /// - `connect` on a socket that is connecting or connected is tried, and does not fail at once.
    /// - Every `close` call on a server emits another `close` event.
    /// - The callbacks of failed connects run when a later connect of the same socket succeeds, and
    ///   each call of `set_idle_timeout_then` adds one more callback.
    /// - `read_n` accepts up to 1 GiB.
    /// - Callbacks do not count toward `write_queue_bytes_max`.
    /// - Error texts contain IPv6 addresses without brackets, as in `connect ECONNREFUSED ::1:80`.
    /// - An error of an outgoing connection without an `on_error` listener ends `run` at once.
    ///
    /// This option does not change how the addresses of a host are tried. For Node's way, also set
    /// [`FamilySelection::Sequential`](crate::FamilySelection).
    ///
    /// ```
    /// let event_loop = fyke::EventLoop::builder().node_exact(true).build()?;
    /// event_loop.enter(|| -> fyke::Result<()> {
    ///     let client = fyke::connect(("127.0.0.1", 1))?;
    ///     client.on_error(|client, _| assert!(client.local_address().is_none()));
    ///     Ok(())
    /// })?;
    /// event_loop.run()?;
    /// # Ok::<(), fyke::Error>(())
    /// ```
    #[must_use]
    pub fn node_exact(mut self, exact: bool) -> Self {
        self.node_exact = exact;
        self
    }

    /// Makes every socket use the general path for everything, so that tests can compare it with
    /// the fast path.
    #[doc(hidden)]
    #[must_use]
    pub fn general_lanes(mut self, general: bool) -> Self {
        self.general_lanes = general;
        self
    }

    /// Makes the loop.
    ///
    /// ```
    /// let network = fyke::sim::SimOptions::seeded(7);
    /// let event_loop = fyke::EventLoop::builder().driver(fyke::DriverKind::Sim(network)).build()?;
    /// assert_eq!(event_loop.driver_name(), "sim");
    /// # Ok::<(), fyke::Error>(())
    /// ```
    ///
    /// # Errors
    /// - `ERR_INVALID_ARG_VALUE` if `FYKE_DRIVER` is not the name of a driver.
    /// - The system's error code, for example `EMFILE` or `ENOMEM`, if descriptors or memory are
    ///   exhausted.
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
            let message = format!("FYKE_DRIVER must be auto, ready or uring, not {other:?}");
            Err(Error::new(ErrorCode::ERR_INVALID_ARG_VALUE, message))
        }
    }
}

impl EventLoop {
    /// Makes a loop with the default settings.
    ///
    /// # Errors
    /// The errors of [`EventLoopBuilder::build`].
    pub fn new() -> Result<Self> {
        Self::builder().build()
    }

    /// Returns a builder, to make a loop with other settings.
    pub fn builder() -> EventLoopBuilder {
        EventLoopBuilder::default()
    }

    /// Makes this the current loop while `f` runs. Operations that `f` starts continue in the next
    /// turn.
    ///
    /// ```
    /// let event_loop = fyke::EventLoop::new()?;
    /// assert!(fyke::LoopHandle::current().is_err(), "no loop is current here");
    /// let inside = event_loop.enter(fyke::LoopHandle::current)?;
    /// assert_eq!(inside, event_loop.handle());
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn enter<T>(&self, f: impl FnOnce() -> T) -> T {
        self.core.enter();
        let _entered = Entered::new(&self.core);
        f()
    }

    /// Runs turns until nothing keeps the loop alive.
    ///
    /// ```
    /// let event_loop = fyke::EventLoop::new()?;
    /// event_loop.run()?; // nothing keeps it alive
    /// event_loop.enter(|| fyke::timer::set_immediate(|| println!("in the second run")))?;
    /// event_loop.run()?;
    /// # Ok::<(), fyke::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`turn`](Self::turn). The loop stays usable and can be run again.
    pub fn run(&self) -> Result<()> {
        let _entered = Entered::new(&self.core);
        runtime::run(&self.core)
    }

    /// Runs one turn: runs the work that is due, waits for events for at most `timeout` (`None`:
    /// without a limit), and runs their callbacks. Returns whether anything still keeps the loop
    /// alive.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let event_loop = fyke::EventLoop::new()?;
    /// event_loop.enter(|| fyke::timer::set_timeout(Duration::from_secs(60), || {}))?;
    /// assert!(event_loop.turn(Some(Duration::ZERO))?, "the timer keeps it alive");
    /// # Ok::<(), fyke::Error>(())
    /// ```
    ///
    /// # Errors
    /// - An error of a server without an `on_error` listener.
    /// - The first error of an outgoing connection without an `on_error` listener, in the turn
    ///   after which nothing keeps the loop alive; at once on a loop made with
    ///   [`node_exact`](EventLoopBuilder::node_exact).
    /// - `ERR_EVENT_LOOP_BUSY` when called from a callback of the same loop.
    ///
    /// After an error the loop stays usable and can be turned again.
    pub fn turn(&self, timeout: Option<Duration>) -> Result<bool> {
        let _entered = Entered::new(&self.core);
        runtime::turn(&self.core, timeout)
    }

    /// When to call [`turn`](Self::turn) next: now if work is due, otherwise at the next timer or timeout, or
    /// `None` if there is none. For a host that waits by itself, together with [`as_fd`](Self::as_fd).
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// let event_loop = fyke::EventLoop::new()?;
    /// assert_eq!(event_loop.next_deadline(), None);
    /// event_loop.enter(|| fyke::timer::set_timeout(Duration::from_secs(60), || {}))?;
    /// assert!(event_loop.next_deadline().unwrap() > Instant::now());
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.core.has_due_work() || self.core.driver.has_work() {
            return Some(Instant::now());
        }
        let driver = self.core.driver.next_deadline();
        let deadline = self.core.next_deadline().into_iter().chain(driver).min();
        deadline.map(|at| self.core.instant(at.into()))
    }

    /// Returns a handle to the loop that other threads can use.
    ///
    /// ```
    /// let event_loop = fyke::EventLoop::new()?;
    /// let handle = event_loop.handle();
    /// std::thread::spawn(move || handle.post(|| println!("on the loop's thread"))).join().unwrap()?;
    /// event_loop.run()?;
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn handle(&self) -> LoopHandle {
        LoopHandle(Arc::clone(&self.core.posted))
    }

    pub(crate) fn core(&self) -> &Rc<Core> {
        &self.core
    }

    /// The name of the driver in use: `ready`, `uring` or `sim`.
    pub fn driver_name(&self) -> &'static str {
        self.core.driver.name()
    }

    /// A descriptor that becomes readable when a [`turn`](Self::turn) has work to do, for a host's
    /// own `epoll` or `poll`. It does not report timers: see
    /// [`next_deadline`](Self::next_deadline). `None` with the simulated network, which has no
    /// descriptor; therefore a loop does not implement [`AsFd`](std::os::fd::AsFd).
    ///
    /// ```
    /// let event_loop = fyke::EventLoop::builder().driver(fyke::DriverKind::Ready).build()?;
    /// assert!(event_loop.as_fd().is_some());
    /// # Ok::<(), fyke::Error>(())
    /// ```
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

/// Sends work to a loop from any thread. Returned by
/// [`EventLoop::handle`](crate::EventLoop::handle) and [`LoopHandle::current`]. To send work to one
/// socket or server, see [`SocketRef`](crate::SocketRef) and [`ServerRef`](crate::ServerRef).
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

/// Keeps a loop alive until it is dropped. Returned by [`LoopHandle::keep_alive`]. It may be
/// dropped on any thread.
pub struct KeepAlive(Arc<Posted>);

impl LoopHandle {
    /// Returns a handle to the current loop: the one that runs the calling code, inside
    /// [`fyke::run`](run), [`EventLoop::enter`] and callbacks.
    ///
    /// ```
    /// let error = fyke::LoopHandle::current().unwrap_err();
    /// assert_eq!(error.code(), fyke::ErrorCode::ERR_NO_EVENT_LOOP);
    /// # Ok::<(), fyke::Error>(())
    /// ```
    ///
    /// # Errors
    /// `ERR_NO_EVENT_LOOP` outside of a loop.
    pub fn current() -> Result<Self> {
        current().map(|core| Self(Arc::clone(&core.posted)))
    }

    /// Runs `work` on the loop's thread, and wakes the loop. It runs in the next phase 3 of the loop
    /// ([LOOP.md](https://github.com/fyke-rs/fyke/blob/main/docs/LOOP.md)), that is, after the timers
    /// that are due and before the loop waits for the network. Work that one thread posts runs in the
    /// order in which it was posted; work that posted work posts runs in the next turn.
    ///
    /// ```
    /// let event_loop = fyke::EventLoop::new()?;
    /// let handle = event_loop.handle();
    /// handle.post(|| println!("in the next phase 3"))?;
    /// drop(event_loop);
    /// let error = handle.post(|| unreachable!()).unwrap_err();
    /// assert_eq!(error.code(), fyke::ErrorCode::ERR_EVENT_LOOP_CLOSED);
    /// # Ok::<(), fyke::Error>(())
    /// ```
    ///
    /// # Errors
    /// `ERR_EVENT_LOOP_CLOSED` if the loop was dropped. A loop that ends before the work has run
    /// drops the work: hold a [`KeepAlive`] if it must run.
    pub fn post(&self, work: impl FnOnce() + Send + 'static) -> Result<()> {
        self.0.push(Box::new(work))
    }

    /// Makes the loop's current or next `turn` stop waiting, without posting any work.
    ///
    /// ```
    /// let event_loop = fyke::EventLoop::new()?;
    /// event_loop.handle().wake();
    /// event_loop.turn(None)?; // returns at once
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn wake(&self) {
        self.0.wake();
    }

    /// Keeps the loop alive until the returned value is dropped.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let event_loop = fyke::EventLoop::new()?;
    /// let alive = event_loop.handle().keep_alive();
    /// assert!(event_loop.turn(Some(Duration::ZERO))?);
    /// drop(alive);
    /// assert!(!event_loop.turn(Some(Duration::ZERO))?);
    /// # Ok::<(), fyke::Error>(())
    /// ```
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

/// Two handles are equal if they belong to the same loop.
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
