//! Creates tasks, and polls them.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::actor::Wired;
use super::core::Core;
use super::tasks::TaskKey;
use super::watch::Watch;

/// The result of a task: its output, or the value that it panicked with.
pub(crate) type Outcome<T> = Result<T, Box<dyn Any + Send>>;

impl<T: Wired> Core<T> {
    /// Creates a task on the loop. It is polled for the first time after the running callback has returned.
    /// `name` is the place in the user's code that created it, for the log.
    pub(crate) fn spawn<F: Future + 'static>(
        self: &Rc<Self>,
        future: F,
        name: &'static Location<'static>,
    ) -> (async_task::Task<Outcome<F::Output>>, TaskKey) {
        let key = self.tasks.active.borrow_mut().insert(None);
        self.hold();
        let tracked = Tracked { tracker: Tracker { core: Rc::clone(self), key, name }, future };
        let ready = Arc::clone(self.tasks.ready());
        let (runnable, task) = async_task::spawn_local(tracked, move |task| ready.push(task));
        if let Some(waker) = self.tasks.active.borrow_mut().get_mut(key) {
            *waker = Some(runnable.waker());
        }
        runnable.schedule();
        (task, key)
    }

    /// Sets whether a task keeps the loop alive. Ended tasks are ignored.
    pub(crate) fn refer_task(&self, key: TaskKey, referred: bool) {
        if !self.tasks.active.borrow().contains_key(key) {
            return;
        }
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
        tracker: Tracker<T>,
        #[pin]
        future: F,
    }
}

struct Tracker<T: Wired> {
    core: Rc<Core<T>>,
    key: TaskKey,
    name: &'static Location<'static>,
}

impl<F: Future, T: Wired> Future for Tracked<F, T> {
    type Output = Outcome<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let watch = Watch::begin();
        let polled = catch_unwind(AssertUnwindSafe(|| this.future.poll(cx)));
        watch.end(this.tracker.name);
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
