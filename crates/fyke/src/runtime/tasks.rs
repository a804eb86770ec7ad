//! Tasks: futures that the loop polls where it runs callbacks.
//!
//! A wake, on any thread, puts its task into the [`Ready`] queue. The loop removes the task and polls it
//! after the running callback has returned and its deferred work is done.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use async_task::Runnable;
use slotmap::SlotMap;

/// The maximum number of operations that a task may complete in one poll. Further operations are pending
/// until the task is polled again, so that a task whose operations are always ready does not block the
/// others.
const OPERATIONS_PER_POLL: u32 = 64;

/// The queue contains tasks.
const TASKS: u8 = 1;
/// The future of `block_on` was woken.
const MAIN: u8 = 1 << 1;

/// The budget outside of the loop's polls, because another executor has its own limits.
const UNLIMITED: u32 = u32::MAX;

slotmap::new_key_type! {
    pub(crate) struct TaskKey;
}

/// The tasks of one loop.
pub(crate) struct Tasks {
    ready: Arc<Ready>,
    /// The wakers of the tasks that have not ended, so that they can be dropped with the loop. The value is
    /// `None` while its task is being created.
    pub(super) active: RefCell<SlotMap<TaskKey, Option<Waker>>>,
    /// The tasks that do not keep the loop alive.
    pub(super) unreferred: RefCell<BTreeSet<TaskKey>>,
    /// The number of operations that the running poll may still complete.
    budget: Cell<u32>,
}

/// The queue of woken tasks. It is shared with their wakers.
pub(crate) struct Ready {
    queue: Mutex<VecDeque<Runnable>>,
    /// The flags [`TASKS`] and [`MAIN`]. They avoid taking the lock when the queue is empty.
    any: AtomicU8,
    /// The loop is running, so it checks the queue before it waits.
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

    /// Makes the loop poll a task, and wakes the loop if it may be waiting.
    pub(super) fn push(&self, task: Runnable) {
        {
            let mut queue = self.lock();
            if self.closed.load(Ordering::Relaxed) {
                drop(queue);
                return self.refuse(task);
            }
            queue.push_back(task);
            if self.any.fetch_or(TASKS, Ordering::SeqCst) & TASKS != 0 {
                // The first task in the queue has already woken the loop.
                return;
            }
        }
        self.wake_loop();
    }

    /// Handles a task of a dropped loop. The loop's tasks were dropped with it, so this one was created
    /// later.
    fn refuse(&self, task: Runnable) {
        match this_thread() == self.thread {
            true => drop(task),
            // Its future must not be dropped on another thread, so it is leaked.
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

    /// Returns whether the future of `block_on` was woken, and resets that.
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

    /// Returns the queue of woken tasks.
    pub(crate) fn ready(&self) -> &Arc<Ready> {
        &self.ready
    }

    /// Returns whether a task was woken.
    #[inline]
    pub(super) fn are_ready(&self) -> bool {
        self.ready.any.load(Ordering::SeqCst) & TASKS != 0
    }

    /// Returns whether a task or the future of `block_on` was woken.
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

    /// Marks the loop as running until the returned value is dropped. A running loop checks its tasks before
    /// each wait, so a wake on its thread does not have to end the wait.
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

    /// Limits the number of operations that futures may complete until the returned value is dropped.
    pub(crate) fn limit(&self) -> Limited<'_> {
        Limited(&self.budget, self.budget.replace(OPERATIONS_PER_POLL))
    }

    /// Call this before an operation that may complete at once. Returns `Pending` if the running poll has
    /// used up its budget; the task is then woken, and polled again later.
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

    /// Drops all tasks, because the loop ends. That runs user code, so nothing is borrowed meanwhile.
    pub(super) fn close(&self) {
        let active = self.active.take();
        // Waking puts the waiting tasks into the queue too, so that it contains all tasks.
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

/// The budget of a poll. Dropping this restores the previous budget, which it stores.
pub(crate) struct Limited<'a>(&'a Cell<u32>, u32);

impl Drop for Limited<'_> {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}
