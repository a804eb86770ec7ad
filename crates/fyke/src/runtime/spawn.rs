//! Creates tasks, and polls them.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_task::Runnable;
use pin_project_lite::pin_project;

use super::actor::Wired;
use super::core::Core;
use super::posted::Posted;
use super::tasks::{Site, TaskKey};
use super::watch::Watch;
use super::work::WOKEN;

/// The result of a task: its output, or the value that it panicked with.
pub(crate) type Outcome<T> = Result<T, Box<dyn Any + Send>>;

impl<T: Wired> Core<T> {
    /// Creates a task on the loop. It is polled for the first time after the running callback has returned.
    /// `place` is the place in the user's code that created it, for the log. `current` returns the loop that
    /// a [`Posted`] belongs to, if it is the current one of the thread.
    pub(crate) fn spawn<F: Future + 'static>(
        self: &Rc<Self>,
        future: F,
        place: &'static Location<'static>,
        current: impl Fn(&Arc<Posted>) -> Option<Rc<Self>> + Send + Sync + 'static,
    ) -> (async_task::Task<Outcome<F::Output>>, TaskKey) {
        let key = self.tasks.active.borrow_mut().reserve();
        self.hold();
        let tracker = Tracker { core: Rc::clone(self), key, site: self.tasks.site(place) };
        let tracked = Tracked { future, tracker };
        let posted = Arc::clone(&self.posted);
        let schedule = move |task| match current(&posted) {
            Some(core) => core.push_woken(task),
            None => posted.push_task(task),
        };
        let (runnable, task) = async_task::spawn_local(tracked, schedule);
        self.tasks.active.borrow_mut().set(key, runnable.waker());
        runnable.schedule();
        (task, key)
    }

    /// Makes the loop poll a task when the running callback has returned.
    pub(super) fn push_woken(&self, task: Runnable) {
        if self.is_closed() {
            // No task is polled any more.
            return self.drop_later(task);
        }
        self.tasks.woken.borrow_mut().push_back(task);
        self.begins(WOKEN);
    }

    #[cold]
    fn drop_later(&self, task: Runnable) {
        self.tasks.woken.borrow_mut().push_back(task);
        self.drop_woken();
    }

    /// Drops the tasks that are woken, one after the other. A task may wake another one while it is dropped, and
    /// hold a lock that the other one takes when it is dropped (HTTP/2 does), so that one waits for its turn.
    fn drop_woken(&self) {
        if self.tasks.dropping.replace(true) {
            return;
        }
        while let Some(task) = self.pop_woken() {
            drop(task);
        }
        self.tasks.dropping.set(false);
    }

    pub(super) fn woken_len(&self) -> usize {
        self.tasks.woken.borrow().len()
    }

    /// Takes the task that was woken first.
    pub(super) fn pop_woken(&self) -> Option<Runnable> {
        let mut queue = self.tasks.woken.borrow_mut();
        let task = queue.pop_front();
        if queue.is_empty() {
            self.work.is_done(WOKEN);
        }
        task
    }

    /// Drops all tasks, because the loop ends.
    pub(super) fn drop_tasks(&self) {
        // No task is polled any more: waking one that waits drops it.
        self.tasks.take_all().for_each(Waker::wake);
        self.drop_woken();
    }

    /// Sets whether a task, which must not have ended, keeps the loop alive.
    pub(crate) fn refer_task(&self, key: TaskKey, referred: bool) {
        let mut unreferred = self.tasks.unreferred.borrow_mut();
        match referred {
            true if unreferred.remove(&key) => self.hold(),
            false if unreferred.insert(key) => self.release(),
            _ => {}
        }
    }
}

pin_project! {
    /// The future of a task. It catches a panic, and removes the task from the loop when it is dropped.
    struct Tracked<F, T: Wired> {
        #[pin]
        future: F,
        // Dropped last: while the future is dropped, which runs the user's code, the number of its task is
        // not assigned again.
        tracker: Tracker<T>,
    }
}

struct Tracker<T: Wired> {
    core: Rc<Core<T>>,
    key: TaskKey,
    site: Site,
}

impl<F: Future, T: Wired> Future for Tracked<F, T> {
    type Output = Outcome<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let watch = Watch::begin();
        let polled = catch_unwind(AssertUnwindSafe(|| this.future.poll(cx)));
        watch.end(|| this.tracker.core.tasks.place(this.tracker.site));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

impl<T: Wired> Drop for Tracker<T> {
    fn drop(&mut self) {
        let tasks = &self.core.tasks;
        let waker = tasks.active.borrow_mut().remove(self.key);
        if !tasks.unreferred.borrow_mut().remove(&self.key) {
            self.core.release();
        }
        drop(waker);
    }
}
