//! One turn: submits changes to the kernel and handles its completions.

use std::io;

use super::Uring;
use super::ring::Completed;
use super::token::{self, Kind};
use crate::backend::Backend;
use crate::table::{self, AgainOnPanic, accept, receive, send};
use crate::{Completion, Moment, SocketId};

/// The number of items that the kernel processes in a call, if no more completions are wanted (since Linux 6.13).
const ITEMS_PER_CALL: usize = 20;
/// A turn asks the kernel for more until it has this number of completions. Without a limit, an echo for 1,000
/// connections costs 3 % more, because the first bytes are no longer in the cache when they are handled.
const ITEMS_PER_TURN: usize = 128;

impl Uring {
    pub(super) fn turn(
        &self,
        until: Option<Moment>,
        on: &mut dyn FnMut(Completion<'_>),
    ) -> io::Result<()> {
        let turn = Turn::begin(self)?;
        // Before the kernel receives: sockets that these callbacks close are closed with their bytes
        // unread, as with readiness, and the peer sees that (DST-08).
        let deferred = self.table.deferred();
        self.table.give_deferred(deferred, on);
        let until = if deferred > 0 { Some(Moment::ZERO) } else { until };
        self.submit_changes();
        let brought = if self.has_work() {
            self.ring.enter(0, None)?
        } else {
            self.ring.enter(1, self.table.wait_time(until))?
        };
        if brought >= ITEMS_PER_CALL {
            self.take_rest()?;
        }
        self.see_ended();
        // Handles only the completions that are present now; later ones belong to the next turn.
        let (steps, readers) = (self.table.backlog.steps(), self.table.backlog.readers());
        let completed = self.ring.waiting();
        for _ in 0..completed {
            let Some(completed) = self.ring.next() else { break };
            self.take(completed, on);
        }
        let writable = self.writable.borrow().len();
        for _ in 0..writable {
            let Some(socket) = self.writable.borrow_mut().pop_front() else { break };
            self.take_writable(socket, on);
        }
        for _ in 0..steps {
            let Some(socket) = self.table.backlog.pop() else { break };
            self.take_backlog(socket, on);
        }
        self.table.backlog.read_on(readers, completed, |socket| self.take_backlog(socket, on));
        accept::retry(self, on);
        turn.finish()
    }

    /// Lets the kernel process more if it has left something. Otherwise an arrival would wait for a turn for each 20
    /// arrivals before it.
    #[cold]
    fn take_rest(&self) -> io::Result<()> {
        while self.ring.waiting() < ITEMS_PER_TURN {
            if self.ring.enter(0, None)? < ITEMS_PER_CALL {
                break;
            }
        }
        Ok(())
    }

    /// Notes which operations the kernel is done with.
    pub(super) fn see_ended(&self) {
        self.ring.ended(|token| {
            let Some((socket, kind)) = token::parse(token) else { return };
            if let Some(slot) = self.table.sockets.borrow_mut().get_mut(socket) {
                slot.watch.kernel.remove(kind);
            } else if let Some(slot) = self.lingering.borrow_mut().get_mut(&socket) {
                slot.watch.kernel.remove(kind);
            }
        });
    }

    /// Handles one completion. If its socket is closed, a buffer that it refers to is returned.
    fn take(&self, completed: Completed, on: &mut dyn FnMut(Completion<'_>)) {
        let Some((socket, kind)) = token::parse(completed.token) else { return };
        if !completed.has_more() {
            if let Some(slot) = self.table.sockets.borrow_mut().get_mut(socket) {
                slot.watch.started.remove(kind);
                slot.watch.cancelled.remove(kind);
            }
        }
        match kind {
            Kind::Receive => self.received(socket, completed, on),
            Kind::Accept => self.acceptable(socket, completed, on),
            Kind::Send | Kind::Poll => self.writable(socket, completed),
            Kind::Wake => {
                self.host.watched.set(completed.has_more());
                on(Completion::Woken);
            }
            Kind::Alarm => {
                self.table.alarm.watched.set(completed.has_more());
                self.table.alarm.has_rung();
            }
            Kind::Cancel => self.cancel_failed(socket),
        }
    }

    /// A completion of the poll that waits for room or for the outcome of a connect. It is handled after
    /// everything that was received in this turn.
    fn writable(&self, socket: SocketId, completed: Completed) {
        if let Some(slot) = self.table.sockets.borrow_mut().get_mut(socket) {
            match completed.error() {
                None => self.writable.borrow_mut().push_back(socket),
                error => self.watch_again(socket, slot, error),
            }
        }
    }

    /// Handles a socket of `writable`, after all completions. A connection is reported after the listener
    /// that it reached, as with readiness, although a poll that is queued when the connection is already
    /// established completes first.
    fn take_writable(&self, socket: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        let (connecting, changing) = match self.table.sockets.borrow().get(socket) {
            // The backlog handles the socket, and once per turn is enough (contract rule 6).
            Some(slot) if slot.flags.reading.in_backlog => return,
            Some(slot) => (slot.flags.reading.connecting, slot.changes_to_calls()),
            None => return,
        };
        if changing {
            // Unread bytes must be reported first, and they can be read only when the multishot receive
            // has ended.
            self.writable.borrow_mut().push_back(socket);
        } else if connecting {
            table::connected(self, socket, on);
        } else {
            self.receive_and_send(socket, on);
        }
    }

    fn take_backlog(&self, socket: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        let listener = {
            let mut sockets = self.table.sockets.borrow_mut();
            let Some(slot) = sockets.get_mut(socket) else { return };
            slot.flags.reading.in_backlog = false;
            slot.flags.listener
        };
        if listener {
            let _again = AgainOnPanic { driver: self, socket };
            accept::accept(self, socket, on);
        } else {
            self.receive_and_send(socket, on);
        }
    }

    /// Receives before it sends, as libuv does. A broken connection therefore fails its read first,
    /// unless bytes arrived before: then it fails its send.
    // DST-10.
    pub(super) fn receive_and_send(&self, socket: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        let by_call = match self.table.sockets.borrow().get(socket) {
            Some(slot) => slot.watch.by_call,
            None => return,
        };
        let _again = AgainOnPanic { driver: self, socket };
        if by_call {
            receive::receive_and_send(self, socket, on);
        } else {
            self.give_held(socket, on);
            send::send_more(self, socket, on);
        }
    }
}

/// Marks that a turn is running, until dropped.
struct Turn<'a>(&'a Uring);

impl<'a> Turn<'a> {
    fn begin(driver: &'a Uring) -> io::Result<Self> {
        if driver.turning.replace(true) {
            let message = "turn called from inside a turn";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
        }
        driver.turns.set(driver.turns.get() + 1);
        driver.host.reset();
        Ok(Self(driver))
    }

    /// Empties the queue for a host, which waits outside of `turn`: nothing may be left in the queue
    /// then, and what the kernel did meanwhile must be signalled. The kernel processes about 20 items at
    /// a time, so it may have deferred more while each `enter` returns completions.
    fn finish(self) -> io::Result<()> {
        let driver = self.0;
        if !driver.host.has_outer() {
            return Ok(());
        }
        loop {
            driver.submit_changes();
            let before = driver.ring.waiting();
            driver.ring.enter(0, None)?;
            driver.see_ended();
            if driver.ring.waiting() == before {
                return Ok(());
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.turning.set(false);
        if self.0.host.has_outer() && self.0.has_work() {
            self.0.host.signal();
        }
    }
}
