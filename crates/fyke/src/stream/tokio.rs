//! Implements tokio's I/O traits. They need no tokio runtime.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use fyke_driver::uninit::fill_read_buf;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use super::reading::poll_read;
use super::{ReadHalf, SocketStream, WriteHalf};

/// Takes part in tokio's cooperative scheduling: returns `Pending` if the task has used up its budget.
#[cfg(feature = "tokio-runtime")]
macro_rules! take_turn {
    ($cx:expr) => {
        std::task::ready!(tokio::task::coop::poll_proceed($cx)).made_progress()
    };
}

#[cfg(not(feature = "tokio-runtime"))]
macro_rules! take_turn {
    ($cx:expr) => {};
}

macro_rules! read_traits {
    ($type:ty) => {
        impl AsyncRead for $type {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                take_turn!(cx);
                let read = fill_read_buf(buffer, |memory| poll_read(self.reader(), cx, memory));
                read.map_ok(|_| ()).map_err(io::Error::from)
            }
        }

        impl AsyncBufRead for $type {
            fn poll_fill_buf(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<&[u8]>> {
                take_turn!(cx);
                let (end, buffer) = self.get_mut().reader();
                buffer.poll_fill(end, cx).map_err(io::Error::from)
            }

            fn consume(mut self: Pin<&mut Self>, count: usize) {
                <$type>::consume(&mut self, count);
            }
        }
    };
}

macro_rules! write_traits {
    ($type:ty) => {
        impl AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                take_turn!(cx);
                let end = self.writer();
                end.socket().poll_push(cx, bytes).map_err(io::Error::from)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                take_turn!(cx);
                let end = self.writer();
                end.socket().poll_push_vectored(cx, slices).map_err(io::Error::from)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let end = self.writer();
                end.socket().poll_flushed(cx).map_err(io::Error::from)
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let end = self.writer();
                end.socket().poll_ended(cx).map_err(io::Error::from)
            }
        }
    };
}

read_traits!(SocketStream);
read_traits!(ReadHalf);
write_traits!(SocketStream);
write_traits!(WriteHalf);
