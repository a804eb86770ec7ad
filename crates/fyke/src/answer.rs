//! A value that a callback passes to a task.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::listeners::ListenerId;

/// Stores the first value that is passed to [`give`](Self::give), and the waker of the task that waits for
/// it.
pub(crate) struct Answer<T> {
    value: Cell<Option<T>>,
    given: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl<T> Default for Answer<T> {
    fn default() -> Self {
        Self { value: Cell::new(None), given: Cell::new(false), waker: Cell::new(None) }
    }
}

impl<T> Answer<T> {
    /// Passes a value to the task. Later values are ignored.
    pub(crate) fn give(&self, value: T) {
        if self.given.replace(true) {
            return;
        }
        self.value.set(Some(value));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    pub(crate) fn is_given(&self) -> bool {
        self.given.get()
    }

    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<T> {
        match self.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                let before = self.waker.replace(Some(cx.waker().clone()));
                drop(before);
                Poll::Pending
            }
        }
    }
}

/// A future that listeners of a socket or server complete. Dropping it removes the listeners.
pub(crate) struct Awaited<L: Listened, T> {
    pub(crate) listened: L,
    pub(crate) listeners: Vec<ListenerId>,
    pub(crate) answer: Rc<Answer<T>>,
}

/// A socket or server, whose listeners can be removed.
pub(crate) trait Listened {
    fn off(&self, id: ListenerId);
}

impl<L: Listened, T> Future for Awaited<L, T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.answer.poll(cx)
    }
}

impl<L: Listened, T> Unpin for Awaited<L, T> {}

impl<L: Listened, T> Drop for Awaited<L, T> {
    fn drop(&mut self) {
        self.listeners.drain(..).for_each(|id| self.listened.off(id));
    }
}
