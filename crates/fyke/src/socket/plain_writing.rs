//! The short ways of a write, for the two kinds that make up most of what is sent: a few bytes to be
//! gathered with others of the batch, and many that nothing is before.

use fyke_driver::{Batch, Chunk, SocketId};

use super::Socket;
use crate::wiring::Core;

impl Socket {
    /// The short way for what is written most: bytes to be copied, on a connection in its usual state.
    /// Says whether there is room for more; none if it was not that, and nothing has changed then.
    pub(super) fn write_plainly(&self, bytes: &[u8]) -> Option<bool> {
        let core = self.core()?;
        let mut state = self.inner.state.borrow_mut();
        let id = state.connected().filter(|_| state.writable() && !core.node_exact)?;
        let large = state.may_leave_alone(bytes.len()) && state.write.is_clear();
        if !large && !state.write.has_room_behind(bytes.len()) || state.is_queue_too_long(false) {
            return None;
        }
        if state.idle.note_activity(core.moment()) {
            return None;
        }
        if large {
            drop(state);
            return self.write_uncopied(core, id, bytes);
        }
        state.write.push_copy(bytes, || core.driver.take_buffer());
        if !std::mem::replace(&mut state.write.dirty, true) {
            core.push_dirty(self.actor());
        }
        Some(true)
    }

    /// Many bytes that nothing is before: the kernel takes them from where they are, and only what it
    /// does not take is copied. If it takes nothing, nothing has changed.
    fn write_uncopied(&self, core: &Core, id: SocketId, bytes: &[u8]) -> Option<bool> {
        let taken = core.driver.send_at_once(id, bytes);
        if matches!(taken, Ok(0)) {
            return None;
        }
        let count = taken.as_ref().map_or(0, |count| *count);
        core.budget.count(count);
        {
            let mut state = self.inner.state.borrow_mut();
            state.write.fly(bytes.len());
            if state.write.sent(count) {
                return Some(true);
            }
        }
        let result = match taken {
            Ok(_) => {
                let mut rest = core.driver.take_buffer();
                rest.extend_from_slice(&bytes[count..]);
                self.offer(id, Some(Batch::one(Chunk::Buffer(rest))))
            }
            Err(source) => Err(self.refused_by_system(source)),
        };
        let number = self.or_fail_later(result);
        debug_assert!(number.is_none(), "nobody waits for it");
        Some(self.has_room())
    }
}
