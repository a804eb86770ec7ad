//! The layer of a connection, and the bytes on their way through it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fyke_driver::Batch;

use super::layer::Layer;

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
    /// Coded bytes that the layer has not used.
    pub(super) unread: Vec<u8>,
    /// Plain bytes that arrived while the socket does not receive.
    pub(super) undelivered: Vec<u8>,
    /// The socket receives.
    pub(super) wanted: bool,
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

    /// Returns the memory of the loop with all bytes for the layer, of which `bytes` are the last. `None` if the
    /// layer takes none now; then they are kept, unless the layer has ended.
    pub(super) fn take_coded(
        &mut self,
        bytes: &[u8],
        pauses: bool,
        spares: &LayerSpares,
    ) -> Option<Vec<u8>> {
        if self.has_ended() {
            return None;
        }
        if self.waits || pauses {
            self.unread.extend_from_slice(bytes);
            return None;
        }
        let mut coded = spares.coded.take();
        coded.clear();
        coded.extend_from_slice(&self.unread);
        coded.extend_from_slice(bytes);
        Some(coded)
    }

    /// Keeps the bytes that the layer has not used. If there are none, no memory is kept.
    pub(super) fn keep_unread(&mut self, rest: &[u8], ended: bool) {
        if rest.is_empty() || ended {
            self.unread = Vec::new();
        } else {
            self.unread.clear();
            self.unread.extend_from_slice(rest);
        }
        if ended && self.incoming != Incoming::Reported {
            self.incoming = Incoming::LayerEnded;
        }
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
    pub(super) coded: Cell<Vec<u8>>,
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
