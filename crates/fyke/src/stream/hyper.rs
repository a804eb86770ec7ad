//! Implements hyper's traits for connections.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use fyke_driver::uninit::fill_cursor;
use hyper::rt::{Read, ReadBufCursor, Write};

use super::SocketStream;
use super::reading::poll_read;

impl Read for SocketStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = fill_cursor(buffer, |memory| poll_read(self.reader(), cx, memory));
        read.map_ok(|_| ()).map_err(io::Error::from)
    }
}

impl Write for SocketStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let end = self.writer();
        end.socket().poll_push(cx, bytes).map_err(io::Error::from)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
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
