//! The io_uring backend.
//!
//! How it implements the contract in the [crate's documentation](crate):
//!
//! - *One `enter` per turn* submits the changes, lets the kernel receive, and waits. The operations of
//!   the contract only record what the caller wants; [`submitting`] compares that with what the ring does
//!   at the beginning of a turn. A pause and a resume in one turn therefore cost nothing.
//! - *Receiving* uses one multishot receive per socket into a pool of buffers ([`buffers`]). Bytes that
//!   the kernel receives before it processes a `receive_stop` are copied and queued (contract rule 7).
//!   The ring polls Unix sockets, sockets that receive in bulk and sockets that are read with
//!   `read_into`; system calls read them ([`by_call`]).
//! - *Sending* uses system calls, as the readiness backend does: whether the kernel accepts the bytes at
//!   once decides when callbacks run, and that must be the same on every driver. When the send buffer is
//!   full, the ring polls for room. The ring does not send: a broken connection must fail its read before
//!   its write, and the kernel would wake a send that waits in the ring first, which would consume the
//!   error.
//! - *Accepting*: the ring polls each listener, and system calls accept the connections ([`accept`]).
//! - *Closing* waits for the kernel ([`closing`]): an operation in flight keeps the socket open, so the
//!   driver cancels it in a separate `enter` and then closes the descriptor. FIN or RST is therefore sent
//!   inside the call, and the port is free when it returns.
//! - *Operations that never block* (open, bind, listen, the start of a connect, shutdown) are system
//!   calls: the ring would only add a detour, or a thread.
//!
//! # What the kernel may touch
//!
//! The kernel may use the pool of buffers and the descriptors. An operation is in [`Watched::kernel`]
//! from the moment it is queued until its last completion has been seen; the descriptor of a slot with
//! such an operation is never closed. When the driver is dropped, it cancels all operations, waits for
//! their last completions (`Drop`, in [`closing`]) and then frees the pool.

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
    /// Whether the length of a multishot receive limits each of its completions (Linux 6.17). If so, the
    /// kernel reads in the same steps as the readiness backend, which a peer can notice by its window.
    capped_receive: bool,
    /// Declared before everything that the kernel may touch, so that it is dropped first. See also
    /// `Drop`.
    ring: Ring,
    table: Table<Watched>,
    /// What the kernel received after `receive_stop`, oldest first. No queue is empty.
    held: RefCell<BTreeMap<SocketId, VecDeque<Held>>>,
    /// Sockets that the caller has closed and that operations in flight keep open.
    lingering: RefCell<BTreeMap<SocketId, Slot>>,
    /// Not shared; an `Rc` so that `Drop` can leak it.
    buffers: Rc<Buffers>,
    /// Sockets whose wanted operations changed since the last turn began.
    changed: RefCell<Vec<SocketId>>,
    /// Sockets that could not receive because all buffers were full.
    starved: RefCell<Starved>,
    /// The socket whose callback runs while more bytes of the same completion are waiting.
    giving: Cell<Option<SocketId>>,
    /// Sockets that are connected or have room for more of their batch. A turn handles them after all
    /// received bytes.
    writable: RefCell<VecDeque<SocketId>>,
    host: Host,
    turning: Cell<bool>,
    /// The number of turns, for budgets.
    turns: Cell<u64>,
}

type Slot = table::Slot<Watched>;

/// What the ring does for a socket.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Watched {
    /// Operations whose last completion has not been seen.
    kernel: Operations,
    /// Operations that were started and are not handled yet: in the kernel, or received and waiting in a
    /// turn.
    started: Operations,
    /// The operations of `started` that were cancelled.
    cancelled: Operations,
    /// Whether the socket has an entry in `held`.
    holding: bool,
    /// Whether the socket is in `starved`.
    starved: bool,
    /// Whether the socket has received bytes since its receive was armed.
    fed: bool,
    /// Whether system calls are to read the socket, because its peer sends in bulk or the caller uses
    /// `read_into`, see [`by_call`].
    bulk: bool,
    /// Whether the socket is in `changed`.
    changed: bool,
    /// Whether system calls read the socket: a Unix socket, a pipe, or a socket with `bulk` set, see
    /// [`by_call`]. For other sockets `reading` does not track what the ring receives: it only knows what
    /// is wanted, and whether the socket has ended or is connecting.
    by_call: bool,
    /// The turn in which bytes were received last; the low half of its number is enough. Stored as bytes,
    /// so that alignment adds no padding.
    fed_in_turn: [u8; 4],
}

const _: () = assert!(size_of::<Slot>() <= 28, "every connection pays for the size of a slot");

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
    /// Fails with ENFILE if the id does not fit into a token, because there are too many sockets.
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

    /// Makes the next turn compare what the socket wants with what the ring does.
    fn note_change(&self, socket: SocketId, slot: &mut Slot) {
        if !slot.watch.changed {
            slot.watch.changed = true;
            self.changed.borrow_mut().push(socket);
            self.signal();
        }
    }

    /// Re-arms a poll that has ended. If the kernel had no memory for it, it is retried later.
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
