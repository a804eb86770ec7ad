//! The traits of `futures-io` and `futures-core`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};
use fyke_driver::uninit::Unfilled;

use super::reading::poll_read;
use super::writing::polls_writes;
use super::{ReadHalf, SocketStream, WriteHalf};
use crate::{Bytes, Result};

macro_rules! read_traits {
    ($type:ty) => {
        impl AsyncRead for $type {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                let read = poll_read(self.reader(), cx, Unfilled::from(buffer));
                read.map_ok(|bytes| bytes.len()).map_err(io::Error::from)
            }
        }

        impl AsyncBufRead for $type {
            fn poll_fill_buf(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<&[u8]>> {
                let (end, buffer) = self.get_mut().reader();
                buffer.poll_fill(end, cx).map_err(io::Error::from)
            }

            fn consume(mut self: Pin<&mut Self>, count: usize) {
                <$type>::consume(&mut self, count);
            }
        }

        impl $type {
            /// Returns the received data as a `Stream` of owned chunks, see [`next_chunk`](Self::next_chunk).
            /// It ends at the end of the stream, or after an error.
            pub fn chunks(&mut self) -> impl Stream<Item = Result<Bytes>> + '_ {
                Chunks { stream: self, failed: false }
            }
        }

        impl Stream for Chunks<'_, $type> {
            type Item = Result<Bytes>;

            fn poll_next(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<Option<Self::Item>> {
                if self.failed {
                    return Poll::Ready(None);
                }
                let polled = self.stream.poll_chunk(cx);
                self.failed = matches!(polled, Poll::Ready(Err(_)));
                polled.map(Result::transpose)
            }
        }
    };
}

/// The chunks of a stream `S`.
struct Chunks<'a, S> {
    stream: &'a mut S,
    failed: bool,
}

read_traits!(SocketStream);
read_traits!(ReadHalf);

impl AsyncWrite for SocketStream {
    polls_writes!(poll_close);
}

impl AsyncWrite for WriteHalf {
    polls_writes!(poll_close);
}
