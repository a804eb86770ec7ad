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
            /// # Errors
            /// The error with which the connection has failed, for example `EPIPE` or `ECONNRESET`; the socket
            /// is destroyed then. `ERR_STREAM_WRITE_AFTER_END` after [`end`](Self::end).
            /// `ERR_STREAM_DESTROYED` if the socket was destroyed. `ERR_WRITE_STALLED` if the peer accepts
            /// nothing for [`write_stall_timeout`](crate::SocketOptions::write_stall_timeout).
            pub async fn write(&mut self, bytes: &[u8]) -> $crate::Result<usize> {
                std::future::poll_fn(|cx| {
                    let end = self.writer();
                    end.socket().poll_push(end.wakers(), cx, bytes)
                })
                .await
            }

            /// Sends bytes from several places with one system call, and returns how many of them the kernel
            /// has accepted.
            ///
            /// Cancel safe: if the future is dropped before it is ready, nothing was sent.
            ///
            /// # Errors
            /// The errors of [`write`](Self::write).
            pub async fn write_vectored(
                &mut self,
                slices: &[std::io::IoSlice<'_>],
            ) -> $crate::Result<usize> {
                std::future::poll_fn(|cx| {
                    let end = self.writer();
                    end.socket().poll_push_vectored(end.wakers(), cx, slices)
                })
                .await
            }

            /// Sends all bytes. Ready when the kernel has accepted the last one.
            ///
            /// Not cancel safe: if the future is dropped, some of the bytes may have been sent, and their number
            /// is not known.
            ///
            /// # Errors
            /// The errors of [`write`](Self::write).
            pub async fn write_all(&mut self, bytes: &[u8]) -> $crate::Result<()> {
                let mut rest = bytes;
                while !rest.is_empty() {
                    let count = self.write(rest).await?;
                    rest = &rest[count..];
                }
                Ok(())
            }

            /// Waits until the kernel has everything that was written. Writes of the stream are with the kernel
            /// already; this waits for those of [`Socket::write`](crate::Socket::write).
            ///
            /// Cancel safe.
            ///
            /// # Errors
            /// The errors of [`write`](Self::write).
            pub async fn flush(&mut self) -> $crate::Result<()> {
                std::future::poll_fn(|cx| {
                    let end = self.writer();
                    end.socket().poll_flushed(end.wakers(), cx)
                })
                .await
            }

            /// Ends this side: the peer receives everything that was written, and then the end of the stream.
            /// Reading goes on. Ready when the kernel has the end (the event `finish`). Node: `socket.end()`.
            ///
            /// Cancel safe: once it was polled, this side ends, also if the future is dropped.
            ///
            /// # Errors
            /// The error with which the connection has failed; `ERR_STREAM_DESTROYED` if the socket was
            /// destroyed before.
            pub async fn end(&mut self) -> $crate::Result<()> {
                std::future::poll_fn(|cx| {
                    let end = self.writer();
                    end.socket().poll_ended(end.wakers(), cx)
                })
                .await
            }
        }
    };
}
pub(super) use writes;
