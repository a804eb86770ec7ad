//! What the rest of the crate needs of a TLS implementation. `rustls23.rs` is the only file that knows the
//! version of rustls.

use fyke::{LayerOutput, LayerStep, Result};

/// One side of one TLS connection.
pub(crate) trait Engine {
    /// Handles received bytes.
    fn read(&mut self, coded: &mut [u8], output: &mut LayerOutput) -> Result<LayerStep>;

    /// Returns whether the handshake is done, as far as sending is concerned.
    fn is_open(&self) -> bool;

    /// Appends the records with these bytes.
    fn write(&mut self, plain: &[u8], coded: &mut Vec<u8>) -> Result<()>;

    /// Appends `close_notify`.
    fn close(&mut self, coded: &mut Vec<u8>);

    /// The engine is open now, and prepares for what follows the handshake. Returns what was negotiated.
    fn opened(&mut self) -> Result<Facts>;
}

/// What was negotiated in a handshake.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) protocol: Option<&'static str>,
    pub(crate) cipher: Option<&'static str>,
    pub(crate) alpn: Option<Vec<u8>>,
    pub(crate) is_resumed: bool,
    /// The certificates of the peer in DER, its own one first.
    pub(crate) peer_certificates: Vec<Vec<u8>>,
}
