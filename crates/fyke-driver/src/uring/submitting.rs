//! Compares what sockets want with what the ring does, and queues the difference once per turn.

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
    /// Queues the changes since the last call.
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
                // The kernel accepts no more entries at the moment.
                self.note_change(socket, slot);
            }
        }
        let mut later = self.changed.borrow_mut();
        if later.is_empty() {
            // Keeps the allocation.
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

    /// Polls a listener from the first `accept_start` on. The poll stays armed after an `accept_stop`,
    /// and what it reports then is remembered.
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
            // No receive of this socket is in the ring any more.
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

    /// Polls a socket from the first time on that reading is wanted. The poll stays armed while reading
    /// is not wanted, and what it reports then is remembered.
    fn submit_poll_for_calls(&self, socket: SocketId, slot: &mut Slot) -> io::Result<()> {
        if slot.flags.reading.wanted == Wanted::Nothing || slot.flags.reading.ended {
            return Ok(());
        }
        let fd = types::Fd(slot.fd.as_raw_fd());
        let entry = opcode::PollAdd::new(fd, slot.events_for_calls()).multi(true).build();
        self.start(socket, slot, Kind::Receive, entry)
    }

    fn submit_send(&self, socket: SocketId, slot: &mut Slot) -> io::Result<()> {
        // If the budget was used up, the send buffer may have room: the backlog continues then.
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

    /// Queues an operation, unless one of this kind is started already. A cancelled operation must end
    /// before it is queued again.
    #[allow(unsafe_code, reason = "passes a descriptor to the kernel")]
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
        // SAFETY: the descriptor belongs to the slot. The descriptor of a slot with an operation in
        // `kernel` is not closed: `close`, `detach` and `Drop` wait for the last completion, or leak it.
        // No entry refers to memory; receives fill the pool, which outlives the ring.
        unsafe { self.ring.start(&entry)? };
        slot.watch.started.insert(kind);
        slot.watch.kernel.insert(kind);
        Ok(())
    }

    /// Queues the cancellation of an operation, at most once.
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

    /// Handles a failed cancellation: it found no operation, or one that was running. The next turn
    /// cancels the operation again if it is still in flight.
    pub(super) fn cancel_failed(&self, socket: SocketId) {
        if let Some(slot) = self.table.sockets.borrow_mut().get_mut(socket) {
            slot.watch.cancelled = token::Operations::default();
            self.note_change(socket, slot);
        }
    }

    /// Polls the waker and the alarm. Neither is ever read: the poll reports each wake, not the count.
    /// mio does the same with an edge-triggered epoll.
    fn watch_own(&self) {
        if !self.host.watched.get() {
            self.host.watched.set(self.watch(self.host.waker_fd(), Kind::Wake));
        }
        if !self.table.alarm.watched.get() {
            let watched = self.table.alarm.fd().is_some_and(|fd| self.watch(fd, Kind::Alarm));
            self.table.alarm.watched.set(watched);
        }
    }

    #[allow(unsafe_code, reason = "passes a descriptor to the kernel")]
    fn watch(&self, fd: BorrowedFd<'_>, kind: Kind) -> bool {
        let entry = opcode::PollAdd::new(types::Fd(fd.as_raw_fd()), READABLE).multi(true).build();
        // SAFETY: the descriptor belongs to `host` or `alarm`, which are closed after the ring was
        // drained.
        unsafe { self.ring.start(&entry.user_data(token::own_token(kind))) }.is_ok()
    }

    /// Arms starved receivers again. The buffers are free at the beginning of a turn; only as many
    /// receivers are armed as are likely to get a buffer.
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
