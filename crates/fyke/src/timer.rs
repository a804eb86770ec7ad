//! Timers and the other ways to run a callback later: Node's `setTimeout`, `setInterval`,
//! `setImmediate` and `process.nextTick`.
//!
//! They use the loop of the current thread, so call them inside [`fyke::run`](crate::run),
//! [`EventLoop::enter`](crate::EventLoop::enter) or a callback. Elsewhere they return an `Err` with
//! the code [`ERR_NO_EVENT_LOOP`](crate::ErrorCode::ERR_NO_EVENT_LOOP).

mod sleep;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::rc::{Rc, Weak};
use std::time::Duration;

#[cfg(feature = "hyper")]
pub(crate) use sleep::Alarm;
pub use sleep::{Interval, Sleep, Timeout, interval, sleep, timeout};

use crate::Result;
use crate::runtime::{TimerCallback, TimerId};
use crate::wiring::{Core, Deferred, current};

/// A handle to a timer. Dropping it does not cancel the timer. Clones refer to the same timer: they
/// are equal and have the same hash, so a timer can be a key of a map.
///
/// ```
/// use std::collections::HashMap;
/// use std::time::Duration;
/// use fyke::timer;
///
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     let timer = timer::set_timeout(Duration::from_secs(60), || unreachable!())?;
///     let names = HashMap::from([(timer.clone(), "lunch")]);
///     assert_eq!(names.get(&timer), Some(&"lunch"));
///     timer.cancel();
///     Ok(())
/// })
/// # }
/// ```
#[derive(Clone)]
pub struct Timer {
    core: Weak<Core>,
    id: TimerId,
}

/// Runs `callback` once, after at least `delay`. The timer keeps the loop alive until then, unless
/// [`unref_loop`](Timer::unref_loop) is called.
///
/// Node: `setTimeout`.
///
/// # Errors
/// `ERR_NO_EVENT_LOOP` outside of a loop.
///
/// ```
/// use std::time::Duration;
/// use fyke::timer;
///
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     let never = timer::set_timeout(Duration::from_secs(60), || unreachable!())?;
///     timer::set_timeout(Duration::from_millis(1), move || never.cancel())?;
///     Ok(())
/// })
/// # }
/// ```
#[doc(alias = "setTimeout")]
pub fn set_timeout(delay: Duration, callback: impl FnOnce() + 'static) -> Result<Timer> {
    let mut callback = Some(callback);
    set(delay, None, Box::new(move || callback.take().map_or((), |callback| callback())))
}

/// Runs `callback` repeatedly: each run is due `period` after the previous one (at least 1
/// millisecond, as in Node). The interval keeps the loop alive until it is cancelled, unless
/// [`unref_loop`](Timer::unref_loop) is called.
///
/// Node: `setInterval`.
///
/// ```
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     use std::cell::Cell;
///     use std::rc::Rc;
///     use std::time::Duration;
///
///     let (count, timer) = (Cell::new(0), Rc::new(Cell::new(None)));
///     let own = Rc::clone(&timer);
///     let callback = move || {
///         count.set(count.get() + 1);
///         if count.get() == 3 {
///             own.take().map(|timer: fyke::timer::Timer| timer.cancel());
///         }
///     };
///     timer.set(Some(fyke::timer::set_interval(Duration::from_millis(1), callback)?));
///     Ok(())
/// })
/// # }
/// ```
///
/// # Errors
/// `ERR_NO_EVENT_LOOP` outside of a loop.
#[doc(alias = "setInterval")]
pub fn set_interval(period: Duration, callback: impl FnMut() + 'static) -> Result<Timer> {
    let period = period.max(Duration::from_millis(1));
    set(period, Some(period), Box::new(callback))
}

fn set(delay: Duration, period: Option<Duration>, callback: TimerCallback) -> Result<Timer> {
    let core = current()?;
    core.check_open()?;
    let at = core.now().saturating_add(delay);
    let id = core.set_timer(at, period, callback);
    Ok(Timer { core: Rc::downgrade(&core), id })
}

/// Runs `callback` in this turn of the loop, after the network events (phase 5 of `docs/LOOP.md`).
/// When called from an immediate, it runs `callback` in the next turn.
///
/// Node: `setImmediate`.
///
/// ```
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     use std::cell::Cell;
///     use std::rc::Rc;
///
///     let first = Rc::new(Cell::new(true));
///     let ticked = Rc::clone(&first);
///     fyke::timer::set_immediate(move || assert!(!first.get(), "ticks run before"))?;
///     fyke::timer::next_tick(move || ticked.set(false))
/// })
/// # }
/// ```
///
/// # Errors
/// `ERR_NO_EVENT_LOOP` outside of a loop.
#[doc(alias = "setImmediate")]
pub fn set_immediate(callback: impl FnOnce() + 'static) -> Result<()> {
    let core = current()?;
    core.check_open()?;
    core.push_immediate(Box::new(callback));
    Ok(())
}

/// Runs `callback` as soon as the running callback has returned, before the loop does anything
/// else. Callbacks run in the order of the calls, together with fyke's own deferred work.
///
/// Node: `process.nextTick`.
///
/// ```
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     use std::cell::Cell;
///     use std::rc::Rc;
///
///     let called = Rc::new(Cell::new(false));
///     let tick = Rc::clone(&called);
///     fyke::timer::next_tick(move || tick.set(true))?;
///     assert!(!called.get(), "not inside the call");
///     fyke::timer::next_tick(move || assert!(called.get(), "in the order of the calls"))
/// })
/// # }
/// ```
///
/// # Errors
/// `ERR_NO_EVENT_LOOP` outside of a loop.
#[doc(alias = "nextTick")]
pub fn next_tick(callback: impl FnOnce() + 'static) -> Result<()> {
    let core = current()?;
    core.check_open()?;
    core.push_tick(Deferred::Call(Box::new(callback)));
    Ok(())
}

impl Timer {
    /// Cancels the timer: it does not run again. Does nothing if the timer has already run or was
    /// cancelled.
    ///
    /// Node: `clearTimeout`, `clearInterval`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let timer = fyke::timer::set_timeout(std::time::Duration::ZERO, || unreachable!())?;
    ///     timer.cancel();
    ///     timer.cancel(); // does nothing
    ///     assert!(!timer.is_active());
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[doc(alias("clearTimeout", "clearInterval"))]
    pub fn cancel(&self) {
        if let Some(core) = self.core.upgrade() {
            core.cancel_timer(self.id);
        }
    }

    /// Returns whether the timer will still run.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let timer = fyke::timer::set_timeout(std::time::Duration::ZERO, || {})?;
    ///     assert!(timer.is_active());
    ///     fyke::timer::set_immediate(move || println!("active: {}", timer.is_active()))
    /// })
    /// # }
    /// ```
    pub fn is_active(&self) -> bool {
        self.core.upgrade().is_some_and(|core| core.has_timer(self.id))
    }

    /// Makes the timer keep the loop alive, which is the default. Node: `timer.ref()`.
    #[doc(alias = "ref")]
    pub fn ref_loop(&self) -> &Self {
        self.set_referred(true)
    }

    /// Makes the timer not keep the loop alive: if only such timers are left, the loop ends and
    /// they do not run. Node: `timer.unref()`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let hour = std::time::Duration::from_secs(3600);
    ///     fyke::timer::set_timeout(hour, || unreachable!())?.unref_loop();
    ///     Ok(()) // `run` returns at once
    /// })
    /// # }
    /// ```
    pub fn unref_loop(&self) -> &Self {
        self.set_referred(false)
    }

    fn set_referred(&self, referred: bool) -> &Self {
        if let Some(core) = self.core.upgrade() {
            core.refer_timer(self.id, referred);
        }
        self
    }
}

/// Two handles are equal if they refer to the same timer.
impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.core.ptr_eq(&other.core)
    }
}

impl Eq for Timer {}

impl Hash for Timer {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
        self.core.as_ptr().hash(state);
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").field("active", &self.is_active()).finish()
    }
}
