//! The short ways, where the machine allows them. Each returns whether it was taken; if not, nothing has
//! changed.

use fyke_driver::{Batch, Chunk};
use fyke_machine::Error;
use fyke_machine::connection::Event;
use fyke_machine::transitions::{Flushed, PlainWrite};
use fyke_machine::writing::NoSpares;

use super::{Side, User};

impl<U: User> Side<U> {
    /// Returns whether there is room for more, if it was taken.
    pub(super) fn write_plain(&mut self, bytes: &[u8]) -> Option<bool> {
        let (policy, now) = (self.policy, self.now.into());
        let spares = &mut NoSpares;
        let written = match self.plain {
            true => self.machine.write_plain(bytes, false, now, &policy, spares),
            false => PlainWrite::No,
        };
        match written {
            PlainWrite::No => None,
            PlainWrite::Uncopied => self.write_uncopied(bytes),
            PlainWrite::Queued(first) => {
                self.flush_later |= first;
                self.inputs += 1;
                Some(true)
            }
        }
    }

    /// Many bytes that nothing is before: only what the kernel does not take is copied.
    fn write_uncopied(&mut self, bytes: &[u8]) -> Option<bool> {
        let wire = self.wire.as_ref().filter(|wire| wire.send_failure().is_none())?;
        let taken = wire.send(bytes, self.window_bytes);
        if taken == 0 {
            return None;
        }
        self.inputs += 1;
        if self.change().write.fly(bytes.len(), taken) {
            return Some(true);
        }
        let rest = Batch::one(Chunk::Buffer(bytes[taken..].to_vec()));
        let flushed = self.offer(Some(rest));
        self.step(|machine, _, fx| machine.flushed(flushed, fx));
        Some(self.step(|machine, _, _| machine.has_room()))
    }

    /// A few bytes that nobody is told about need no batch, if the kernel takes all of them.
    pub(super) fn flush_plain(&mut self) -> Option<Flushed> {
        let wire = self.wire.as_ref().filter(|wire| self.plain && wire.send_failure().is_none())?;
        let bytes = self.machine.write.small()?;
        if bytes.len() > wire.room(self.window_bytes) {
            return None;
        }
        wire.send(bytes, self.window_bytes);
        self.inputs += 1;
        let machine = self.change();
        if machine.write.small_is_sent().is_some() {
            return Some(Flushed::Clear);
        }
        let number = machine.write.has_news().then(|| machine.write.handed_over());
        Some(number.map_or(Flushed::Quiet, Flushed::Told))
    }

    pub(super) fn receive_plain(&mut self, bytes: usize) -> bool {
        let (policy, now) = (self.policy, self.now.into());
        let may = self.plain && self.heard.has(Event::Data);
        self.count(|side| may && side.machine.receive_plain(bytes, now, &policy))
    }

    /// The peer has ended.
    pub(super) fn end_plain(&mut self) -> bool {
        let (policy, heard) = (self.policy, self.heard);
        let may = self.plain && self.ticks.is_empty();
        self.count(|side| may && side.machine.ended_plainly(&policy, heard))
    }

    /// The close phase has come.
    pub(super) fn close_plain(&mut self, cancelled: Option<&Error>) -> bool {
        const HEARD: [Event; 3] = [Event::Gone, Event::Unpipe, Event::Close];
        let told = self.heard.has_any(&HEARD) || self.policy.tells_cancelled_attempt;
        let may = self.plain && !told && cancelled.is_none() && !self.machine.owes_close();
        self.count(|side| may && side.machine.closes_plainly())
    }

    fn count(&mut self, way: impl FnOnce(&mut Self) -> bool) -> bool {
        let taken = way(self);
        self.inputs += u64::from(taken);
        taken
    }
}
