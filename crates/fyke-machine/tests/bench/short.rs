//! The plain lanes, where the machine allows them. Each returns whether it was taken; if not, nothing has
//! changed.

use fyke_machine::connection::Event;
use fyke_machine::writing::NoSpares;
use fyke_machine::{Error, Lanes, PlainWrite};

use super::{Side, User};

impl<U: User> Side<U> {
    fn allow(&mut self) {
        let plain = Lanes::allowed_by(&self.policy);
        self.machine.allow(if self.plain { plain } else { Lanes::GENERAL });
    }

    pub(super) fn write_plain(&mut self, bytes: &[u8]) -> bool {
        self.allow();
        let written = self.machine.write_plain(bytes, false, self.now.into(), &mut NoSpares);
        let PlainWrite::Queued(first) = written else { return false };
        self.flush_later |= first;
        self.inputs += 1;
        true
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

    /// The close phase has come.
    pub(super) fn close_plain(&mut self, cancelled: Option<&Error>) -> bool {
        const HEARD: [Event; 3] = [Event::Gone, Event::Unpipe, Event::Close];
        let told = self.heard.has_any(&HEARD) || self.policy.tells_cancelled_attempt;
        self.allow();
        let may = !told && cancelled.is_none() && !self.machine.owes_close();
        self.count(|side| may && side.machine.close_plain())
    }

    fn count(&mut self, way: impl FnOnce(&mut Self) -> bool) -> bool {
        let taken = way(self);
        self.inputs += u64::from(taken);
        taken
    }
}
