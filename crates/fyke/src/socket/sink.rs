//! The consumer that receives the data of a socket `S` instead of its listeners.

/// The user's part of the sink: a function that gets each piece, and returns whether to continue.
pub(super) enum Consumer<S> {
    Pieces(usize, Box<dyn FnMut(&S, &[u8]) -> bool>),
    Buffers(Buffers<S>),
}

pub(super) struct Buffers<S> {
    /// The buffer that is filled next.
    buffer: Vec<u8>,
    next: Box<dyn FnMut() -> Vec<u8>>,
    take: Box<dyn FnMut(&S, Vec<u8>) -> bool>,
}

impl<S> Consumer<S> {
    /// The maximum size of the next piece.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Pieces(bytes, _) => *bytes,
            Self::Buffers(buffers) => buffers.buffer.len(),
        }
    }

    pub(super) fn call(&mut self, socket: &S, piece: &[u8]) -> bool {
        match self {
            Self::Pieces(_, take) => take(socket, piece),
            Self::Buffers(buffers) => buffers.call(socket, piece),
        }
    }
}

impl<S> Buffers<S> {
    /// Asks `next` for the first buffer. `bytes` is the size of the buffer that replaces an empty one.
    pub(super) fn new(
        next: impl FnMut() -> Vec<u8> + 'static,
        take: impl FnMut(&S, Vec<u8>) -> bool + 'static,
        bytes: usize,
    ) -> Self {
        let mut buffers = Self { buffer: Vec::new(), next: Box::new(next), take: Box::new(take) };
        buffers.renew(bytes);
        buffers
    }

    fn call(&mut self, socket: &S, piece: &[u8]) -> bool {
        let bytes = self.buffer.len();
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.truncate(piece.len());
        buffer.copy_from_slice(piece);
        let go_on = (self.take)(socket, buffer);
        self.renew(bytes);
        go_on
    }

    /// Asks `next` for the next buffer, and replaces an empty one with a buffer of `bytes` bytes.
    fn renew(&mut self, bytes: usize) {
        self.buffer = (self.next)();
        if self.buffer.is_empty() {
            self.buffer = vec![0; bytes];
        }
    }
}

/// The consumer that `read_buffer` or `read_buffers` has set.
pub(super) struct ReadBuffer<S> {
    /// `None` while the consumer runs.
    pub(super) consumer: Option<Consumer<S>>,
}
