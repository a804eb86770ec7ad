//! Receiving: what the kernel has put into the pool is lent to the callback, or copied and kept.

use std::collections::VecDeque;
use std::io;

use rustix::io::Errno;

use super::buffers::Lent;
use super::ring::Completed;
use super::{Slot, Uring};
use crate::completion::dead;
use crate::limits::{READ_BUFFER_BYTES, READS_PER_TURN_MAX};
use crate::{Completion, Operation, SocketId};

/// What was received while nobody wanted it.
#[derive(Debug)]
pub(super) enum Held {
    Bytes(Box<[u8]>),
    End,
    Failed(Errno),
}

/// Sockets that found the pool dry. Those that got nothing come before those that got something: else
/// a peer that sends without a pause would empty the pool in each turn before anybody else gets
/// a buffer (contract rule 6).
#[derive(Debug, Default)]
pub(super) struct Starved {
    hungry: VecDeque<SocketId>,
    fed: VecDeque<SocketId>,
}

impl Starved {
    fn add(&mut self, socket: SocketId, fed: bool) {
        if fed { &mut self.fed } else { &mut self.hungry }.push_back(socket);
    }

    pub(super) fn next(&mut self) -> Option<SocketId> {
        self.hungry.pop_front().or_else(|| self.fed.pop_front())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hungry.is_empty() && self.fed.is_empty()
    }
}

impl Held {
    pub(super) fn is_bytes(&self) -> bool {
        matches!(self, Self::Bytes(_))
    }

    pub(super) fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

impl Completed {
    /// Whether a receive has failed, and was not only taken back, interrupted, or without a buffer.
    pub(super) fn is_failure(&self) -> bool {
        let harmless = [Errno::CANCELED, Errno::INTR, Errno::AGAIN, Errno::NOBUFS];
        self.error().is_some_and(|errno| !harmless.contains(&errno))
    }
}

/// What a completion of a receive says.
enum Outcome<'a> {
    Bytes(Lent<'a>),
    End,
    Failed(Errno),
    /// All buffers were full.
    Starved,
    /// It was cancelled, or interrupted.
    Stopped,
}

impl Uring {
    pub(crate) fn receive_start(&self, socket: SocketId) -> io::Result<()> {
        let mut sockets = self.sockets.borrow_mut();
        let slot = sockets.get_mut(socket).ok_or_else(dead)?;
        slot.flags.reading.wanted = true;
        if slot.flags.holding || slot.flags.reading.readable {
            self.defer_work(socket, slot);
        }
        self.note_change(socket, slot);
        Ok(())
    }

    pub(crate) fn receive_stop(&self, socket: SocketId) {
        if let Some(slot) = self.sockets.borrow_mut().get_mut(socket) {
            slot.flags.reading.wanted = false;
            self.note_change(socket, slot);
        }
    }

    pub(super) fn received(
        &self,
        socket: SocketId,
        completed: Completed,
        on: &mut dyn FnMut(Completion<'_>),
    ) {
        let outcome = self.outcome(completed);
        if matches!(outcome, Outcome::Failed(_)) && self.sends_first(socket) {
            self.send_more(socket, on);
        }
        {
            let mut sockets = self.sockets.borrow_mut();
            let Some(slot) = sockets.get_mut(socket) else { return };
            if slot.flags.by_call {
                drop(sockets);
                return self.readable(socket, completed, on);
            }
            if slot.flags.reading.ended {
                return;
            }
            match outcome {
                Outcome::Bytes(ref lent) => {
                    if slot.set_fed(self.turns.get(), lent.as_slice().len()) {
                        self.note_change(socket, slot);
                    }
                }
                Outcome::End | Outcome::Failed(_) => slot.flags.reading.ended = true,
                Outcome::Stopped => return self.note_change(socket, slot),
                Outcome::Starved => {
                    slot.flags.starved = true;
                    return self.starved.borrow_mut().add(socket, slot.flags.fed);
                }
            }
            if !completed.has_more() {
                self.note_change(socket, slot);
            }
            if !slot.flags.reading.wanted || slot.flags.holding {
                return match outcome {
                    Outcome::Bytes(lent) => self.hold_bytes(socket, slot, lent.as_slice()),
                    Outcome::End => self.hold(socket, slot, Held::End),
                    Outcome::Failed(errno) => self.hold(socket, slot, Held::Failed(errno)),
                    Outcome::Starved | Outcome::Stopped => {}
                };
            }
        }
        match outcome {
            Outcome::Bytes(lent) => self.give(socket, &lent, on),
            Outcome::End => on(Completion::EndOfStream { socket }),
            Outcome::Failed(errno) => on(failed(socket, errno)),
            Outcome::Starved | Outcome::Stopped => {}
        }
    }

    /// Whether sending goes on before a failure is told: what is behind a short read waits for it, as
    /// in libuv and with readiness, see `receive_and_send`.
    fn sends_first(&self, socket: SocketId) -> bool {
        self.sockets
            .borrow()
            .get(socket)
            .is_some_and(|slot| slot.flags.sending && slot.fed_in_turn == self.turns.get() as u32)
    }

    /// Gives what one completion brought, in pieces of the size that a read of readiness has.
    fn give(&self, socket: SocketId, lent: &Lent<'_>, on: &mut dyn FnMut(Completion<'_>)) {
        let mut rest = Rest { driver: self, socket, bytes: lent.as_slice() };
        loop {
            let bytes = rest.take();
            on(Completion::Received { socket, bytes });
            if rest.bytes.is_empty() || !self.wants(socket) {
                return;
            }
        }
    }

    fn wants(&self, socket: SocketId) -> bool {
        self.sockets.borrow().get(socket).is_some_and(|slot| slot.flags.reading.wanted)
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

    /// Keeps what came for later (contract rule 7). At most what the pool holds at once, for the
    /// kernel hears of a stop before it receives again.
    fn hold_bytes(&self, socket: SocketId, slot: &mut Slot, bytes: &[u8]) {
        for piece in bytes.chunks(READ_BUFFER_BYTES) {
            self.hold(socket, slot, Held::Bytes(piece.into()));
        }
    }

    fn hold(&self, socket: SocketId, slot: &mut Slot, held: Held) {
        self.held.borrow_mut().entry(socket).or_default().push_back(held);
        slot.flags.holding = true;
        if slot.flags.reading.wanted {
            self.defer_work(socket, slot);
        }
    }

    fn take_held(&self, socket: SocketId, slot: &mut Slot) -> Option<Held> {
        if !slot.flags.holding {
            return None;
        }
        let mut all = self.held.borrow_mut();
        let held = all.get_mut(&socket)?;
        let first = held.pop_front();
        if held.is_empty() {
            all.remove(&socket);
            slot.flags.holding = false;
        }
        first
    }

    /// Gives what was kept, up to the budget.
    pub(super) fn give_held(&self, socket: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        for _ in 0..READS_PER_TURN_MAX {
            let held = {
                let mut sockets = self.sockets.borrow_mut();
                let Some(slot) = sockets.get_mut(socket) else { return };
                if !slot.flags.reading.wanted || slot.flags.reading.connecting {
                    return;
                }
                let Some(held) = self.take_held(socket, slot) else { return };
                self.note_change(socket, slot);
                held
            };
            match held {
                Held::Bytes(bytes) => on(Completion::Received { socket, bytes: &bytes }),
                Held::End => on(Completion::EndOfStream { socket }),
                Held::Failed(errno) => on(failed(socket, errno)),
            }
        }
        if let Some(slot) = self.sockets.borrow_mut().get_mut(socket) {
            self.defer_work(socket, slot);
        }
    }
}

/// What is left to give of the bytes of one completion. If the callback stops receiving, or panics,
/// it is kept.
struct Rest<'a> {
    driver: &'a Uring,
    socket: SocketId,
    bytes: &'a [u8],
}

impl<'a> Rest<'a> {
    fn take(&mut self) -> &'a [u8] {
        let (piece, rest) = self.bytes.split_at(self.bytes.len().min(READ_BUFFER_BYTES));
        self.bytes = rest;
        self.driver.giving.set((!rest.is_empty()).then_some(self.socket));
        piece
    }
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        self.driver.giving.set(None);
        if self.bytes.is_empty() {
            return;
        }
        if let Some(slot) = self.driver.sockets.borrow_mut().get_mut(self.socket) {
            self.driver.hold_bytes(self.socket, slot, self.bytes);
        }
    }
}

impl Slot {
    /// Notes what came. Says whether it is to be received in another way from now on: after a full piece,
    /// see [`by_call`](super::by_call).
    fn set_fed(&mut self, turn: u64, bytes: usize) -> bool {
        self.flags.fed = true;
        self.fed_in_turn = turn as u32;
        bytes >= READ_BUFFER_BYTES && !std::mem::replace(&mut self.flags.bulk, true)
    }
}

fn failed(socket: SocketId, errno: Errno) -> Completion<'static> {
    Completion::Failed { socket, operation: Operation::Receive, error: errno.into() }
}
