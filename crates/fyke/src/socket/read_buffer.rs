//! Reading in pieces of a fixed size, straight to one callback: Node's `onread` (RD-23, RD-24).

use super::{Socket, SocketTick};

/// Takes a piece, and says whether to go on.
type Take = Box<dyn FnMut(&Socket, &[u8]) -> bool>;

/// What `read_buffer` was called with.
pub(super) struct ReadBuffer {
    bytes: usize,
    /// Absent while it runs.
    take: Option<Take>,
    /// It has said to stop: until `resume`.
    held: bool,
}

/// # Reading in pieces
impl Socket {
    /// From here on everything that comes is given to `f`, in pieces of at most `bytes` (at least
    /// 1), instead of `data`: nothing is kept, whoever listens, and `end` comes by itself. When `f`
    /// answers false, or pauses the socket, that was the last piece until
    /// [`resume`](Self::resume); nothing is lost. Call it before connecting. Node: `onread`.
    ///
    /// ```
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| {
    ///         socket.server().unwrap().close();
    ///         socket.end_with("hello world");
    ///     });
    ///     server.listen(0, |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap(), |_| {}).unwrap();
    ///         client.read_buffer(8, |_, piece| {
    ///             assert!(piece.len() <= 8);
    ///             true
    ///         });
    ///     })
    /// })?;
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn read_buffer(
        &self,
        bytes: usize,
        f: impl FnMut(&Socket, &[u8]) -> bool + 'static,
    ) -> &Self {
        let buffer = ReadBuffer { bytes: bytes.max(1), take: Some(Box::new(f)), held: false };
        let before = self.inner.state.borrow_mut().rare().read_buffer.replace(buffer);
        // Dropped here, with nothing borrowed.
        drop(before);
        self
    }

    pub(super) fn take_read_buffer(&self) -> Option<ReadBuffer> {
        self.inner.state.borrow_mut().rare_if_any_mut()?.read_buffer.take()
    }

    pub(super) fn has_read_buffer(&self) -> bool {
        let state = self.inner.state.borrow();
        state.rare_if_any().is_some_and(|rare| rare.read_buffer.is_some())
    }

    pub(super) fn is_read_buffer_held(&self) -> bool {
        let state = self.inner.state.borrow();
        let buffer = state.rare_if_any().and_then(|rare| rare.read_buffer.as_ref());
        buffer.is_some_and(|buffer| buffer.held)
    }

    /// `resume` was called: says whether it ends a hold.
    pub(super) fn release_read_buffer(&self) -> bool {
        let mut state = self.inner.state.borrow_mut();
        let buffer = state.rare_if_any_mut().and_then(|rare| rare.read_buffer.as_mut());
        buffer.is_some_and(|buffer| std::mem::take(&mut buffer.held))
    }

    /// Gives bytes to the callback, piece by piece. What comes after it has said to stop is kept.
    pub(super) fn feed(&self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some((mut take, size)) = self.borrow_take() else { return };
            let (piece, more) = rest.split_at(size.min(rest.len()));
            rest = more;
            self.inner.state.borrow_mut().read.count(piece.len());
            let go_on = take(self, piece);
            let unused = self.give_back_take(take, !go_on);
            drop(unused);
            if self.destroyed() {
                return;
            }
            if !go_on || self.is_paused() {
                self.inner.state.borrow_mut().read.keep(rest);
                return self.stop_receiving();
            }
        }
    }

    fn borrow_take(&self) -> Option<(Take, usize)> {
        let mut state = self.inner.state.borrow_mut();
        let buffer = state.rare_if_any_mut()?.read_buffer.as_mut()?;
        Some((buffer.take.take()?, buffer.bytes))
    }

    /// Puts the callback back, or returns it if another one was set meanwhile.
    fn give_back_take(&self, take: Take, held: bool) -> Option<Take> {
        let mut state = self.inner.state.borrow_mut();
        let buffer = state.rare_if_any_mut().and_then(|rare| rare.read_buffer.as_mut());
        match buffer {
            Some(buffer) if buffer.take.is_none() => {
                buffer.take = Some(take);
                buffer.held = held;
                None
            }
            _ => Some(take),
        }
    }

    /// The tick of `resume`: first what was kept.
    pub(super) fn feed_kept(&self) {
        let kept = self.inner.state.borrow_mut().read.take_kept();
        if !kept.is_empty() {
            self.feed(&kept);
        }
        let end = self.inner.state.borrow_mut().read.taken();
        if end {
            self.tick(SocketTick::End);
        }
    }
}
