//! Reading from a stream, or from its reading half.

use std::task::{Context, Poll};

use super::buffer::Buffer;
use crate::Result;
use crate::socket::{End, Target};

/// Reads into `target`. Bytes that were lent and not consumed come first.
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
    end.poll_pull(cx, target)
}

/// The methods that read, for a type with a method `reader`.
macro_rules! reads {
    ($type:ty) => {
        /// # Reading
        impl $type {
            /// Reads bytes into `buffer`: at least one, and at most the length of `buffer`. Returns 0 at the
            /// end of the stream, and if `buffer` is empty.
            ///
            /// Cancel safe: if the future is dropped before it is ready, no data is lost.
            ///
            /// ```
            /// # fn main() -> fyke::Result<()> {
            /// # fyke::block_on(async {
            /// # let server = fyke::Server::new();
            /// # server.listen(("127.0.0.1", 0))?;
            /// # server.listening().await?;
            /// # let peer = fyke::connect(server.endpoint().unwrap())?;
            /// # let (mut reader, mut writer) = server.accept().await?.stream()?.split();
            /// peer.end_with("hi");
            /// let mut buffer = [0; 1024];
            /// let mut all = Vec::new();
            /// loop {
            ///     let count = reader.read(&mut buffer).await?;
            ///     if count == 0 {
            ///         break; // the peer has ended
            ///     }
            ///     all.extend_from_slice(&buffer[..count]);
            /// }
            /// assert_eq!(all, b"hi");
            /// # Ok(())
            /// # })?
            /// # }
            /// ```
            ///
            /// # Errors
            /// The error with which the connection has failed, for example `ECONNRESET`; the socket is then
            /// destroyed. `ERR_HAS_CONSUMER` if the socket has another consumer. `ERR_STREAM_DESTROYED` if
            /// the socket was destroyed. `ERR_EVENT_LOOP_CLOSED` if the loop was dropped.
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
            /// Not cancel safe: if the future is dropped, an unknown number of bytes may already be in
            /// `buffer`.
            ///
            /// ```
            /// # fn main() -> fyke::Result<()> {
            /// # fyke::block_on(async {
            /// # let server = fyke::Server::new();
            /// # server.listen(("127.0.0.1", 0))?;
            /// # server.listening().await?;
            /// # let peer = fyke::connect(server.endpoint().unwrap())?;
            /// # let (mut reader, mut writer) = server.accept().await?.stream()?.split();
            /// let _ = peer.write("\x05hello");
            /// let mut length = [0; 1];
            /// reader.read_exact(&mut length).await?;
            /// let mut message = vec![0; length[0].into()];
            /// reader.read_exact(&mut message).await?;
            /// assert_eq!(message, b"hello");
            /// # Ok(())
            /// # })?
            /// # }
            /// ```
            ///
            /// # Errors
            /// The errors of [`read`](Self::read), and `ERR_STREAM_PREMATURE_CLOSE` if the stream ends before
            /// `buffer` is full; the bytes received until then are in `buffer`.
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

            /// Reads until the end of the stream, and returns all bytes. The memory grows without a limit
            /// while the peer sends: set a timeout, or use [`read`](Self::read) instead.
            ///
            /// Not cancel safe: if the future is dropped, the bytes read so far are lost.
            ///
            /// ```
            /// # fn main() -> fyke::Result<()> {
            /// # fyke::block_on(async {
            /// # let server = fyke::Server::new();
            /// # server.listen(("127.0.0.1", 0))?;
            /// # server.listening().await?;
            /// # let peer = fyke::connect(server.endpoint().unwrap())?;
            /// # let (mut reader, mut writer) = server.accept().await?.stream()?.split();
            /// peer.end_with("all of it");
            /// assert_eq!(reader.read_to_end().await?, b"all of it");
            /// # Ok(())
            /// # })?
            /// # }
            /// ```
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

            /// Reads the next bytes, and returns them as a slice without copying them. Call
            /// [`consume`](Self::consume) with the number of bytes that were used; the next call returns the
            /// others again. Returns an empty slice at the end of the stream.
            ///
            /// Cancel safe: if the future is dropped before it is ready, no data is lost.
            ///
            /// ```
            /// # fn main() -> fyke::Result<()> {
            /// # fyke::block_on(async {
            /// # let server = fyke::Server::new();
            /// # server.listen(("127.0.0.1", 0))?;
            /// # server.listening().await?;
            /// # let peer = fyke::connect(server.endpoint().unwrap())?;
            /// # let (mut reader, mut writer) = server.accept().await?.stream()?.split();
            /// peer.end_with("two lines\nof text");
            /// let mut lines = 1;
            /// loop {
            ///     let bytes = reader.fill_buf().await?;
            ///     if bytes.is_empty() {
            ///         break;
            ///     }
            ///     lines += bytes.iter().filter(|byte| **byte == b'\n').count();
            ///     let count = bytes.len();
            ///     reader.consume(count);
            /// }
            /// assert_eq!(lines, 2);
            /// # Ok(())
            /// # })?
            /// # }
            /// ```
            ///
            /// # Errors
            /// The errors of [`read`](Self::read).
            pub fn fill_buf(&mut self) -> impl std::future::Future<Output = $crate::Result<&[u8]>> {
                let mut reader = Some(self);
                std::future::poll_fn(move |cx| {
                    let this = reader.take().expect("a future is not polled after it was ready");
                    let (end, buffer) = this.reader();
                    if buffer.poll_fill(end, cx)?.is_pending() {
                        reader = Some(this);
                        return std::task::Poll::Pending;
                    }
                    std::task::Poll::Ready(Ok(this.reader().1.bytes()))
                })
            }

            /// Marks `count` of the bytes that [`fill_buf`](Self::fill_buf) has returned as used.
            pub fn consume(&mut self, count: usize) {
                let (end, buffer) = self.reader();
                buffer.consume(count, end);
            }

            /// Returns the next bytes as an owned chunk, or `None` at the end of the stream. This allocates
            /// once and copies the bytes; [`read`](Self::read) and [`fill_buf`](Self::fill_buf) do neither.
            /// With the feature `futures`, [`chunks`](Self::chunks) returns them as a `Stream`.
            ///
            /// Cancel safe: if the future is dropped before it is ready, no data is lost.
            ///
            /// ```
            /// # fn main() -> fyke::Result<()> {
            /// # fyke::block_on(async {
            /// # let server = fyke::Server::new();
            /// # server.listen(("127.0.0.1", 0))?;
            /// # server.listening().await?;
            /// # let peer = fyke::connect(server.endpoint().unwrap())?;
            /// # let (mut reader, mut writer) = server.accept().await?.stream()?.split();
            /// peer.end_with("kept");
            /// let mut chunks = Vec::new();
            /// while let Some(chunk) = reader.next_chunk().await? {
            ///     chunks.push(chunk); // or sent to another thread
            /// }
            /// assert_eq!(chunks.concat(), b"kept");
            /// # Ok(())
            /// # })?
            /// # }
            /// ```
            ///
            /// # Errors
            /// The errors of [`read`](Self::read).
            pub fn next_chunk(
                &mut self,
            ) -> impl std::future::Future<Output = $crate::Result<Option<$crate::Bytes>>> {
                std::future::poll_fn(|cx| self.poll_chunk(cx))
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

            /// Copies the next bytes into `buffer` without consuming them: the next read returns them again.
            /// Returns 0 at the end of the stream, and if `buffer` is empty.
            ///
            /// Cancel safe: dropping the future consumes no data.
            ///
            /// ```
            /// # fn main() -> fyke::Result<()> {
            /// # fyke::block_on(async {
            /// # let server = fyke::Server::new();
            /// # server.listen(("127.0.0.1", 0))?;
            /// # server.listening().await?;
            /// # let peer = fyke::connect(server.endpoint().unwrap())?;
            /// # let (mut reader, mut writer) = server.accept().await?.stream()?.split();
            /// let _ = peer.write("GET / HTTP/1.1\r\n\r\n");
            /// let mut first = [0; 1];
            /// reader.peek(&mut first).await?;
            /// let is_http = first[0].is_ascii_alphabetic(); // a TLS handshake begins with 22
            /// assert!(is_http);
            /// # Ok(())
            /// # })?
            /// # }
            /// ```
            ///
            /// # Errors
            /// The errors of [`read`](Self::read). `ENOTSUP` for an adopted pipe.
            pub fn peek(
                &mut self,
                buffer: &mut [u8],
            ) -> impl std::future::Future<Output = $crate::Result<usize>> {
                std::future::poll_fn(|cx| {
                    let (end, lent) = self.reader();
                    $crate::stream::reading::poll_peek(end, lent, cx, &mut *buffer)
                })
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
        let peeked = end.poll_peek(cx, buffer.into());
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
