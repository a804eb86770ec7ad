//! What the backends of real systems share: their sockets, and all that is done by system calls. Only how a
//! driver learns when to make such a call differs.
//!
//! The state is behind `RefCell`s that are never borrowed while the callback runs, so that the callback can
//! call anything.

pub(crate) mod accept;
mod lifecycle;
mod properties;
pub(crate) mod receive;
mod retries;
pub(crate) mod send;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use slotmap::SlotMap;

use crate::completion::{Deferred, Wanted, dead};
use crate::pool::Pool;
use crate::reading::{Backlog, Lent, Read, Reader, Reading};
use crate::system::{self, Alarm, BoundFile, Clock, Spare};
use crate::{Batch, Completion, Moment, SocketId};
pub(crate) use lifecycle::{connected, open, shutdown};
use retries::Retries;

/// The sockets of a driver. `W` is what its backend knows of a socket that others do not need.
pub(crate) struct Table<W> {
    pub(crate) clock: Clock,
    pub(crate) sockets: RefCell<SlotMap<SocketId, Slot<W>>>,
    /// What the kernel did not take at once, of sockets that send.
    in_flight: RefCell<BTreeMap<SocketId, Batch>>,
    /// The files of sockets that have bound one.
    files: RefCell<BTreeMap<SocketId, BoundFile>>,
    /// Sockets with work that the kernel does not report.
    pub(crate) backlog: Backlog,
    /// Completions that must not be given inside the call that caused them.
    deferred: RefCell<VecDeque<(SocketId, Deferred)>>,
    /// To refuse connections with when there are no descriptors left.
    spare: Spare,
    retries: Retries,
    pub(crate) reader: Reader,
    pub(crate) alarm: Alarm,
    pub(crate) pool: Pool,
}

/// One socket. Small, because there may be a million: what only some of them need is in separate tables.
#[derive(Debug)]
pub(crate) struct Slot<W> {
    pub(crate) fd: OwnedFd,
    pub(crate) flags: Flags,
    pub(crate) watch: W,
}

/// What was waiting for a turn when it began.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Completions.
    pub(crate) deferred: usize,
    /// Sockets that wait for a step.
    pub(crate) steps: usize,
    /// Sockets that wait to read on.
    pub(crate) readers: usize,
}

/// What is known about a socket.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags {
    /// Accepts; otherwise it is a connection, or may become one.
    pub(crate) listener: bool,
    pub(crate) sending: Sending,
    /// Other owners may have descriptors of it too: it came from outside, or was duplicated.
    pub(crate) shared: bool,
    pub(crate) reading: Reading,
}

/// What a socket waits for until the kernel has room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sending {
    #[default]
    Nothing,
    /// A batch is in flight.
    Batch,
    /// To report once that there is room.
    Notice,
}

/// A backend whose sockets are in a [`Table`].
pub(crate) trait SystemBackend {
    /// What the backend knows of a socket.
    type Watch;

    fn table(&self) -> &Table<Self::Watch>;

    /// Adds a socket to the table. `unix`: not TCP.
    ///
    /// # Errors
    /// When there are no ids left. The descriptor is closed then.
    fn insert(&self, fd: OwnedFd, unix: bool) -> io::Result<SocketId>;

    /// Makes sure that the kernel reports what happens to the socket. Does nothing if it does so already.
    ///
    /// # Errors
    /// When the kernel refuses. Not if it was called for the socket before.
    fn watch(&self, socket: SocketId, slot: &mut Slot<Self::Watch>) -> io::Result<()>;

    /// The next turn has something to do that the kernel does not report.
    fn signal(&self) {}

    /// Puts a socket in line for the next turn.
    fn work_later(&self, socket: SocketId, slot: &mut Slot<Self::Watch>) {
        if !slot.flags.reading.in_backlog {
            slot.flags.reading.in_backlog = true;
            self.table().backlog.push(socket);
            self.signal();
        }
    }

    /// Has the next turn give a completion.
    fn defer(&self, socket: SocketId, completion: Deferred) {
        self.table().deferred.borrow_mut().push_back((socket, completion));
        self.signal();
    }
}

/// Begins to receive, or to wait for something to read; at a listener, to accept.
pub(crate) fn start(
    driver: &impl SystemBackend,
    socket: SocketId,
    wanted: Wanted,
) -> io::Result<()> {
    let mut sockets = driver.table().sockets.borrow_mut();
    let slot = sockets.get_mut(socket).ok_or_else(dead)?;
    driver.watch(socket, slot)?;
    slot.flags.reading.wanted = wanted;
    // The kernel does not report again what it reported while nothing was wanted.
    if slot.flags.reading.readable || slot.flags.reading.may_notify() {
        driver.work_later(socket, slot);
    }
    Ok(())
}

impl<W> Table<W> {
    pub(crate) fn new() -> Self {
        Self {
            clock: Clock::start(),
            sockets: RefCell::default(),
            in_flight: RefCell::default(),
            files: RefCell::default(),
            backlog: Backlog::default(),
            deferred: RefCell::default(),
            spare: Spare::new(),
            retries: Retries::default(),
            reader: Reader::default(),
            alarm: Alarm::new(),
            pool: Pool::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.sockets.borrow().len()
    }

    /// The opposite of [`start`].
    pub(crate) fn stop(&self, socket: SocketId) {
        if let Some(slot) = self.sockets.borrow_mut().get_mut(socket) {
            slot.flags.reading.wanted = Wanted::Nothing;
        }
    }

    /// Whether the next turn must not wait.
    #[inline]
    pub(crate) fn has_work(&self) -> bool {
        !self.backlog.is_empty() || !self.deferred.borrow().is_empty()
    }

    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        self.retries.next_deadline()
    }

    /// How long a turn that ends at `until` may wait in the kernel; `None` if something else ends the wait.
    #[inline]
    pub(crate) fn wait_time(&self, until: Option<Moment>) -> Option<Duration> {
        let until = match (until, self.next_deadline()) {
            (Some(until), Some(deadline)) => until.min(deadline),
            (until, deadline) => until.or(deadline)?,
        };
        self.alarm.wait_time(until, &self.clock)
    }

    /// Has a socket looked at again after [`ACCEPT_RETRY_DELAY`](crate::limits::ACCEPT_RETRY_DELAY).
    pub(crate) fn retry_later(&self, socket: SocketId) {
        self.retries.add(socket, self.clock.now());
    }

    /// What the next turn has to do beside events; `None` if there is nothing, and it may wait.
    #[inline]
    pub(crate) fn waiting(&self) -> Option<Waiting> {
        self.has_work().then(|| Waiting {
            deferred: self.deferred(),
            steps: self.backlog.steps(),
            readers: self.backlog.readers(),
        })
    }

    /// How many completions wait.
    #[inline]
    pub(crate) fn deferred(&self) -> usize {
        self.deferred.borrow().len()
    }

    /// Gives the first `count` of the completions that wait.
    #[inline]
    pub(crate) fn give_deferred(&self, count: usize, on: &mut dyn FnMut(Completion<'_>)) {
        for _ in 0..count {
            let Some((socket, completion)) = self.deferred.borrow_mut().pop_front() else { return };
            if self.sockets.borrow().contains_key(socket) {
                on(completion.into_completion(socket));
            }
        }
    }

    /// Calls `on` with the socket's slot. `None` for a dead id.
    #[inline]
    pub(crate) fn with_slot<T>(
        &self,
        socket: SocketId,
        on: impl FnOnce(&mut Slot<W>) -> T,
    ) -> Option<T> {
        self.sockets.borrow_mut().get_mut(socket).map(on)
    }

    /// Calls `on` with what is known about reading from the socket. `None` for a dead id.
    #[inline]
    pub(crate) fn with_reading<T>(
        &self,
        socket: SocketId,
        on: impl FnOnce(&mut Reading, BorrowedFd<'_>) -> T,
    ) -> Option<T> {
        self.with_slot(socket, |slot| on(&mut slot.flags.reading, system::borrow(&slot.fd)))
    }

    /// Calls `call` with the descriptor. ENOTCONN for a dead id.
    pub(crate) fn with_fd<T>(
        &self,
        socket: SocketId,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let sockets = self.sockets.borrow();
        call(system::borrow(&sockets.get(socket).ok_or_else(dead)?.fd))
    }

    pub(crate) fn raw_fd(&self, socket: SocketId) -> Option<RawFd> {
        self.sockets.borrow().get(socket).map(|slot| slot.fd.as_raw_fd())
    }

    pub(crate) fn duplicate(&self, socket: SocketId) -> io::Result<OwnedFd> {
        let mut sockets = self.sockets.borrow_mut();
        let slot = sockets.get_mut(socket).ok_or_else(dead)?;
        let copy = system::duplicate(system::borrow(&slot.fd))?;
        slot.flags.shared = true;
        Ok(copy)
    }
}

impl<W> Slot<W> {
    pub(crate) fn new(fd: OwnedFd, watch: W) -> Self {
        Self { fd, flags: Flags::default(), watch }
    }

    /// Makes one read into the loop's buffer.
    #[inline]
    pub(crate) fn read(&mut self, socket: SocketId, lent: &mut Lent<'_>) -> Read {
        self.flags.reading.read(socket, system::borrow(&self.fd), lent)
    }

    /// Closes the descriptor, unless it is a standard one that came from outside.
    pub(crate) fn close(self) {
        if self.flags.shared {
            system::close_from_outside(self.fd);
        }
    }

    /// Whether it has something in progress that a new owner of the descriptor could not go on with.
    pub(crate) fn is_busy(&self) -> bool {
        let Flags { sending, reading, .. } = self.flags;
        sending == Sending::Batch || reading.connecting || reading.is_broken()
    }
}

/// Puts a socket back in line if the callback panics: the kernel does not report again what is left of its
/// work.
pub(crate) struct AgainOnPanic<'a, B: SystemBackend> {
    pub(crate) driver: &'a B,
    pub(crate) socket: SocketId,
}

impl<B: SystemBackend> Drop for AgainOnPanic<'_, B> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut sockets = self.driver.table().sockets.borrow_mut();
            if let Some(slot) = sockets.get_mut(self.socket) {
                self.driver.work_later(self.socket, slot);
            }
        }
    }
}
