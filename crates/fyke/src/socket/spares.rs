//! The buffers and queues that a loop keeps for reuse by its sockets.

use std::cell::{Cell, RefCell};

use fyke_driver::limits::READ_BUFFER_BYTES;
use fyke_machine::writing::{Queue, Spares};

use super::layer_flow::LayerSpares;
use super::{Callback, Socket};
use crate::runtime::Wired;
use crate::wiring::{Core, Tick};

/// The maximum number of memories of 64 KiB that are kept for streams.
const LENT_MAX: usize = 4;
/// The maximum number of queues that are kept.
const QUEUES_MAX: usize = 64;

/// Empty queues that the next socket with data to send can use.
#[derive(Default)]
pub(crate) struct Queues {
    /// The queue that was returned last. A socket that echoes takes and returns one queue per message.
    last: Cell<Option<Box<Queue<Callback>>>>,
    #[expect(clippy::vec_box, reason = "they are passed on as boxes")]
    empty: RefCell<Vec<Box<Queue<Callback>>>>,
    /// Memory for received bytes that a stream lends.
    #[expect(clippy::vec_box, reason = "they change hands as boxes")]
    lent: RefCell<Vec<Box<Lent>>>,
    pub(super) layers: LayerSpares,
}

/// Received bytes that a stream lends. In a box, so that a stream that waits for bytes is small.
#[derive(Debug)]
pub(crate) struct Lent {
    memory: Vec<u8>,
    /// How many bytes at the beginning were consumed.
    consumed: usize,
}

impl Lent {
    fn new() -> Self {
        Self { memory: Vec::with_capacity(READ_BUFFER_BYTES), consumed: 0 }
    }

    /// The bytes that were not consumed.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.memory[self.consumed..]
    }

    /// The empty memory, to be filled.
    pub(crate) fn memory(&mut self) -> &mut Vec<u8> {
        &mut self.memory
    }

    /// Marks bytes as used. Returns whether there are none left.
    pub(crate) fn consume(&mut self, count: usize) -> bool {
        self.consumed = self.consumed.saturating_add(count).min(self.memory.len());
        self.consumed == self.memory.len()
    }

    fn clear(&mut self) {
        self.memory.clear();
        self.consumed = 0;
    }
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

/// # Lending
impl Socket {
    /// Returns memory for received bytes.
    pub(crate) fn take_lent(&self) -> Box<Lent> {
        let spare = self.core().and_then(|core| core.spares.lent.borrow_mut().pop());
        spare.unwrap_or_else(|| Box::new(Lent::new()))
    }

    /// Keeps memory for reuse, or frees it.
    pub(crate) fn give_back_lent(&self, mut lent: Box<Lent>) {
        let Some(core) = self.core() else { return };
        lent.clear();
        let mut spare = core.spares.lent.borrow_mut();
        if spare.len() < LENT_MAX {
            spare.push(lent);
        }
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
