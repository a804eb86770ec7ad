//! Tasks: futures that the loop polls where it runs callbacks.
//!
//! A task that is woken is put into the [`Ready`] queue, by any thread. The loop takes it out and polls it
//! when the running callback has returned and its deferred work is done.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use async_task::Runnable;
use slotmap::SlotMap;

/// The number of operations that a task may complete in one poll. Then its operations are pending until it
/// is polled again, so that a task whose operations are always ready does not stop the others.
const OPERATIONS_PER_POLL: u32 = 64;

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
    /// Avoids taking the lock when the queue is empty.
    any: AtomicBool,
    /// The future of `block_on` is to be polled.
    main: AtomicBool,
    /// The loop is running callbacks, so it looks at the queue before it waits.
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
            any: AtomicBool::new(false),
            main: AtomicBool::new(false),
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
            if self.any.swap(true, Ordering::SeqCst) {
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
            self.any.store(false, Ordering::SeqCst);
        }
        task
    }

    /// Whether the future of `block_on` was woken. Resets that.
    pub(crate) fn take_main(&self) -> bool {
        self.main.swap(false, Ordering::SeqCst)
    }
}

/// The waker of the future of `block_on`.
pub(crate) struct MainWaker(pub(crate) Arc<Ready>);

impl Wake for MainWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.0.main.swap(true, Ordering::SeqCst) {
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
        self.ready.any.load(Ordering::SeqCst)
    }

    /// Whether a task, or the future of `block_on`, is to be polled.
    pub(super) fn is_work_due(&self) -> bool {
        self.are_ready() || self.ready.main.load(Ordering::SeqCst)
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

    /// The future of `block_on` is polled until the returned value is dropped. Tasks that it wakes need not end
    /// the wait of the loop: a turn follows.
    pub(crate) fn begin_main(&self) -> impl Drop + '_ {
        struct Main<'a>(&'a Tasks, #[expect(dead_code, reason = "is dropped")] Limited<'a>);
        impl Drop for Main<'_> {
            fn drop(&mut self) {
                self.0.set_running(false);
            }
        }
        self.set_running(true);
        Main(self, self.limit())
    }

    /// Limits the operations that futures may complete until the returned value is dropped.
    fn limit(&self) -> Limited<'_> {
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

    /// The loop runs callbacks from now on, or has ended its turn.
    pub(super) fn set_running(&self, running: bool) {
        self.ready.running.store(running, Ordering::Relaxed);
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
struct Limited<'a>(&'a Cell<u32>, u32);

impl Drop for Limited<'_> {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}
