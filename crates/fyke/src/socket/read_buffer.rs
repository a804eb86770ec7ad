//! The sink: reading in pieces of a fixed size, or into buffers of the caller's, straight to one consumer:
//! Node's `onread` (RD-23 … RD-25).

use fyke_machine::reading::Sink;

use super::Socket;
use super::sink::{Buffers, Consumer, ReadBuffer};
use crate::socket_options::HIGH_WATER_MARK_BYTES;

/// # Reading in pieces
impl Socket {
    /// From here on everything that comes is given to `f`, in pieces of at most `bytes` (at least
    /// 1), instead of `data`: nothing is kept, whoever listens, and `end` comes by itself. When `f`
    /// answers false, or pauses the socket, that was the last piece until
    /// [`resume`](Self::resume); nothing is lost. Call it before connecting. Node: `onread`.
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

    /// The same with buffers of your own, which change hands: `next` is asked for the first at once,
    /// and for another after each call of `f`. `f` gets the buffer that was filled, cut to what came,
    /// to keep or to give back to a pool. It receives at most the length of the buffer; for an empty
    /// one another is made, as long as the one before, or of 64 KiB. Node: `onread` with a function
    /// as `buffer`.
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
        // Dropped here, with nothing borrowed.
        drop(before);
    }

    pub(super) fn take_sink(&self) -> Option<ReadBuffer<Self>> {
        let mut state = self.inner.state.borrow_mut();
        state.change().sink = Sink::Absent;
        state.rare_if_any_mut()?.read_buffer.take()
    }

    /// Gives bytes to the sink, piece by piece. What follows after it has said to stop is stored.
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

    /// Gives the sink one piece. Returns whether it takes more; if not, receiving stops.
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

    /// Gives the sink what is stored, on the tick of `resume`.
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
