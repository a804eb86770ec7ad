//! What other threads pass to the loop: closures that it calls, and tasks that they wake.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_task::Runnable;
use fyke_driver::Waker;

use crate::{Error, ErrorCode, Result};

/// Work for the loop's thread.
pub(super) enum Work {
    Call(Box<dyn FnOnce() + Send>),
    /// Poll a task.
    Task(Runnable),
}

/// Work that waits for the loop.
pub(crate) struct Posted {
    queue: Mutex<Queue>,
    /// Whether the queue is not empty. Avoids taking the lock in turns in which it is.
    any: AtomicBool,
    holds: AtomicUsize,
    /// Identifies the loop's thread.
    thread: usize,
    waker: Waker,
}

#[derive(Default)]
struct Queue {
    work: VecDeque<Work>,
    closed: bool,
}

/// Returns a number that differs from that of every other living thread.
fn this_thread() -> usize {
    thread_local! {
        static PLACE: u8 = const { 0 };
    }
    PLACE.with(|place| std::ptr::from_ref(place).addr())
}

impl Posted {
    pub(super) fn new(waker: Waker) -> Self {
        Self {
            queue: Mutex::default(),
            any: AtomicBool::new(false),
            holds: AtomicUsize::new(0),
            thread: this_thread(),
            waker,
        }
    }

    /// Ignores poisoning: a panic in another thread while it held the lock left nothing incomplete.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the loop call `call` in its next phase 3, and wakes it. Fails if the loop was dropped.
    pub(crate) fn push(&self, call: Box<dyn FnOnce() + Send>) -> Result<()> {
        let pushed = self.add(Work::Call(call));
        pushed
            .map_err(|_| Error::new(ErrorCode::ERR_EVENT_LOOP_CLOSED, "the event loop was dropped"))
    }

    /// Makes the loop poll a woken task after its next phase 3, and wakes it.
    pub(super) fn push_task(&self, task: Runnable) {
        let Err(refused) = self.add(Work::Task(task)) else { return };
        match this_thread() == self.thread {
            true => drop(refused),
            // The future must not be dropped on another thread, so it is leaked.
            false => std::mem::forget(refused),
        }
    }

    /// Returns the work if the loop was dropped.
    fn add(&self, work: Work) -> std::result::Result<(), Work> {
        let was_empty = {
            let mut queue = self.lock();
            // Checked under the lock, so that nothing is added after the loop has emptied the queue for the
            // last time.
            if queue.closed {
                return Err(work);
            }
            let was_empty = queue.work.is_empty();
            queue.work.push_back(work);
            self.any.store(true, Ordering::SeqCst);
            was_empty
        };
        // Otherwise the entry before this one has woken the loop, which does not wait before it has taken
        // both.
        if was_empty {
            self.wake();
        }
        Ok(())
    }

    /// The number of entries that are waiting now.
    pub(super) fn len(&self) -> usize {
        if self.is_waiting() { self.lock().work.len() } else { 0 }
    }

    /// Takes the oldest entry.
    pub(super) fn pop(&self) -> Option<Work> {
        let mut queue = self.lock();
        let work = queue.work.pop_front();
        self.any.store(!queue.work.is_empty(), Ordering::SeqCst);
        work
    }

    #[inline]
    pub(super) fn is_waiting(&self) -> bool {
        self.any.load(Ordering::SeqCst)
    }

    /// Makes the loop's turn return early.
    pub(crate) fn wake(&self) {
        self.waker.wake();
    }

    /// Keeps the loop alive until [`release`](Self::release).
    pub(crate) fn hold(&self) {
        self.holds.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn release(&self) {
        self.holds.fetch_sub(1, Ordering::SeqCst);
        // The loop may be waiting only for this release.
        self.wake();
    }

    pub(super) fn keeps_alive(&self) -> bool {
        self.holds.load(Ordering::SeqCst) > 0
    }

    /// Accepts no more work, and drops the work that waits.
    pub(super) fn close(&self) {
        let dropped = {
            let mut queue = self.lock();
            queue.closed = true;
            std::mem::take(&mut queue.work)
        };
        drop(dropped);
    }
}
