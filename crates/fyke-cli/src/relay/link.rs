//! One direction of a connection that is disturbed: from one socket to the other, as the shaping
//! says.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use fyke::{Socket, timer};

use super::shaping::{Break, Next, Shaping};
use crate::ending::{end_in_peace, reset};

/// More than this is not held back: the sender has to wait.
const HELD_BYTES_MAX: usize = 64 * 1024;

struct Link {
    from: Socket,
    to: Socket,
    shaping: RefCell<Shaping>,
    /// Asks again, later.
    scheduled: Cell<bool>,
    /// Slices shall be seen as such: one a turn.
    slices: bool,
    swallows: Cell<bool>,
}

/// Passes everything on from `from` to `to`, and its end.
pub(super) fn link(from: &Socket, to: &Socket, shaping: Shaping, slices: bool) {
    let link = Rc::new(Link {
        from: from.clone(),
        to: to.clone(),
        shaping: RefCell::new(shaping),
        scheduled: Cell::new(false),
        slices,
        swallows: Cell::new(false),
    });
    if slices {
        // Only TCP joins small pieces, and only there it can be forbidden.
        let _ = to.set_no_delay(true);
    }
    let same = Rc::clone(&link);
    from.on_data(move |_, data| same.came(data));
    let same = Rc::clone(&link);
    from.on_end(move |_| {
        same.shaping.borrow_mut().push_end(Instant::now());
        same.pass();
    });
    to.on_drain(move |_| link.pass());
}

impl Link {
    fn came(self: &Rc<Self>, data: &[u8]) {
        if !self.swallows.get() {
            self.shaping.borrow_mut().push(Instant::now(), data);
            self.pass();
        }
    }

    fn pass(self: &Rc<Self>) {
        while !self.scheduled.get() && !self.to.destroyed() && !self.to.needs_drain() {
            let now = Instant::now();
            let next = self.shaping.borrow_mut().next(now);
            match next {
                Next::Pass(bytes) => {
                    self.to.write(bytes);
                    if self.slices {
                        self.again(Duration::ZERO);
                    }
                }
                Next::Wait(until) => self.again(until - now),
                Next::Nothing => break,
                Next::End => {
                    self.to.end();
                    break;
                }
                Next::Break(how) => return self.end_by(how),
            }
        }
        let held = self.shaping.borrow().held_bytes();
        if held >= HELD_BYTES_MAX {
            self.from.pause();
        } else if self.from.is_paused() && held < HELD_BYTES_MAX / 2 {
            self.from.resume();
        }
    }

    fn again(self: &Rc<Self>, pause: Duration) {
        self.scheduled.set(true);
        let link = Rc::clone(self);
        let go_on = move || {
            link.scheduled.set(false);
            link.pass();
        };
        let scheduled = if pause.is_zero() {
            timer::set_immediate(go_on)
        } else {
            timer::set_timeout(pause, go_on).map(drop)
        };
        // Outside of a loop there is nothing to go on with.
        self.scheduled.set(scheduled.is_ok());
    }

    fn end_by(&self, how: Break) {
        match how {
            Break::Close => {
                end_in_peace(&self.to);
                end_in_peace(&self.from);
            }
            Break::Reset => {
                let from = self.from.clone();
                // After what was passed on.
                self.to.write_then(&b""[..], move |to, _| {
                    reset(to);
                    reset(&from);
                });
            }
            // Nothing is ever seen to end, and nobody has to wait.
            Break::Blackhole => {
                self.swallows.set(true);
                self.from.resume();
            }
        }
    }
}
