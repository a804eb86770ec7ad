//! Watches one end of a pair: the calls on it, their results, and its properties.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use super::{Life, Moment, Reading, Stage, What};

/// The properties of a connection: the getters of a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) connecting: bool,
    pub(crate) destroyed: bool,
    pub(crate) errored: bool,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) readable_ended: bool,
    pub(crate) writable_ended: bool,
    pub(crate) writable_finished: bool,
    pub(crate) needs_drain: bool,
    pub(crate) high_water_mark: usize,
    pub(crate) write_queue_len: usize,
    pub(crate) bytes_written: u64,
    pub(crate) read_queue_len: usize,
    pub(crate) bytes_read: u64,
}

/// Checks one end against the model.
pub(crate) struct Observer {
    pub(crate) reading: Cell<Reading>,
    pub(crate) stage: Rc<Stage>,
    /// The current connection.
    life: RefCell<Rc<Life>>,
    /// Earlier connections whose `close` is pending (policy `connects_before_close`).
    pub(super) closing: RefCell<VecDeque<Rc<Life>>>,
}

impl Observer {
    pub(crate) fn new(stage: &Rc<Stage>, life: &Rc<Life>) -> Self {
        Self {
            reading: Cell::new(Reading::Data),
            stage: Rc::clone(stage),
            life: RefCell::new(Rc::clone(life)),
            closing: RefCell::default(),
        }
    }

    pub(crate) fn life(&self) -> Rc<Life> {
        Rc::clone(&self.life.borrow())
    }

    /// Watching begins. The server's side is already connected.
    pub(crate) fn attach(&self, reading: Reading, connected: bool) {
        self.reading.set(reading);
        let life = self.life();
        let mut model = life.model.borrow_mut();
        model.connects = u32::from(connected);
        model.attached = true;
    }

    /// Another connection begins. The `close` of the previous one may be pending.
    pub(super) fn begin_life(&self, life: &Rc<Life>, facts: &Facts) {
        let before = self.life.replace(Rc::clone(life));
        before.model.borrow_mut().written.get_or_insert(facts.bytes_written);
        life.model.borrow_mut().attached = true;
        // In Node, a listener for `readable` does not request bytes of the next connection.
        let waits = matches!(self.reading.get(), Reading::Readable | Reading::Exact(_));
        life.model.borrow_mut().odd = !self.stage.policy.rearms_readable && waits;
        if before.model.borrow().closes == 0 {
            before.model.borrow_mut().odd = true;
            // Node's stream drops the queue of this connection together with that of the previous one.
            let mut model = life.model.borrow_mut();
            (model.odd, model.began_early) = (true, true);
            life.peer().model.borrow_mut().odd = true;
            self.closing.borrow_mut().push_back(before);
        }
    }

    pub(crate) fn log(&self, what: What) {
        self.stage.log(&self.life.borrow(), what);
    }

    /// An event occurred. `details` describes it, and it is checked.
    pub(crate) fn observe(&self, moment: Moment, facts: &Facts, details: impl FnOnce()) {
        self.log(What::Happened(moment));
        details();
        self.happened(moment, facts);
        self.check(facts);
    }

    /// The known state, for the message about a broken rule.
    pub(super) fn report<'a>(&'a self, facts: &'a Facts) -> impl fmt::Debug + 'a {
        (self.life(), facts, self.stage.latest_events())
    }
}
