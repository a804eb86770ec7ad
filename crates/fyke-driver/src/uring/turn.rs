//! One turn: what changed goes to the kernel, and what happened comes back.

use std::io;
use std::time::Duration;

use super::Uring;
use super::ring::Completed;
use super::token::{self, Kind};
use crate::accepting::AcceptsByCall;
use crate::backend::Backend;
use crate::reading::{AgainOnPanic, ReadsByCall};
use crate::{Completion, SocketId};

impl Uring {
    pub(crate) fn turn(
        &self,
        timeout: Option<Duration>,
        on: &mut dyn FnMut(Completion<'_>),
    ) -> io::Result<()> {
        let turn = Turn::begin(self)?;
        // Before the kernel receives: what these callbacks close is closed with its bytes unread, as
        // with readiness, and the peer sees that (DST-08).
        let deferred = self.deferred.borrow().len();
        self.give_deferred(deferred, on);
        let timeout = if deferred > 0 { Some(Duration::ZERO) } else { timeout };
        self.submit_changes();
        if self.has_work() {
            self.ring.enter(0, None)?;
        } else {
            self.ring.enter(1, self.wait_time(timeout))?;
        }
        self.see_ended();
        // Only what is there now: what comes while callbacks run is for the next turn.
        let (steps, readers) = (self.backlog.steps(), self.backlog.readers());
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
            let Some(socket) = self.backlog.pop() else { break };
            self.take_backlog(socket, on);
        }
        self.backlog.read_on(readers, completed, |socket| self.take_backlog(socket, on));
        self.retry_later_ones(on);
        turn.finish()
    }

    fn wait_time(&self, timeout: Option<Duration>) -> Option<Duration> {
        self.alarm.wait_time(timeout, self.accepting.next_deadline(), &self.clock)
    }

    fn give_deferred(&self, count: usize, on: &mut dyn FnMut(Completion<'_>)) {
        for _ in 0..count {
            let Some((socket, completion)) = self.deferred.borrow_mut().pop_front() else { return };
            if self.sockets.borrow().contains_key(socket) {
                on(completion.into_completion(socket));
            }
        }
    }

    /// Notes which operations the kernel is done with.
    pub(super) fn see_ended(&self) {
        self.ring.ended(|token| {
            let Some((socket, kind)) = token::parse(token) else { return };
            if let Some(slot) = self.sockets.borrow_mut().get_mut(socket) {
                slot.kernel.remove(kind);
            } else if let Some(slot) = self.lingering.borrow_mut().get_mut(&socket) {
                slot.kernel.remove(kind);
            }
        });
    }

    /// Handles one completion. It may belong to a socket that is closed: what it brings is then
    /// given back.
    fn take(&self, completed: Completed, on: &mut dyn FnMut(Completion<'_>)) {
        let Some((socket, kind)) = token::parse(completed.token) else { return };
        if !completed.has_more() {
            if let Some(slot) = self.sockets.borrow_mut().get_mut(socket) {
                slot.started.remove(kind);
                slot.cancelled.remove(kind);
            }
        }
        match kind {
            Kind::Receive => self.received(socket, completed, on),
            Kind::Send => self.writable(socket, completed),
            Kind::Accept => self.acceptable(socket, completed, on),
            Kind::Poll => self.polled(socket, completed),
            Kind::Wake => {
                self.host.watched.set(completed.has_more());
                on(Completion::Woken);
            }
            Kind::Alarm => {
                self.alarm.watched.set(completed.has_more());
                self.alarm.has_rung();
            }
            Kind::Cancel => self.cancel_failed(socket),
        }
    }

    /// A completion of the poll that waits for a connect to be decided.
    fn polled(&self, socket: SocketId, completed: Completed) {
        if let Some(slot) = self.sockets.borrow_mut().get_mut(socket) {
            match completed.error() {
                None => self.writable.borrow_mut().push_back(socket),
                error => self.watch_again(socket, slot, error),
            }
        }
    }

    /// After all completions: a connection is told after the listener that it reached, as with
    /// readiness, although a poll that is queued when it stands already completes first.
    fn take_writable(&self, socket: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        let (connecting, changing) = match self.sockets.borrow().get(socket) {
            // Its turn comes, and once per turn is enough (contract rule 6).
            Some(slot) if slot.flags.reading.in_backlog => return,
            Some(slot) => (slot.flags.reading.connecting, slot.changes_to_calls()),
            None => return,
        };
        if changing {
            // What is unread comes first, and can be read only when the ring has let go.
            self.writable.borrow_mut().push_back(socket);
        } else if connecting {
            self.finish_connect(socket, on);
        } else {
            self.receive_and_send(socket, on);
        }
    }

    fn take_backlog(&self, socket: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        let listener = {
            let mut sockets = self.sockets.borrow_mut();
            let Some(slot) = sockets.get_mut(socket) else { return };
            slot.flags.reading.in_backlog = false;
            slot.flags.listener
        };
        if listener {
            let _again = AgainOnPanic { driver: self, socket };
            self.accept_some(socket, on);
        } else {
            self.receive_and_send(socket, on);
        }
    }

    /// What is there to be read is given before sending goes on, as in libuv: so a connection that
    /// broke fails its read first (DST-10), unless bytes came before: then its send.
    pub(super) fn receive_and_send(&self, socket: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        let by_call = match self.sockets.borrow().get(socket) {
            Some(slot) => slot.flags.by_call,
            None => return,
        };
        let _again = AgainOnPanic { driver: self, socket };
        if by_call {
            self.receive_and_send_by_call(socket, on);
        } else {
            self.give_held(socket, on);
            self.send_more(socket, on);
        }
    }
}

/// Says that a turn runs, until dropped.
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

    /// A host waits outside of `turn`: nothing may be left in the queue then, and what the kernel
    /// did meanwhile must be signalled. It may have more that it puts off (it does about 20 at a
    /// time) as long as an `enter` brings something.
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
