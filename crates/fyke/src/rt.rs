//! An executor and a timer for hyper, on the current event loop.
//!
//! hyper uses a [`SocketStream`](crate::SocketStream) as its connection. `examples/http.rs` is an HTTP
//! server.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::Result;
use crate::runtime::Posted;
use crate::task::spawn_local;
use crate::timer::Alarm;
use crate::wiring::{Core, current, current_or_none, current_with};

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
        Box::pin(LocalSleep::new(|core| core.now().saturating_add(delay)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(LocalSleep::new(|core| core.since_start(deadline)))
    }

    /// The time of the loop's turn, in a simulated network the simulated time.
    fn now(&self) -> Instant {
        current_or_none().map_or_else(Instant::now, |core| core.instant(core.now()))
    }
}

/// A timer that refers to its loop from any thread, because hyper requires a `Send` type. While its loop is
/// not the current one, it is never ready.
struct LocalSleep(Option<(Arc<Posted>, Alarm)>);

impl LocalSleep {
    fn new(at: impl FnOnce(&Core) -> Duration) -> Self {
        let alarm = current().and_then(|core| {
            let alarm = Alarm::new(&core, at(&core))?;
            Ok((Arc::clone(&core.posted), alarm))
        });
        Self(in_a_loop(alarm))
    }
}

impl Future for LocalSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some((posted, alarm)) = &mut self.0 else { return Poll::Pending };
        match current_with(posted) {
            Some(core) => alarm.poll(&core, cx),
            None => Poll::Pending,
        }
    }
}

impl hyper::rt::Sleep for LocalSleep {}

impl Drop for LocalSleep {
    fn drop(&mut self) {
        let Some((posted, alarm)) = &mut self.0 else { return };
        let Some(timer) = alarm.take_timer() else { return };
        let cancel = move |core: &Core| core.cancel_timer(timer);
        match current_with(posted) {
            Some(core) => cancel(&core),
            // A loop that was dropped has no timers.
            None => _ = posted.push(Box::new(move || _ = current().map(|core| cancel(&core)))),
        }
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
