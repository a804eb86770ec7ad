//! The short ways, where the machine allows them. Each returns whether it was taken; if not, nothing has
//! changed.

use fyke_machine::Error;
use fyke_machine::connection::Event;
use fyke_machine::transitions::PlainWrite;
use fyke_machine::writing::NoSpares;

use super::{Side, User};

impl<U: User> Side<U> {
    pub(super) fn write_plain(&mut self, bytes: &[u8]) -> bool {
        let (policy, now) = (self.policy, self.now.into());
        let spares = &mut NoSpares;
        let written = match self.plain {
            true => self.machine.write_plain(bytes, false, now, &policy, spares),
            false => PlainWrite::No,
        };
        let PlainWrite::Queued(first) = written else { return false };
        self.flush_later |= first;
        self.inputs += 1;
        true
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
