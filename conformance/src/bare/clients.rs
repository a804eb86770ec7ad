//! How sides are created, and how clients connect.

use std::rc::Rc;

use fyke_machine::connection::Settings;

use super::bench::Side;
use super::sides::Watch;
use super::{Actor, Bare};
use crate::scenario::Fields;

/// As much as fits into the buffers of two kernels.
const WINDOW_BYTES: usize = 1 << 20;
/// The maximum size of one read.
const PIECE_BYTES_MAX: usize = 65_536;
const HIGH_WATER_MARK_BYTES: u32 = 65_536;

impl Bare {
    pub(super) fn side(self: &Rc<Self>, options: &Fields, name: String) -> Side<Watch> {
        let mark = options.count("highWaterMark").and_then(|mark| u32::try_from(mark).ok());
        let settings = Settings {
            half_open: options.flag("allowHalfOpen"),
            high_water_mark_bytes: mark.unwrap_or(HIGH_WATER_MARK_BYTES),
            write_queue_bytes_max: u32::MAX,
            readable: true,
            writable: true,
        };
        let mut side = Side::new(&settings, self.policy, Watch::new(self, name));
        side.change().unix = self.unix;
        side.window_bytes = WINDOW_BYTES;
        side.piece_bytes_max = PIECE_BYTES_MAX;
        side.now = self.now.get();
        side
    }

    pub(super) fn start_client(self: &Rc<Self>, index: usize) {
        let name = format!("C{index}");
        let spec = &self.scenario.clients[index];
        let side = self.side(&spec.options, name.clone());
        let actor = self.add(Actor::new(name, spec.socket.clone(), Some(side)));
        let Some(side) = &actor.side else { return };
        let mut side = side.borrow_mut();
        side.user.keeps_listeners = spec.is_made_first;
        if !spec.is_made_first {
            side.connect();
        }
        self.attach(&actor, &mut side);
        self.note_open(&actor);
        if spec.is_made_first {
            self.run_all(&spec.before, Some(&actor), &mut Some(&mut side));
            side.connect();
        }
        self.begin(&actor, &mut side);
        side.settle();
    }

    /// The actor was created: runs its first operations, and starts its timers.
    pub(super) fn begin(self: &Rc<Self>, actor: &Rc<Actor>, side: &mut Side<Watch>) {
        self.run_all(&actor.spec.script.start, Some(actor), &mut Some(side));
        self.start_timer(actor, 0, 0.0);
        self.look_around();
    }
}
