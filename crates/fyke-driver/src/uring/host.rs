//! The two event counters: one wakes the loop from other threads, the other signals the event loop of a
//! host that there is something to do.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use rustix::event::{EventfdFlags, eventfd};

use super::ring::Ring;
use crate::Waker;
use crate::waker::Wake;

pub(super) struct Host {
    counters: Arc<Counters>,
    /// Whether `outer` is set. Every turn asks for this.
    has_outer: Cell<bool>,
    /// Whether the ring watches the waker.
    pub(super) watched: Cell<bool>,
}

struct Counters {
    waker: Counter,
    /// Registered with the ring when it is first requested: from then on the kernel signals it for every
    /// event, which costs a little.
    ///
    /// The ring's own descriptor cannot be used: with DEFER_TASKRUN the kernel posts no completion before
    /// the driver calls `enter`, so the descriptor never becomes readable.
    outer: OnceLock<Counter>,
}

impl Host {
    pub(super) fn new() -> io::Result<Self> {
        let counters = Counters { waker: Counter::new()?, outer: OnceLock::new() };
        Ok(Self {
            counters: Arc::new(counters),
            has_outer: Cell::new(false),
            watched: Cell::new(false),
        })
    }

    pub(super) fn waker(&self) -> Waker {
        Waker::new(Arc::clone(&self.counters))
    }

    pub(super) fn waker_fd(&self) -> BorrowedFd<'_> {
        self.counters.waker.0.as_fd()
    }

    /// The descriptor for the event loop of a host, or `None` if it cannot be created or registered.
    pub(super) fn outer(&self, ring: &Ring) -> Option<BorrowedFd<'_>> {
        if self.counters.outer.get().is_none() {
            let outer = Counter::new().ok()?;
            ring.register_eventfd(outer.0.as_raw_fd()).ok()?;
            // Earlier events were not signalled.
            outer.wake();
            let _ = self.counters.outer.set(outer);
            self.has_outer.set(true);
        }
        self.counters.outer.get().map(|outer| outer.0.as_fd())
    }

    #[inline]
    pub(super) fn has_outer(&self) -> bool {
        self.has_outer.get()
    }

    /// Makes the host's descriptor readable, unless a turn is running: the end of the turn checks for
    /// work itself.
    pub(super) fn signal_unless(&self, turning: bool) {
        if !turning {
            self.signal();
        }
    }

    pub(super) fn signal(&self) {
        self.counters.outer.get().into_iter().for_each(Wake::wake);
    }

    /// Makes the host's descriptor unreadable. Called before `enter`, so that later events signal it
    /// again.
    pub(super) fn reset(&self) {
        if !self.has_outer() {
            return;
        }
        if let Some(outer) = self.counters.outer.get() {
            // The read fails if the descriptor was not readable.
            let _ = rustix::io::read(&outer.0, &mut [0; 8]);
        }
    }
}

/// An event counter of the kernel (eventfd(2)): readable unless it is zero.
struct Counter(OwnedFd);

impl Counter {
    fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?))
    }
}

impl Wake for Counters {
    /// Signals both counters. The ring polls the waker and would therefore signal the host's counter too.
    /// But the kernel does not signal one event counter at once from a wake of another, and Linux 6.18
    /// loses such signals after the first ones.
    fn wake(&self) {
        self.waker.wake();
        self.outer.get().into_iter().for_each(Wake::wake);
    }
}

impl Wake for Counter {
    fn wake(&self) {
        // The write fails only if the counter is full, and then it is readable already.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}
