//! A stream wrapper for crates that require `Send`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use fyke::SocketStream;
use send_wrapper::SendWrapper;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that is `Send`. It panics if a thread other than the one that created it uses it.
pub(crate) struct OnThisThread(SendWrapper<SocketStream>);

impl From<SocketStream> for OnThisThread {
    fn from(stream: SocketStream) -> Self {
        Self(SendWrapper::new(stream))
    }
}

impl AsyncRead for OnThisThread {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, to)
    }
}

impl AsyncWrite for OnThisThread {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut *self.0), cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut *self.0), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut *self.0), cx)
    }
}
