//! What sockets want, compared with what the ring does: the difference is queued, once per turn.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::{opcode, squeue, types};

use super::buffers::GROUP;
use super::by_call::EVENTS;
use super::token::{self, Kind, token};
use super::{Slot, Uring};
use crate::SocketId;
use crate::completion::Wanted;
#[cfg(test)]
use crate::faults;
use crate::limits::READ_BUFFER_BYTES;
use crate::table::Sending;

/// POLLIN and POLLOUT of poll(2); errors and hang-ups are always reported.
const READABLE: u32 = libc::POLLIN as u32;
const WRITABLE: u32 = libc::POLLOUT as u32;

impl Uring {
    /// Queues what changed since the last time.
    pub(super) fn submit_changes(&self) {
        self.watch_own();
        self.cancel_lingering();
        self.feed_starved();
        if self.changed.borrow().is_empty() {
            return;
        }
        let mut changed = self.changed.take();
        for socket in changed.drain(..) {
            let mut sockets = self.table.sockets.borrow_mut();
            let Some(slot) = sockets.get_mut(socket) else { continue };
            slot.watch.changed = false;
            if self.submit(socket, slot).is_err() {
                // The kernel takes no more for the moment.
                self.note_change(socket, slot);
            }
        }
        let mut later = self.changed.borrow_mut();
        if later.is_empty() {
            // Kept for its memory.
            *later = changed;
        }
    }

    fn submit(&self, socket: SocketId, slot: &mut Slot) -> io::Result<()> {
        if slot.flags.listener {
            return self.submit_listener(socket, slot);
        }
        if slot.flags.reading.connecting {
            self.submit_poll(socket, slot, WRITABLE)?;
        }
        self.submit_send(socket, slot)?;
        self.submit_receive(socket, slot)
    }

    /// From the first time on that it is wanted: what the poll reports while it is not wanted is remembered.
    fn submit_listener(&self, socket: SocketId, slot: &mut Slot) -> io::Result<()> {
        if slot.flags.reading.wanted == Wanted::Nothing {
            return Ok(());
        }
        let fd = types::Fd(slot.fd.as_raw_fd());
        let entry = opcode::PollAdd::new(fd, EVENTS).multi(true).build();
        self.start(socket, slot, Kind::Accept, entry)
    }

    fn submit_receive(&self, socket: SocketId, slot: &mut Slot) -> io::Result<()> {
        let (reading, watch) = (slot.flags.reading, slot.watch);
        if watch.by_call {
            return self.submit_poll_for_calls(socket, slot);
        }
        let unwanted = reading.wanted == Wanted::Nothing;
        if unwanted || watch.bulk && slot.watch.started.contains(Kind::Receive) {
            return self.submit_cancel(socket, slot, Kind::Receive);
        }
        if reading.ended || reading.connecting || watch.starved || watch.holding {
            return Ok(());
        }
        if watch.bulk {
            // Nothing of it is in the ring any more.
            slot.watch.by_call = true;
            return self.submit_poll_for_calls(socket, slot);
        }
        let entry = opcode::RecvMulti::new(types::Fd(slot.fd.as_raw_fd()), GROUP);
        let entry = if self.capped_receive {
            entry.len(READ_BUFFER_BYTES as u32).build()
        } else {
            entry.build()
        };
        if !slot.watch.started.contains(Kind::Receive) {
            slot.watch.fed = false;
        }
        #[cfg(test)]
        let entry = match slot.watch.started.contains(Kind::Receive) {
            true => entry,
            false => faults::instead_of(faults::Call::Receive, token(socket, Kind::Receive), entry),
        };
        self.start(socket, slot, Kind::Receive, entry)
    }

    /// From the first time on that it is wanted: what the poll reports while it is not wanted is remembered.
    fn submit_poll_for_calls(&self, socket: SocketId, slot: &mut Slot) -> io::Result<()> {
        if slot.flags.reading.wanted == Wanted::Nothing || slot.flags.reading.ended {
            return Ok(());
        }
        let fd = types::Fd(slot.fd.as_raw_fd());
        let entry = opcode::PollAdd::new(fd, slot.events_for_calls()).multi(true).build();
        self.start(socket, slot, Kind::Receive, entry)
    }

    fn submit_send(&self, socket: SocketId, slot: &mut Slot) -> io::Result<()> {
        // With a budget that was used up the kernel is perhaps not full: then the backlog goes on.
        if slot.flags.sending == Sending::Nothing || slot.flags.reading.in_backlog {
            return Ok(());
        }
        let entry = opcode::PollAdd::new(types::Fd(slot.fd.as_raw_fd()), WRITABLE).build();
        self.start(socket, slot, Kind::Send, entry)
    }

    fn submit_poll(&self, socket: SocketId, slot: &mut Slot, events: u32) -> io::Result<()> {
        let entry = opcode::PollAdd::new(types::Fd(slot.fd.as_raw_fd()), events).build();
        self.start(socket, slot, Kind::Poll, entry)
    }

    /// Queues an operation, unless it is on its way already. One that was cancelled ends first.
    #[allow(unsafe_code, reason = "the kernel gets a descriptor and addresses")]
    fn start(
        &self,
        socket: SocketId,
        slot: &mut Slot,
        kind: Kind,
        entry: squeue::Entry,
    ) -> io::Result<()> {
        if slot.watch.started.contains(kind) {
            return Ok(());
        }
        let entry = entry.user_data(token(socket, kind));
        // SAFETY: the descriptor belongs to the slot. That of a slot with an operation in `kernel` is
        // not closed: `close`, `detach` and `Drop` wait for the last completion, or leak it. Memory
        // is named by none; receives go to the pool, which outlives the ring.
        unsafe { self.ring.start(&entry)? };
        slot.watch.started.insert(kind);
        slot.watch.kernel.insert(kind);
        Ok(())
    }

    /// Queues the end of an operation, once.
    pub(super) fn submit_cancel(
        &self,
        socket: SocketId,
        slot: &mut Slot,
        kind: Kind,
    ) -> io::Result<()> {
        if slot.watch.kernel.contains(kind) && !slot.watch.cancelled.contains(kind) {
            self.ring.cancel(token(socket, kind), token(socket, Kind::Cancel))?;
            slot.watch.cancelled.insert(kind);
        }
        Ok(())
    }

    /// A cancellation found nothing, or something that was just running. If what it was for is
    /// still there it is asked again.
    pub(super) fn cancel_failed(&self, socket: SocketId) {
        if let Some(slot) = self.table.sockets.borrow_mut().get_mut(socket) {
            slot.watch.cancelled = token::Operations::default();
            self.note_change(socket, slot);
        }
    }

    /// Watches the waker and the alarm. Neither is ever read: each wake is reported, not the count. mio
    /// does the same with an edge-triggered epoll.
    fn watch_own(&self) {
        if !self.host.watched.get() {
            self.host.watched.set(self.watch(self.host.waker_fd(), Kind::Wake));
        }
        if !self.table.alarm.watched.get() {
            let watched = self.table.alarm.fd().is_some_and(|fd| self.watch(fd, Kind::Alarm));
            self.table.alarm.watched.set(watched);
        }
    }

    #[allow(unsafe_code, reason = "the kernel gets a descriptor")]
    fn watch(&self, fd: BorrowedFd<'_>, kind: Kind) -> bool {
        let entry = opcode::PollAdd::new(types::Fd(fd.as_raw_fd()), READABLE).multi(true).build();
        // SAFETY: the descriptor is one of `host` or `alarm`, which are closed after the ring was
        // drained.
        unsafe { self.ring.start(&entry.user_data(token::own_token(kind))) }.is_ok()
    }

    /// The buffers are free again at the beginning of a turn: as many receivers are armed as may
    /// hope for one.
    fn feed_starved(&self) {
        if self.starved.borrow().is_empty() {
            return;
        }
        for _ in 0..self.buffers.shape().receivers() {
            let Some(socket) = self.starved.borrow_mut().next() else { return };
            if let Some(slot) = self.table.sockets.borrow_mut().get_mut(socket) {
                slot.watch.starved = false;
                self.note_change(socket, slot);
            }
        }
    }
}
