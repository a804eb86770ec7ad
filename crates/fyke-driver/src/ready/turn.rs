//! One turn: waits for events, and does what they and the backlog say.

use std::io;
use std::time::Duration;

use mio::Events;
use mio::event::Event;

use super::{ALARM, Ready, WAKE, id};
use crate::limits::EVENTS_PER_TURN_MAX;
use crate::table::{self, AgainOnPanic, Sending, SystemBackend, Waiting, accept, receive};
use crate::{Completion, Moment, SocketId};

impl Ready {
    pub(super) fn turn(
        &self,
        until: Option<Moment>,
        on: &mut dyn FnMut(Completion<'_>),
    ) -> io::Result<()> {
        let mut turn = Turn { driver: self, events: self.events.take() };
        let Some(events) = &mut turn.events else {
            let message = "turn called from inside a turn";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
        };
        let table = &self.table;
        // Only what was waiting before this turn: what is put in line now is for the next one.
        let waiting = table.waiting();
        let timeout = match waiting {
            Some(_) => Some(Duration::ZERO),
            None => table.wait_time(until),
        };
        match self.poll.borrow_mut().poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => result?,
        }
        if let Some(waiting) = &waiting {
            table.give_deferred(waiting.deferred, on);
        }
        let mut count = 0;
        for event in &**events {
            self.take_event(event, on);
            count += 1;
        }
        // There may be more, of which the poller's descriptor says nothing to a host that looks for edges.
        self.full.set(count >= EVENTS_PER_TURN_MAX);
        if let Some(waiting) = waiting {
            self.work_off(&waiting, count, on);
        }
        accept::retry(self, on);
        Ok(())
    }

    /// Goes on with the sockets of the backlog, in a turn with `events` events.
    fn work_off(&self, waiting: &Waiting, events: usize, on: &mut dyn FnMut(Completion<'_>)) {
        let backlog = &self.table.backlog;
        for _ in 0..waiting.steps {
            let Some(socket) = backlog.pop() else { break };
            self.take_backlog(socket, on);
        }
        backlog.read_on(waiting.readers, events, |socket| self.take_backlog(socket, on));
    }

    fn take_event(&self, event: &Event, on: &mut dyn FnMut(Completion<'_>)) {
        match event.token() {
            WAKE => return on(Completion::Woken),
            ALARM => return self.table.alarm.has_rung(),
            _ => {}
        }
        let socket = id(event.token());
        let mut sockets = self.table.sockets.borrow_mut();
        let Some(slot) = sockets.get_mut(socket) else { return };
        let flags = &mut slot.flags;
        let gone = event.is_read_closed() || event.is_error() && !flags.listener;
        flags.reading.readable |= event.is_readable() || gone;
        if gone || event.is_priority() {
            flags.reading.expect(gone, event.is_priority());
        }
        if flags.reading.in_backlog {
            // Once per turn is enough (contract rule 6).
            return;
        }
        // A full pipe whose reader goes is not writable, but in error (pipe(7)).
        let sending =
            flags.sending != Sending::Nothing && (event.is_writable() || event.is_error());
        if flags.listener || flags.reading.connecting || sending {
            let (listener, connecting) = (flags.listener, flags.reading.connecting);
            drop(sockets);
            return self.take_other_event(socket, listener, connecting, on);
        }
        // The most frequent event: it is read here, with the slot at hand.
        let mut lent = self.table.reader.lend();
        let read = slot.read(socket, &mut lent);
        drop(sockets);
        receive::receive_on(self, socket, lent, read, on);
    }

    /// An event of a socket that does more than receive.
    #[inline(never)]
    fn take_other_event(
        &self,
        socket: SocketId,
        listener: bool,
        connecting: bool,
        on: &mut dyn FnMut(Completion<'_>),
    ) {
        if listener {
            accept::accept(self, socket, on);
        } else if connecting {
            table::connected(self, socket, on);
        } else {
            receive::receive_and_send(self, socket, on);
        }
    }

    fn take_backlog(&self, socket: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        let (listener, connecting) = {
            let mut sockets = self.table.sockets.borrow_mut();
            let Some(slot) = sockets.get_mut(socket) else { return };
            slot.flags.reading.in_backlog = false;
            (slot.flags.listener, slot.flags.reading.connecting)
        };
        let _again = AgainOnPanic { driver: self, socket };
        if listener {
            accept::accept(self, socket, on);
        } else if connecting {
            table::connected(self, socket, on);
        } else {
            receive::receive_and_send(self, socket, on);
        }
    }

    /// The callback has panicked. Events that were not handled are edges that the kernel does not report
    /// again: their sockets are put in line.
    #[cold]
    fn keep_as_work(&self, events: Option<&Events>) {
        self.table.alarm.has_rung();
        let mut sockets = self.table.sockets.borrow_mut();
        for event in events.into_iter().flatten() {
            let socket = id(event.token());
            if let Some(slot) = sockets.get_mut(socket) {
                slot.flags.reading.readable = true;
                // Perhaps the peer has ended: a short read must not count as drained. A listener has
                // no peer.
                let gone = event.is_read_closed() || !slot.flags.listener;
                slot.flags.reading.expect(gone, false);
                self.work_later(socket, slot);
            }
        }
    }
}

/// Holds what a turn has taken, and puts it back also when the callback panics (contract rule 9).
struct Turn<'a> {
    driver: &'a Ready,
    /// `None` in a turn inside a turn.
    events: Option<Box<Events>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let events = self.events.take();
        if std::thread::panicking() {
            self.driver.keep_as_work(events.as_deref());
        }
        self.driver.events.set(events);
    }
}
