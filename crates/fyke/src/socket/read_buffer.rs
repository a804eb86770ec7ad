//! The sink: received data goes to one consumer, in pieces of a limited size or in the caller's buffers.
//! Node: `onread`.
// RD-23 … RD-25

use fyke_machine::reading::Sink;

use super::Socket;
use super::sink::{Buffers, Consumer, ReadBuffer};
use crate::socket_options::HIGH_WATER_MARK_BYTES;

/// # Reading in pieces
impl Socket {
    /// From now on, passes everything that is received to `f`, in pieces of at most `bytes` bytes (at least
    /// 1), instead of emitting `data`. Other listeners have no effect on that, and `end` is emitted
    /// automatically. If `f` returns `false` or pauses the socket, it gets no more pieces until
    /// [`resume`](Self::resume) is called; no data is lost. Call this before connecting. Node: `onread`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| {
    ///         socket.server().unwrap().close();
    ///         socket.end_with("hello world");
    ///     });
    ///     server.listen_then(0, |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.read_buffer(8, |_, piece| {
    ///             assert!(piece.len() <= 8);
    ///             true
    ///         });
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "onread")]
    pub fn read_buffer(
        &self,
        bytes: usize,
        f: impl FnMut(&Socket, &[u8]) -> bool + 'static,
    ) -> &Self {
        self.set_sink(Consumer::Pieces(bytes.max(1), Box::new(f)));
        self
    }

    /// From now on, passes everything that is received to `f`, in buffers that the caller provides, instead
    /// of emitting `data`, see [`read_buffer`](Self::read_buffer).
    ///
    /// `next` returns the buffers: it is called for the first one at once, and for another one after each
    /// call of `f`. `f` gets the filled buffer, truncated to the bytes that were received; it can keep the
    /// buffer or return it to a pool. A buffer receives at most its length. If `next` returns an empty
    /// buffer, fyke allocates one of the same length as the previous one, or of 64 KiB if it is the first.
    /// Node: `onread` with a function as `buffer`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| {
    ///         socket.server().unwrap().close();
    ///         socket.end_with("hello world");
    ///     });
    ///     server.listen_then(0, |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         let mut pieces = Vec::new();
    ///         client.read_buffers(|| vec![0; 2], move |_, piece| {
    ///             pieces.push(piece);
    ///             true
    ///         });
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "onread")]
    pub fn read_buffers(
        &self,
        next: impl FnMut() -> Vec<u8> + 'static,
        f: impl FnMut(&Socket, Vec<u8>) -> bool + 'static,
    ) -> &Self {
        let buffers = Buffers::new(next, f, HIGH_WATER_MARK_BYTES as usize);
        self.set_sink(Consumer::Buffers(buffers));
        self
    }

    fn set_sink(&self, consumer: Consumer<Self>) {
        let before = {
            let mut state = self.inner.state.borrow_mut();
            state.change().sink = Sink::Taking;
            state.rare().read_buffer.replace(ReadBuffer { consumer: Some(consumer) })
        };
        // Dropped here, while nothing is borrowed.
        drop(before);
    }

    pub(super) fn take_sink(&self) -> Option<ReadBuffer<Self>> {
        let mut state = self.inner.state.borrow_mut();
        state.change().sink = Sink::Absent;
        state.rare_if_any_mut()?.read_buffer.take()
    }

    /// Passes bytes to the sink, piece by piece. If the sink stops, the rest is stored.
    pub(super) fn give_sink(&self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some(consumer) = self.borrow_sink() else { return };
            let (piece, more) = rest.split_at(consumer.bytes().min(rest.len()));
            rest = more;
            if !self.give_sink_piece(consumer, piece) {
                let mut state = self.inner.state.borrow_mut();
                if !state.destroyed() {
                    state.change().read.store(rest);
                }
                return;
            }
        }
    }

    /// Passes one piece to the sink. Returns whether the sink accepts more; if not, receiving stops.
    fn give_sink_piece(&self, mut consumer: Consumer<Self>, piece: &[u8]) -> bool {
        self.inner.state.borrow_mut().change().read.count(piece.len());
        let go_on = consumer.call(self, piece);
        let unused = self.give_back_sink(consumer, !go_on);
        drop(unused);
        if self.is_destroyed() {
            return false;
        }
        let more = go_on && !self.is_paused();
        if !more {
            self.ask(|machine, _, fx| machine.stop_receiving(fx));
        }
        more
    }

    fn borrow_sink(&self) -> Option<Consumer<Self>> {
        let mut state = self.inner.state.borrow_mut();
        state.rare_if_any_mut()?.read_buffer.as_mut()?.consumer.take()
    }

    /// Puts the consumer back, or returns it if another one was set meanwhile.
    fn give_back_sink(&self, consumer: Consumer<Self>, stopped: bool) -> Option<Consumer<Self>> {
        let mut state = self.inner.state.borrow_mut();
        let buffer = state.rare_if_any_mut().and_then(|rare| rare.read_buffer.as_mut());
        match buffer {
            Some(buffer) if buffer.consumer.is_none() => {
                buffer.consumer = Some(consumer);
                state.change().sink = if stopped { Sink::Stopped } else { Sink::Taking };
                None
            }
            _ => Some(consumer),
        }
    }

    /// Passes the stored bytes to the sink, on the tick after `resume`.
    pub(super) fn give_sink_stored(&self) {
        while let Some(consumer) = self.borrow_sink() {
            let piece = self.inner.state.borrow_mut().change().read.take_stored(consumer.bytes());
            let Some(piece) = piece else {
                let unused = self.give_back_sink(consumer, false);
                drop(unused);
                break;
            };
            if !self.give_sink_piece(consumer, &piece) {
                break;
            }
        }
    }
}
