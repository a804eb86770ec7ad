//! One turn: waits for events, then handles them and the backlog.

use std::io;
use std::time::Duration;

use mio::Events;
use mio::event::Event;

use super::{ALARM, Ready, WAKE, id};
use crate::limits::EVENTS_PER_TURN_MAX;
use crate::system;
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
        // Only work that waited before this turn: work that is added now belongs to the next turn.
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
        // More events may wait, and the poller's descriptor makes no new edge for them, which a host may rely
        // on.
        self.full.set(count >= EVENTS_PER_TURN_MAX);
        if let Some(waiting) = waiting {
            self.work_off(&waiting, count, on);
        }
        accept::retry(self, on);
        Ok(())
    }

    /// Handles the sockets of the backlog, in a turn with `events` events.
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
        system::note_event(&slot.fd, event);
        let flags = &mut slot.flags;
        let gone = event.is_read_closed() || event.is_error() && !flags.listener;
        flags.reading.readable |= event.is_readable() || gone;
        if gone || event.is_priority() {
            flags.reading.expect(gone, event.is_priority());
        }
        if flags.reading.in_backlog {
            // The backlog handles it in this turn, and once per turn is enough (contract rule 6).
            return;
        }
        // If the reader closes a full pipe, the writer gets an error event, not a writable one (pipe(7)).
        let sending =
            flags.sending != Sending::Nothing && (event.is_writable() || event.is_error());
        if flags.listener || flags.reading.connecting || sending {
            let (listener, connecting) = (flags.listener, flags.reading.connecting);
            drop(sockets);
            return self.take_other_event(socket, listener, connecting, on);
        }
        // The most frequent event is handled here, because the slot is already borrowed.
        let mut lent = self.table.reader.lend();
        let read = slot.read(socket, &mut lent);
        drop(sockets);
        receive::receive_on(self, socket, lent, read, on);
    }

    /// Handles an event of a socket that does more than receive.
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

    /// Puts the sockets of all events into the backlog, because the callback has panicked. The events are
    /// edges, which the kernel does not report again.
    #[cold]
    fn keep_as_work(&self, events: Option<&Events>) {
        self.table.alarm.has_rung();
        let mut sockets = self.table.sockets.borrow_mut();
        for event in events.into_iter().flatten() {
            let socket = id(event.token());
            if let Some(slot) = sockets.get_mut(socket) {
                slot.flags.reading.readable = true;
                // The peer may have ended, so a short read must not count as drained. A listener has no peer.
                let gone = event.is_read_closed() || !slot.flags.listener;
                slot.flags.reading.expect(gone, false);
                self.work_later(socket, slot);
            }
        }
    }
}

/// Holds the event buffer during a turn. Dropping this returns it, even if the callback panics (contract rule
/// 9).
struct Turn<'a> {
    driver: &'a Ready,
    /// `None` for a turn inside a turn.
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
