//! What a socket asks of the driver about bytes.

use fyke_driver::{Batch, Chunk, SocketId};
use fyke_machine::connection::{Connection, Effects};
use fyke_machine::error::MakeError;
use fyke_machine::transitions::Flushed;

use super::{Socket, spares};
use crate::Error;
use crate::socket::state::Done;
use crate::wiring::Core;

impl Socket {
    /// The driver's name of the connection.
    pub(super) fn id(&self) -> Option<SocketId> {
        self.inner.state.borrow().id
    }

    /// The batch of callbacks has ended (phase 7).
    pub(crate) fn hand_over_dirty(&self) {
        let flushed = self.offer_queue(true);
        if !matches!(flushed, Flushed::Clear) {
            self.step(|machine, _, fx| machine.flushed(flushed, fx));
        }
    }

    /// Hands the queue over to the driver, if nothing is in flight and nothing holds it back.
    pub(super) fn flush(&self, tell: fn(&mut Connection<Done>, Flushed, &mut Effects<Done>)) {
        let flushed = self.offer_queue(false);
        if !matches!(flushed, Flushed::Quiet | Flushed::Clear) {
            self.ask(|machine, _, fx| tell(machine, flushed, fx));
        }
    }

    fn offer_queue(&self, was_listed: bool) -> Flushed {
        let Some(core) = self.core() else { return Flushed::Quiet };
        let mut state = self.inner.state.borrow_mut();
        state.write.dirty &= !was_listed;
        let Some(id) = state.id.filter(|_| state.is_connected() && !state.has_failed()) else {
            return Flushed::Quiet;
        };
        let mut taken = Ok(0);
        if let Some(bytes) = state.write.small() {
            let len = bytes.len();
            taken = core.driver.send_at_once(id, bytes);
            if matches!(taken, Ok(count) if count == len) {
                core.budget.count(len);
                state.write.small_is_sent();
                if let Some(queue) = state.write.reclaim() {
                    spares::give_back(core, queue);
                    return Flushed::Clear;
                }
                let told = state.write.has_news().then(|| state.write.handed_over());
                return told.map_or(Flushed::Quiet, Flushed::Told);
            }
        } else if !state.write.can_hand_over() {
            return Flushed::Quiet;
        }
        let mut batch = state.write.hand_over();
        if let (Ok(count @ 1..), Some(batch)) = (&taken, &mut batch) {
            batch.skip(*count);
            state.write.sent(*count);
        }
        drop(state);
        match taken {
            Ok(_) => self.offer(id, batch),
            Err(source) => self.refused_by_system(source),
        }
    }

    /// What was parked before the connection stood leaves by itself.
    pub(super) fn flush_parked(&self) {
        let offer = {
            let mut state = self.inner.state.borrow_mut();
            let id = state.id;
            id.map(|id| (id, state.write.hand_over_parked()))
        };
        if let Some((id, batch)) = offer {
            let flushed = self.offer(id, batch);
            self.ask(|machine, _, fx| machine.flushed_parked(flushed, fx));
        }
    }

    /// Gives the driver a batch that is in flight already; none was only empty writes.
    fn offer(&self, id: SocketId, batch: Option<Batch>) -> Flushed {
        let Some(core) = self.core() else { return Flushed::Quiet };
        // Empty writes ask the kernel too: that is how a broken connection shows (WR-24).
        let batch = batch.unwrap_or_else(|| Batch::one(Chunk::Buffer(Vec::new())));
        let count = match core.driver.send(id, batch) {
            Ok(count) => count,
            Err(source) => return self.refused_by_system(source),
        };
        core.budget.count(count);
        let (all, number) = {
            let mut state = self.inner.state.borrow_mut();
            let all = state.write.sent(count);
            if let Some(timeout) = state.write_stall_timeout().filter(|_| !all) {
                state.write.watch(timeout.into(), core.moment());
            }
            (all, state.write.has_news().then(|| state.write.handed_over()))
        };
        number.filter(|_| all).map_or(Flushed::Quiet, Flushed::Told)
    }

    fn refused_by_system(&self, source: std::io::Error) -> Flushed {
        let policy = *self.policy();
        let mut state = self.inner.state.borrow_mut();
        Flushed::Refused(state.machine.refused_by_system(source, &policy))
    }

    /// Many bytes that nothing is before: the kernel takes them from where they are, and only what it
    /// does not take is copied. If it takes nothing, nothing has changed.
    pub(super) fn write_uncopied(&self, core: &Core, id: SocketId, bytes: &[u8]) -> Option<bool> {
        let taken = core.driver.send_at_once(id, bytes);
        if matches!(taken, Ok(0)) {
            return None;
        }
        let count = taken.as_ref().map_or(0, |count| *count);
        core.budget.count(count);
        {
            let mut state = self.inner.state.borrow_mut();
            if state.write.fly(bytes.len(), count) {
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

    /// Begins to receive.
    pub(super) fn receive_start(&self) {
        let (Some(core), Some(id)) = (self.core(), self.id()) else { return };
        if let Err(source) = core.driver.receive_start(id) {
            let error = Error::system("read", source);
            self.ask(|machine, cx, fx| machine.fail(error, cx, fx));
        }
    }
}
