//! What may happen to a connection, and when: the rules that an [`Observer`] holds it to.

use std::rc::Rc;

use super::{Event, Facts, Life, Moment, Observer, Reading, What};

impl Observer {
    /// Bytes were delivered: the ones that the other side wrote, in order.
    pub(crate) fn received(&self, bytes: &[u8]) {
        self.log(What::Bytes(bytes.len()));
        let life = self.life();
        assert!(!bytes.is_empty(), "{life:?}");
        life.deliver(bytes);
        let mut model = life.model.borrow_mut();
        model.in_hand = model.in_hand.saturating_sub(bytes.len() as u64);
    }

    /// An event came: whether it may, after those before it (contract C2).
    pub(super) fn happened(&self, moment: Moment, facts: &Facts) {
        if self.happened_before(moment) {
            return;
        }
        let life = self.life();
        let mut model = life.model.borrow_mut();
        let answer = matches!(moment, Moment::Written | Moment::Ended);
        let policy = &self.stage.policy;
        let after_close = !answer && model.closes > 0;
        let alive = !facts.destroyed;
        let connected = model.connects >= 1 && (model.connects == 1 || model.odd);
        let rule = match moment {
            Moment::Connection | Moment::Written | Moment::Ended => true,
            Moment::Attempt => alive && (model.connects == 0 || model.odd),
            Moment::Connect => {
                model.connects += 1;
                let first = model.connects == 1 && model.readies == 0;
                alive && (first || model.odd) && !facts.connecting
            }
            Moment::Connected => connected || policy.keeps_old_once_listeners,
            Moment::Ready => {
                model.readies += 1;
                // Also though a listener of `connect` has destroyed the socket (CON-05).
                let in_order = alive && connected && model.readies == model.connects;
                in_order || policy.ready_after_destroy
            }
            // What there is may be delivered though a listener has destroyed the socket.
            Moment::Data => {
                let may =
                    alive || policy.delivers_after_destroy || policy.keeps_stored_after_destroy;
                may && connected && model.ends == 0
            }
            Moment::End => {
                model.ends += 1;
                let whole = facts.read_queue_len == 0 && facts.bytes_read == model.delivered;
                alive && connected && model.ends == 1 && (whole || model.odd)
            }
            Moment::Drain => {
                let owed = std::mem::take(&mut model.owes_drain);
                alive && owed && facts.write_queue_len == 0 && !facts.writable_ended
            }
            Moment::Finish => {
                model.finishes += 1;
                // Comes with the callbacks of `end`, also when one of them has destroyed the socket.
                let whole = model.waiting.is_empty() && !model.given_up || model.odd;
                model.finishes == 1 && facts.writable_finished && whole
            }
            Moment::Timeout => alive,
            Moment::Error => {
                model.errors += 1;
                (!alive && model.errors == 1 && facts.errored) || model.odd
            }
            Moment::Close => {
                model.closes += 1;
                model.written.get_or_insert(facts.bytes_written);
                // Node tells the writes of a connection that never stood after it (WR-12).
                let told = model.waiting.is_empty() || !policy.tells_unsent_before_close;
                !alive && model.closes == 1 && told
            }
        };
        drop(model);
        assert!(!after_close, "{moment:?} after close: {:?}", self.report(facts));
        assert!(rule, "{moment:?} must not come like this: {:?}", self.report(facts));
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
    pub(crate) fn check(&self, facts: &Facts) {
        let life = self.life();
        let accepted = life.accepted();
        let model = life.model.borrow();
        if model.odd {
            return;
        }
        let queued = facts.write_queue_len as u64;
        // What waits for a read buffer counts when it is put in (RD-23).
        let kept = match self.reading.get() {
            Reading::Buffer(_) => 0,
            _ => facts.read_queue_len as u64,
        };
        let rule = if facts.destroyed || facts.errored {
            facts.bytes_written <= accepted
                && facts.bytes_read >= model.delivered
                && !facts.writable
                // A failed write ends only the other direction, until its callbacks are through.
                && !(facts.destroyed && facts.readable)
        } else {
            facts.bytes_written == accepted
                && queued <= accepted - model.acknowledged
                && facts.bytes_read == model.delivered + model.in_hand + kept
        };
        let drain = !facts.writable || facts.needs_drain == model.owes_drain;
        drop(model);
        assert!(rule && drain, "{:?}", self.report(facts));
    }

    /// The ends were left alone, uncorked and flowing: nothing is left to do.
    pub(crate) fn check_quiet(&self, facts: &Facts) {
        let life = self.life();
        let model = life.model.borrow();
        if facts.destroyed || model.odd {
            return;
        }
        // Bytes for which it is waiting that there are more.
        let rest = match self.reading.get() {
            Reading::Exact(count) => count - 1,
            _ => 0,
        };
        let done = model.connects == 1
            && facts.write_queue_len == 0
            && model.waiting.is_empty()
            && model.refused == 0
            && (!model.owes_drain || facts.writable_ended)
            && (model.ends_to_tell == 0)
            && facts.read_queue_len <= rest;
        drop(model);
        assert!(done, "not quiet: {:?}", self.report(facts));
        let peer = life.peer();
        let peer_lives = peer.model.borrow().attached && peer.model.borrow().closes == 0;
        if peer_lives && !peer.model.borrow().may_lose() {
            let arrived = life.model.borrow().delivered + facts.read_queue_len as u64;
            assert_eq!(peer.accepted(), arrived, "everything arrives: {:?}", self.report(facts));
        }
    }
}

/// Everything has ended: so has the connection, and every byte and callback is accounted for.
pub(crate) fn check_end(life: &Rc<Life>, events: &[Event]) {
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
