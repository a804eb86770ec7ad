//! The one consumer that is given what a socket `S` receives, in the place of its listeners.

/// The user's part of the sink: is given a piece, and returns whether to go on.
pub(super) enum Consumer<S> {
    Pieces(usize, Box<dyn FnMut(&S, &[u8]) -> bool>),
    Buffers(Buffers<S>),
}

pub(super) struct Buffers<S> {
    /// To be filled next.
    buffer: Vec<u8>,
    next: Box<dyn FnMut() -> Vec<u8>>,
    take: Box<dyn FnMut(&S, Vec<u8>) -> bool>,
}

impl<S> Consumer<S> {
    /// The size of the next piece, at most.
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
    fn call(&mut self, socket: &S, piece: &[u8]) -> bool {
        let bytes = self.buffer.len();
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.truncate(piece.len());
        buffer.copy_from_slice(piece);
        let go_on = (self.take)(socket, buffer);
        self.renew(bytes);
        go_on
    }

    /// `bytes` is the size of a buffer in the place of an empty one.
    pub(super) fn new(
        next: impl FnMut() -> Vec<u8> + 'static,
        take: impl FnMut(&S, Vec<u8>) -> bool + 'static,
        bytes: usize,
    ) -> Self {
        let mut buffers = Self { buffer: Vec::new(), next: Box::new(next), take: Box::new(take) };
        buffers.renew(bytes);
        buffers
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
pub(super) struct ReadBuffer<S> {
    /// Absent while it runs.
    pub(super) consumer: Option<Consumer<S>>,
}
