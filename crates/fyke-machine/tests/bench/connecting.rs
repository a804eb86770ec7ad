//! How a side connects: there is one attempt, and it wins when the test says so.

use super::{End, Machine, ShutDown, Side, User};

impl<U: User> Side<U> {
    pub(crate) fn connect(&mut self) {
        let is_closing = self.closes_now || !self.closing.is_empty();
        let unix = self.machine.unix;
        self.step(|machine, cx, fx| machine.begin_connect(unix, is_closing, cx, fx));
        self.connects = true;
    }

    /// The attempt to connect has won.
    pub(crate) fn establish(&mut self, wire: End) {
        self.connects = false;
        self.wire = Some(wire);
        self.shut_down = ShutDown::No;
        self.step(Machine::establish);
        self.settle();
    }
}
