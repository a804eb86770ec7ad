//! What a socket requests from the driver to send and receive bytes.

use std::cell::RefMut;
use std::io;

use fyke_driver::{Batch, Chunk, SocketId};
use fyke_machine::connection::{Connection, Effects};
use fyke_machine::error::MakeError;
use fyke_machine::transitions::Flushed;

use super::state::Receiving;
use super::{Callback, State};
use super::{Socket, spares};
use crate::Error;
use crate::wiring::Core;

impl Socket {
    /// The driver's id of the connection.
    pub(super) fn id(&self) -> Option<SocketId> {
        self.inner.state.borrow().id
    }

    /// Schedules the submission of the queue for the end of the batch of callbacks (phase 7).
    #[inline(always)]
    pub(super) fn flush_later(&self, core: &Core, state: &mut State) {
        if state.receiving == Receiving::Yes && !core.has_batch_work() {
            state.receiving = Receiving::ThenFlush;
        } else {
            core.push_dirty(self.actor());
        }
    }

    /// Called when the listeners for received bytes have returned. If they wrote to this socket before
    /// anything else was written or deferred, its queue is submitted first.
    #[inline]
    pub(super) fn flush_after_receiving(&self) {
        let mut state = self.inner.state.borrow_mut();
        if std::mem::replace(&mut state.receiving, Receiving::No) != Receiving::ThenFlush {
            return;
        }
        let Some(core) = self.core() else { return };
        if core.has_batch_work() {
            return core.push_dirty_first(self.actor());
        }
        state.machine.left_dirty_list();
        let flushed = self.offer_queue(core, state);
        if !matches!(flushed, Flushed::Clear) {
            self.was_flushed(flushed);
        }
    }

    /// Called when a listener has panicked.
    pub(super) fn stop_receiving_by_panic(&self) {
        let mut state = self.inner.state.borrow_mut();
        let receiving = std::mem::replace(&mut state.receiving, Receiving::No);
        drop(state);
        if let (Receiving::ThenFlush, Some(core)) = (receiving, self.core()) {
            core.push_dirty_first(self.actor());
        }
    }

    /// Submits the queue at the end of the batch of callbacks (phase 7).
    pub(crate) fn submit_dirty(&self) {
        let Some(core) = self.core() else { return };
        let mut state = self.inner.state.borrow_mut();
        state.machine.left_dirty_list();
        let flushed = self.offer_queue(core, state);
        if !matches!(flushed, Flushed::Clear) {
            self.was_flushed(flushed);
        }
    }

    #[inline(never)]
    fn was_flushed(&self, flushed: Flushed) {
        match flushed.as_tick() {
            Some((when, tick)) => self.defer(when, tick),
            None => self.step(|machine, _, fx| machine.flushed(flushed, fx)),
        }
    }

    /// Submits the queue to the driver, unless a batch is in flight or the queue is held back.
    pub(super) fn flush(
        &self,
        report: fn(&mut Connection<Callback>, Flushed, &mut Effects<Callback>),
    ) {
        let Some(core) = self.core() else { return };
        let flushed = self.offer_queue(core, self.inner.state.borrow_mut());
        if !matches!(flushed, Flushed::Quiet | Flushed::Clear) {
            self.ask(|machine, _, fx| report(machine, flushed, fx));
        }
    }

    #[inline(always)]
    fn offer_queue(&self, core: &Core, mut state: RefMut<'_, State>) -> Flushed {
        let Some(id) = state.id else { return Flushed::Quiet };
        let Some(bytes) = state.machine.outgoing() else {
            return self.offer_batch(state, id, Ok(0));
        };
        let len = bytes.len();
        let taken = core.driver.send_at_once(id, bytes);
        if !matches!(taken, Ok(count) if count == len) {
            return self.offer_batch(state, id, taken);
        }
        core.budget.count(len);
        let (queue, flushed) = state.machine.outgoing_sent();
        if let Some(queue) = queue {
            spares::give_back(core, queue);
        }
        flushed
    }

    /// Offers the queue as a batch. The kernel may have taken some of its bytes already.
    #[inline(never)]
    fn offer_batch<'a>(
        &'a self,
        mut state: RefMut<'a, State>,
        id: SocketId,
        mut taken: io::Result<usize>,
    ) -> Flushed {
        if state.machine.outgoing_layered().is_some() {
            match self.offer_layered(state, id) {
                Ok(flushed) => return flushed,
                Err(failed) => taken = failed,
            }
            state = self.inner.state.borrow_mut();
        }
        if !state.is_connected() || state.has_failed() || !state.write.can_submit() {
            return Flushed::Quiet;
        }
        let mut batch = state.change().write.submit();
        if let (Ok(count @ 1..), Some(batch)) = (&taken, &mut batch) {
            batch.skip(*count);
            state.change().write.sent(*count);
        }
        drop(state);
        match taken {
            Ok(_) => self.offer(id, batch),
            Err(source) => self.refused_by_system(source),
        }
    }

    /// Sends what was queued before the connection was established.
    pub(super) fn flush_parked(&self) {
        let offer = {
            let mut state = self.inner.state.borrow_mut();
            let id = state.id;
            id.map(|id| (id, state.change().write.submit_parked()))
        };
        if let Some((id, batch)) = offer {
            let flushed = self.offer(id, batch);
            self.ask(|machine, _, fx| machine.flushed_parked(flushed, fx));
        }
    }

    /// Gives the driver a batch that counts as in flight. `None` means that there were only empty writes.
    fn offer(&self, id: SocketId, batch: Option<Batch>) -> Flushed {
        let Some(core) = self.core() else { return Flushed::Quiet };
        // Empty writes are passed to the kernel too, because they reveal a broken connection (WR-24).
        let batch = batch.unwrap_or_else(|| Batch::one(Chunk::Buffer(Vec::new())));
        let count = match self.send_batch(core, id, batch) {
            Ok(count) => count,
            Err(source) => return self.refused_by_system(source),
        };
        core.budget.count(count);
        let (all, number) = {
            let mut state = self.inner.state.borrow_mut();
            let all = state.change().write.sent(count);
            if let Some(timeout) = state.write_stall_timeout().filter(|_| !all) {
                state.change().write.watch(timeout.into(), core.moment());
            }
            (all, state.write.has_news().then(|| state.write.in_flight_number()))
        };
        number.filter(|_| all).map_or(Flushed::Quiet, Flushed::Written)
    }

    fn refused_by_system(&self, source: io::Error) -> Flushed {
        let policy = *self.policy();
        let mut state = self.inner.state.borrow_mut();
        Flushed::Refused(state.change().refused_by_system(source, &policy))
    }

    /// Sends a large write with an empty queue: the kernel takes the bytes in place, and only the rest is
    /// copied. If it takes nothing, nothing has changed.
    pub(super) fn write_uncopied(&self, core: &Core, id: SocketId, bytes: &[u8]) -> Option<bool> {
        let taken = core.driver.send_at_once(id, bytes);
        if matches!(taken, Ok(0)) {
            return None;
        }
        let count = taken.as_ref().map_or(0, |count| *count);
        core.budget.count(count);
        {
            let mut state = self.inner.state.borrow_mut();
            if state.change().write.sent_directly(bytes.len(), count) {
                return Some(true);
            }
        }
        let flushed = match taken {
            Ok(_) => {
                let mut rest = core.driver.take_buffer();
                rest.extend_from_slice(&bytes[count..]);
                self.offer(id, Some(Batch::one(Chunk::Buffer(rest))))
            }
            Err(source) => self.refused_by_system(source),
        };
        self.ask(|machine, _, fx| machine.flushed(flushed, fx));
        Some(self.step(|machine, _, _| machine.has_room()))
    }

    /// Starts to receive.
    pub(super) fn receive_start(&self) {
        let (Some(core), Some(id)) = (self.core(), self.id()) else { return };
        let layered = self.layered();
        if layered.is_some_and(|layered| !self.receive_wanted(&layered)) {
            return;
        }
        if let Err(source) = core.driver.receive_start(id) {
            let error = Error::system("read", source);
            self.ask(|machine, cx, fx| machine.fail(error, cx, fx));
        }
    }

    /// Stops receiving.
    pub(super) fn receive_stop(&self) {
        let (Some(core), Some(id)) = (self.core(), self.id()) else { return };
        let layered = self.layered();
        if layered.is_none_or(|layered| Self::receive_unwanted(&layered)) {
            core.driver.receive_stop(id);
        }
    }
}
