//! The way into a loop from other threads.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fyke_driver::Waker;

use crate::lookup::Answer;
use crate::{Error, ErrorCode, Result};

/// Sends work to a loop from any thread: the only part of fyke that is `Send`. Made by
/// [`EventLoop::handle`](crate::EventLoop::handle) or [`fyke::handle`](crate::handle).
///
/// A handle does not keep the loop alive; a [`KeepAlive`] does.
///
/// ```
/// fyke::run(|| {
///     let handle = fyke::handle()?;
///     let alive = handle.keep_alive();
///     std::thread::spawn(move || {
///         let sum: u64 = (1..=10).sum();
///         handle.post(move || assert_eq!(sum, 55)).unwrap();
///         drop(alive);
///     });
///     Ok(())
/// })?;
/// # Ok::<(), fyke::Error>(())
/// ```
#[derive(Clone)]
pub struct LoopHandle(pub(super) Arc<Posted>);

/// Keeps a loop alive as long as it exists. Made by [`LoopHandle::keep_alive`]; may be dropped on
/// any thread.
pub struct KeepAlive(Arc<Posted>);

/// What came from other threads, waiting for the loop.
pub(crate) struct Posted {
    queue: Mutex<VecDeque<Work>>,
    /// Saves the lock in turns in which nothing was posted.
    any: AtomicBool,
    holds: AtomicUsize,
    closed: AtomicBool,
    waker: Waker,
}

pub(crate) enum Work {
    /// The user's.
    Call(Box<dyn FnOnce() + Send>),
    /// From the lookup pool.
    Answer(Answer),
}

impl LoopHandle {
    /// Runs `work` on the loop's thread, in the next turn (phase 3 of `docs/LOOP.md`), and wakes
    /// the loop. Work posted by one thread runs in order.
    ///
    /// # Errors
    /// `ERR_EVENT_LOOP_CLOSED` when the loop is gone. A loop that ends before the work ran drops
    /// it: hold a [`KeepAlive`] if it must run.
    pub fn post(&self, work: impl FnOnce() + Send + 'static) -> Result<()> {
        self.0.push(Work::Call(Box::new(work)))
    }

    /// Makes the loop's `turn` return early, without work.
    pub fn wake(&self) {
        self.0.waker.wake();
    }

    /// Keeps the loop alive until the result is dropped.
    pub fn keep_alive(&self) -> KeepAlive {
        self.0.holds.fetch_add(1, Ordering::SeqCst);
        KeepAlive(Arc::clone(&self.0))
    }
}

impl Drop for KeepAlive {
    fn drop(&mut self) {
        self.0.holds.fetch_sub(1, Ordering::SeqCst);
        // The loop may be waiting for nothing but this.
        self.0.waker.wake();
    }
}

impl Posted {
    pub(super) fn new(waker: Waker) -> Self {
        Self {
            queue: Mutex::default(),
            any: AtomicBool::new(false),
            holds: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            waker,
        }
    }

    /// A panic of another thread while it held the lock left nothing half done.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Work>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, work: Work) -> Result<()> {
        {
            let mut queue = self.lock();
            // Under the lock, so that nothing is added after the loop has emptied it for good.
            if self.closed.load(Ordering::SeqCst) {
                return Err(Error::new(ErrorCode::ERR_EVENT_LOOP_CLOSED, "the loop is gone"));
            }
            queue.push_back(work);
            self.any.store(true, Ordering::SeqCst);
        }
        self.waker.wake();
        Ok(())
    }

    /// How much waits now.
    pub(super) fn len(&self) -> usize {
        if self.is_waiting() { self.lock().len() } else { 0 }
    }

    /// Takes the oldest.
    pub(super) fn pop(&self) -> Option<Work> {
        let mut queue = self.lock();
        let work = queue.pop_front();
        self.any.store(!queue.is_empty(), Ordering::SeqCst);
        work
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.any.load(Ordering::SeqCst)
    }

    pub(super) fn keeps_alive(&self) -> bool {
        self.holds.load(Ordering::SeqCst) > 0
    }

    /// No more work is taken; what was not done is dropped.
    pub(super) fn close(&self) {
        let dropped = {
            let mut queue = self.lock();
            self.closed.store(true, Ordering::SeqCst);
            std::mem::take(&mut *queue)
        };
        drop(dropped);
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
