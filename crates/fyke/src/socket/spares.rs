//! What the write queues of a loop's sockets are made of, kept for reuse.

use std::cell::RefCell;

use fyke_machine::writing::{Queue, Spares};

use super::state::Callback;
use crate::wiring::Core;

/// How many queues are kept.
const QUEUES_MAX: usize = 64;

/// Queues of sockets that have nothing to send, for the next that has.
#[derive(Default)]
struct Queues {
    #[expect(clippy::vec_box, reason = "they change hands as boxes")]
    empty: RefCell<Vec<Box<Queue<Callback>>>>,
}

/// Lends what a loop has.
pub(super) struct LoopSpares<'a>(pub(super) &'a Core);

impl Spares<Callback> for LoopSpares<'_> {
    fn buffer(&mut self) -> Vec<u8> {
        self.0.driver.take_buffer()
    }

    fn queue(&mut self) -> Box<Queue<Callback>> {
        self.0.spares::<Queues>().empty.borrow_mut().pop().unwrap_or_default()
    }
}

/// Keeps an empty queue, or frees it.
pub(super) fn give_back(core: &Core, mut queue: Box<Queue<Callback>>) {
    if let Some(buffer) = queue.take_large_buffer() {
        core.driver.give_back_buffer(buffer);
    }
    let mut empty = core.spares::<Queues>().empty.borrow_mut();
    if empty.len() < QUEUES_MAX {
        empty.push(queue);
    }
}
