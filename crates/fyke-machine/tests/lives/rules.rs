//! Which events a connection may have, and when: the rules that an [`Observer`] checks.

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

    /// Checks whether an event may follow the earlier ones (contract C2).
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
                // Even if a listener of `connect` has destroyed the socket (CON-05).
                let in_order = alive && connected && model.readies == model.connects;
                in_order || policy.ready_after_destroy
            }
            // Available bytes may be delivered even if a listener has destroyed the socket.
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
                // Emitted with the callbacks of `end`, even if one of them has destroyed the socket.
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
                // Node reports the writes of a connection that was never established after `close`
                // (WR-12).
                let reported = model.waiting.is_empty() || !policy.reports_unsent_before_close;
                !alive && model.closes == 1 && reported
            }
        };
        drop(model);
        assert!(!after_close, "{moment:?} after close: {:?}", self.report(facts));
        assert!(rule, "{moment:?} is not allowed here: {:?}", self.report(facts));
    }

    /// Whether an event belongs to an earlier connection, which is still ending.
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

    /// Checks the getters against the calls and events so far.
    pub(crate) fn check(&self, facts: &Facts) {
        let life = self.life();
        let accepted = life.accepted();
        let model = life.model.borrow();
        if model.odd {
            return;
        }
        let queued = facts.write_queue_len as u64;
        // Bytes that wait for a read buffer count when they are stored in it (RD-23).
        let kept = match self.reading.get() {
            Reading::Buffer(_) => 0,
            _ => facts.read_queue_len as u64,
        };
        let rule = if facts.destroyed || facts.errored {
            facts.bytes_written <= accepted
                && facts.bytes_read >= model.delivered
                && !facts.writable
                // A failed write ends only the other direction until its callbacks have run.
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

    /// The ends were left alone, uncorked and flowing: no work is left.
    pub(crate) fn check_quiet(&self, facts: &Facts) {
        let life = self.life();
        let model = life.model.borrow();
        if facts.destroyed || model.odd {
            return;
        }
        // Bytes that wait for more, because fewer than requested have arrived.
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

/// Everything has ended, so the connection has too, and every byte and callback is accounted for.
pub(crate) fn check_end(life: &Rc<Life>, events: &[Event]) {
    let model = life.model.borrow();
    if !model.attached {
        return;
    }
    let peer = life.peer();
    let peer = peer.model.borrow();
    assert_eq!(model.closes, 1, "close is emitted once: {life:?} {events:?}");
    let reported = model.waiting.is_empty() && model.refused == 0 && model.ends_to_tell == 0;
    assert!(reported, "every callback is called: {life:?} {events:?}");
    let connected = model.connects == 0 || model.connects_to_tell == 0;
    assert!(connected || model.odd, "every callback is called: {life:?} {events:?}");
    let written = model.written.unwrap_or_default();
    // Bytes that were in flight when they were cancelled stay counted (PROP-05).
    assert!(peer.delivered <= written || model.odd, "{life:?} {events:?}");
    let ended = peer.ends == 1;
    assert!(!ended || peer.delivered >= model.acknowledged, "{life:?} {events:?}");
    if !model.may_lose() && !peer.may_lose() {
        let once = (model.ends, model.finishes, model.errors);
        assert_eq!(once, (1, 1, 0), "{life:?} {events:?}");
        assert_eq!(peer.delivered, life.accepted(), "nothing is lost: {life:?} {events:?}");
    }
}
