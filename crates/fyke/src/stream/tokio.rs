//! Implements tokio's I/O traits. They need no tokio runtime.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use fyke_driver::uninit::fill_read_buf;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use super::reading::poll_read;
use super::writing::polls_writes;
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

read_traits!(SocketStream);
read_traits!(ReadHalf);

impl AsyncWrite for SocketStream {
    polls_writes!(poll_shutdown, take_turn);

    fn is_write_vectored(&self) -> bool {
        true
    }
}

impl AsyncWrite for WriteHalf {
    polls_writes!(poll_shutdown, take_turn);

    fn is_write_vectored(&self) -> bool {
        true
    }
}
