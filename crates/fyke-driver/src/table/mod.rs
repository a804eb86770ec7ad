//! The part that all backends of real systems share: the table of sockets, and everything that is done with
//! system calls. The backends differ only in how they learn when to make a call.
//!
//! The state is in `RefCell`s that are never borrowed while the callback runs, so the callback can call any
//! operation.

pub(crate) mod accept;
mod lifecycle;
mod properties;
pub(crate) mod receive;
mod retries;
pub(crate) mod send;
mod slots;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
#[cfg(unix)]
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use crate::completion::{Deferred, Wanted, dead};
use crate::limits::ACCEPT_RETRY_DELAY;
use crate::pool::Pool;
use crate::reading::{Backlog, Lent, Read, Reader, Reading};
use crate::system::{self, Alarm, Borrowed, BoundFile, Clock, Fd, Spare};
use crate::{Batch, Completion, Moment, SocketId};
pub(crate) use lifecycle::{connected, open, shutdown};
use retries::Retries;
use slots::Slots;

/// The sockets of a driver. `W` is the state that its backend keeps for each socket.
pub(crate) struct Table<W> {
    pub(crate) clock: Clock,
    pub(crate) sockets: RefCell<Slots<Slot<W>>>,
    /// The batches in flight: bytes that the kernel did not accept at once.
    in_flight: RefCell<BTreeMap<SocketId, Batch>>,
    /// The files of bound Unix sockets.
    files: RefCell<BTreeMap<SocketId, BoundFile>>,
    /// Sockets with work for which the kernel reports no event.
    pub(crate) backlog: Backlog,
    /// Completions that must not be reported inside the call that caused them.
    deferred: RefCell<VecDeque<(SocketId, Deferred)>>,
    /// A spare descriptor, to refuse connections when descriptors are exhausted.
    spare: Spare,
    retries: Retries,
    pub(crate) reader: Reader,
    pub(crate) alarm: Alarm,
    pub(crate) pool: Pool,
    /// Bytes from several places, while they are sent.
    copied: Cell<Vec<u8>>,
}

/// One socket. It is small, because there may be a million; state that only some sockets need is in separate
/// tables.
#[derive(Debug)]
pub(crate) struct Slot<W> {
    pub(crate) fd: Fd,
    pub(crate) flags: Flags,
    pub(crate) watch: W,
}

/// The work that was waiting when a turn began.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// The number of deferred completions.
    pub(crate) deferred: usize,
    /// The number of sockets that wait for a step.
    pub(crate) steps: usize,
    /// The number of sockets that wait to continue reading.
    pub(crate) readers: usize,
}

/// The state of a socket.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags {
    /// The socket is a listener. Otherwise it is a connection, or may become one.
    pub(crate) listener: bool,
    pub(crate) sending: Sending,
    /// Other owners may have descriptors of the same socket, because it was adopted or duplicated.
    #[cfg(unix)]
    pub(crate) shared: bool,
    pub(crate) reading: Reading,
}

/// What a socket does when the kernel has room for bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sending {
    #[default]
    Nothing,
    /// It sends more of the batch in flight.
    Batch,
    /// It reports `Writable` once.
    Notice,
}

/// A backend whose sockets are in a [`Table`].
pub(crate) trait SystemBackend {
    /// The state that the backend keeps for each socket.
    type Watch;

    fn table(&self) -> &Table<Self::Watch>;

    /// Adds a socket to the table. `unix` is true for a Unix socket.
    ///
    /// # Errors
    /// If no ids are left. The descriptor is closed in that case.
    fn insert(&self, fd: Fd, unix: bool) -> io::Result<SocketId>;

    /// Makes the kernel report events of the socket. Does nothing if the socket is already watched.
    ///
    /// # Errors
    /// If the kernel refuses. It cannot fail for a socket that is already watched.
    fn watch(&self, socket: SocketId, slot: &mut Slot<Self::Watch>) -> io::Result<()>;

    /// Notes that the next turn has work for which the kernel reports no event.
    fn signal(&self) {}

    /// Puts a socket into the backlog for the next turn.
    fn work_later(&self, socket: SocketId, slot: &mut Slot<Self::Watch>) {
        if !slot.flags.reading.in_backlog {
            slot.flags.reading.in_backlog = true;
            self.table().backlog.push(socket);
            self.signal();
        }
    }

    /// Makes the next turn report a completion.
    fn defer(&self, socket: SocketId, completion: Deferred) {
        self.table().deferred.borrow_mut().push_back((socket, completion));
        self.signal();
    }
}

/// Starts receiving or waiting for readability; on a listener, starts accepting.
pub(crate) fn start(
    driver: &impl SystemBackend,
    socket: SocketId,
    wanted: Wanted,
) -> io::Result<()> {
    let mut sockets = driver.table().sockets.borrow_mut();
    let slot = sockets.get_mut(socket).ok_or_else(dead)?;
    driver.watch(socket, slot)?;
    slot.flags.reading.wanted = wanted;
    // The kernel does not repeat an event that it reported while nothing was wanted.
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
            copied: Cell::default(),
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

    /// Returns whether there is work, so that the next turn must not wait.
    #[inline]
    pub(crate) fn has_work(&self) -> bool {
        !self.backlog.is_empty() || !self.deferred.borrow().is_empty()
    }

    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        self.retries.next_deadline()
    }

    /// Returns how long a turn that ends at `until` may wait in the kernel, or `None` if the wait has no
    /// timeout: there is no deadline, or an alarm ends it.
    #[inline]
    pub(crate) fn wait_time(&self, until: Option<Moment>) -> Option<Duration> {
        let until = match (until, self.next_deadline()) {
            (Some(until), Some(deadline)) => until.min(deadline),
            (until, deadline) => until.or(deadline)?,
        };
        self.alarm.wait_time(until, &self.clock)
    }

    /// Retries a socket after [`ACCEPT_RETRY_DELAY`].
    pub(crate) fn retry_later(&self, socket: SocketId) {
        self.retries.add(socket, self.clock.now() + ACCEPT_RETRY_DELAY);
    }

    /// Checks the socket in the next turn, see [`system::check`].
    pub(crate) fn check_soon(&self, socket: SocketId) {
        self.retries.add(socket, self.clock.now());
    }

    /// Checks the socket again after the time that its last check requested, see [`system::check`].
    pub(crate) fn check_later(&self, socket: SocketId, check: system::Check) {
        if let Some(after) = check.again {
            self.retries.add(socket, self.clock.now() + after);
        }
    }

    /// Returns the work of the next turn that no event reports, or `None` if there is none and the turn may
    /// wait.
    #[inline]
    pub(crate) fn waiting(&self) -> Option<Waiting> {
        self.has_work().then(|| Waiting {
            deferred: self.deferred(),
            steps: self.backlog.steps(),
            readers: self.backlog.readers(),
        })
    }

    /// Returns the number of deferred completions.
    #[inline]
    pub(crate) fn deferred(&self) -> usize {
        self.deferred.borrow().len()
    }

    /// Reports the first `count` deferred completions.
    #[inline]
    pub(crate) fn give_deferred(&self, count: usize, on: &mut dyn FnMut(Completion<'_>)) {
        for _ in 0..count {
            let Some((socket, completion)) = self.deferred.borrow_mut().pop_front() else { return };
            if self.sockets.borrow().contains_key(socket) {
                on(completion.into_completion(socket));
            }
        }
    }

    /// Calls `on` with the socket's slot. Returns `None` for a dead id.
    #[inline]
    pub(crate) fn with_slot<T>(
        &self,
        socket: SocketId,
        on: impl FnOnce(&mut Slot<W>) -> T,
    ) -> Option<T> {
        self.sockets.borrow_mut().get_mut(socket).map(on)
    }

    /// Calls `on` with the state of the socket's receiving side. Returns `None` for a dead id.
    #[inline]
    pub(crate) fn with_reading<T>(
        &self,
        socket: SocketId,
        on: impl FnOnce(&mut Reading, Borrowed<'_>) -> T,
    ) -> Option<T> {
        self.with_slot(socket, |slot| on(&mut slot.flags.reading, system::borrow(&slot.fd)))
    }

    /// Calls `call` with the descriptor. Fails with ENOTCONN for a dead id.
    pub(crate) fn with_fd<T>(
        &self,
        socket: SocketId,
        call: impl FnOnce(Borrowed<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let sockets = self.sockets.borrow();
        call(system::borrow(&sockets.get(socket).ok_or_else(dead)?.fd))
    }
}

#[cfg(unix)]
impl<W> Table<W> {
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
    pub(crate) fn new(fd: Fd, watch: W) -> Self {
        Self { fd, flags: Flags::default(), watch }
    }

    /// Reads once into the shared buffer.
    #[inline]
    pub(crate) fn read(&mut self, socket: SocketId, lent: &mut Lent<'_>) -> Read {
        self.flags.reading.read(socket, system::borrow(&self.fd), lent)
    }

    /// Checks a socket whose state changes without an event.
    pub(crate) fn check(&mut self) -> system::Check {
        let check = system::check(&self.fd);
        // A read of a stream that has ended returns the end.
        self.flags.reading.readable |= check.changed;
        check
    }

    /// Closes the descriptor, unless it is an adopted standard descriptor.
    pub(crate) fn close(self) {
        #[cfg(unix)]
        if self.flags.shared {
            system::close_from_outside(self.fd);
        }
    }

    /// Returns whether an operation is in progress that a new owner of the descriptor could not continue.
    #[cfg(unix)]
    pub(crate) fn is_busy(&self) -> bool {
        let Flags { sending, reading, .. } = self.flags;
        sending == Sending::Batch || reading.connecting || reading.is_broken()
    }
}

/// Puts a socket back into the backlog if the callback panics, because the kernel does not report its
/// remaining work again.
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
