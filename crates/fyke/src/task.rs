//! Tasks: futures that an event loop runs in addition to its callbacks.
//!
//! The loop polls a woken task after the running callback has returned, never inside a call. The tasks of a
//! loop run on its thread, one at a time, so they can share state in an `Rc` with each other and with
//! callbacks.
//!
//! A task whose operations are always ready yields after 64 of them, so that other work of the loop
//! continues. A task that computes for long must yield by itself, for example with [`yield_now`]: nothing
//! else happens on its loop during a poll. If a poll takes longer than 100 milliseconds, a logged warning
//! names the place that spawned the task (with the feature `tracing`).
//!
//! ```
//! # fn main() -> fyke::Result<()> {
//! fyke::block_on(async {
//!     let server = fyke::Server::new();
//!     server.listen(("127.0.0.1", 0))?;
//!     let echo = fyke::spawn_local({
//!         let server = server.clone();
//!         async move {
//!             let mut stream = server.accept().await?.stream()?;
//!             let mut buffer = [0; 1024];
//!             loop {
//!                 let count = stream.read(&mut buffer).await?;
//!                 if count == 0 {
//!                     return stream.end().await;
//!                 }
//!                 stream.write_all(&buffer[..count]).await?;
//!             }
//!         }
//!     })?;
//!     server.listening().await?;
//!     let mut client = fyke::SocketStream::connect(server.endpoint().unwrap()).await?;
//!     client.write_all(b"hello").await?;
//!     client.end().await?;
//!     assert_eq!(client.read_to_end().await?, b"hello");
//!     echo.await.unwrap()
//! })?
//! # }
//! ```

mod remote;

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};

use async_task::FallibleTask;

pub use remote::RemoteJoinHandle;

use crate::event_loop::EventLoop;
use crate::runtime::{self, Outcome, Posted, TaskKey};
use crate::wiring::{Core, current, current_with};
use crate::{Error, ErrorCode, Result};

/// Spawns a task on the current loop. It is polled for the first time after the running callback, or the
/// running poll of another task, has returned.
///
/// The task keeps the loop alive until it ends, unless [`unref_loop`](JoinHandle::unref_loop) is called. If
/// the loop is dropped, the task is dropped without being polled again. A panic of the task ends only the
/// task.
///
/// # Errors
/// `ERR_NO_EVENT_LOOP` outside of a loop. `ERR_EVENT_LOOP_CLOSED` if the loop was dropped.
///
/// ```
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     fyke::spawn_local(async {
///         fyke::timer::sleep(std::time::Duration::from_millis(1)).unwrap().await;
///         println!("a millisecond later");
///     })?;
///     Ok(())
/// })
/// # }
/// ```
#[track_caller]
pub fn spawn_local<F: Future + 'static>(future: F) -> Result<JoinHandle<F::Output>> {
    let core = current()?;
    core.check_open()?;
    let (task, key) = core.spawn(future, Location::caller(), current_with);
    Ok(JoinHandle { task: Some(task.fallible()), core: Rc::downgrade(&core), key })
}

/// Creates an event loop on this thread, runs it until `future` is ready, and returns the output. Then the
/// loop is dropped: its remaining tasks and connections end without events.
///
/// Unlike [`run`](crate::run), it does not return when nothing keeps the loop alive, but only when `future`
/// is ready.
///
/// # Errors
/// - `EMFILE`, `ENOMEM` and similar if the loop cannot be created.
/// - The error of a server without an `on_error` listener; the loop then stops at once.
///
/// The output of `future` is returned unchanged. If it is a `Result` too, `main` can return it after one `?`
/// for the error of the loop:
///
/// ```
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     fyke::block_on(async {
///         let answer: u32 = "42".parse()?;
///         assert_eq!(answer, 42);
///         Ok(())
///     })?
/// }
/// ```
pub fn block_on<F: Future>(future: F) -> Result<F::Output> {
    EventLoop::new()?.block_on(future)
}

impl EventLoop {
    /// Runs the loop until `future` is ready, and returns its output, see [`block_on`]. Remaining work of the
    /// loop continues in its next turn.
    ///
    /// # Errors
    /// The errors of [`turn`](Self::turn). In that case `future` is dropped.
    ///
    /// ```
    /// use std::time::Duration;
    /// use fyke::{DriverKind, EventLoop, sim::SimOptions, timer};
    ///
    /// // On the simulated network, an hour takes no time.
    /// let kind = DriverKind::Sim(SimOptions::default());
    /// let event_loop = EventLoop::builder().driver(kind).build()?;
    /// event_loop.block_on(async { timer::sleep(Duration::from_secs(3600)).unwrap().await })?;
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn block_on<F: Future>(&self, future: F) -> Result<F::Output> {
        self.enter(|| self.drive_main(pin!(future)))
    }

    fn drive_main<F: Future>(&self, mut future: Pin<&mut F>) -> Result<F::Output> {
        let core = self.core();
        let main =
            Arc::new(MainWaker { woken: AtomicBool::new(true), posted: Arc::clone(&core.posted) });
        let waker = Waker::from(Arc::clone(&main));
        let mut cx = Context::from_waker(&waker);
        let _hold = Hold::new(core);
        loop {
            if main.woken.swap(false, Ordering::SeqCst) {
                let polled = {
                    let _limit = core.tasks.limit();
                    future.as_mut().poll(&mut cx)
                };
                if let Poll::Ready(output) = polled {
                    runtime::finish(core);
                    return Ok(output);
                }
            }
            runtime::turn(core, None)?;
        }
    }
}

/// The waker of a future that `block_on` polls. It may outlive that call.
struct MainWaker {
    /// The future has to be polled.
    woken: AtomicBool,
    posted: Arc<Posted>,
}

impl Wake for MainWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.woken.swap(true, Ordering::SeqCst) {
            return;
        }
        match current_with(&self.posted) {
            Some(core) => core.skip_wait(),
            None => self.posted.wake(),
        }
    }
}

/// Keeps the loop alive until it is dropped.
struct Hold<'a>(&'a Core);

impl<'a> Hold<'a> {
    fn new(core: &'a Core) -> Self {
        core.hold();
        Self(core)
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// Yields to other tasks and callbacks. The future is pending once, and ready when the task is polled again.
///
/// ```
/// # fn main() -> fyke::Result<()> {
/// fyke::block_on(async {
///     for _number in 0..1_000_000 {
///         // A part of a long computation.
/// #       if _number == 3 { break }
///         fyke::task::yield_now().await;
///     }
/// })
/// # }
/// ```
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A handle to a task, see [`spawn_local`]. Awaiting it returns the task's output. Dropping it does not end
/// the task.
pub struct JoinHandle<T> {
    /// `None` after `abort`.
    task: Option<FallibleTask<Outcome<T>>>,
    core: Weak<Core>,
    key: TaskKey,
}

impl<T> JoinHandle<T> {
    /// Aborts the task: its future is dropped soon, without being polled again. Awaiting the handle then
    /// returns an error, unless the task had already ended.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::block_on(async {
    ///     let mut endless = fyke::spawn_local(std::future::pending::<()>()).unwrap();
    ///     endless.abort();
    ///     assert!(endless.await.unwrap_err().is_aborted());
    /// })
    /// # }
    /// ```
    pub fn abort(&mut self) {
        if self.task.as_ref().is_some_and(|task| !task.is_finished()) {
            // Dropping it cancels the task.
            self.task = None;
        }
    }

    /// Returns whether the task has ended.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::block_on(async {
    ///     let task = fyke::spawn_local(async { 7 }).unwrap();
    ///     assert!(!task.is_finished(), "it begins when this task waits");
    ///     assert_eq!(task.await.unwrap(), 7);
    /// })
    /// # }
    /// ```
    pub fn is_finished(&self) -> bool {
        self.task.as_ref().is_none_or(FallibleTask::is_finished)
    }

    /// Makes the task keep the loop alive, which is the default.
    pub fn ref_loop(&self) -> &Self {
        self.set_referred(true)
    }

    /// Allows the loop to end before the task has ended.
    pub fn unref_loop(&self) -> &Self {
        self.set_referred(false)
    }

    fn set_referred(&self, referred: bool) -> &Self {
        // The number of an ended task may belong to another task.
        if let (false, Some(core)) = (self.is_finished(), self.core.upgrade()) {
            core.refer_task(self.key, referred);
        }
        self
    }
}

/// Cancel safe: dropping the future detaches the task, see [`JoinHandle`].
impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(task) = &mut self.task else { return Poll::Ready(Err(JoinError::aborted())) };
        Poll::Ready(match ready!(Pin::new(task).poll(cx)) {
            Some(Ok(output)) => Ok(output),
            Some(Err(panic)) => Err(JoinError { panic: Some(panic) }),
            None => Err(JoinError::aborted()),
        })
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.detach();
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("is_finished", &self.is_finished()).finish()
    }
}

/// The reason why a task has no output: it panicked, or it was dropped before it ended.
pub struct JoinError {
    /// `None` if the task was dropped.
    panic: Option<Box<dyn Any + Send>>,
}

impl JoinError {
    fn aborted() -> Self {
        Self { panic: None }
    }

    /// Returns whether the task panicked.
    pub fn is_panic(&self) -> bool {
        self.panic.is_some()
    }

    /// Returns whether the task was dropped before it ended: by [`JoinHandle::abort`], or with its loop.
    pub fn is_aborted(&self) -> bool {
        self.panic.is_none()
    }

    /// Returns the value that the task panicked with, for [`std::panic::resume_unwind`].
    ///
    /// # Errors
    /// Returns the error itself if the task did not panic.
    pub fn try_into_panic(self) -> std::result::Result<Box<dyn Any + Send>, Self> {
        self.panic.ok_or_else(Self::aborted)
    }

    fn message(&self) -> String {
        let Some(panic) = &self.panic else { return "the task was aborted".to_owned() };
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        text.map_or_else(
            || "the task panicked".to_owned(),
            |text| format!("the task panicked: {text}"),
        )
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JoinError").field(&self.message()).finish()
    }
}

impl std::error::Error for JoinError {}

/// The code is `ABORT_ERR` if the task was aborted, `ERR_TASK_PANICKED` if it panicked.
impl From<JoinError> for Error {
    fn from(error: JoinError) -> Self {
        let code =
            if error.is_panic() { ErrorCode::ERR_TASK_PANICKED } else { ErrorCode::ABORT_ERR };
        Self::new(code, error.message())
    }
}
