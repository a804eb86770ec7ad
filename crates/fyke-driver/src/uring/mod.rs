//! The io_uring backend.
//!
//! How it does what the contract says:
//!
//! - *One `enter` per turn* hands over what changed, lets the kernel receive, and waits.
//!   The calls of the contract only note what is wanted; [`submitting`] compares that with what
//!   the ring does, at the beginning of a turn. So a pause and a resume in one turn cost nothing.
//! - *Receiving* is one multishot receive per socket into a pool of buffers ([`buffers`]). What the
//!   kernel received before it heard of a `receive_stop` is copied and kept (contract rule 7). Unix
//!   sockets, and those that receive in bulk, are polled by the ring and read by calls ([`by_call`]).
//! - *Sending* is tried at once with a gathering call, as readiness does it: whether the kernel took
//!   the bytes decides when callbacks come, and that is to be the same on every driver. When the
//!   kernel is full the ring tells when it is not ([`send`]).
//! - *Accepting*: the ring polls each listener, and calls accept ([`accept`]).
//! - *Closing* waits for the kernel ([`closing`]): an operation in flight holds the socket open, so
//!   it is cancelled, in an `enter` of its own, and then the descriptor is closed. So FIN and RST
//!   leave inside the call, and a port is free when it returns.
//! - *Calls that never wait* (open, bind, listen, the beginning of a connect, shutdown) are calls:
//!   the ring would only add a detour, or a thread.
//!
//! # What the kernel may touch
//!
//! The pool of buffers, and the descriptors. An operation is in [`Slot::kernel`] from the moment it is
//! queued until its last completion was seen; the descriptor of a slot with one is never closed. When
//! the driver goes, it cancels everything and waits for the last completion (`Drop`, in
//! [`closing`]), and then frees the pool.

mod accept;
mod buffers;
mod by_call;
mod closing;
mod host;
mod open;
mod outside;
mod probe;
mod receive;
mod ring;
mod send;
mod submitting;
#[cfg(test)]
mod tests;
mod token;
mod turn;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use slotmap::SlotMap;

use crate::accepting::Accepting;
use crate::backend::Backend;
use crate::completion::{Deferred, dead};
use crate::pool::Pool;
use crate::reading::{Backlog, Reader, Reading, ReadsByCall};
use crate::system::{self, Alarm, BoundFile, Clock, Descriptors};
use crate::{Address, Adopted, Batch, Completion, Open, OpenError, SocketId, Waker};
use buffers::Buffers;
use host::Host;
use probe::Abilities;
use receive::{Held, Starved};
use ring::Ring;
use token::Operations;

pub(crate) struct Uring {
    clock: Clock,
    abilities: Abilities,
    /// Before everything that the kernel may touch, so that it is dropped first. See also `Drop`.
    ring: Ring,
    sockets: RefCell<SlotMap<SocketId, Slot>>,
    /// What is left to send of those that send.
    in_flight: RefCell<BTreeMap<SocketId, Batch>>,
    /// What was received while nobody wanted it, oldest first. None is empty.
    held: RefCell<BTreeMap<SocketId, VecDeque<Held>>>,
    /// The files of those that have bound one.
    files: RefCell<BTreeMap<SocketId, BoundFile>>,
    /// Sockets that are closed for us, and held by operations in flight.
    lingering: RefCell<BTreeMap<SocketId, Slot>>,
    /// Shared with nobody, but so it can be leaked, see `Drop`.
    buffers: Rc<Buffers>,
    /// Sockets of which something changed since the last turn began.
    changed: RefCell<Vec<SocketId>>,
    /// Sockets that could not receive because all buffers were full.
    starved: RefCell<Starved>,
    /// The socket whose callback runs while more bytes of the same completion wait.
    giving: Cell<Option<SocketId>>,
    /// Sockets that are connected, or have room for more of their batch: looked at when all was
    /// received.
    writable: RefCell<VecDeque<SocketId>>,
    /// Sockets with work that needs no completion: bytes kept, a budget left over.
    backlog: Backlog,
    /// Completions that must not be given inside the call that caused them.
    deferred: RefCell<VecDeque<(SocketId, Deferred)>>,
    accepting: Accepting,
    /// Outlives its poll, as what `host` has.
    alarm: Alarm,
    host: Host,
    turning: Cell<bool>,
    /// Counts turns, for budgets.
    turns: Cell<u64>,
    /// For sockets that are read by calls.
    reader: Reader,
    pool: Pool,
}

/// One socket. Small, because there may be a million: what only some of them need is in tables of its
/// own.
#[derive(Debug)]
struct Slot {
    fd: OwnedFd,
    /// What the kernel is not done with.
    kernel: Operations,
    /// What was started and is not handled: in the kernel, or on its way through a turn.
    started: Operations,
    /// Those of `started` that were asked to end.
    cancelled: Operations,
    flags: Flags,
    /// The turn in which bytes were received last; the low half of its number is enough.
    fed_in_turn: u32,
}

const _: () = assert!(size_of::<Slot>() <= 28, "a slot costs that for every connection");

/// What is known about a socket.
#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    /// Accepts; otherwise it is a connection, or may become one.
    listener: bool,
    /// In `in_flight`.
    sending: bool,
    /// In `held`.
    holding: bool,
    /// Of those that the ring receives for it knows whether it is wanted, has ended, and is connecting.
    reading: Reading,
    /// In `starved`.
    starved: bool,
    /// Has received something since its receive was armed.
    fed: bool,
    /// Its peer sends so much that it is to be read by calls, see [`by_call`].
    bulk: bool,
    /// In `changed`.
    changed: bool,
    /// A Unix socket or pipe, or one that receives in bulk, see [`by_call`].
    by_call: bool,
    /// Of the descriptors that came from outside: the standard ones are never closed.
    adopted: bool,
}

impl Slot {
    fn new(fd: OwnedFd, by_call: bool) -> Self {
        Self {
            fd,
            kernel: Operations::default(),
            started: Operations::default(),
            cancelled: Operations::default(),
            flags: Flags { by_call, ..Flags::default() },
            fed_in_turn: 0,
        }
    }
}

impl Uring {
    /// # Errors
    /// When the system refuses io_uring, or has no descriptors or memory left.
    pub(crate) fn new() -> io::Result<Self> {
        Self::with_abilities(probe::probed()?)
    }

    fn with_abilities(abilities: Abilities) -> io::Result<Self> {
        let ring = Ring::new()?;
        let buffers = Buffers::new(&ring)?;
        Self::from_parts(ring, buffers, abilities)
    }

    fn from_parts(ring: Ring, buffers: Buffers, abilities: Abilities) -> io::Result<Self> {
        Ok(Self {
            clock: Clock::start(),
            abilities,
            host: Host::new()?,
            ring,
            sockets: RefCell::default(),
            in_flight: RefCell::default(),
            held: RefCell::default(),
            files: RefCell::default(),
            lingering: RefCell::default(),
            buffers: Rc::new(buffers),
            changed: RefCell::default(),
            starved: RefCell::default(),
            giving: Cell::new(None),
            writable: RefCell::default(),
            backlog: Backlog::default(),
            deferred: RefCell::default(),
            accepting: Accepting::new(),
            alarm: Alarm::new(),
            turning: Cell::new(false),
            turns: Cell::new(0),
            reader: Reader::default(),
            pool: Pool::default(),
        })
    }

    /// Takes a socket in.
    ///
    /// # Errors
    /// When there are too many for their ids to fit into a token.
    fn insert(&self, slot: Slot) -> io::Result<SocketId> {
        let mut sockets = self.sockets.borrow_mut();
        let id = sockets.insert(slot);
        if token::fits(id) {
            return Ok(id);
        }
        let slot = sockets.remove(id);
        drop(sockets);
        slot.into_iter().for_each(outside::close_descriptor);
        Err(rustix::io::Errno::NFILE.into())
    }

    /// Has the next turn look at what a socket wants.
    fn note_change(&self, socket: SocketId, slot: &mut Slot) {
        if !slot.flags.changed {
            slot.flags.changed = true;
            self.changed.borrow_mut().push(socket);
            self.host.signal_unless(self.turning.get());
        }
    }

    /// Puts a socket in line for the next turn.
    fn defer_work(&self, socket: SocketId, slot: &mut Slot) {
        if !slot.flags.reading.in_backlog {
            slot.flags.reading.in_backlog = true;
            self.backlog.push(socket);
            self.host.signal_unless(self.turning.get());
        }
    }

    fn defer(&self, socket: SocketId, completion: Deferred) {
        self.deferred.borrow_mut().push_back((socket, completion));
        self.host.signal_unless(self.turning.get());
    }
}

impl Backend for Uring {
    fn name(&self) -> &'static str {
        "uring"
    }

    fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    fn waker(&self) -> Waker {
        self.host.waker()
    }

    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn open(&self, request: &Open) -> Result<SocketId, OpenError> {
        self.open(request)
    }

    fn listen(&self, socket: SocketId, backlog: i32) -> io::Result<()> {
        self.listen(socket, backlog)
    }

    fn accept_start(&self, listener: SocketId) -> io::Result<()> {
        self.accept_start(listener)
    }

    fn accept_stop(&self, listener: SocketId) {
        self.accept_stop(listener);
    }

    fn connect(&self, socket: SocketId, target: &Address) {
        self.connect(socket, target);
    }

    fn receive_start(&self, socket: SocketId) -> io::Result<()> {
        self.receive_start(socket)
    }

    fn receive_stop(&self, socket: SocketId) {
        self.receive_stop(socket);
    }

    fn send(&self, socket: SocketId, batch: Batch) -> io::Result<usize> {
        self.send(socket, batch)
    }

    fn send_at_once(&self, socket: SocketId, bytes: &[u8]) -> io::Result<usize> {
        system::send_at_once(self, socket, bytes)
    }

    fn shutdown(&self, socket: SocketId) -> bool {
        self.shutdown(socket)
    }

    fn close(&self, socket: SocketId) -> bool {
        self.close(socket)
    }

    fn reset(&self, socket: SocketId) -> bool {
        self.reset(socket)
    }

    fn has_work(&self) -> bool {
        self.ring.waiting() > 0
            || !self.changed.borrow().is_empty()
            || !self.writable.borrow().is_empty()
            || !self.backlog.is_empty()
            || !self.deferred.borrow().is_empty()
            || !self.starved.borrow().is_empty()
    }

    fn next_deadline(&self) -> Option<Duration> {
        self.accepting.next_deadline()
    }

    fn turn(
        &self,
        timeout: Option<Duration>,
        on: &mut dyn FnMut(Completion<'_>),
    ) -> io::Result<()> {
        self.turn(timeout, on)
    }

    fn remove_stale(&self, address: &Address) -> bool {
        system::remove_stale(address)
    }

    fn set_mode(&self, socket: SocketId, mode: u32) -> io::Result<()> {
        self.set_mode(socket, mode)
    }

    fn adopt(&self, fd: OwnedFd) -> io::Result<(SocketId, Adopted)> {
        self.adopt(fd)
    }

    fn detach(&self, socket: SocketId) -> io::Result<OwnedFd> {
        self.detach(socket)
    }

    fn duplicate(&self, socket: SocketId) -> io::Result<OwnedFd> {
        self.duplicate(socket)
    }

    fn raw_fd(&self, socket: SocketId) -> Option<RawFd> {
        self.sockets.borrow().get(socket).map(|slot| slot.fd.as_raw_fd())
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.host.outer(&self.ring)
    }
}

impl ReadsByCall for Uring {
    fn reader(&self) -> &Reader {
        &self.reader
    }

    fn with_reading<T>(
        &self,
        socket: SocketId,
        on: impl FnOnce(&mut Reading, BorrowedFd<'_>) -> T,
    ) -> Option<T> {
        let mut sockets = self.sockets.borrow_mut();
        let slot = sockets.get_mut(socket)?;
        Some(on(&mut slot.flags.reading, system::borrow(&slot.fd)))
    }

    fn send_more(&self, socket: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        self.send_more(socket, on);
    }

    fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    fn work_later(&self, socket: SocketId) {
        if let Some(slot) = self.sockets.borrow_mut().get_mut(socket) {
            self.defer_work(socket, slot);
        }
    }
}

impl Descriptors for Uring {
    fn with_fd<T>(
        &self,
        socket: SocketId,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let sockets = self.sockets.borrow();
        call(system::borrow(&sockets.get(socket).ok_or_else(dead)?.fd))
    }
}

impl std::fmt::Debug for Uring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uring")
            .field("sockets", &self.sockets.borrow().len())
            .field("in_flight", &self.ring.in_flight())
            .finish_non_exhaustive()
    }
}
