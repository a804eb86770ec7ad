//! Watches one end of a pair: what was called on it, what came of that, and what it says of itself.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use super::{Life, Moment, Reading, Stage, What};

/// What a connection says of itself: the getters of a socket.
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

/// Holds one end to the model.
pub(crate) struct Observer {
    pub(crate) reading: Cell<Reading>,
    pub(crate) stage: Rc<Stage>,
    /// The connection of now.
    life: RefCell<Rc<Life>>,
    /// Connections before it whose `close` is still to come (policy `connects_before_close`).
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

    /// There is something to watch from here on. The server's is connected already.
    pub(crate) fn attach(&self, reading: Reading, connected: bool) {
        self.reading.set(reading);
        let life = self.life();
        let mut model = life.model.borrow_mut();
        model.connects = u32::from(connected);
        model.attached = true;
    }

    /// Another connection begins. The one before may have its `close` still to come.
    pub(super) fn begin_life(&self, life: &Rc<Life>, facts: &Facts) {
        let before = self.life.replace(Rc::clone(life));
        before.model.borrow_mut().written.get_or_insert(facts.bytes_written);
        life.model.borrow_mut().attached = true;
        // In Node a listener for `readable` does not ask for bytes of the next connection.
        let waits = matches!(self.reading.get(), Reading::Readable | Reading::Exact(_));
        life.model.borrow_mut().odd = !self.stage.policy.rearms_readable && waits;
        if before.model.borrow().closes == 0 {
            before.model.borrow_mut().odd = true;
            // Node's stream gives up what is queued on this connection with what was on the one before.
            let mut model = life.model.borrow_mut();
            (model.odd, model.began_early) = (true, true);
            life.peer().model.borrow_mut().odd = true;
            self.closing.borrow_mut().push_back(before);
        }
    }

    pub(crate) fn log(&self, what: What) {
        self.stage.log(&self.life.borrow(), what);
    }

    /// Something happened: `details` notes what, and it is checked.
    pub(crate) fn tell(&self, moment: Moment, facts: &Facts, details: impl FnOnce()) {
        self.log(What::Happened(moment));
        details();
        self.happened(moment, facts);
        self.check(facts);
    }

    /// Everything that is known, for a rule that was broken.
    pub(super) fn report<'a>(&'a self, facts: &'a Facts) -> impl fmt::Debug + 'a {
        (self.life(), facts, self.stage.latest_events())
    }
}
