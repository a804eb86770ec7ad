//! Receiving: bytes that the kernel has put into the pool are lent to the callback, or copied and queued.

use bytes::BytesMut;
use rustix::io::Errno;

use super::buffers::Lent;
use super::held::Held;
use super::ring::Completed;
use super::{Slot, Uring};
use crate::completion::Wanted;
use crate::limits::{READ_BUFFER_BYTES, READS_PER_TURN_MAX};
use crate::table::{Sending, SystemBackend, send};
use crate::{Completion, Operation, SocketId};

impl Completed {
    /// Whether a receive has failed. A cancelled or interrupted receive, or one that found no buffer, is
    /// not a failure.
    pub(super) fn is_failure(&self) -> bool {
        let harmless = [Errno::CANCELED, Errno::INTR, Errno::AGAIN, Errno::NOBUFS];
        self.error().is_some_and(|errno| !harmless.contains(&errno))
    }
}

/// The outcome that a completion of a receive reports.
enum Outcome<'a> {
    Bytes(Lent<'a>),
    End,
    Failed(Errno),
    /// No buffer was free.
    Starved,
    /// The receive was cancelled or interrupted.
    Stopped,
}

impl Uring {
    pub(super) fn received(
        &self,
        socket: SocketId,
        completed: Completed,
        on: &mut dyn FnMut(Completion<'_>),
    ) {
        let outcome = self.outcome(completed);
        if matches!(outcome, Outcome::Failed(_)) && self.sends_first(socket) {
            send::send_more(self, socket, on);
        }
        {
            let mut sockets = self.table.sockets.borrow_mut();
            let Some(slot) = sockets.get_mut(socket) else { return };
            if slot.watch.by_call {
                drop(sockets);
                return self.readable(socket, completed, on);
            }
            if slot.flags.reading.ended {
                return;
            }
            match outcome {
                Outcome::Bytes(ref lent) => {
                    if slot.set_fed(self.turns.get(), lent.len()) {
                        self.note_change(socket, slot);
                    }
                }
                Outcome::End | Outcome::Failed(_) => slot.flags.reading.ended = true,
                Outcome::Stopped => return self.note_change(socket, slot),
                Outcome::Starved => {
                    slot.watch.starved = true;
                    return self.starved.borrow_mut().add(socket, slot.watch.fed);
                }
            }
            if !completed.has_more() {
                self.note_change(socket, slot);
            }
            if slot.flags.reading.wanted != Wanted::Delivery || slot.watch.holding {
                return match outcome {
                    Outcome::Bytes(mut lent) => self.hold_bytes(socket, slot, lent.as_mut_slice()),
                    Outcome::End => self.hold(socket, slot, Held::End),
                    Outcome::Failed(errno) => self.hold(socket, slot, Held::Failed(errno)),
                    Outcome::Starved | Outcome::Stopped => {}
                };
            }
        }
        match outcome {
            Outcome::Bytes(mut lent) => self.give(socket, &mut lent, on),
            Outcome::End => on(Completion::EndOfStream { socket }),
            Outcome::Failed(errno) => on(failed(socket, errno)),
            Outcome::Starved | Outcome::Stopped => {}
        }
    }

    /// Whether sending continues before a failure is reported. With a short read earlier in this turn the
    /// failure is reported after the send, as in libuv and with readiness, see `receive_and_send`.
    fn sends_first(&self, socket: SocketId) -> bool {
        self.table.sockets.borrow().get(socket).is_some_and(|slot| {
            slot.flags.sending == Sending::Batch
                && slot.watch.fed_in_turn == low_half(self.turns.get())
        })
    }

    /// Reports the bytes of one completion, in pieces of the size of a read of the readiness backend.
    fn give(&self, socket: SocketId, lent: &mut Lent<'_>, on: &mut dyn FnMut(Completion<'_>)) {
        let mut rest = Rest { driver: self, socket, bytes: lent.as_mut_slice() };
        loop {
            let bytes = rest.take();
            on(Completion::Received { socket, bytes });
            if rest.bytes.is_empty() || !self.wants(socket) {
                return;
            }
        }
    }

    fn wants(&self, socket: SocketId) -> bool {
        let sockets = self.table.sockets.borrow();
        sockets.get(socket).is_some_and(|slot| slot.flags.reading.wanted == Wanted::Delivery)
    }

    fn outcome(&self, completed: Completed) -> Outcome<'_> {
        let bytes = usize::try_from(completed.result).unwrap_or(0);
        let lent = completed.buffer().and_then(|buffer| self.buffers.lend(buffer, bytes));
        match (completed.error(), lent) {
            (None, Some(lent)) if bytes > 0 => Outcome::Bytes(lent),
            (None, _) => Outcome::End,
            (Some(Errno::NOBUFS), _) => Outcome::Starved,
            (Some(errno), _) if completed.is_failure() => Outcome::Failed(errno),
            (Some(_), _) => Outcome::Stopped,
        }
    }

    /// Queues received bytes for later (contract rule 7). At most the bytes that the pool holds at once
    /// are queued, because the kernel processes a stop before it receives again.
    fn hold_bytes(&self, socket: SocketId, slot: &mut Slot, bytes: &[u8]) {
        for piece in bytes.chunks(READ_BUFFER_BYTES) {
            self.hold(socket, slot, Held::Bytes(BytesMut::from(piece)));
        }
    }

    fn hold(&self, socket: SocketId, slot: &mut Slot, held: Held) {
        self.held.borrow_mut().entry(socket).or_default().push_back(held);
        slot.watch.holding = true;
        if slot.flags.reading.wanted != Wanted::Nothing {
            self.work_later(socket, slot);
        }
    }

    /// Puts back what `take_held` returned.
    pub(super) fn hold_first(&self, socket: SocketId, slot: &mut Slot, held: Held) {
        self.held.borrow_mut().entry(socket).or_default().push_front(held);
        slot.watch.holding = true;
    }

    pub(super) fn take_held(&self, socket: SocketId, slot: &mut Slot) -> Option<Held> {
        if !slot.watch.holding {
            return None;
        }
        let mut all = self.held.borrow_mut();
        let held = all.get_mut(&socket)?;
        let first = held.pop_front();
        if held.is_empty() {
            all.remove(&socket);
            slot.watch.holding = false;
        }
        first
    }

    /// Reports what is queued, up to the budget; or reports `Readable` once if something is queued.
    pub(super) fn give_held(&self, socket: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        for _ in 0..READS_PER_TURN_MAX {
            let held = {
                let mut sockets = self.table.sockets.borrow_mut();
                let Some(slot) = sockets.get_mut(socket) else { return };
                let reading = &mut slot.flags.reading;
                if reading.connecting {
                    return;
                }
                match reading.wanted {
                    Wanted::Delivery => {}
                    Wanted::Notice if slot.watch.holding || reading.ended => {
                        reading.wanted = Wanted::Nothing;
                        drop(sockets);
                        return on(Completion::Readable { socket });
                    }
                    Wanted::Notice | Wanted::Nothing => return,
                }
                let Some(held) = self.take_held(socket, slot) else { return };
                self.note_change(socket, slot);
                held
            };
            match held {
                Held::Bytes(mut bytes) => on(Completion::Received { socket, bytes: &mut bytes }),
                Held::End => on(Completion::EndOfStream { socket }),
                Held::Failed(errno) => on(failed(socket, errno)),
            }
        }
        if let Some(slot) = self.table.sockets.borrow_mut().get_mut(socket) {
            self.work_later(socket, slot);
        }
    }
}

/// The bytes of one completion that are not reported yet. If the callback stops receiving or panics, they
/// are queued.
struct Rest<'a> {
    driver: &'a Uring,
    socket: SocketId,
    bytes: &'a mut [u8],
}

impl<'a> Rest<'a> {
    fn take(&mut self) -> &'a mut [u8] {
        let bytes = std::mem::take(&mut self.bytes);
        let (piece, rest) = bytes.split_at_mut(bytes.len().min(READ_BUFFER_BYTES));
        self.driver.giving.set((!rest.is_empty()).then_some(self.socket));
        self.bytes = rest;
        piece
    }
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        self.driver.giving.set(None);
        if self.bytes.is_empty() {
            return;
        }
        if let Some(slot) = self.driver.table.sockets.borrow_mut().get_mut(self.socket) {
            self.driver.hold_bytes(self.socket, slot, self.bytes);
        }
    }
}

impl Slot {
    /// Records what was received. Returns whether the socket changes to reading by system calls, which
    /// happens after the first full piece, see [`by_call`](super::by_call).
    fn set_fed(&mut self, turn: u64, bytes: usize) -> bool {
        self.watch.fed = true;
        self.watch.fed_in_turn = low_half(turn);
        bytes >= READ_BUFFER_BYTES && !std::mem::replace(&mut self.watch.bulk, true)
    }
}

fn low_half(turn: u64) -> [u8; 4] {
    (turn as u32).to_ne_bytes()
}

fn failed(socket: SocketId, errno: Errno) -> Completion<'static> {
    Completion::Failed { socket, operation: Operation::Receive, error: errno.into() }
}
