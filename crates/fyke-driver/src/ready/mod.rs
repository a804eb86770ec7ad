//! The readiness backend: mio's epoll, kqueue or IOCP, edge-triggered, each socket registered once.
//!
//! It implements completions on top of readiness:
//!
//! - *Receiving.* The kernel reports that a socket became readable. The driver then reads it into the loop's
//!   one read buffer until a read is short. On a stream socket, a short read means that the socket is drained
//!   (epoll(7), "Questions and answers" 9), so no further probing read is needed. On Windows, only a read that
//!   would block shows that, and only after it mio reports the next event. A hang-up in the event
//!   (EPOLLRDHUP) is the exception: end-of-stream makes no new edge, so reading continues until it is found.
//! - *Sending.* The system call is tried at once. Bytes that the kernel does not accept become the batch in
//!   flight, which continues when the socket becomes writable.
//! - *Fairness.* A socket that has used up its budget of reads for this turn waits in the backlog, and the
//!   next turn does not wait in the kernel.

#[cfg(unix)]
mod outside;
mod turn;

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
#[cfg(unix)]
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use mio::{Events, Interest, Poll, Token};
use slotmap::{Key, KeyData};

#[cfg(unix)]
use crate::Adopted;
use crate::backend::Backend;
use crate::completion::{Deferred, Wanted};
use crate::limits::EVENTS_PER_TURN_MAX;
use crate::pool::Pool;
use crate::system::{self, Errno, Fd};
use crate::table::{self, Slot, SystemBackend, Table, receive, send};
use crate::uninit::Unfilled;
use crate::waker::Wake;
use crate::{Address, Batch, Completion, Moment, Open, OpenError, Operation, SocketId, Waker};

/// The events that are watched on a connection. They include urgent bytes, because a read stops at them.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CONNECTION: Interest = Interest::READABLE.add(Interest::WRITABLE).add(Interest::PRIORITY);

#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CONNECTION: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// The table never assigns this id: its index stands for "no key".
const WAKE: Token = Token(usize::MAX);

/// The id of the last index of the table in its last generation, which is never reached.
const ALARM: Token = Token(usize::MAX - 1);

#[cfg(not(target_pointer_width = "64"))]
compile_error!("a mio token must hold a socket id of 64 bits, see docs/PLATFORM.md");

pub(crate) struct Ready {
    poll: RefCell<Poll>,
    /// The descriptor of `poll`.
    #[cfg(unix)]
    poll_fd: RawFd,
    waker: Waker,
    /// `None` while a turn runs, which detects a turn inside a turn.
    events: Cell<Option<Box<Events>>>,
    /// The last turn had the maximum number of events, so more may wait.
    full: Cell<bool>,
    table: Table<Registered>,
}

/// `true` if the poller watches the socket.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Registered(bool);

// On Windows, mio keeps its own state of each socket on the heap.
#[cfg(unix)]
const _: () =
    assert!(size_of::<Slot<Registered>>() <= 16, "every connection costs one slot of memory");

impl Ready {
    pub(crate) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(Arc::new(mio::Waker::new(poll.registry(), WAKE)?));
        let table = Table::new();
        table.alarm.watch(poll.registry(), ALARM);
        Ok(Self {
            #[cfg(unix)]
            poll_fd: poll.as_raw_fd(),
            poll: RefCell::new(poll),
            waker,
            full: Cell::new(false),
            events: Cell::new(Some(Box::new(Events::with_capacity(EVENTS_PER_TURN_MAX)))),
            table,
        })
    }
}

impl Backend for Ready {
    fn name(&self) -> &'static str {
        "ready"
    }

    fn now(&self) -> Moment {
        self.table.clock.now()
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
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
        let mut sockets = self.table.sockets.borrow_mut();
        let Some(slot) = sockets.get_mut(socket) else { return };
        let begun = match system::connect(system::borrow(&slot.fd), target) {
            // A connection that is established at once is reported by an event too, after the listener's
            // event.
            Ok(()) | Err(Errno::INPROGRESS) => self.watch(socket, slot),
            Err(errno) => Err(errno.into()),
        };
        slot.flags.reading.connecting = begun.is_ok();
        if begun.is_ok() && !slot.watch.0 {
            self.table.check_soon(socket);
        }
        if let Err(error) = begun {
            self.defer(socket, Deferred::Failed(Operation::Connect, error));
        }
    }

    fn receive_start(&self, socket: SocketId) -> io::Result<()> {
        table::start(self, socket, Wanted::Delivery)
    }

    fn receive_stop(&self, socket: SocketId) {
        self.table.stop(socket);
    }

    fn readable_start(&self, socket: SocketId) -> io::Result<()> {
        table::start(self, socket, Wanted::Notice)
    }

    fn is_drained(&self, socket: SocketId) -> bool {
        self.table.with_reading(socket, |reading, _| reading.is_drained()).unwrap_or(false)
    }

    fn read_into<'a>(&self, socket: SocketId, buffer: Unfilled<'a>) -> io::Result<&'a mut [u8]> {
        receive::read_into(self, socket, buffer)
    }

    fn peek_into<'a>(&self, socket: SocketId, buffer: Unfilled<'a>) -> io::Result<&'a mut [u8]> {
        receive::peek_into(self, socket, buffer)
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
        let Some(slot) = self.table.remove(socket) else { return false };
        self.table.drop_batch(socket, &slot);
        #[cfg(unix)]
        if slot.flags.shared {
            self.unwatch(&slot);
        }
        slot.close();
        true
    }

    fn reset(&self, socket: SocketId) -> bool {
        self.table.reset_on_close(socket);
        self.close(socket)
    }

    fn has_work(&self) -> bool {
        self.table.has_work() || self.full.get()
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

    #[cfg(unix)]
    fn adopt(&self, fd: OwnedFd) -> io::Result<(SocketId, Adopted)> {
        self.adopt(fd)
    }

    #[cfg(unix)]
    fn detach(&self, socket: SocketId) -> io::Result<OwnedFd> {
        self.detach(socket)
    }

    #[cfg(unix)]
    fn duplicate(&self, socket: SocketId) -> io::Result<OwnedFd> {
        self.table.duplicate(socket)
    }

    #[cfg(unix)]
    fn raw_fd(&self, socket: SocketId) -> Option<RawFd> {
        self.table.raw_fd(socket)
    }

    #[cfg(unix)]
    #[allow(unsafe_code, reason = "mio's Poll lends its descriptor only as a number")]
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: the descriptor belongs to `self.poll`, which is created with `self`, never replaced, and
        // closed with `self`. The result borrows `self`.
        Some(unsafe { BorrowedFd::borrow_raw(self.poll_fd) })
    }
}

impl Wake for mio::Waker {
    fn wake(&self) {
        // Writing to the event counter fails only if the counter is full, and then it is already readable.
        drop(self.wake());
    }
}

impl SystemBackend for Ready {
    type Watch = Registered;

    fn table(&self) -> &Table<Registered> {
        &self.table
    }

    fn insert(&self, fd: Fd, unix: bool) -> io::Result<SocketId> {
        let mut slot = Slot::new(fd, Registered(false));
        let named_pipe = unix && cfg!(windows);
        slot.flags.reading.pipe = named_pipe;
        let mut sockets = self.table.sockets.borrow_mut();
        let id = sockets.insert(slot);
        // mio reports the end of a write to where the pipe is registered at that time.
        match sockets.get_mut(id).filter(|_| named_pipe) {
            Some(slot) => self.watch(id, slot).map(|()| id),
            None => Ok(id),
        }
    }

    /// Registers the socket once, edge-triggered, for both directions, as mio does.
    fn watch(&self, socket: SocketId, slot: &mut Slot<Registered>) -> io::Result<()> {
        if slot.watch.0 {
            return Ok(());
        }
        let interest = match slot.flags.listener {
            false => CONNECTION,
            true => Interest::READABLE,
        };
        let poll = self.poll.borrow();
        slot.watch.0 = system::register(poll.registry(), &mut slot.fd, token(socket), interest)?;
        Ok(())
    }
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ready").field("sockets", &self.table.len()).finish()
    }
}

fn token(socket: SocketId) -> Token {
    Token(socket.data().as_ffi() as usize)
}

fn id(token: Token) -> SocketId {
    KeyData::from_ffi(token.0 as u64).into()
}
