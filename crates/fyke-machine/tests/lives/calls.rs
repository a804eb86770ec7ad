//! What is recorded of each call: what must follow from it, and what must not.

use std::rc::Rc;

use super::{Facts, Life, Observer, Operation, Reading, What};

/// A write whose callback has not run yet.
pub(crate) struct WriteAsked {
    life: Rc<Life>,
    /// The position in the stream where it ends.
    end: u64,
    queued: bool,
}

/// An end whose callback has not run yet.
pub(crate) struct EndAsked {
    life: Rc<Life>,
    owed: bool,
}

impl Observer {
    /// A call is about to be made. Returns the call that is made in its place.
    pub(crate) fn calls(&self, operation: Operation) -> Operation {
        // Such a connection never ends by itself, and Node's reset would leave it open (DST-15).
        let operation = match operation {
            Operation::Reset if self.stage.policy.refuses_reset_while_ending => Operation::Destroy,
            other => other,
        };
        self.log(What::Called(operation));
        operation
    }

    /// A call was made.
    pub(crate) fn called(&self, operation: Operation, facts: &Facts) {
        self.life().model.borrow_mut().abrupt |= operation.is_abrupt();
        if matches!(operation, Operation::Destroy | Operation::DestroyWith) {
            assert!(facts.destroyed, "{:?}", self.report(facts));
        }
        self.check(facts);
    }

    /// `connect` is about to be called. `next` is the connection that begins if the call renews the
    /// socket. Returns whether the call must be accepted, and to which connection its callback belongs.
    pub(crate) fn connects(
        &self,
        next: impl FnOnce() -> Rc<Life>,
        facts: &Facts,
    ) -> (bool, Rc<Life>) {
        self.log(What::Called(Operation::Connect));
        let policy = &self.stage.policy;
        let life = self.life();
        let fresh = life.model.borrow().connect_calls == 0;
        let renews = !fresh && self.renews(facts);
        let taken = fresh || renews || policy.tries_to_connect_again;
        if renews {
            self.begin_life(&next(), facts);
        } else if !fresh && taken {
            life.model.borrow_mut().odd = true;
        }
        let life = self.life();
        if taken {
            let mut model = life.model.borrow_mut();
            model.connect_calls += 1;
            model.connects_to_tell += 1;
        }
        (taken, life)
    }

    /// Whether a call of `connect` renews the socket.
    pub(crate) fn renews(&self, facts: &Facts) -> bool {
        let closed = self.life().model.borrow().closes == 1;
        closed || self.stage.policy.connects_before_close && facts.destroyed
    }

    /// The next bytes of the stream, which count as accepted if a write is possible.
    pub(crate) fn offers(&self, len: usize, facts: &Facts) -> Vec<u8> {
        let life = self.life();
        let bytes = life.next_bytes(len);
        if facts.destroyed || facts.writable_ended {
            // Such a write destroys the socket, unless it is already destroyed.
            life.model.borrow_mut().abrupt = true;
        } else {
            life.accept(&bytes);
        }
        bytes
    }

    /// A write with a callback is about to be made, with bytes that were just [offered](Self::offers).
    /// `facts` are those before the call.
    pub(crate) fn asks_write(&self, facts: &Facts) -> WriteAsked {
        let life = self.life();
        let (end, queued) = (life.accepted(), !facts.destroyed && !facts.writable_ended);
        match queued {
            true => life.model.borrow_mut().waiting.push_back(end),
            false => life.model.borrow_mut().refused += 1,
        }
        WriteAsked { life, end, queued }
    }

    /// A write was made, and returned whether there is room for more.
    pub(crate) fn wrote(&self, room: bool, facts: &Facts) {
        if facts.writable {
            let len = facts.write_queue_len;
            let below = len < facts.high_water_mark || len == 0;
            let report = self.report(facts);
            assert_eq!(room, below, "write returns whether there is room (WR-01): {report:?}");
            self.life().model.borrow_mut().owes_drain |= !room;
        } else {
            assert!(!room, "{:?}", self.report(facts));
        }
    }

    /// The callback of a write ran: without an error, or with an error of this code.
    pub(crate) fn write_told(&self, asked: &WriteAsked, code: Option<&'static str>) {
        let WriteAsked { life, end, queued } = asked;
        self.log(What::Write(life.number, *end, code));
        let mut model = life.model.borrow_mut();
        if !queued {
            assert!(code.is_some());
            model.refused -= 1;
            return;
        }
        let next = model.waiting.pop_front();
        let events = || self.stage.latest_events();
        assert_eq!(
            next,
            Some(*end),
            "callbacks run in the order of the writes (WR-08): {model:?} {:?}",
            events()
        );
        // Node reports the writes of a connection that was never established after `close` (WR-12).
        let late = model.closes > 0 && self.stage.policy.reports_unsent_before_close;
        assert!(!late, "callbacks run before close (WR-19): {:?}", events());
        if code.is_none() {
            let sent = !model.given_up || model.odd;
            assert!(sent, "after a gap nothing is sent: {model:?} {:?}", events());
            model.acknowledged = *end;
        } else {
            model.given_up = true;
        }
    }

    /// An end with a callback is about to be called. `facts` are those before the call.
    pub(crate) fn asks_end(&self, facts: &Facts) -> EndAsked {
        let life = self.life();
        // In Node, the callback of an end on a destroyed socket never runs (DST-18).
        let owed = self.stage.policy.answers_end_after_destroy || !facts.destroyed;
        life.model.borrow_mut().ends_to_tell += usize::from(owed);
        EndAsked { life, owed }
    }

    /// The callback of an end ran.
    pub(crate) fn end_told(&self, asked: &EndAsked, code: Option<&'static str>) {
        self.log(What::End(code));
        let mut model = asked.life.model.borrow_mut();
        model.ends_to_tell -= usize::from(asked.owed);
        let waiting = model.waiting.len();
        drop(model);
        let events = self.stage.latest_events();
        assert!(code.is_some() || waiting == 0, "writes are first: {events:?}");
    }

    /// Bytes to unshift: the last delivered bytes, so that they are delivered again.
    pub(crate) fn unshifts(&self, len: usize, facts: &Facts) -> Option<Vec<u8>> {
        let life = self.life();
        if matches!(self.reading.get(), Reading::Buffer(_)) || life.model.borrow().in_hand > 0 {
            return None;
        }
        let end = life.model.borrow().delivered as usize;
        let begin = end.saturating_sub(len);
        let bytes = life.peer().stream.borrow()[begin..end].to_vec();
        if facts.readable_ended {
            // Destroys the socket (RD-14).
            life.model.borrow_mut().abrupt = true;
        } else if !facts.destroyed {
            life.model.borrow_mut().delivered = begin as u64;
        }
        Some(bytes)
    }

    /// `read_exact` has returned bytes. If there is a data listener, it gets them on the tick. `facts`
    /// are those before the call.
    pub(crate) fn took(&self, count: usize, bytes: &[u8], facts: &Facts) {
        // After the end of the other side, the rest may be shorter.
        assert!((1..=count).contains(&bytes.len()), "{:?}", self.report(facts));
        let life = self.life();
        if facts.destroyed {
            // Bytes kept after `destroy` are returned (RD-20), but programs do not rely on it.
            let mut model = life.model.borrow_mut();
            (model.odd, model.took_after_destroy) = (true, true);
        } else if self.reading.get() == Reading::Data {
            life.model.borrow_mut().in_hand += bytes.len() as u64;
        } else {
            self.received(bytes);
        }
    }
}
