//! Reading from a stream, or from its reading half.

use std::task::{Context, Poll};

use super::buffer::Buffer;
use super::end::End;
use crate::Result;
use crate::socket::Target;

/// Reads into `target`: first what was lent and not consumed.
#[inline]
pub(super) fn poll_read<T: Target>(
    (end, buffer): (&End, &mut Buffer),
    cx: &Context<'_>,
    target: T,
) -> Poll<Result<T::Filled>> {
    if target.room() == 0 {
        return Poll::Ready(Ok(target.copy(&[])));
    }
    if !buffer.is_empty() {
        return Poll::Ready(Ok(buffer.take(target.room(), end, |bytes| target.copy(bytes))));
    }
    end.socket().poll_pull(cx, target)
}

/// The methods that read, for a type with a method `reader`.
macro_rules! reads {
    ($type:ty, $name:literal) => {
        /// # Reading
        impl $type {
            /// Reads bytes into `buffer`, at least one and at most as many as it has room for. Returns 0 at the
            /// end of the stream, and if `buffer` is empty.
            ///
            /// Cancel safe: if the future is dropped before it is ready, no data is lost.
            ///
            /// # Errors
            /// The error with which the connection has failed, for example `ECONNRESET`; the socket is
            /// destroyed then. `ERR_HAS_CONSUMER` if the socket has another consumer. `ERR_STREAM_DESTROYED` if
            /// it was destroyed. `ERR_EVENT_LOOP_CLOSED` if the loop is gone.
            pub fn read(
                &mut self,
                buffer: &mut [u8],
            ) -> impl std::future::Future<Output = $crate::Result<usize>> {
                std::future::poll_fn(|cx| {
                    let memory = fyke_driver::uninit::Unfilled::from(&mut *buffer);
                    let read = $crate::stream::reading::poll_read(self.reader(), cx, memory);
                    read.map_ok(|bytes| bytes.len())
                })
            }

            /// Reads until `buffer` is full.
            ///
            /// Not cancel safe: if the future is dropped, bytes may be in `buffer`, and their number is not
            /// known.
            ///
            /// # Errors
            /// The errors of [`read`](Self::read), and `ERR_STREAM_PREMATURE_CLOSE` if the stream ends before;
            /// the bytes until then are in `buffer`.
            pub async fn read_exact(&mut self, buffer: &mut [u8]) -> $crate::Result<()> {
                let mut filled = 0;
                while filled < buffer.len() {
                    match self.read(&mut buffer[filled..]).await? {
                        0 => return Err($crate::stream::reading::premature_end()),
                        count => filled += count,
                    }
                }
                Ok(())
            }

            /// Reads until the end of the stream, and returns everything. It grows as long as the peer sends:
            /// limit it with a timeout, or read piece by piece.
            ///
            /// Not cancel safe: if the future is dropped, the bytes read so far are lost.
            ///
            /// # Errors
            /// The errors of [`read`](Self::read).
            pub async fn read_to_end(&mut self) -> $crate::Result<Vec<u8>> {
                let mut all = Vec::new();
                loop {
                    let count = {
                        let bytes = self.fill_buf().await?;
                        all.extend_from_slice(bytes);
                        bytes.len()
                    };
                    if count == 0 {
                        return Ok(all);
                    }
                    self.consume(count);
                }
            }

            /// Reads the next bytes and lends them, without a copy. [`consume`](Self::consume) tells how many
            /// were used; the others are returned again. Empty at the end of the stream.
            ///
            /// Cancel safe: if the future is dropped before it is ready, no data is lost.
            ///
            /// # Errors
            /// The errors of [`read`](Self::read).
            pub async fn fill_buf(&mut self) -> $crate::Result<&[u8]> {
                std::future::poll_fn(|cx| {
                    let (end, buffer) = self.reader();
                    buffer.poll_fill(end, cx).map_ok(|_| ())
                })
                .await?;
                Ok(self.reader().1.bytes())
            }

            /// Marks bytes that [`fill_buf`](Self::fill_buf) has lent as used.
            pub fn consume(&mut self, count: usize) {
                let (end, buffer) = self.reader();
                buffer.consume(count, end);
            }

            /// Returns the next bytes as an owned chunk, or `None` at the end of the stream. This allocates once
            /// and copies; [`read`](Self::read) and [`fill_buf`](Self::fill_buf) do neither. With the feature
            /// `futures`, [`chunks`](Self::chunks) returns them as a `Stream`.
            ///
            /// Cancel safe: if the future is dropped before it is ready, no data is lost.
            ///
            /// # Errors
            /// The errors of [`read`](Self::read).
            pub async fn next_chunk(&mut self) -> $crate::Result<Option<$crate::Bytes>> {
                std::future::poll_fn(|cx| self.poll_chunk(cx)).await
            }

            pub(super) fn poll_chunk(
                &mut self,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<$crate::Result<Option<$crate::Bytes>>> {
                let (end, buffer) = self.reader();
                let bytes = std::task::ready!(buffer.poll_fill(end, cx))?;
                let chunk = $crate::Bytes::copy_from_slice(bytes);
                buffer.consume(chunk.len(), end);
                std::task::Poll::Ready(Ok(Some(chunk).filter(|chunk| !chunk.is_empty())))
            }

            /// Copies the next bytes into `buffer` without taking them: the next read returns them again.
            /// Returns 0 at the end of the stream, and if `buffer` is empty.
            ///
            /// Cancel safe.
            ///
            /// # Errors
            /// The errors of [`read`](Self::read). `ENOTSUP` for a pipe that was adopted.
            pub async fn peek(&mut self, buffer: &mut [u8]) -> $crate::Result<usize> {
                std::future::poll_fn(|cx| {
                    let (end, lent) = self.reader();
                    $crate::stream::reading::poll_peek(end, lent, cx, &mut *buffer)
                })
                .await
            }
        }
    };
}
pub(super) use reads;

pub(super) fn poll_peek(
    end: &End,
    lent: &Buffer,
    cx: &Context<'_>,
    buffer: &mut [u8],
) -> Poll<Result<usize>> {
    if buffer.is_empty() {
        return Poll::Ready(Ok(0));
    }
    let bytes = lent.bytes();
    if bytes.is_empty() {
        let peeked = end.socket().poll_peek(cx, buffer.into());
        return peeked.map_ok(|bytes| bytes.len());
    }
    let count = bytes.len().min(buffer.len());
    buffer[..count].copy_from_slice(&bytes[..count]);
    Poll::Ready(Ok(count))
}

#[cold]
pub(super) fn premature_end() -> crate::Error {
    let message = "the stream ended before the buffer was full";
    crate::Error::new(crate::ErrorCode::ERR_STREAM_PREMATURE_CLOSE, message)
}
