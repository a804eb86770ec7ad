//! What may happen to a socket, and when: the rules that [`Witness`] holds it to.

use std::rc::Rc;

use super::life::Life;
use super::witness::Witness;
use super::{Moment, Reading};

impl Witness {
    /// Bytes were delivered: the ones that the other side wrote, in order.
    pub(super) fn received(&self, bytes: &[u8]) {
        self.log(format_args!("Data of {} bytes", bytes.len()));
        assert!(!bytes.is_empty(), "{self:?}");
        let life = self.life();
        life.deliver(bytes);
        let mut model = life.model.borrow_mut();
        model.in_hand = model.in_hand.saturating_sub(bytes.len() as u64);
    }

    /// An event came: whether it may, after those before it (contract C2).
    pub(super) fn happened(&self, moment: Moment) {
        let socket = self.socket().expect("it is attached");
        if self.happened_before(moment) {
            return;
        }
        let life = self.life();
        let mut model = life.model.borrow_mut();
        let answer = matches!(moment, Moment::Written | Moment::Ended);
        assert!(answer || model.closes == 0, "{moment:?} after close: {self:?}");
        let exact = self.stage.exact;
        let alive = !socket.is_destroyed();
        let connected = model.connects >= 1 && (model.connects == 1 || model.odd);
        let rule = match moment {
            Moment::Connection | Moment::Written | Moment::Ended => true,
            Moment::Attempt => alive && (model.connects == 0 || model.odd),
            Moment::Connect => {
                model.connects += 1;
                let first = model.connects == 1 && model.readies == 0;
                alive && (first || model.odd) && !socket.is_connecting()
            }
            Moment::Connected => connected || exact,
            Moment::Ready => {
                model.readies += 1;
                // On exact loops also though a listener of `connect` has destroyed the socket (CON-05).
                (alive && connected && model.readies == model.connects) || exact
            }
            // An exact loop delivers what it has though a listener has destroyed the socket.
            Moment::Data => (alive || exact) && connected && model.ends == 0,
            Moment::End => {
                model.ends += 1;
                let whole = socket.read_queue_len() == 0 && socket.bytes_read() == model.delivered;
                alive && connected && model.ends == 1 && (whole || model.odd)
            }
            Moment::Drain => {
                let owed = std::mem::take(&mut model.owes_drain);
                alive && owed && socket.write_queue_len() == 0 && !socket.is_writable_ended()
            }
            Moment::Finish => {
                model.finishes += 1;
                // Comes with the callbacks of `end`, also when one of them has destroyed the socket.
                let whole = model.waiting.is_empty() && !model.given_up || model.odd;
                model.finishes == 1 && socket.is_writable_finished() && whole
            }
            Moment::Timeout => alive,
            Moment::Error => {
                model.errors += 1;
                (!alive && model.errors == 1 && socket.errored().is_some()) || model.odd
            }
            Moment::Close => {
                model.closes += 1;
                model.written.get_or_insert(socket.bytes_written());
                // Node tells the writes of a connection that never stood after it (WR-12).
                !alive && model.closes == 1 && (model.waiting.is_empty() || exact)
            }
        };
        drop(model);
        assert!(rule, "{moment:?} must not come like this: {self:?}");
    }

    /// Whether an event was one of a connection before this one, whose end is still under way.
    fn happened_before(&self, moment: Moment) -> bool {
        let before = self.closing.borrow().front().cloned();
        let Some(before) = before else { return false };
        let mut model = before.model.borrow_mut();
        match moment {
            Moment::Close => {
                model.closes += 1;
                self.closing.borrow_mut().pop_front();
                true
            }
            Moment::Error if model.errors == 0 => {
                model.errors += 1;
                true
            }
            _ => false,
        }
    }

    /// What the getters say fits to what was called and what came.
    pub(super) fn check(&self) {
        let socket = self.socket().expect("it is attached");
        let life = self.life();
        let accepted = life.accepted();
        let model = life.model.borrow();
        if model.odd {
            return;
        }
        let queued = socket.write_queue_len() as u64;
        // What waits for a read buffer counts when it is put in (RD-23).
        let kept = match self.reading.get() {
            Reading::Buffer(_) => 0,
            _ => socket.read_queue_len() as u64,
        };
        let rule = if socket.is_destroyed() || socket.errored().is_some() {
            socket.bytes_written() <= accepted
                && socket.bytes_read() >= model.delivered
                && !socket.is_writable()
                // A failed write ends only the other direction, until its callbacks are through.
                && !(socket.is_destroyed() && socket.is_readable())
        } else {
            socket.bytes_written() == accepted
                && queued <= accepted - model.acknowledged
                && socket.bytes_read() == model.delivered + model.in_hand + kept
        };
        let drain = !socket.is_writable() || socket.needs_drain() == model.owes_drain;
        drop(model);
        assert!(rule && drain, "{self:?}");
    }

    /// The sockets were left alone, uncorked and flowing: nothing is left to do.
    pub(super) fn check_quiet(&self) {
        let Some(socket) = self.socket().filter(|socket| !socket.is_destroyed()) else { return };
        let life = self.life();
        let model = life.model.borrow();
        if model.odd {
            return;
        }
        // Bytes for which it is waiting that there are more.
        let rest = match self.reading.get() {
            Reading::Exact(count) => count - 1,
            _ => 0,
        };
        let done = model.connects == 1
            && socket.write_queue_len() == 0
            && model.waiting.is_empty()
            && model.refused == 0
            && (!model.owes_drain || socket.is_writable_ended())
            && (model.ends_to_tell == 0)
            && socket.read_queue_len() <= rest;
        drop(model);
        assert!(done, "not quiet: {self:?}");
        let peer = life.peer();
        let peer_lives = peer.model.borrow().attached && peer.model.borrow().closes == 0;
        if peer_lives && !peer.model.borrow().may_lose() {
            let arrived = life.model.borrow().delivered + socket.read_queue_len() as u64;
            assert_eq!(peer.accepted(), arrived, "everything arrives: {self:?}");
        }
    }
}

/// The loop has ended: so has the connection, and every byte and callback is accounted for.
pub(super) fn check_end(life: &Rc<Life>, events: &[String]) {
    let model = life.model.borrow();
    if !model.attached {
        return;
    }
    let peer = life.peer();
    let peer = peer.model.borrow();
    assert_eq!(model.closes, 1, "close comes once: {life:?} {events:?}");
    let told = model.waiting.is_empty() && model.refused == 0 && model.ends_to_tell == 0;
    assert!(told, "every callback is called: {life:?} {events:?}");
    let connected = model.connects == 0 || model.connects_to_tell == 0;
    assert!(connected || model.odd, "every callback is called: {life:?} {events:?}");
    let written = model.written.unwrap_or_default();
    // What was in flight when it was cancelled stays counted (PROP-05).
    assert!(peer.delivered <= written || model.odd, "{life:?} {events:?}");
    let ended = peer.ends == 1;
    assert!(!ended || peer.delivered >= model.acknowledged, "{life:?} {events:?}");
    if !model.may_lose() && !peer.may_lose() {
        let once = (model.ends, model.finishes, model.errors);
        assert_eq!(once, (1, 1, 0), "{life:?} {events:?}");
        assert_eq!(peer.delivered, life.accepted(), "nothing is lost: {life:?} {events:?}");
    }
}
