//! Tasks: futures that the loop polls where it runs callbacks.
//!
//! A wake puts its task into a queue, on another thread into [`Posted`](super::posted::Posted) first. The
//! loop removes the task and polls it after the running callback has returned and its deferred work is
//! done.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::task::{Context, Poll, Waker};

use async_task::Runnable;
use slotmap::SlotMap;

/// The maximum number of operations that a task may complete in one poll. Further operations are pending
/// until the task is polled again, so that a task whose operations are always ready does not block the
/// others.
const OPERATIONS_PER_POLL: u32 = 64;

/// The budget outside of the loop's polls, because another executor has its own limits.
const UNLIMITED: u32 = u32::MAX;

slotmap::new_key_type! {
    pub(crate) struct TaskKey;
}

/// The tasks of one loop, and the budget of the running poll.
pub(crate) struct Tasks {
    /// The tasks to poll next.
    pub(super) woken: RefCell<VecDeque<Runnable>>,
    /// The wakers of the tasks that have not ended, so that they can be dropped with the loop. The value is
    /// `None` while its task is being created.
    pub(super) active: RefCell<SlotMap<TaskKey, Option<Waker>>>,
    /// The tasks that do not keep the loop alive.
    pub(super) unreferred: RefCell<BTreeSet<TaskKey>>,
    /// The number of operations that the running poll may still complete.
    budget: Cell<u32>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self {
            woken: RefCell::default(),
            active: RefCell::default(),
            unreferred: RefCell::default(),
            budget: Cell::new(UNLIMITED),
        }
    }
}

impl Tasks {
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

    /// Takes the wakers of all tasks, because the loop ends.
    pub(super) fn take_all(&self) -> impl Iterator<Item = Waker> {
        self.active.take().into_iter().filter_map(|(_, waker)| waker)
    }
}

/// The budget of a poll. Dropping this restores the previous budget, which it stores.
pub(crate) struct Limited<'a>(&'a Cell<u32>, u32);

impl Drop for Limited<'_> {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}
