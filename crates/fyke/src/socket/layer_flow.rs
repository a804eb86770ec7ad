//! The layer of a connection, and the bytes on their way through it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fyke_driver::{Batch, Driver};

use super::layer::{Layer, LayerStep};

/// Steps of layers towards opening in one turn of the loop. A handshake takes a hundred times as long as a
/// message.
const OPENINGS_PER_TURN_MAX: u32 = 4;

/// The layer of a connection, and the bytes that wait on their way through it.
pub(super) struct Layered {
    pub(super) layer: Rc<dyn Layer>,
    object: Rc<dyn Any>,
    /// Whether bytes are being coded and sent.
    pub(super) sending: Cell<bool>,
    pub(super) flow: RefCell<Flow>,
}

#[derive(Default)]
pub(super) struct Flow {
    /// The connection is established.
    pub(super) begun: bool,
    /// Coded bytes that the layer has not used. A pooled buffer, unless it is empty.
    pub(super) unread: Vec<u8>,
    /// The number of bytes that the layer needs besides those, if it knows.
    pub(super) needed: Option<usize>,
    /// Plain bytes that arrived while the socket does not receive.
    pub(super) undelivered: Vec<u8>,
    /// The socket receives.
    pub(super) wanted: bool,
    /// Plain bytes were delivered, and a stream is not told yet.
    pub(super) delivered: bool,
    /// The layer waits for [`Socket::wake_layer`].
    pub(super) waits: bool,
    /// The layer will continue on the tick or in the next turn.
    pub(super) continues: bool,
    /// The driver does not receive, because the layer cannot take more.
    pub(super) holds_driver: bool,
    pub(super) incoming: Incoming,
    /// Bytes of the write queue that are older than the layer.
    pub(super) unlayered: usize,
    /// Plain bytes of the socket that are not coded yet.
    pub(super) batch: Option<Batch>,
    /// The number of plain bytes at the front of the next batch that are coded already.
    pub(super) coded_ahead: usize,
    /// Coded bytes that wait for the driver.
    pub(super) coded: Vec<u8>,
    /// Coded bytes that the driver has not sent yet, and the plain bytes that count as sent after them.
    pub(super) in_flight: usize,
    pub(super) in_flight_plain: usize,
    pub(super) outgoing: Outgoing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Incoming {
    #[default]
    Open,
    /// The connection has ended.
    Ended,
    /// The layer has ended.
    LayerEnded,
    /// The socket knows it.
    Reported,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Outgoing {
    #[default]
    Open,
    /// The socket has ended its side.
    Ending,
    /// The layer has marked the end.
    Marked,
    ShutDown,
}

impl Flow {
    /// Whether bytes that are coded now are the next ones for the driver.
    pub(super) fn is_clear(&self) -> bool {
        let none = self.in_flight == 0 && self.unlayered == 0 && self.coded_ahead == 0;
        none && self.begun && self.batch.is_none() && self.coded.is_empty()
    }

    /// Whether nothing more is received: bytes that follow are ignored.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.incoming, Incoming::LayerEnded | Incoming::Reported)
    }

    /// Whether the layer takes received bytes now.
    pub(super) fn receives(&self) -> bool {
        !self.waits && !self.has_ended()
    }

    /// Notes how far the layer has got with received bytes.
    pub(super) fn note_step(&mut self, step: &LayerStep) {
        self.waits = step.waits;
        self.needed = step.needed.filter(|count| *count > 0);
        if step.ended && self.incoming != Incoming::Reported {
            self.incoming = Incoming::LayerEnded;
        }
    }

    /// Keeps bytes until the layer can use them, unless it has ended.
    pub(super) fn keep_unread(&mut self, bytes: &[u8], driver: &Driver) {
        if bytes.is_empty() || self.has_ended() {
            return;
        }
        if self.unread.capacity() == 0 {
            self.unread = driver.take_buffer();
        }
        self.unread.extend_from_slice(bytes);
    }

    /// Returns the unread bytes, if there are any, with as many of the following ones as the layer needs.
    pub(super) fn take_unread(&mut self, following: &mut &mut [u8]) -> Option<Vec<u8>> {
        if self.unread.is_empty() {
            return None;
        }
        let count = self.needed.unwrap_or(usize::MAX).min(following.len());
        let (first, rest) = std::mem::take(following).split_at_mut(count);
        *following = rest;
        let mut unread = std::mem::take(&mut self.unread);
        unread.extend_from_slice(first);
        Some(unread)
    }

    /// Whether something waits to be sent, and the driver accepts it.
    pub(super) fn may_send(&self) -> bool {
        let ends = matches!(self.outgoing, Outgoing::Ending | Outgoing::Marked);
        self.in_flight == 0 && (ends || self.batch.is_some() || !self.coded.is_empty())
    }
}

impl Layered {
    pub(super) fn new(layer: Rc<dyn Layer>, object: Rc<dyn Any>) -> Rc<Self> {
        let flow = RefCell::default();
        Rc::new(Self { layer, object, sending: Cell::new(false), flow })
    }

    pub(super) fn object(&self) -> Rc<dyn Any> {
        Rc::clone(&self.object)
    }

    /// The layer that a socket stores, see `Rare`.
    pub(super) fn of(stored: Option<Rc<dyn Any>>) -> Option<Rc<Self>> {
        stored?.downcast().ok()
    }

    /// Drops what a socket had as its layer.
    pub(super) fn remove(stored: Option<Rc<dyn Any>>) {
        if let Some(layered) = Self::of(stored) {
            layered.layer.removed();
        }
    }

    pub(super) fn wake(&self) {
        self.flow.borrow_mut().waits = false;
    }
}

/// The memory of a loop in which layers work.
#[derive(Default)]
pub(super) struct LayerSpares {
    pub(super) plain: Cell<Vec<u8>>,
    /// The turn in which layers were opened last, and how often.
    openings: Cell<(u64, u32)>,
}

impl LayerSpares {
    /// Returns whether a layer may take one more step towards opening in this turn.
    pub(super) fn may_open(&self, turn: u64) -> bool {
        let (last, count) = self.openings.get();
        last != turn || count < OPENINGS_PER_TURN_MAX
    }

    pub(super) fn note_opening(&self, turn: u64) {
        let (last, count) = self.openings.get();
        self.openings.set((turn, if last == turn { count + 1 } else { 1 }));
    }
}
