//! Putting a layer on a socket.

use std::any::Any;
use std::rc::Rc;

use super::Socket;
use super::layer::Layer;
use super::layer_flow::Layered;
use crate::{Error, ErrorCode, Result};

/// # Layers
impl Socket {
    /// Puts a [`Layer`] between this socket and its connection. On a connected socket, bytes that
    /// were written before are sent unchanged, before those of the layer, and bytes that were received and not
    /// delivered go through the layer.
    /// The layer is removed with the connection.
    ///
    /// On a socket that is not connected, the layer begins when the connection is established, before
    /// `connect` is emitted. Everything that was written goes through it.
    ///
    /// # Errors
    /// The socket is unchanged then.
    /// - `ERR_HAS_LAYER` if the socket has a layer.
    /// - `ERR_SOCKET_CLOSED` if it is destroyed, or if one side has ended.
    #[doc(alias = "TLSSocket")]
    pub fn add_layer<L: Layer>(&self, layer: Rc<L>) -> Result<()> {
        self.add_layer_after(layer, &[])
    }

    /// Puts a layer on this socket, as [`add_layer`](Self::add_layer) does. `received` are bytes for the layer
    /// that a listener was given together with the last bytes before the layer.
    ///
    /// # Errors
    /// The errors of [`add_layer`](Self::add_layer).
    pub fn add_layer_after<L: Layer>(&self, layer: Rc<L>, received: &[u8]) -> Result<()> {
        self.check_layer()?;
        let object: Rc<dyn Any> = layer.clone();
        self.put_layer(Layered::new(layer, object), received);
        Ok(())
    }

    fn check_layer(&self) -> Result<()> {
        let state = self.inner.state.borrow();
        if state.rare_if_any().is_some_and(|rare| rare.layered.is_some()) {
            return Err(Error::new(ErrorCode::ERR_HAS_LAYER, "the socket already has a layer"));
        }
        if state.destroyed()
            || state.has_failed()
            || state.write.is_ended()
            || state.read.has_ended()
        {
            let message = "a layer needs a socket of which both sides are open";
            return Err(Error::new(ErrorCode::ERR_SOCKET_CLOSED, message));
        }
        Ok(())
    }

    /// Returns the layer of this socket, if it has one of this type.
    pub fn layer<L: Layer>(&self) -> Option<Rc<L>> {
        let object = self.layered()?.object();
        object.downcast().ok()
    }

    /// Lets the layer continue: the bytes that it has not used are passed to it again, and plain bytes that wait
    /// are sent if the layer is open. Does nothing without a layer.
    pub fn wake_layer(&self) {
        if let Some(layered) = self.layered() {
            layered.wake();
            self.continue_layer_later(&layered);
        }
    }
}
