//! The io_uring backend.
//!
//! How it does what the contract says:
//!
//! - *One `enter` per turn* hands over what changed, lets the kernel receive, and waits.
//!   The calls of the contract only note what is wanted; [`submitting`] compares that with what
//!   the ring does, at the beginning of a turn. So a pause and a resume in one turn cost nothing.
//! - *Receiving* is one multishot receive per socket into a pool of buffers ([`buffers`]). What the
//!   kernel received before it heard of a `receive_stop` is copied and kept (contract rule 7). Unix
//!   sockets, those that receive in bulk, and those that are read into memory of the caller, are polled
//!   by the ring and read by calls ([`by_call`]).
//! - *Sending* is done by calls, as with readiness: whether the kernel took the bytes at once decides when
//!   callbacks come, and that is to be the same on every driver. When the kernel is full the ring tells when
//!   it is not. It does not send itself: a connection that broke fails its read before its write (DST-10),
//!   and a send that waits in the ring would be woken first and take the error away.
//! - *Accepting*: the ring polls each listener, and calls accept ([`accept`]).
//! - *Closing* waits for the kernel ([`closing`]): an operation in flight holds the socket open, so
//!   it is cancelled, in a separate `enter`, and then the descriptor is closed. So FIN and RST
//!   leave inside the call, and a port is free when it returns.
//! - *Calls that never wait* (open, bind, listen, the beginning of a connect, shutdown) are calls:
//!   the ring would only add a detour, or a thread.
//!
//! # What the kernel may touch
//!
//! The pool of buffers, and the descriptors. An operation is in [`Watched::kernel`] from the moment it is
//! queued until its last completion was seen; the descriptor of a slot with one is never closed. When
//! the driver goes, it cancels everything and waits for the last completion (`Drop`, in
//! [`closing`]), and then frees the pool.

mod accept;
mod buffers;
mod by_call;
mod closing;
mod connect;
mod held;
mod host;
mod outside;
mod probe;
mod read_into;
mod receive;
mod ring;
mod submitting;
#[cfg(test)]
mod tests;
mod token;
mod turn;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice};
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;

use rustix::io::Errno;

use crate::backend::Backend;
use crate::completion::Wanted;
use crate::pool::Pool;
use crate::system;
use crate::table::{self, SystemBackend, Table, send};
use crate::uninit::Unfilled;
use crate::{Address, Adopted, Batch, Completion, Moment, Open, OpenError, SocketId, Waker};
use buffers::Buffers;
use held::{Held, Starved};
use host::Host;
use ring::Ring;
use token::Operations;

pub(crate) struct Uring {
    /// Whether the length of a multishot receive limits each of its completions (6.17): then the kernel
    /// reads in the same steps as readiness does, which a peer can notice by its window.
    capped_receive: bool,
    /// Before everything that the kernel may touch, so that it is dropped first. See also `Drop`.
    ring: Ring,
    table: Table<Watched>,
    /// What the kernel received after `receive_stop`, oldest first. No entry is empty.
    held: RefCell<BTreeMap<SocketId, VecDeque<Held>>>,
    /// Sockets that are closed for us, and held by operations in flight.
    lingering: RefCell<BTreeMap<SocketId, Slot>>,
    /// Not shared; an `Rc` so that it can be leaked, see `Drop`.
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
    host: Host,
    turning: Cell<bool>,
    /// Counts turns, for budgets.
    turns: Cell<u64>,
}

type Slot = table::Slot<Watched>;

/// What the ring does for a socket.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Watched {
    /// What the kernel is not done with.
    kernel: Operations,
    /// What was started and is not handled: in the kernel, or on its way through a turn.
    started: Operations,
    /// Those of `started` that were asked to end.
    cancelled: Operations,
    /// In `held`.
    holding: bool,
    /// In `starved`.
    starved: bool,
    /// Has received something since its receive was armed.
    fed: bool,
    /// It is to be read by calls, because its peer sends much or it is read into memory of the caller, see
    /// [`by_call`].
    bulk: bool,
    /// In `changed`.
    changed: bool,
    /// A Unix socket or pipe, or one of `bulk`, see [`by_call`]. What the ring receives for others
    /// is not in `reading`, which then knows only whether it is wanted, has ended, and is connecting.
    by_call: bool,
    /// The turn in which bytes were received last; the low half of its number is enough. As bytes, so that
    /// no room is lost to alignment.
    fed_in_turn: [u8; 4],
}

const _: () = assert!(size_of::<Slot>() <= 28, "a slot costs that for every connection");

impl Uring {
    fn from_parts(ring: Ring, buffers: Buffers, capped_receive: bool) -> io::Result<Self> {
        Ok(Self {
            capped_receive,
            host: Host::new()?,
            ring,
            table: Table::new(),
            held: RefCell::default(),
            lingering: RefCell::default(),
            buffers: Rc::new(buffers),
            changed: RefCell::default(),
            starved: RefCell::default(),
            giving: Cell::new(None),
            writable: RefCell::default(),
            turning: Cell::new(false),
            turns: Cell::new(0),
        })
    }

    /// Adds a socket to the table.
    ///
    /// # Errors
    /// When there are too many for their ids to fit into a token.
    fn add(&self, slot: Slot) -> io::Result<SocketId> {
        let mut sockets = self.table.sockets.borrow_mut();
        let id = sockets.insert(slot);
        if token::fits(id) {
            return Ok(id);
        }
        let slot = sockets.remove(id);
        drop(sockets);
        slot.into_iter().for_each(Slot::close);
        Err(Errno::NFILE.into())
    }

    /// Has the next turn look at what a socket wants.
    fn note_change(&self, socket: SocketId, slot: &mut Slot) {
        if !slot.watch.changed {
            slot.watch.changed = true;
            self.changed.borrow_mut().push(socket);
            self.signal();
        }
    }

    /// A poll has ended. One that the kernel had no memory for is not asked for again at once.
    fn watch_again(&self, socket: SocketId, slot: &mut Slot, error: Option<Errno>) {
        match error {
            None | Some(Errno::CANCELED) => self.note_change(socket, slot),
            Some(_) => self.table.retry_later(socket),
        }
    }
}

impl Backend for Uring {
    fn name(&self) -> &'static str {
        "uring"
    }

    fn now(&self) -> Moment {
        self.table.clock.now()
    }

    fn waker(&self) -> Waker {
        self.host.waker()
    }

    fn pool(&self) -> &Pool {
        &self.table.pool
    }

    fn open(&self, request: &Open) -> Result<SocketId, OpenError> {
        table::open(self, request)
    }

    fn listen(&self, socket: SocketId, backlog: i32) -> io::Result<()> {
        self.table.listen(socket, backlog)
    }

    fn accept_start(&self, listener: SocketId) -> io::Result<()> {
        table::start(self, listener, Wanted::Delivery)
    }

    fn accept_stop(&self, listener: SocketId) {
        self.table.stop(listener);
    }

    fn connect(&self, socket: SocketId, target: &Address) {
        self.connect(socket, target);
    }

    fn receive_start(&self, socket: SocketId) -> io::Result<()> {
        self.start_reading(socket, Wanted::Delivery)
    }

    fn receive_stop(&self, socket: SocketId) {
        if let Some(slot) = self.table.sockets.borrow_mut().get_mut(socket) {
            slot.flags.reading.wanted = Wanted::Nothing;
            self.note_change(socket, slot);
        }
    }

    fn readable_start(&self, socket: SocketId) -> io::Result<()> {
        self.start_reading(socket, Wanted::Notice)
    }

    fn is_drained(&self, socket: SocketId) -> bool {
        let drained = |slot: &mut Slot| !slot.watch.holding && slot.flags.reading.is_drained();
        self.table.with_slot(socket, drained).unwrap_or(false)
    }

    fn read_into<'a>(&self, socket: SocketId, buffer: Unfilled<'a>) -> io::Result<&'a mut [u8]> {
        self.read_into(socket, buffer)
    }

    fn peek_into<'a>(&self, socket: SocketId, buffer: Unfilled<'a>) -> io::Result<&'a mut [u8]> {
        self.peek_into(socket, buffer)
    }

    fn send(&self, socket: SocketId, batch: Batch) -> io::Result<usize> {
        send::send(self, socket, batch)
    }

    fn send_at_once(&self, socket: SocketId, bytes: &[u8]) -> io::Result<usize> {
        send::send_at_once(self, socket, bytes)
    }

    fn send_vectored_at_once(&self, socket: SocketId, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        send::send_vectored_at_once(self, socket, slices)
    }

    fn writable_start(&self, socket: SocketId) -> io::Result<()> {
        send::writable_start(self, socket)
    }

    fn shutdown(&self, socket: SocketId) -> bool {
        table::shutdown(self, socket)
    }

    fn close(&self, socket: SocketId) -> bool {
        self.close(socket)
    }

    fn reset(&self, socket: SocketId) -> bool {
        self.table.reset_on_close(socket);
        self.close(socket)
    }

    fn has_work(&self) -> bool {
        self.table.has_work()
            || self.ring.waiting() > 0
            || !self.changed.borrow().is_empty()
            || !self.writable.borrow().is_empty()
            || !self.starved.borrow().is_empty()
    }

    fn next_deadline(&self) -> Option<Moment> {
        self.table.next_deadline()
    }

    fn turn(&self, until: Option<Moment>, on: &mut dyn FnMut(Completion<'_>)) -> io::Result<()> {
        self.turn(until, on)
    }

    fn remove_stale(&self, address: &Address) -> bool {
        system::remove_stale(address)
    }

    fn set_mode(&self, socket: SocketId, mode: u32) -> io::Result<()> {
        self.table.set_mode(socket, mode)
    }

    fn adopt(&self, fd: OwnedFd) -> io::Result<(SocketId, Adopted)> {
        self.adopt(fd)
    }

    fn detach(&self, socket: SocketId) -> io::Result<OwnedFd> {
        self.detach(socket)
    }

    fn duplicate(&self, socket: SocketId) -> io::Result<OwnedFd> {
        self.table.duplicate(socket)
    }

    fn raw_fd(&self, socket: SocketId) -> Option<RawFd> {
        self.table.raw_fd(socket)
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.host.outer(&self.ring)
    }
}

impl SystemBackend for Uring {
    type Watch = Watched;

    fn table(&self) -> &Table<Watched> {
        &self.table
    }

    fn insert(&self, fd: OwnedFd, unix: bool) -> io::Result<SocketId> {
        self.add(Slot::new(fd, Watched { by_call: unix, ..Watched::default() }))
    }

    fn watch(&self, socket: SocketId, slot: &mut Slot) -> io::Result<()> {
        self.note_change(socket, slot);
        Ok(())
    }

    fn signal(&self) {
        self.host.signal_unless(self.turning.get());
    }
}

impl std::fmt::Debug for Uring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uring")
            .field("sockets", &self.table.len())
            .field("in_flight", &self.ring.in_flight())
            .finish_non_exhaustive()
    }
}
