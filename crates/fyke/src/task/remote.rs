//! Tasks that other threads spawn.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use super::JoinError;
use crate::Result;
use crate::event_loop::LoopHandle;
use crate::wiring::{current, current_with};

/// A handle to a task on another thread's loop, see [`LoopHandle::spawn`]. Awaiting it returns the task's
/// output, on any executor; [`join`](Self::join) blocks the thread instead. Dropping it does not end the
/// task.
pub struct RemoteJoinHandle<T>(Arc<Mutex<State<T>>>);

enum State<T> {
    Running(Option<Waker>),
    Ended(Result<T, JoinError>),
    /// The output was already returned.
    Taken,
}

impl LoopHandle {
    /// Spawns a task on the loop, from any thread. `make` runs on the loop's thread and returns the future,
    /// so the future itself need not be `Send`, and can use the loop's sockets. Only its output is sent back.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let handle = fyke::LoopHandle::current()?;
    ///     let alive = handle.keep_alive();
    ///     std::thread::spawn(move || {
    ///         let task = handle.spawn(|| async {
    ///             let socket = fyke::Socket::new(); // belongs to the loop's thread
    ///             socket.is_connecting()
    ///         });
    ///         assert_eq!(task.unwrap().join().unwrap(), false);
    ///         drop(alive);
    ///     });
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// `ERR_EVENT_LOOP_CLOSED` if the loop was dropped. If the loop is dropped later, awaiting the handle
    /// returns an error.
    #[track_caller]
    pub fn spawn<F, M>(&self, make: M) -> Result<RemoteJoinHandle<F::Output>>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let name = Location::caller();
        let state = Arc::new(Mutex::new(State::Running(None)));
        let answer = Answer(Some(Arc::clone(&state)));
        self.post(move || {
            // If there is no loop, dropping `answer` reports that the task was aborted.
            let Ok(core) = current() else { return };
            let task = async move {
                let made = catch_unwind(AssertUnwindSafe(make));
                let result = match made {
                    Ok(future) => Caught(Box::pin(future)).await,
                    Err(panic) => Err(JoinError { panic: Some(panic) }),
                };
                answer.give(result);
            };
            core.spawn(task, name, current_with).0.detach();
        })?;
        Ok(RemoteJoinHandle(state))
    }
}

/// A future that returns a panic of the inner future as its output.
struct Caught<F>(Pin<Box<F>>);

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(JoinError { panic: Some(panic) })),
        }
    }
}

/// The loop's end of the handle. If it is dropped without a result, the task counts as aborted.
struct Answer<T>(Option<Arc<Mutex<State<T>>>>);

impl<T> Answer<T> {
    fn give(mut self, result: Result<T, JoinError>) {
        self.end(result);
    }

    fn end(&mut self, result: Result<T, JoinError>) {
        let Some(state) = self.0.take() else { return };
        let before = std::mem::replace(&mut *lock(&state), State::Ended(result));
        if let State::Running(Some(waker)) = before {
            waker.wake();
        }
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        self.end(Err(JoinError::aborted()));
    }
}

fn lock<T>(state: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> RemoteJoinHandle<T> {
    /// Blocks this thread until the task has ended, and returns its output. Do not call it on the loop's
    /// thread: the task could not run, so the call would never return.
    ///
    /// # Errors
    /// An error if the task panicked, or if its loop was dropped before the task ended.
    pub fn join(mut self) -> Result<T, JoinError> {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut cx = Context::from_waker(&waker);
        loop {
            match Pin::new(&mut self).poll(&mut cx) {
                Poll::Ready(result) => return result,
                Poll::Pending => std::thread::park(),
            }
        }
    }

    /// Returns whether the task has ended.
    pub fn is_finished(&self) -> bool {
        !matches!(*lock(&self.0), State::Running(_))
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Cancel safe: dropping the future detaches the task, see [`RemoteJoinHandle`].
impl<T> Future for RemoteJoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = lock(&self.0);
        match std::mem::replace(&mut *state, State::Taken) {
            State::Ended(result) => Poll::Ready(result),
            State::Running(before) => {
                let same = before.filter(|before| before.will_wake(cx.waker()));
                *state = State::Running(Some(same.unwrap_or_else(|| cx.waker().clone())));
                Poll::Pending
            }
            // The handle was polled again after it was ready.
            State::Taken => Poll::Ready(Err(JoinError::aborted())),
        }
    }
}

impl<T> fmt::Debug for RemoteJoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteJoinHandle").field("is_finished", &self.is_finished()).finish()
    }
}
