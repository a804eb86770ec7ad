//! The buffers and queues that a loop keeps for reuse by its sockets.

use std::cell::{Cell, RefCell};

use fyke_machine::writing::{Queue, Spares};

use super::Callback;
use crate::runtime::Wired;
use crate::wiring::{Core, Tick};

/// The maximum number of queues that are kept.
const QUEUES_MAX: usize = 64;

/// Empty queues that the next socket with data to send can use.
#[derive(Default)]
pub(crate) struct Queues {
    /// The queue that was returned last. A socket that echoes takes and returns one queue per message.
    last: Cell<Option<Box<Queue<Callback>>>>,
    #[expect(clippy::vec_box, reason = "they are passed on as boxes")]
    empty: RefCell<Vec<Box<Queue<Callback>>>>,
}

impl Wired for Tick {
    type Spares = Queues;
}

/// Lends the spare buffers and queues of a loop.
pub(super) struct LoopSpares<'a>(pub(super) &'a Core);

impl Spares<Callback> for LoopSpares<'_> {
    #[inline]
    fn buffer(&mut self) -> Vec<u8> {
        self.0.driver.take_buffer()
    }

    #[inline]
    fn queue(&mut self) -> Box<Queue<Callback>> {
        let queues = &self.0.spares;
        queues.last.take().unwrap_or_else(|| queues.pop())
    }
}

/// Keeps an empty queue for reuse, or frees it.
#[inline]
pub(super) fn give_back(core: &Core, mut queue: Box<Queue<Callback>>) {
    if let Some(buffer) = queue.take_large_buffer() {
        core.driver.give_back_buffer(buffer);
    }
    let queues = &core.spares;
    if let Some(other) = queues.last.replace(Some(queue)) {
        queues.push(other);
    }
}

impl Queues {
    #[cold]
    fn pop(&self) -> Box<Queue<Callback>> {
        self.empty.borrow_mut().pop().unwrap_or_default()
    }

    #[cold]
    fn push(&self, queue: Box<Queue<Callback>>) {
        let mut empty = self.empty.borrow_mut();
        if empty.len() < QUEUES_MAX {
            empty.push(queue);
        }
    }
}
