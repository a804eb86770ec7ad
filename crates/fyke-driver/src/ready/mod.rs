//! The readiness backend: mio's epoll or kqueue, edge-triggered, each socket registered once.
//!
//! How it acts completion on top of readiness:
//!
//! - *Receiving.* The kernel says that a socket became readable; it is then read into the one
//!   read buffer of the loop until a read comes back short, which on a stream socket means
//!   drained (epoll(7), "Questions and answers" 9), so no probing read is made. A hang-up seen in
//!   the event (EPOLLRDHUP) is the exception: end-of-stream makes no new edge, so reading goes on
//!   until it is found.
//! - *Sending.* The call is tried at once. What the kernel refuses stays here as the batch in
//!   flight and goes on when the socket becomes writable.
//! - *Budget left over.* A socket that has used its reads of this turn waits in [`Backlog`]; the next
//!   turn does not sleep.
//!
//! The state is behind `RefCell`s that are never borrowed while the callback runs, so that the
//! callback can call anything.

mod accept;
mod open;
mod outside;
mod stream;
mod turn;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use slotmap::{Key, KeyData, SlotMap};

use crate::accepting::Accepting;
use crate::backend::Backend;
use crate::completion::{Deferred, dead};
use crate::limits::EVENTS_PER_TURN_MAX;
use crate::pool::Pool;
use crate::reading::{Backlog, Reader, Reading, ReadsByCall};
use crate::system::{self, Alarm, BoundFile, Clock, Descriptors};
use crate::waker::Wake;
use crate::{Address, Adopted, Batch, Completion, Open, OpenError, SocketId, Waker};

/// What is watched of a connection: also whether it gets urgent bytes, at which reads end.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CONNECTION: Interest = Interest::READABLE.add(Interest::WRITABLE).add(Interest::PRIORITY);

#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CONNECTION: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// Not a key that slotmap makes: this index stands for "no key".
const WAKE: Token = Token(usize::MAX);

/// A key of slotmap's last index in its last generation.
const ALARM: Token = Token(usize::MAX - 1);

#[cfg(not(target_pointer_width = "64"))]
compile_error!("a mio token must hold a socket id of 64 bits, see docs/PLATFORM.md");

pub(crate) struct Ready {
    clock: Clock,
    poll: RefCell<Poll>,
    /// The descriptor inside `poll`.
    poll_fd: RawFd,
    waker: Waker,
    sockets: RefCell<SlotMap<SocketId, Slot>>,
    /// What the kernel did not take at once of those that send.
    in_flight: RefCell<BTreeMap<SocketId, Batch>>,
    /// The files of those that have bound one.
    files: RefCell<BTreeMap<SocketId, BoundFile>>,
    /// Taken while a turn runs: that is how a turn inside a turn is noticed.
    events: Cell<Option<Events>>,
    reader: Reader,
    /// Sockets with work that needs no event: budget left over, receiving restarted.
    backlog: Backlog,
    /// Completions that must not be given inside the call that caused them.
    deferred: RefCell<VecDeque<(SocketId, Deferred)>>,
    accepting: Accepting,
    alarm: Alarm,
    pool: Pool,
}

/// One socket. Small, because there may be a million: what only some of them need is in tables of
/// its own.
#[derive(Debug)]
struct Slot {
    fd: OwnedFd,
    flags: Flags,
}

const _: () = assert!(size_of::<Slot>() <= 16, "a slot costs that for every connection");

/// What is known about a socket.
#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    /// Accepts; otherwise it is a connection, or may become one.
    listener: bool,
    registered: bool,
    /// A batch is in flight.
    sending: bool,
    reading: Reading,
    /// Others may have descriptors of it too: it came from outside, or was duplicated.
    shared: bool,
}

impl Ready {
    pub(crate) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(Arc::new(mio::Waker::new(poll.registry(), WAKE)?));
        let alarm = Alarm::new();
        if let Some(fd) = alarm.fd() {
            let fd = fd.as_raw_fd();
            let watched = poll.registry().register(&mut SourceFd(&fd), ALARM, Interest::READABLE);
            alarm.watched.set(watched.is_ok());
        }
        Ok(Self {
            clock: Clock::start(),
            poll_fd: poll.as_raw_fd(),
            poll: RefCell::new(poll),
            waker,
            sockets: RefCell::default(),
            in_flight: RefCell::default(),
            files: RefCell::default(),
            events: Cell::new(Some(Events::with_capacity(EVENTS_PER_TURN_MAX))),
            reader: Reader::default(),
            backlog: Backlog::default(),
            deferred: RefCell::default(),
            accepting: Accepting::new(),
            alarm,
            pool: Pool::default(),
        })
    }

    /// Watches a socket: once, for both directions, edge-triggered (mio's way).
    fn register(&self, socket: SocketId, slot: &mut Slot) -> io::Result<()> {
        if slot.flags.registered {
            return Ok(());
        }
        let interest = match slot.flags.listener {
            false => CONNECTION,
            true => Interest::READABLE,
        };
        let poll = self.poll.borrow();
        poll.registry().register(&mut SourceFd(&slot.fd.as_raw_fd()), token(socket), interest)?;
        slot.flags.registered = true;
        Ok(())
    }

    /// Puts a socket in line for the next turn.
    fn defer_work(&self, socket: SocketId, slot: &mut Slot) {
        if !slot.flags.reading.in_backlog {
            slot.flags.reading.in_backlog = true;
            self.backlog.push(socket);
        }
    }

    fn defer(&self, socket: SocketId, completion: Deferred) {
        self.deferred.borrow_mut().push_back((socket, completion));
    }
}

impl Backend for Ready {
    fn name(&self) -> &'static str {
        "ready"
    }

    fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
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
        !self.backlog.is_empty() || !self.deferred.borrow().is_empty()
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

    #[allow(unsafe_code, reason = "mio's Poll lends its descriptor only as a number")]
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: the descriptor belongs to `self.poll`, which is made with `self`, never replaced
        // and closed with it; the result borrows `self`.
        Some(unsafe { BorrowedFd::borrow_raw(self.poll_fd) })
    }
}

impl Wake for mio::Waker {
    fn wake(&self) {
        // A write to the event counter fails only if the counter is full: then it is readable already.
        drop(self.wake());
    }
}

impl ReadsByCall for Ready {
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

impl Descriptors for Ready {
    fn with_fd<T>(
        &self,
        socket: SocketId,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let sockets = self.sockets.borrow();
        call(system::borrow(&sockets.get(socket).ok_or_else(dead)?.fd))
    }
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ready").field("sockets", &self.sockets.borrow().len()).finish()
    }
}

fn token(socket: SocketId) -> Token {
    Token(socket.data().as_ffi() as usize)
}

fn id(token: Token) -> SocketId {
    KeyData::from_ffi(token.0 as u64).into()
}
