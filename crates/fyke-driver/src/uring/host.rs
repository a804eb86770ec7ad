//! The two event counters: one wakes the loop from other threads, the other tells a host's own loop
//! that there is something to do.

use std::cell::{Cell, OnceCell};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};

use super::ring::Ring;
use crate::Waker;
use crate::waker::Wake;

pub(super) struct Host {
    waker: Arc<Counter>,
    /// Whether the ring watches the waker.
    pub(super) watched: Cell<bool>,
    /// Registered with the ring from the first time that it is asked for: the kernel then
    /// signals it for everything that happens, which costs a little.
    ///
    /// The ring's own descriptor does not serve: with DEFER_TASKRUN nothing becomes a completion
    /// before we enter, so it never becomes readable.
    outer: OnceCell<Counter>,
}

impl Host {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            waker: Arc::new(Counter::new()?),
            watched: Cell::new(false),
            outer: OnceCell::new(),
        })
    }

    pub(super) fn waker(&self) -> Waker {
        Waker::new(Arc::clone(&self.waker))
    }

    pub(super) fn waker_fd(&self) -> BorrowedFd<'_> {
        self.waker.0.as_fd()
    }

    /// The descriptor for a host's loop; none if it cannot be had.
    pub(super) fn outer(&self, ring: &Ring) -> Option<BorrowedFd<'_>> {
        if self.outer.get().is_none() {
            let outer = Counter::new().ok()?;
            ring.register_eventfd(outer.0.as_raw_fd()).ok()?;
            // What happened before was not signalled.
            outer.wake();
            let _ = self.outer.set(outer);
        }
        self.outer.get().map(|outer| outer.0.as_fd())
    }

    pub(super) fn has_outer(&self) -> bool {
        self.outer.get().is_some()
    }

    /// Makes the host's descriptor readable, unless a turn is running: its end looks itself.
    pub(super) fn signal_unless(&self, turning: bool) {
        if !turning {
            self.signal();
        }
    }

    pub(super) fn signal(&self) {
        self.outer.get().into_iter().for_each(Wake::wake);
    }

    /// Makes it unreadable. Before entering: what happens afterwards signals it again.
    pub(super) fn reset(&self) {
        if let Some(outer) = self.outer.get() {
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

impl Wake for Counter {
    fn wake(&self) {
        // Adding one fails only if the counter is full: then it is readable already.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}
