//! Work that other threads post.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fyke_driver::Waker;

use crate::{Error, ErrorCode, Result};

/// Runs on the loop's thread.
pub(super) type Work = Box<dyn FnOnce() + Send>;

/// Work from other threads that waits for the loop.
pub(crate) struct Posted {
    queue: Mutex<VecDeque<Work>>,
    /// Avoids taking the lock in turns in which nothing was posted.
    any: AtomicBool,
    holds: AtomicUsize,
    closed: AtomicBool,
    waker: Waker,
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

    /// Ignores poisoning: a panic in another thread while it held the lock left nothing incomplete.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Work>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the loop run `work` in its next phase 3, and wakes it. Fails if the loop was dropped.
    pub(crate) fn push(&self, work: Work) -> Result<()> {
        {
            let mut queue = self.lock();
            // Checked under the lock, so that nothing is added after the loop has emptied the queue for the
            // last time.
            if self.closed.load(Ordering::SeqCst) {
                return Err(Error::new(
                    ErrorCode::ERR_EVENT_LOOP_CLOSED,
                    "the event loop was dropped",
                ));
            }
            queue.push_back(work);
            self.any.store(true, Ordering::SeqCst);
        }
        self.wake();
        Ok(())
    }

    /// The number of entries that are waiting now.
    pub(super) fn len(&self) -> usize {
        if self.is_waiting() { self.lock().len() } else { 0 }
    }

    /// Takes the oldest entry.
    pub(super) fn pop(&self) -> Option<Work> {
        let mut queue = self.lock();
        let work = queue.pop_front();
        self.any.store(!queue.is_empty(), Ordering::SeqCst);
        work
    }

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

    /// Accepts no more work, and drops the work that has not run.
    pub(super) fn close(&self) {
        let dropped = {
            let mut queue = self.lock();
            self.closed.store(true, Ordering::SeqCst);
            std::mem::take(&mut *queue)
        };
        drop(dropped);
    }
}
