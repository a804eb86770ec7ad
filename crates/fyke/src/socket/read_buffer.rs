//! Reading in pieces of a fixed size, or into buffers of the caller's, straight to one callback:
//! Node's `onread` (RD-23 … RD-25).

use super::Socket;
use crate::socket_options::HIGH_WATER_MARK_BYTES;

/// Takes a piece, and says whether to go on.
enum Take {
    Pieces(usize, Box<dyn FnMut(&Socket, &[u8]) -> bool>),
    Buffers(Buffers),
}

struct Buffers {
    /// To be filled next.
    buffer: Vec<u8>,
    next: Box<dyn FnMut() -> Vec<u8>>,
    take: Box<dyn FnMut(&Socket, Vec<u8>) -> bool>,
}

impl Take {
    /// The size of the next piece, at most.
    fn bytes(&self) -> usize {
        match self {
            Self::Pieces(bytes, _) => *bytes,
            Self::Buffers(buffers) => buffers.buffer.len(),
        }
    }

    fn call(&mut self, socket: &Socket, piece: &[u8]) -> bool {
        match self {
            Self::Pieces(_, take) => take(socket, piece),
            Self::Buffers(buffers) => buffers.call(socket, piece),
        }
    }
}

impl Buffers {
    fn call(&mut self, socket: &Socket, piece: &[u8]) -> bool {
        let bytes = self.buffer.len();
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.truncate(piece.len());
        buffer.copy_from_slice(piece);
        let go_on = (self.take)(socket, buffer);
        self.renew(bytes);
        go_on
    }

    /// Asks for the next buffer. In the place of an empty one comes one of that size.
    fn renew(&mut self, bytes: usize) {
        self.buffer = (self.next)();
        if self.buffer.is_empty() {
            self.buffer = vec![0; bytes];
        }
    }
}

/// What `read_buffer` was called with.
pub(super) struct ReadBuffer {
    /// Absent while it runs.
    take: Option<Take>,
}

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
        self.set_take(Take::Pieces(bytes.max(1), Box::new(f)));
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
        let mut buffers = Buffers { buffer: Vec::new(), next: Box::new(next), take: Box::new(f) };
        buffers.renew(HIGH_WATER_MARK_BYTES as usize);
        self.set_take(Take::Buffers(buffers));
        self
    }

    fn set_take(&self, take: Take) {
        let before = {
            let mut state = self.inner.state.borrow_mut();
            state.machine.sink = true;
            state.machine.sink_held = false;
            state.rare().read_buffer.replace(ReadBuffer { take: Some(take) })
        };
        // Dropped here, with nothing borrowed.
        drop(before);
    }

    pub(super) fn take_read_buffer(&self) -> Option<ReadBuffer> {
        let mut state = self.inner.state.borrow_mut();
        state.machine.sink = false;
        state.rare_if_any_mut()?.read_buffer.take()
    }

    /// Gives bytes to the callback, piece by piece. What comes after it has said to stop is kept.
    pub(super) fn feed(&self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some(take) = self.borrow_take() else { return };
            let (piece, more) = rest.split_at(take.bytes().min(rest.len()));
            rest = more;
            if !self.feed_piece(take, piece) {
                let mut state = self.inner.state.borrow_mut();
                if !state.destroyed() {
                    state.read.keep(rest);
                }
                return;
            }
        }
    }

    /// Gives the callback one piece. Returns whether it takes more; if not, receiving stops.
    fn feed_piece(&self, mut take: Take, piece: &[u8]) -> bool {
        self.inner.state.borrow_mut().read.count(piece.len());
        let go_on = take.call(self, piece);
        let unused = self.give_back_take(take, !go_on);
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

    fn borrow_take(&self) -> Option<Take> {
        let mut state = self.inner.state.borrow_mut();
        state.rare_if_any_mut()?.read_buffer.as_mut()?.take.take()
    }

    /// Puts the callback back, or returns it if another one was set meanwhile.
    fn give_back_take(&self, take: Take, held: bool) -> Option<Take> {
        let mut state = self.inner.state.borrow_mut();
        let buffer = state.rare_if_any_mut().and_then(|rare| rare.read_buffer.as_mut());
        match buffer {
            Some(buffer) if buffer.take.is_none() => {
                buffer.take = Some(take);
                state.machine.sink_held = held;
                None
            }
            _ => Some(take),
        }
    }

    /// The tick of `resume`: first what was kept.
    pub(super) fn feed_kept(&self) {
        while let Some(take) = self.borrow_take() {
            let piece = self.inner.state.borrow_mut().read.take_kept(take.bytes());
            let Some(piece) = piece else {
                let unused = self.give_back_take(take, false);
                drop(unused);
                break;
            };
            if !self.feed_piece(take, &piece) {
                break;
            }
        }
    }
}
