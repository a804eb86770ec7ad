//! Implements hyper's traits for connections.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use fyke_driver::uninit::fill_cursor;
use hyper::rt::{Read, ReadBufCursor, Write};

use super::SocketStream;
use super::reading::poll_read;
use super::writing::polls_writes;

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
    polls_writes!(poll_shutdown);

    fn is_write_vectored(&self) -> bool {
        true
    }
}
