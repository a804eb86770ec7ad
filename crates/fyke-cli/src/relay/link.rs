//! One direction of a connection with faults: it passes data from one socket to the other as
//! [`Shaping`] decides.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use fyke::Socket;
use fyke::timer::{self, Timer};

use super::shaping::{Break, Next, Shaping};
use crate::delivery::end_when_delivered;
use crate::ending::{reset, reset_when_delivered, reset_when_stalled};

/// The maximum number of bytes that are held back. Beyond it, the sender has to wait.
const HELD_BYTES_MAX: usize = 64 * 1024;

pub(super) struct Link {
    from: Socket,
    to: Socket,
    shaping: RefCell<Shaping>,
    /// Whether a later call of the shaping is scheduled, by a timer or an immediate.
    scheduled: Cell<bool>,
    timer: Cell<Option<Timer>>,
    /// Whether to pass one slice per turn, so that slices arrive separately.
    slices: bool,
    swallows: Cell<bool>,
}

/// Passes all data, and the end, from `from` to `to`.
pub(super) fn link(from: &Socket, to: &Socket, shaping: Shaping, slices: bool) -> Rc<Link> {
    let link = Rc::new(Link {
        from: from.clone(),
        to: to.clone(),
        shaping: RefCell::new(shaping),
        scheduled: Cell::new(false),
        timer: Cell::default(),
        slices,
        swallows: Cell::new(false),
    });
    let same = Rc::clone(&link);
    from.on_data(move |_, data| same.came(data));
    let same = Rc::clone(&link);
    from.on_end(move |_| same.ended());
    let same = Rc::clone(&link);
    to.on_drain(move |_| same.pass());
    let same = Rc::clone(&link);
    to.on_close(move |_, _| same.timer.take().iter().for_each(Timer::cancel));
    if from.is_readable_ended() {
        link.ended();
    }
    link
}

impl Link {
    /// Called when the connection `from` has failed. `to` is reset after all data that was received
    /// before.
    pub(super) fn break_off(self: &Rc<Self>) {
        if self.swallows.get() {
            return reset(&self.to);
        }
        reset_when_stalled(&self.to);
        self.shaping.borrow_mut().push_break(Instant::now());
        self.pass();
    }

    /// Returns whether bytes are held back here.
    pub(super) fn is_empty(&self) -> bool {
        self.shaping.borrow().held_bytes() == 0
    }

    fn came(self: &Rc<Self>, data: &[u8]) {
        if !self.swallows.get() {
            self.shaping.borrow_mut().push(Instant::now(), data);
            self.pass();
        }
    }

    fn ended(self: &Rc<Self>) {
        self.shaping.borrow_mut().push_end(Instant::now());
        self.pass();
    }

    fn pass(self: &Rc<Self>) {
        while !self.scheduled.get() && !self.to.is_destroyed() && !self.to.needs_drain() {
            let now = Instant::now();
            let next = self.shaping.borrow_mut().next(now);
            match next {
                Next::Pass(bytes) => {
                    let _ = self.to.write(bytes);
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
                Next::BrokenOff => return reset_when_delivered(&self.to),
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
            timer::set_timeout(pause, go_on).map(|timer| self.timer.set(Some(timer)))
        };
        // Outside of a loop, the link cannot continue.
        self.scheduled.set(scheduled.is_ok());
    }

    fn end_by(&self, how: Break) {
        match how {
            Break::Close => {
                for socket in [&self.to, &self.from] {
                    reset_when_stalled(socket);
                    end_when_delivered(socket);
                }
            }
            Break::Reset => {
                // The reset follows the data that was passed on.
                let from = self.from.clone();
                self.to.on_close(move |_, _| reset(&from));
                reset_when_delivered(&self.to);
            }
            // The end is never visible to the peer, so nothing has to wait for it.
            Break::Blackhole => {
                self.swallows.set(true);
                self.from.resume();
            }
        }
    }
}
