//! TLS, on the connecting side and on the listening side. Whether an option has an effect is checked
//! where the options are used, because `relay` has both sides.

use std::path::PathBuf;

use clap::Args;

/// How to connect to a server that speaks TLS.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "TLS, connecting")]
pub(crate) struct TlsClient {
    /// Trust the authorities in FILE (PEM), instead of those of the system
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pin", "insecure"])]
    pub(crate) ca: Option<PathBuf>,
    /// Accept only the certificate with this SHA-256 fingerprint, for any name and from any issuer (may
    /// be repeated)
    #[arg(long, value_name = "FINGERPRINT", conflicts_with = "insecure")]
    pub(crate) pin: Vec<String>,
    /// Accept every certificate. The connection is encrypted, but the server may be anyone. Prints a
    /// warning for each connection, with what is wrong with its certificate; `load` prints one for all
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Ask for the certificate of NAME, and verify it, instead of the name in the endpoint (localhost if
    /// it has none)
    #[arg(long, value_name = "NAME")]
    pub(crate) sni: Option<String>,
    /// Present the certificate in FILE (PEM) if the server requests one
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub(crate) client_cert: Option<PathBuf>,
    /// The private key of --client-cert (PEM)
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub(crate) client_key: Option<PathBuf>,
}

/// How to serve clients that speak TLS.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "TLS, listening")]
pub(crate) struct TlsServer {
    /// The certificate to present, in FILE (PEM), followed by those of the authorities between it and a
    /// trusted one. SIGHUP reads --cert and --key again, for new connections; if they cannot be used,
    /// the old ones stay
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with = "self_signed")]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of --cert (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Make a certificate for localhost, for tests. Prints its fingerprint, for --pin of the client
    #[arg(long)]
    pub(crate) self_signed: bool,
    /// Accept only clients with a certificate of the authorities in FILE (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) client_ca: Option<PathBuf>,
}
