//! The two event counters: one wakes the loop from other threads, the other tells a host's own loop
//! that there is something to do.

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
    /// Whether the ring watches the waker.
    pub(super) watched: Cell<bool>,
}

struct Counters {
    waker: Counter,
    /// Registered with the ring from the first time that it is requested: the kernel then
    /// signals it for everything that happens, which costs a little.
    ///
    /// The ring's own descriptor does not serve: with DEFER_TASKRUN nothing becomes a completion
    /// before we enter, so it never becomes readable.
    outer: OnceLock<Counter>,
}

impl Host {
    pub(super) fn new() -> io::Result<Self> {
        let counters = Counters { waker: Counter::new()?, outer: OnceLock::new() };
        Ok(Self { counters: Arc::new(counters), watched: Cell::new(false) })
    }

    pub(super) fn waker(&self) -> Waker {
        Waker::new(Arc::clone(&self.counters))
    }

    pub(super) fn waker_fd(&self) -> BorrowedFd<'_> {
        self.counters.waker.0.as_fd()
    }

    /// The descriptor for a host's loop; none if it cannot be had.
    pub(super) fn outer(&self, ring: &Ring) -> Option<BorrowedFd<'_>> {
        if self.counters.outer.get().is_none() {
            let outer = Counter::new().ok()?;
            ring.register_eventfd(outer.0.as_raw_fd()).ok()?;
            // What happened before was not signalled.
            outer.wake();
            let _ = self.counters.outer.set(outer);
        }
        self.counters.outer.get().map(|outer| outer.0.as_fd())
    }

    pub(super) fn has_outer(&self) -> bool {
        self.counters.outer.get().is_some()
    }

    /// Makes the host's descriptor readable, unless a turn is running: its end looks itself.
    pub(super) fn signal_unless(&self, turning: bool) {
        if !turning {
            self.signal();
        }
    }

    pub(super) fn signal(&self) {
        self.counters.outer.get().into_iter().for_each(Wake::wake);
    }

    /// Makes it unreadable. Before entering: what happens afterwards signals it again.
    pub(super) fn reset(&self) {
        if let Some(outer) = self.counters.outer.get() {
            // It may not have been readable.
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
    /// The ring watches the waker, and would signal the host's counter. But in a wake of one event counter the
    /// kernel does not signal another one at once, and Linux 6.18 loses such signals after the first ones.
    fn wake(&self) {
        self.waker.wake();
        self.outer.get().into_iter().for_each(Wake::wake);
    }
}

impl Wake for Counter {
    fn wake(&self) {
        // Adding one fails only if the counter is full: then it is readable already.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}
