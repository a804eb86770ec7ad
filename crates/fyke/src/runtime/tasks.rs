//! Tasks: futures that the loop polls where it runs callbacks.
//!
//! A wake puts its task into a queue, on another thread into [`Posted`](super::posted::Posted) first. The
//! loop removes the task and polls it after the running callback has returned and its deferred work is
//! done.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::panic::Location;
use std::ptr;
use std::task::{Context, Poll, Waker};

use async_task::Runnable;

/// The maximum number of operations that a task may complete in one poll. Further operations are pending
/// until the task is polled again, so that a task whose operations are always ready does not block the
/// others.
const OPERATIONS_PER_POLL: u32 = 64;

/// The budget outside of the loop's polls, because another executor has its own limits.
const UNLIMITED: u32 = u32::MAX;

/// The number of a task. It is assigned again after the task has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TaskKey(u32);

/// The number of a place in the user's code that spawns tasks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site(u32);

/// The tasks of one loop, and the budget of the running poll.
pub(crate) struct Tasks {
    /// The tasks to poll next.
    pub(super) woken: RefCell<VecDeque<Runnable>>,
    /// The loop has ended, and tasks are being dropped.
    pub(super) dropping: Cell<bool>,
    pub(super) active: RefCell<Active>,
    /// The tasks that do not keep the loop alive.
    pub(super) unreferred: RefCell<BTreeSet<TaskKey>>,
    /// The places that have spawned tasks, by [`Site`]. A program has few, so they are searched one by one.
    sites: RefCell<Vec<&'static Location<'static>>>,
    /// The number of operations that the running poll may still complete.
    budget: Cell<u32>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self {
            woken: RefCell::default(),
            dropping: Cell::default(),
            active: RefCell::default(),
            unreferred: RefCell::default(),
            sites: RefCell::default(),
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

    /// Returns the number of a place. A task stores it in half the space of a reference.
    ///
    /// # Panics
    /// If there are 2³² places.
    pub(super) fn site(&self, place: &'static Location<'static>) -> Site {
        let mut sites = self.sites.borrow_mut();
        let found = sites.iter().position(|site| ptr::eq(*site, place));
        let index = found.unwrap_or_else(|| {
            sites.push(place);
            sites.len() - 1
        });
        Site(u32::try_from(index).expect("a program has fewer than 2³² places"))
    }

    /// Returns the place with a number.
    pub(super) fn place(&self, site: Site) -> &'static Location<'static> {
        self.sites.borrow()[site.0 as usize]
    }

    /// Takes the wakers of all tasks, because the loop ends.
    pub(super) fn take_all(&self) -> impl Iterator<Item = Waker> {
        self.active.take().blocks.into_iter().flatten().flatten()
    }
}

/// The table grows by blocks of this length, because a vector that doubles would be a quarter empty on
/// average.
const BLOCK_LEN: usize = 64;

/// The wakers of the tasks that have not ended, by number, so that the tasks can be dropped with the loop.
#[derive(Default)]
pub(super) struct Active {
    blocks: Vec<Box<[Option<Waker>]>>,
    /// How many numbers have been assigned.
    len: u32,
    /// The numbers of ended tasks.
    free: Vec<TaskKey>,
}

impl Active {
    /// Assigns a number to a task that is being created.
    ///
    /// # Panics
    /// If there are 2³² tasks.
    pub(super) fn reserve(&mut self) -> TaskKey {
        self.free.pop().unwrap_or_else(|| {
            let key = TaskKey(self.len);
            self.len = self.len.checked_add(1).expect("there are fewer than 2³² tasks");
            key
        })
    }

    pub(super) fn set(&mut self, key: TaskKey, waker: Waker) {
        let (block, index) = key.place();
        while self.blocks.len() <= block {
            self.blocks.push([const { None }; BLOCK_LEN].into());
        }
        self.blocks[block][index] = Some(waker);
    }

    /// Frees the number of a task that has ended, and returns its waker.
    #[must_use]
    pub(super) fn remove(&mut self, key: TaskKey) -> Option<Waker> {
        let (block, index) = key.place();
        let waker = self.blocks.get_mut(block)?[index].take()?;
        self.free.push(key);
        Some(waker)
    }
}

impl TaskKey {
    /// The block of a task, and the index in the block.
    fn place(self) -> (usize, usize) {
        let number = self.0 as usize;
        (number / BLOCK_LEN, number % BLOCK_LEN)
    }
}

/// The budget of a poll. Dropping this restores the previous budget, which it stores.
pub(crate) struct Limited<'a>(&'a Cell<u32>, u32);

impl Drop for Limited<'_> {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_an_ended_task_is_assigned_again() {
        let mut active = Active::default();
        let keys: Vec<TaskKey> = (0..200).map(|_| active.reserve()).collect();
        keys.iter().for_each(|key| active.set(*key, Waker::noop().clone()));
        assert_eq!(active.blocks.len(), 200_usize.div_ceil(BLOCK_LEN));
        assert!(active.remove(keys[70]).is_some());
        assert!(active.remove(keys[70]).is_none(), "a number is freed only once");
        assert_eq!(active.reserve(), keys[70]);
        assert_eq!(active.reserve(), TaskKey(200));
    }
}
