//! An executor and a timer for hyper, on the current event loop.
//!
//! hyper uses a [`SocketStream`](crate::SocketStream) as its connection. `examples/http.rs` is an HTTP
//! server.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use slotmap::SlotMap;

use crate::task::spawn_local;
use crate::{Result, timer};

/// Runs hyper's tasks on the current event loop. HTTP/2 needs it. The tasks need not be `Send`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    /// Spawns the future as a task. Outside of an event loop, the future is dropped and a warning is logged;
    /// its connection then ends.
    #[track_caller]
    fn execute(&self, future: F) {
        in_a_loop(spawn_local(future));
    }
}

/// Provides the timers of the current event loop for hyper's timeouts. Outside of an event loop, a timer is
/// never ready, and a warning is logged.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalTimer;

impl hyper::rt::Timer for LocalTimer {
    fn sleep(&self, delay: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(LocalSleep::new(delay))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep(deadline.saturating_duration_since(Instant::now()))
    }
}

slotmap::new_key_type! {
    struct SleepKey;
}

thread_local! {
    static SLEEPS: RefCell<SlotMap<SleepKey, timer::Sleep>> = RefCell::default();
}

/// The key of a sleep that is stored in a thread-local table, because hyper requires a `Send` type. On
/// another thread it is never ready.
struct LocalSleep(Option<SleepKey>);

impl LocalSleep {
    fn new(delay: Duration) -> Self {
        let sleep = in_a_loop(timer::sleep(delay));
        Self(sleep.map(|sleep| SLEEPS.with_borrow_mut(|sleeps| sleeps.insert(sleep))))
    }

    /// Removes the sleep from the table, so that nothing is borrowed while it is used.
    fn take(&self) -> Option<timer::Sleep> {
        let key = self.0?;
        SLEEPS.try_with(|sleeps| sleeps.borrow_mut().remove(key)).ok().flatten()
    }
}

impl Future for LocalSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(mut sleep) = self.take() else { return Poll::Pending };
        let polled = Pin::new(&mut sleep).poll(cx);
        self.0 = Some(SLEEPS.with_borrow_mut(|sleeps| sleeps.insert(sleep)));
        polled
    }
}

impl hyper::rt::Sleep for LocalSleep {}

impl Drop for LocalSleep {
    fn drop(&mut self) {
        drop(self.take());
    }
}

impl fmt::Debug for LocalSleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSleep").finish_non_exhaustive()
    }
}

/// Logs an error, because hyper's executor and timer cannot return one.
fn in_a_loop<T>(result: Result<T>) -> Option<T> {
    #[cfg(feature = "tracing")]
    if let Err(error) = &result {
        tracing::warn!(target: "fyke", %error, "hyper has no event loop to run on");
    }
    result.ok()
}
