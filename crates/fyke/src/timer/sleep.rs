//! Timers for tasks: `sleep`, `timeout` and `interval`.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::runtime::TimerId;
use crate::wiring::{Core, current};
use crate::{Error, ErrorCode, Result};

/// A future that is ready after a delay, see [`sleep`]. It keeps the loop alive from its first poll until it
/// is ready. Dropping it cancels the timer.
pub struct Sleep {
    core: Rc<Core>,
    alarm: Alarm,
}

/// A time at which a loop wakes a task. It does not own the loop, so cancel it before dropping it.
#[derive(Debug)]
pub(crate) struct Alarm {
    at: Duration,
    timer: Option<TimerId>,
}

impl Alarm {
    /// An alarm at a time on the driver's clock.
    pub(crate) fn new(core: &Core, at: Duration) -> Result<Self> {
        core.check_open()?;
        Ok(Self { at, timer: None })
    }

    /// Returns `Ready` if the time was reached. Otherwise the loop will wake the task.
    pub(crate) fn poll(&mut self, core: &Core, cx: &Context<'_>) -> Poll<()> {
        ready!(core.tasks.spend(cx));
        let is_over = match self.timer {
            Some(timer) => !core.change_task_timer(timer, cx.waker()),
            None => core.now() >= self.at,
        };
        // A dropped loop runs no timers, so the task would otherwise never be woken.
        if is_over || core.is_closed() {
            self.timer = None;
            return Poll::Ready(());
        }
        if self.timer.is_none() {
            self.timer = Some(core.set_task_timer(self.at, cx.waker().clone()));
        }
        Poll::Pending
    }

    /// Returns the timer that is to be cancelled.
    pub(crate) fn take_timer(&mut self) -> Option<TimerId> {
        self.timer.take()
    }
}

/// Returns a future that is ready after at least `delay`, counted from this call.
///
/// It is the counterpart of [`set_timeout`](super::set_timeout) for tasks. Node:
/// `timers/promises.setTimeout`.
///
/// # Errors
/// `ERR_NO_EVENT_LOOP` outside of a loop. `ERR_EVENT_LOOP_CLOSED` if the loop was dropped.
///
/// ```
/// use std::time::Duration;
///
/// # fn main() -> fyke::Result<()> {
/// fyke::block_on(async {
///     fyke::timer::sleep(Duration::from_millis(1))?.await;
///     Ok(())
/// })?
/// # }
/// ```
pub fn sleep(delay: Duration) -> Result<Sleep> {
    let core = current()?;
    let alarm = Alarm::new(&core, core.now().saturating_add(delay))?;
    Ok(Sleep { core, alarm })
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { core, alarm } = self.get_mut();
        alarm.poll(core, cx)
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.alarm.take_timer() {
            self.core.cancel_timer(timer);
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.alarm.at.saturating_sub(self.core.now());
        f.debug_struct("Sleep").field("left", &left).finish_non_exhaustive()
    }
}

pin_project! {
    /// A future with a time limit, see [`timeout`].
    #[derive(Debug)]
    pub struct Timeout<F> {
        sleep: Result<Sleep>,
        #[pin]
        future: F,
    }
}

/// Limits the time of a future. The result is the future's output, or an error with the code `ETIMEDOUT`
/// after `limit`, counted from this call. Dropping the returned future drops `future` too; the section on
/// cancel safety of each operation describes what that means.
///
/// # Errors
/// The output is an error with the code `ETIMEDOUT` after the limit, `ERR_NO_EVENT_LOOP` if this was called
/// outside of a loop, or `ERR_EVENT_LOOP_CLOSED` if the loop was dropped before the call.
///
/// ```
/// use std::time::Duration;
/// use fyke::{ErrorCode, timer};
///
/// # fn main() -> fyke::Result<()> {
/// fyke::block_on(async {
///     let never = std::future::pending::<()>();
///     let result = timer::timeout(Duration::from_millis(1), never).await;
///     assert_eq!(result.unwrap_err().code(), ErrorCode::ETIMEDOUT);
/// })
/// # }
/// ```
pub fn timeout<F: Future>(limit: Duration, future: F) -> Timeout<F> {
    Timeout { sleep: sleep(limit), future }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let sleep = match this.sleep {
            Ok(sleep) => sleep,
            Err(error) => return Poll::Ready(Err(error.clone())),
        };
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        ready!(Pin::new(sleep).poll(cx));
        Poll::Ready(Err(Error::new(
            ErrorCode::ETIMEDOUT,
            "the operation took longer than its limit",
        )))
    }
}

/// A timer that ticks at regular intervals, see [`interval`].
#[derive(Debug)]
pub struct Interval {
    period: Duration,
    next: Sleep,
}

/// Returns an interval. Its first tick is due after `period` (at least 1 millisecond), and each further tick
/// `period` after the previous tick was received, as with [`set_interval`](super::set_interval). With the
/// feature `futures`, it is also a `Stream`. Node: `timers/promises.setInterval`.
///
/// # Errors
/// The errors of [`sleep`].
///
/// ```
/// use std::time::Duration;
///
/// # fn main() -> fyke::Result<()> {
/// fyke::block_on(async {
///     let mut interval = fyke::timer::interval(Duration::from_millis(1))?;
///     for _ in 0..3 {
///         interval.tick().await;
///     }
///     Ok(())
/// })?
/// # }
/// ```
pub fn interval(period: Duration) -> Result<Interval> {
    let period = period.max(Duration::from_millis(1));
    Ok(Interval { period, next: sleep(period)? })
}

impl Interval {
    /// Waits for the next tick.
    ///
    /// Cancel safe: if the future is dropped, the tick is not lost.
    pub async fn tick(&mut self) {
        poll_fn(|cx| self.poll_tick(cx)).await;
    }

    /// Returns `Ready` if a tick is due. Otherwise returns `Pending`, and wakes the task when the tick is
    /// due.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(Pin::new(&mut self.next).poll(cx));
        self.next.alarm.at = self.next.core.now().saturating_add(self.period);
        Poll::Ready(())
    }
}

#[cfg(feature = "futures")]
impl futures_core::Stream for Interval {
    type Item = ();

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<()>> {
        self.poll_tick(cx).map(Some)
    }
}
