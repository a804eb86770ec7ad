//! Writing to a stream, or to its writing half.

/// The methods that write, for a type with a method `writer`.
macro_rules! writes {
    ($type:ty) => {
        /// # Writing
        impl $type {
            /// Sends bytes, and returns how many of them the kernel has accepted, at least one. Returns 0 if
            /// `bytes` is empty.
            ///
            /// Cancel safe: if the future is dropped before it is ready, nothing was sent.
            ///
            /// ```
            /// # fn main() -> fyke::Result<()> {
            /// # fyke::block_on(async {
            /// # let server = fyke::Server::new();
            /// # server.listen(("127.0.0.1", 0))?;
            /// # server.listening().await?;
            /// # let peer = fyke::connect(server.endpoint().unwrap())?;
            /// # let (mut reader, mut writer) = server.accept().await?.stream()?.split();
            /// let count = writer.write(b"some of this").await?;
            /// assert!(count > 0);
            /// # peer.destroy();
            /// # Ok(())
            /// # })?
            /// # }
            /// ```
            ///
            /// # Errors
            /// The error with which the connection has failed, for example `EPIPE` or `ECONNRESET`; the
            /// socket is then destroyed. `ERR_STREAM_WRITE_AFTER_END` after [`end`](Self::end).
            /// `ERR_STREAM_DESTROYED` if the socket was destroyed. `ERR_WRITE_STALLED` if the peer accepts
            /// nothing for [`write_stall_timeout`](crate::SocketOptions::write_stall_timeout).
            pub fn write(
                &mut self,
                bytes: &[u8],
            ) -> impl std::future::Future<Output = $crate::Result<usize>> {
                std::future::poll_fn(|cx| self.writer().poll_push(cx, bytes))
            }

            /// Sends bytes from several places with one system call, and returns how many of them the kernel
            /// has accepted.
            ///
            /// Cancel safe: if the future is dropped before it is ready, nothing was sent.
            ///
            /// ```
            /// # fn main() -> fyke::Result<()> {
            /// # fyke::block_on(async {
            /// # let server = fyke::Server::new();
            /// # server.listen(("127.0.0.1", 0))?;
            /// # server.listening().await?;
            /// # let peer = fyke::connect(server.endpoint().unwrap())?;
            /// # let (mut reader, mut writer) = server.accept().await?.stream()?.split();
            /// use std::io::IoSlice;
            ///
            /// let parts = [IoSlice::new(b"header "), IoSlice::new(b"body")];
            /// let count = writer.write_vectored(&parts).await?;
            /// assert_eq!(count, 11);
            /// # peer.destroy();
            /// # Ok(())
            /// # })?
            /// # }
            /// ```
            ///
            /// # Errors
            /// The errors of [`write`](Self::write).
            pub fn write_vectored(
                &mut self,
                slices: &[std::io::IoSlice<'_>],
            ) -> impl std::future::Future<Output = $crate::Result<usize>> {
                std::future::poll_fn(|cx| self.writer().poll_push_vectored(cx, slices))
            }

            /// Sends all bytes. The future is ready when the kernel has accepted the last one.
            ///
            /// Not cancel safe: if the future is dropped, an unknown number of the bytes may already have
            /// been sent.
            ///
            /// ```
            /// # fn main() -> fyke::Result<()> {
            /// # fyke::block_on(async {
            /// # let server = fyke::Server::new();
            /// # server.listen(("127.0.0.1", 0))?;
            /// # server.listening().await?;
            /// # let peer = fyke::connect(server.endpoint().unwrap())?;
            /// # let (mut reader, mut writer) = server.accept().await?.stream()?.split();
            /// writer.write_all(b"hello").await?;
            /// peer.on_text(|peer, text| {
            ///     assert_eq!(text, "hello");
            ///     peer.end();
            /// });
            /// assert_eq!(reader.read_to_end().await?, b"");
            /// # Ok(())
            /// # })?
            /// # }
            /// ```
            ///
            /// # Errors
            /// The errors of [`write`](Self::write).
            pub fn write_all(
                &mut self,
                bytes: &[u8],
            ) -> impl std::future::Future<Output = $crate::Result<()>> {
                let mut rest = bytes;
                std::future::poll_fn(move |cx| {
                    while !rest.is_empty() {
                        let count = std::task::ready!(self.writer().poll_push(cx, rest))?;
                        rest = &rest[count..];
                    }
                    std::task::Poll::Ready(Ok(()))
                })
            }

            /// Waits until the kernel has accepted everything that was written. The stream's own writes pass
            /// their bytes to the kernel before they return, so this only waits for bytes that
            /// [`Socket::write`](crate::Socket::write) has queued.
            ///
            /// Cancel safe: dropping the future does not affect the bytes.
            ///
            /// ```
            /// # fn main() -> fyke::Result<()> {
            /// # fyke::block_on(async {
            /// # let server = fyke::Server::new();
            /// # server.listen(("127.0.0.1", 0))?;
            /// # server.listening().await?;
            /// # let peer = fyke::connect(server.endpoint().unwrap())?;
            /// # let (mut reader, mut writer) = server.accept().await?.stream()?.split();
            /// // The queue of the socket, and the stream, keep their order.
            /// let _ = writer.socket().write("from a callback, ");
            /// writer.flush().await?;
            /// writer.write_all(b"from a task").await?;
            /// assert_eq!(writer.socket().write_queue_len(), 0);
            /// # peer.destroy();
            /// # Ok(())
            /// # })?
            /// # }
            /// ```
            ///
            /// # Errors
            /// The errors of [`write`](Self::write).
            pub fn flush(&mut self) -> impl std::future::Future<Output = $crate::Result<()>> {
                std::future::poll_fn(|cx| self.writer().poll_flushed(cx))
            }

            /// Ends this side: the peer receives everything that was written, and then the end of the stream.
            /// Reading continues to work. The future is ready when the kernel has accepted everything and our
            /// side has ended (the event `finish`). Node: `socket.end()`.
            ///
            /// Cancel safe: after the first poll, this side ends even if the future is dropped.
            ///
            /// ```
            /// # fn main() -> fyke::Result<()> {
            /// # fyke::block_on(async {
            /// # let server = fyke::Server::new();
            /// # server.listen(("127.0.0.1", 0))?;
            /// # server.listening().await?;
            /// # let peer = fyke::connect(server.endpoint().unwrap())?;
            /// # let (mut reader, mut writer) = server.accept().await?.stream()?.split();
            /// writer.write_all(b"the answer").await?;
            /// writer.end().await?;
            /// peer.on_end(|peer| { peer.end_with("thanks"); });
            /// peer.resume();
            /// assert_eq!(reader.read_to_end().await?, b"thanks");
            /// # Ok(())
            /// # })?
            /// # }
            /// ```
            ///
            /// # Errors
            /// The error with which the connection has failed. `ERR_STREAM_DESTROYED` if the socket was
            /// destroyed before its side had ended.
            pub fn end(&mut self) -> impl std::future::Future<Output = $crate::Result<()>> {
                std::future::poll_fn(|cx| self.writer().poll_ended(cx))
            }
        }
    };
}
pub(super) use writes;

/// The methods of the traits for writing, for a type with a method `writer`. `$close` is the name of the one
/// that ends our side. `$before!(cx)` runs before a write.
#[cfg(any(feature = "futures", feature = "tokio", feature = "hyper"))]
macro_rules! polls_writes {
    ($close:ident $(, $before:ident)?) => {
        fn poll_write(
            self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
            bytes: &[u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            $($before!(cx);)?
            self.writer().poll_push(cx, bytes).map_err(Into::into)
        }

        fn poll_write_vectored(
            self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
            slices: &[std::io::IoSlice<'_>],
        ) -> std::task::Poll<std::io::Result<usize>> {
            $($before!(cx);)?
            self.writer().poll_push_vectored(cx, slices).map_err(Into::into)
        }

        fn poll_flush(
            self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            self.writer().poll_flushed(cx).map_err(Into::into)
        }

        /// Ends our side, see `end`. Reading continues to work.
        fn $close(
            self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            self.writer().poll_ended(cx).map_err(Into::into)
        }
    };
}
#[cfg(any(feature = "futures", feature = "tokio", feature = "hyper"))]
pub(super) use polls_writes;
