//! Layers: what changes the bytes between a socket and its connection, as TLS does.

use std::ops::Range;

use super::Socket;
use crate::Result;

/// What changes the bytes between a socket and its connection: TLS, compression, a framing.
///
/// A layer is put on a socket with [`Socket::add_layer`]. Then the socket writes and receives the layer's
/// *plain* bytes, and the connection carries the layer's *coded* bytes. Everything above the layer works as
/// without it: pipes, half-close, timeouts, backpressure, limits, streams.
///
/// A layer does no input or output, and reads no clock: it gets bytes, and returns bytes. Its methods are
/// called while nothing of the socket is borrowed, so that they may run user code.
///
/// ```
/// use fyke::{Layer, LayerOutput, LayerStep, Result};
///
/// /// Changes every byte: of no use, but a complete layer.
/// struct Flip;
///
/// impl Layer for Flip {
///     fn receive(&self, coded: &mut [u8], output: &mut LayerOutput) -> Result<LayerStep> {
///         output.plain.extend(coded.iter().map(|byte| !byte));
///         Ok(LayerStep { used: coded.len(), ..LayerStep::default() })
///     }
///
///     fn send(&self, plain: &[u8], coded: &mut Vec<u8>) -> Result<()> {
///         coded.extend(plain.iter().map(|byte| !byte));
///         Ok(())
///     }
/// }
///
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     let server = fyke::create_server(|socket| {
///         socket.add_layer(std::rc::Rc::new(Flip)).unwrap();
///         socket.pipe(socket);
///     });
/// #     server.unref_loop();
///     server.listen_then(("127.0.0.1", 0), |server| {
///         let client = fyke::Socket::new();
///         client.add_layer(std::rc::Rc::new(Flip)).unwrap();
///         client.connect(server.endpoint().unwrap()).unwrap();
///         client.end_with("hello");
///         client.on_data(|_, data| assert_eq!(data, b"hello"));
///     })
/// })
/// # }
/// ```
pub trait Layer: 'static {
    /// The connection is established. A layer that speaks first appends its bytes to `coded`.
    ///
    /// # Errors
    /// Any error: the socket is destroyed with it.
    fn begin(&self, coded: &mut Vec<u8>) -> Result<()> {
        let _ = coded;
        Ok(())
    }

    /// Handles bytes from the peer: appends the plain bytes, and the bytes to be sent, to `output`, or decodes the
    /// plain bytes in place, see [`LayerStep::plain`]. Bytes that are not used are passed again, together with
    /// those that follow them.
    ///
    /// # Errors
    /// Any error: the bytes in `output` are still sent and delivered, and then the socket is destroyed with the
    /// error.
    fn receive(&self, coded: &mut [u8], output: &mut LayerOutput) -> Result<LayerStep>;

    /// Returns whether plain bytes can be sent. Until then they wait. The default is `true`.
    fn is_open(&self) -> bool {
        true
    }

    /// Appends the coded form of `plain` to `coded`. Called only while [`is_open`](Self::is_open).
    ///
    /// # Errors
    /// Any error: the socket is destroyed with it.
    fn send(&self, plain: &[u8], coded: &mut Vec<u8>) -> Result<()>;

    /// Our side has ended, and all plain bytes are coded. A layer that marks its end appends that to `coded`.
    fn end(&self, coded: &mut Vec<u8>) {
        let _ = coded;
    }

    /// The connection has ended, and the layer has not reported an end.
    ///
    /// # Errors
    /// An error if the plain bytes are not complete without the layer's end. The socket is destroyed with it.
    fn end_of_stream(&self) -> Result<()> {
        Ok(())
    }

    /// Called after [`receive`](Self::receive), before its plain bytes are delivered. A layer reports events
    /// from here.
    fn after_receive(&self, socket: &Socket) {
        let _ = socket;
    }

    /// The connection is closed, and the layer was removed from its socket. A layer drops what refers to the
    /// socket here, because a reference to the layer may exist longer than the connection.
    fn removed(&self) {}
}

/// What a layer produces from received bytes.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct LayerOutput {
    /// Bytes for the socket's listeners.
    pub plain: Vec<u8>,
    /// Bytes for the peer.
    pub coded: Vec<u8>,
}

/// What a layer did with received bytes.
#[derive(Clone, Debug, Default)]
pub struct LayerStep {
    /// The number of bytes that were used.
    pub used: usize,
    /// The plain bytes that were decoded in place: a range of `coded`. They follow those of
    /// [`LayerOutput::plain`], and are delivered without a copy.
    pub plain: Range<usize>,
    /// The number of further bytes that the layer needs to use those that are left. With `Some(0)` it is called
    /// again as soon as the plain bytes are delivered. With `None`, the default, it gets all bytes that follow.
    pub needed: Option<usize>,
    /// Nothing more happens until [`Socket::wake_layer`] is called.
    pub waits: bool,
    /// The peer has ended its plain bytes. Bytes that follow are ignored.
    pub ended: bool,
}
