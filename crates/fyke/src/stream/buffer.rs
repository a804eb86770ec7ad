//! Received bytes that a stream lends to its user.

use std::task::{Context, Poll, ready};

use crate::Result;
use crate::socket::{Lent, SocketLink};

/// The bytes that [`fill_buf`](super::SocketStream::fill_buf) has returned and that were not consumed yet.
/// The memory belongs to the loop; it is `None` if there are no such bytes.
#[derive(Debug, Default)]
pub(super) struct Buffer(Option<Box<Lent>>);

impl Buffer {
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |lent| lent.bytes())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn poll_fill(&mut self, link: &SocketLink, cx: &Context<'_>) -> Poll<Result<&[u8]>> {
        if self.is_empty() {
            self.0 = ready!(link.poll_lent(cx))?;
        }
        Poll::Ready(Ok(self.bytes()))
    }

    pub(super) fn consume(&mut self, count: usize, link: &SocketLink) {
        let is_used_up = self.0.as_mut().is_some_and(|lent| lent.consume(count));
        if let Some(lent) = self.0.take_if(|_| is_used_up) {
            link.socket().give_back_lent(lent);
        }
    }

    /// Passes at most `room` bytes to `with`, and consumes them.
    pub(super) fn take<R>(
        &mut self,
        room: usize,
        link: &SocketLink,
        with: impl FnOnce(&[u8]) -> R,
    ) -> R {
        let count = self.bytes().len().min(room);
        let result = with(&self.bytes()[..count]);
        self.consume(count, link);
        result
    }
}
