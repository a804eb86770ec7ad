//! Received bytes that a stream lends to its user.

use std::task::{Context, Poll, ready};

use fyke_driver::limits::READ_BUFFER_BYTES;

use super::end::End;
use crate::Result;

/// The bytes that [`fill_buf`](super::SocketStream::fill_buf) has returned and that were not consumed. The
/// memory comes from the loop's pool, and is there only while there are bytes.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    memory: Vec<u8>,
    /// How many bytes at the beginning were consumed.
    consumed: usize,
}

impl Buffer {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.memory[self.consumed..]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.consumed == self.memory.len()
    }

    pub(super) fn poll_fill(&mut self, end: &End, cx: &Context<'_>) -> Poll<Result<&[u8]>> {
        if self.is_empty() {
            let socket = end.socket();
            ready!(socket.poll_drained(cx))?;
            let mut memory = socket.take_buffer();
            memory.reserve(READ_BUFFER_BYTES);
            let read = socket.poll_pull(cx, &mut memory);
            if !matches!(read, Poll::Ready(Ok(1..))) {
                socket.give_back_buffer(memory);
                ready!(read)?;
                return Poll::Ready(Ok(&[]));
            }
            self.memory = memory;
            self.consumed = 0;
        }
        Poll::Ready(Ok(self.bytes()))
    }

    pub(super) fn consume(&mut self, count: usize, end: &End) {
        self.consumed = (self.consumed + count).min(self.memory.len());
        if self.is_empty() {
            self.consumed = 0;
            end.socket().give_back_buffer(std::mem::take(&mut self.memory));
        }
    }

    /// Takes bytes that fit into `room`.
    pub(super) fn take<R>(&mut self, room: usize, end: &End, with: impl FnOnce(&[u8]) -> R) -> R {
        let count = self.bytes().len().min(room);
        let result = with(&self.bytes()[..count]);
        self.consume(count, end);
        result
    }
}
