//! What may happen to a socket, and when: the rules that [`Witness`] holds it to.

use super::witness::{Witness, byte_at};
use super::{Moment, Reading};

impl Witness {
    /// Bytes came: the ones that the other side wrote, in order.
    pub(super) fn received(&self, bytes: &[u8]) {
        self.log(format_args!("Data of {} bytes", bytes.len()));
        assert!(!bytes.is_empty(), "{self:?}");
        let mut model = self.model.borrow_mut();
        for (at, byte) in (model.delivered..).zip(bytes) {
            assert_eq!(*byte, byte_at(self.side.other(), at), "byte {at} (contract C8)");
        }
        model.delivered += bytes.len() as u64;
    }

    /// An event came: whether it may, after those before it (contract C2).
    pub(super) fn happened(&self, moment: Moment) {
        let socket = self.socket().expect("it is attached");
        let mut model = self.model.borrow_mut();
        let answer = matches!(moment, Moment::Written | Moment::Ended);
        assert!(answer || model.closes == 0, "{moment:?} after close");
        let alive = !socket.destroyed();
        let rule = match moment {
            Moment::Connection | Moment::Written | Moment::Ended => true,
            Moment::Connect => {
                model.connects += 1;
                alive && model.connects == 1 && model.readies == 0 && !socket.connecting()
            }
            Moment::Ready => {
                model.readies += 1;
                alive && model.connects == 1 && model.readies == 1
            }
            Moment::Data => alive && model.connects == 1 && model.ends == 0,
            Moment::End => {
                model.ends += 1;
                let whole = socket.read_queue_len() == 0 && socket.bytes_read() == model.delivered;
                alive && model.connects == 1 && model.ends == 1 && whole
            }
            Moment::Drain => {
                let owed = std::mem::take(&mut model.owes_drain);
                alive && owed && socket.write_queue_len() == 0 && !socket.writable_ended()
            }
            Moment::Finish => {
                model.finishes += 1;
                // Comes with the callbacks of `end`, also when one of them has destroyed the socket.
                let whole = model.waiting.is_empty() && !model.given_up;
                model.finishes == 1 && socket.writable_finished() && whole
            }
            Moment::Error => {
                model.errors += 1;
                !alive && model.errors == 1 && socket.errored().is_some()
            }
            Moment::Close => {
                model.closes += 1;
                !alive && model.closes == 1 && model.waiting.is_empty()
            }
        };
        drop(model);
        assert!(rule, "{moment:?} must not come like this: {self:?}");
    }

    /// What the getters say fits to what was called and what came.
    pub(super) fn check(&self) {
        let socket = self.socket().expect("it is attached");
        let model = self.model.borrow();
        let queued = socket.write_queue_len() as u64;
        // What waits for a read buffer counts when it is put in (RD-23).
        let kept = match self.reading.get() {
            Reading::Buffer(_) => 0,
            Reading::Data | Reading::Readable => socket.read_queue_len() as u64,
        };
        let rule = if socket.destroyed() || socket.errored().is_some() {
            socket.bytes_written() <= model.accepted
                && socket.bytes_read() >= model.delivered
                && !socket.writable()
                // A failed write ends only the other direction, until its callbacks are through.
                && !(socket.destroyed() && socket.readable())
        } else {
            socket.bytes_written() == model.accepted
                && queued <= model.accepted - model.acknowledged
                && socket.bytes_read() == model.delivered + kept
        };
        let drain = !socket.writable() || socket.needs_drain() == model.owes_drain;
        drop(model);
        assert!(rule && drain, "{self:?}");
    }

    /// Both sockets were left alone, uncorked and flowing: nothing is left to do.
    pub(crate) fn check_quiet(&self, other: &Self) {
        let Some(socket) = self.socket().filter(|socket| !socket.destroyed()) else { return };
        let model = self.model.borrow();
        let done = model.connects == 1
            && socket.write_queue_len() == 0
            && model.waiting.is_empty()
            && model.refused == 0
            && (!model.owes_drain || socket.writable_ended())
            && (model.ends_to_tell == 0)
            && socket.read_queue_len() == 0;
        let peer = other.socket().filter(|peer| !peer.destroyed());
        let arrived = peer.is_none() || model.accepted == other.model.borrow().delivered;
        drop(model);
        assert!(done && arrived, "not quiet: {self:?}, {other:?}");
    }

    /// The loop has ended: so have both sockets, and every byte is accounted for.
    pub(crate) fn check_end(&self, other: &Self) {
        let Some(socket) = self.socket() else { return };
        let model = self.model.borrow();
        let peer = other.model.borrow();
        assert_eq!(model.closes, 1, "close comes once: {self:?}");
        let told = model.waiting.is_empty() && model.refused == 0 && model.ends_to_tell == 0;
        assert!(told, "every callback is told: {self:?}");
        // What was in flight when it was cancelled stays counted (PROP-05).
        assert!(peer.delivered <= socket.bytes_written(), "{self:?}, {other:?}");
        let ended = peer.ends == 1;
        assert!(!ended || peer.delivered >= model.acknowledged, "{self:?}, {other:?}");
        if !model.abrupt && !peer.abrupt {
            assert_eq!((model.ends, model.finishes, model.errors), (1, 1, 0), "{self:?}");
            assert_eq!(peer.delivered, model.accepted, "nothing is lost: {self:?}");
        }
    }
}
