//! One turn: waits for events, and does what they and the backlog say.

use std::io;
use std::time::Duration;

use mio::Events;
use mio::event::Event;

use super::{ALARM, Ready, WAKE, id};
use crate::accepting::AcceptsByCall;
use crate::backend::Backend;
use crate::reading::{AgainOnPanic, ReadsByCall};
use crate::{Completion, SocketId};

impl Ready {
    pub(crate) fn turn(
        &self,
        timeout: Option<Duration>,
        on: &mut dyn FnMut(Completion<'_>),
    ) -> io::Result<()> {
        let mut turn = Turn::begin(self)?;
        let timeout = if self.has_work() { Some(Duration::ZERO) } else { self.wait_time(timeout) };
        match self.poll.borrow_mut().poll(&mut turn.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => result?,
        }
        // Only what was waiting before this turn: what is put in line now is for the next one.
        let deferred = self.deferred.borrow().len();
        let (steps, readers) = (self.backlog.steps(), self.backlog.readers());
        self.give_deferred(deferred, on);
        let mut events = 0;
        for event in &turn.events {
            self.take_event(event, on);
            events += 1;
        }
        for _ in 0..steps {
            let Some(socket) = self.backlog.pop() else { break };
            self.take_backlog(socket, on);
        }
        self.backlog.read_on(readers, events, |socket| self.take_backlog(socket, on));
        self.retry_listeners(on);
        Ok(())
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

    fn take_event(&self, event: &Event, on: &mut dyn FnMut(Completion<'_>)) {
        match event.token() {
            WAKE => return on(Completion::Woken),
            ALARM => return self.alarm.has_rung(),
            _ => {}
        }
        let socket = id(event.token());
        let (connecting, listener, sending) = {
            let mut sockets = self.sockets.borrow_mut();
            let Some(slot) = sockets.get_mut(socket) else { return };
            let gone = event.is_read_closed() || event.is_error() && !slot.flags.listener;
            slot.flags.reading.readable |= event.is_readable() || gone;
            slot.flags.reading.expect(gone, event.is_priority());
            // A full pipe whose reader goes is not writable, but in error (pipe(7)).
            let sending = slot.flags.sending && (event.is_writable() || event.is_error());
            if slot.flags.reading.in_backlog {
                // Once per turn is enough (contract rule 6).
                return;
            }
            (slot.flags.reading.connecting, slot.flags.listener, sending)
        };
        if listener {
            self.accept_some(socket, on);
        } else if connecting {
            self.finish_connect(socket, on);
        } else {
            let _again = AgainOnPanic { driver: self, socket };
            if sending {
                self.receive_and_send_by_call(socket, on);
            } else {
                self.receive_some(socket, on);
            }
        }
    }

    fn take_backlog(&self, socket: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        let (listener, connecting) = {
            let mut sockets = self.sockets.borrow_mut();
            let Some(slot) = sockets.get_mut(socket) else { return };
            slot.flags.reading.in_backlog = false;
            (slot.flags.listener, slot.flags.reading.connecting)
        };
        let _again = AgainOnPanic { driver: self, socket };
        if listener {
            self.accept_some(socket, on);
        } else if connecting {
            self.finish_connect(socket, on);
        } else {
            self.receive_and_send_by_call(socket, on);
        }
    }
}

/// Holds what a turn has taken, and puts it back also when the callback panics (contract rule 9).
struct Turn<'a> {
    driver: &'a Ready,
    events: Events,
}

impl<'a> Turn<'a> {
    fn begin(driver: &'a Ready) -> io::Result<Self> {
        let events = driver.events.take().ok_or_else(|| {
            io::Error::new(io::ErrorKind::ResourceBusy, "turn called from inside a turn")
        })?;
        Ok(Self { driver, events })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Events that were not handled because the callback panicked are edges that will not come
        // again: remember them as work.
        if std::thread::panicking() {
            self.driver.alarm.has_rung();
            let mut sockets = self.driver.sockets.borrow_mut();
            for event in &self.events {
                let socket = id(event.token());
                if let Some(slot) = sockets.get_mut(socket) {
                    slot.flags.reading.readable = true;
                    // Perhaps the peer has ended: a short read must not count as drained. A listener has
                    // no peer.
                    let gone = event.is_read_closed() || !slot.flags.listener;
                    slot.flags.reading.expect(gone, false);
                    self.driver.defer_work(socket, slot);
                }
            }
        }
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        self.driver.events.set(Some(events));
    }
}
