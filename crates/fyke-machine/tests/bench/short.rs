//! The plain lanes, where the machine allows them. Each function returns whether its lane was used; if
//! not, nothing has changed.

use fyke_driver::{Batch, Chunk};
use fyke_machine::connection::Event;
use fyke_machine::transitions::Flushed;
use fyke_machine::writing::NoSpares;
use fyke_machine::{Error, Lanes, PlainWrite};

use super::{Callback, Side, User};

impl<U: User> Side<U> {
    fn allow(&mut self) {
        let plain = Lanes::allowed_by(&self.policy);
        self.machine.allow(if self.plain { plain } else { Lanes::GENERAL });
    }

    /// Returns whether there is room for more, if the lane was used.
    pub(super) fn write_plain(
        &mut self,
        bytes: &[u8],
        callback: &mut Option<Callback>,
    ) -> Option<bool> {
        self.allow();
        match self.machine.write_plain(bytes, callback, false, self.now.into(), &mut NoSpares) {
            PlainWrite::No => None,
            PlainWrite::Uncopied => self.write_uncopied(bytes),
            PlainWrite::Queued(first) => {
                self.flush_later |= first;
                self.inputs += 1;
                Some(true)
            }
        }
    }

    /// Many bytes on an empty queue: only bytes that the kernel does not accept are copied.
    fn write_uncopied(&mut self, bytes: &[u8]) -> Option<bool> {
        let wire = self.wire.as_ref().filter(|wire| wire.send_failure().is_none())?;
        let taken = wire.send(bytes, self.window_bytes);
        if taken == 0 {
            return None;
        }
        self.inputs += 1;
        let is_sent = self.change().write.sent_directly(bytes.len(), taken);
        if is_sent {
            return Some(true);
        }
        let rest = Batch::one(Chunk::Buffer(bytes[taken..].to_vec()));
        let flushed = self.offer(Some(rest));
        self.step(|machine, _, fx| machine.flushed(flushed, fx));
        Some(self.step(|machine, _, _| machine.has_room()))
    }

    /// A few bytes without a callback need no batch, if the kernel accepts all of them.
    pub(super) fn flush_plain(&mut self) -> Option<Flushed> {
        self.allow();
        let wire = self.wire.as_ref().filter(|wire| wire.send_failure().is_none())?;
        let bytes = self.machine.outgoing()?;
        if bytes.len() > wire.room(self.window_bytes) {
            return None;
        }
        wire.send(bytes, self.window_bytes);
        self.inputs += 1;
        let (queue, flushed) = self.machine.outgoing_sent();
        drop(queue);
        Some(flushed)
    }

    pub(super) fn receive_plain(&mut self, bytes: usize) -> bool {
        self.allow();
        let now = self.now.into();
        let may = self.heard.has(Event::Data);
        self.count(|side| may && side.machine.receive_plain(bytes, now))
    }

    /// The peer has ended.
    pub(super) fn end_plain(&mut self) -> bool {
        self.allow();
        let (policy, heard) = (self.policy, self.heard);
        let may = self.ticks.is_empty();
        self.count(|side| may && side.machine.end_plain(&policy, heard))
    }

    /// The close phase.
    pub(super) fn close_plain(&mut self, cancelled: Option<&Error>) -> bool {
        const HEARD: [Event; 3] = [Event::Gone, Event::Unpipe, Event::Close];
        let reported = self.heard.has_any(&HEARD) || self.policy.reports_cancelled_attempt;
        self.allow();
        let may = !reported && cancelled.is_none() && !self.machine.owes_close();
        self.count(|side| may && side.machine.close_plain())
    }

    fn count(&mut self, way: impl FnOnce(&mut Self) -> bool) -> bool {
        let taken = way(self);
        self.inputs += u64::from(taken);
        taken
    }
}
