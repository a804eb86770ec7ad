//! What options of clients and servers have in common.

use std::sync::Arc;
use std::time::Duration;

use fyke::Result;
use rustls::{KeyLog, KeyLogFile, NoKeyLog, SupportedProtocolVersion};

use crate::error::invalid_context;
use crate::reports::Keys;

/// The default of Node.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(120);

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Version {
    /// TLS 1.2 (RFC 5246).
    #[default]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl Version {
    /// This version and those after it.
    pub(crate) fn and_later(self) -> &'static [&'static SupportedProtocolVersion] {
        static ALL: [&SupportedProtocolVersion; 2] =
            [&rustls::version::TLS13, &rustls::version::TLS12];
        match self {
            Self::Tls12 => &ALL,
            Self::Tls13 => &ALL[..1],
        }
    }
}

pub(crate) fn check_alpn(protocols: &[Vec<u8>]) -> Result<()> {
    match protocols.iter().all(|protocol| (1..=255).contains(&protocol.len())) {
        true => Ok(()),
        false => Err(invalid_context("an application protocol has 1 to 255 bytes")),
    }
}

/// Reports secrets to the connections that want them, and writes them to the file of `SSLKEYLOGFILE`, too.
pub(crate) fn key_log(writes_file: bool) -> Arc<dyn KeyLog> {
    match writes_file {
        true => Arc::new(Keys(Arc::new(KeyLogFile::new()))),
        false => Arc::new(Keys(Arc::new(NoKeyLog))),
    }
}
