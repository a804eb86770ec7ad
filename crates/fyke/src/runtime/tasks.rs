//! Tasks: futures that the loop polls where it runs callbacks.
//!
//! A task that is woken is put into the [`Ready`] queue, by any thread. The loop takes it out and polls it
//! when the running callback has returned and its deferred work is done.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use async_task::Runnable;
use slotmap::SlotMap;

/// The number of operations that a task may complete in one poll. Then its operations are pending until it
/// is polled again, so that a task whose operations are always ready does not stop the others.
const OPERATIONS_PER_POLL: u32 = 64;

/// Tasks are in the queue.
const TASKS: u8 = 1;
/// The future of `block_on` is to be polled.
const MAIN: u8 = 1 << 1;

/// The budget outside of a poll of the loop: another executor has its own limits.
const UNLIMITED: u32 = u32::MAX;

slotmap::new_key_type! {
    pub(crate) struct TaskKey;
}

/// The tasks of one loop.
pub(crate) struct Tasks {
    ready: Arc<Ready>,
    /// The wakers of the tasks that have not ended, so that they can be dropped with the loop. `None` until a task
    /// is made.
    pub(super) active: RefCell<SlotMap<TaskKey, Option<Waker>>>,
    /// The tasks that do not keep the loop alive.
    pub(super) unreferred: RefCell<BTreeSet<TaskKey>>,
    /// The number of operations that the running poll may still complete.
    budget: Cell<u32>,
}

/// Tasks that are to be polled. Shared with their wakers.
pub(crate) struct Ready {
    queue: Mutex<VecDeque<Runnable>>,
    /// What is to be polled: [`TASKS`] and [`MAIN`]. Avoids taking the lock when the queue is empty.
    any: AtomicU8,
    /// The loop is running, so it looks at the queue before it waits.
    running: AtomicBool,
    closed: AtomicBool,
    /// Identifies the loop's thread.
    thread: usize,
    waker: fyke_driver::Waker,
}

/// Returns a number that differs from that of every other living thread.
fn this_thread() -> usize {
    thread_local! {
        static PLACE: u8 = const { 0 };
    }
    PLACE.with(|place| std::ptr::from_ref(place).addr())
}

impl Ready {
    fn new(waker: fyke_driver::Waker) -> Self {
        Self {
            queue: Mutex::default(),
            any: AtomicU8::new(0),
            running: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            thread: this_thread(),
            waker,
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Runnable>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the loop poll a task, and wakes the loop if it may be waiting.
    pub(super) fn push(&self, task: Runnable) {
        {
            let mut queue = self.lock();
            if self.closed.load(Ordering::Relaxed) {
                drop(queue);
                return self.refuse(task);
            }
            queue.push_back(task);
            if self.any.fetch_or(TASKS, Ordering::SeqCst) & TASKS != 0 {
                // The loop was woken for the first one.
                return;
            }
        }
        self.wake_loop();
    }

    /// The loop is gone. Its tasks were dropped with it, so this one was made later.
    fn refuse(&self, task: Runnable) {
        match this_thread() == self.thread {
            true => drop(task),
            // Its future must not be dropped on another thread.
            false => std::mem::forget(task),
        }
    }

    fn wake_loop(&self) {
        let looks = this_thread() == self.thread && self.running.load(Ordering::Relaxed);
        if !looks {
            self.waker.wake();
        }
    }

    fn pop(&self) -> Option<Runnable> {
        let mut queue = self.lock();
        let task = queue.pop_front();
        if queue.is_empty() {
            self.any.fetch_and(!TASKS, Ordering::SeqCst);
        }
        task
    }

    /// Whether the future of `block_on` was woken. Resets that.
    pub(crate) fn take_main(&self) -> bool {
        self.any.fetch_and(!MAIN, Ordering::SeqCst) & MAIN != 0
    }
}

/// The waker of the future of `block_on`.
pub(crate) struct MainWaker(pub(crate) Arc<Ready>);

impl Wake for MainWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.0.any.fetch_or(MAIN, Ordering::SeqCst) & MAIN == 0 {
            self.0.wake_loop();
        }
    }
}

impl Tasks {
    pub(super) fn new(waker: fyke_driver::Waker) -> Self {
        Self {
            ready: Arc::new(Ready::new(waker)),
            active: RefCell::default(),
            unreferred: RefCell::default(),
            budget: Cell::new(UNLIMITED),
        }
    }

    /// The queue of the tasks to be polled.
    pub(crate) fn ready(&self) -> &Arc<Ready> {
        &self.ready
    }

    /// Whether a task is to be polled.
    #[inline]
    pub(super) fn are_ready(&self) -> bool {
        self.ready.any.load(Ordering::SeqCst) & TASKS != 0
    }

    /// Whether a task, or the future of `block_on`, is to be polled.
    pub(super) fn is_work_due(&self) -> bool {
        self.ready.any.load(Ordering::SeqCst) != 0
    }

    pub(super) fn ready_len(&self) -> usize {
        if self.are_ready() { self.ready.lock().len() } else { 0 }
    }

    /// Polls the next task.
    pub(super) fn run_next(&self) {
        if let Some(task) = self.ready.pop() {
            let _limit = self.limit();
            task.run();
        }
    }

    /// The loop runs until the returned value is dropped, and looks at its tasks before each wait: a wake on its own
    /// thread need not end the wait.
    pub(crate) fn begin_running(&self) -> impl Drop + '_ {
        struct Running<'a>(&'a AtomicBool, bool);
        impl Drop for Running<'_> {
            fn drop(&mut self) {
                self.0.store(self.1, Ordering::Relaxed);
            }
        }
        let running = &self.ready.running;
        let before = running.load(Ordering::Relaxed);
        running.store(true, Ordering::Relaxed);
        Running(running, before)
    }

    /// Limits the operations that futures may complete until the returned value is dropped.
    pub(crate) fn limit(&self) -> Limited<'_> {
        Limited(&self.budget, self.budget.replace(OPERATIONS_PER_POLL))
    }

    /// Called before an operation that may complete at once. Pending if the running poll has completed its
    /// share; the task is polled again later then.
    #[inline]
    pub(crate) fn spend(&self, cx: &Context<'_>) -> Poll<()> {
        match self.budget.get() {
            UNLIMITED => Poll::Ready(()),
            0 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            left => {
                self.budget.set(left - 1);
                Poll::Ready(())
            }
        }
    }

    /// Drops all tasks because the loop ends. Dropping them runs user code, so nothing is borrowed then.
    pub(super) fn close(&self) {
        let active = self.active.take();
        // Tasks that wait get into the queue, so that all of them are there.
        active.into_iter().filter_map(|(_, waker)| waker).for_each(Waker::wake);
        while let Some(task) = self.ready.pop() {
            drop(task);
        }
        let late = {
            let mut queue = self.ready.lock();
            self.ready.closed.store(true, Ordering::Relaxed);
            std::mem::take(&mut *queue)
        };
        drop(late);
    }
}

/// A limit that was set for a poll, with the one before.
pub(crate) struct Limited<'a>(&'a Cell<u32>, u32);

impl Drop for Limited<'_> {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}
