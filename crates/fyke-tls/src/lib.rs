//! TLS for fyke's sockets: Node's `tls` module, on [rustls](https://docs.rs/rustls).
//!
//! A [`Socket`](fyke::Socket) that speaks TLS stays a socket: pipes, half-close, timeouts, backpressure, limits,
//! `async` streams and the simulated network work unchanged. TLS is a [layer](fyke::Layer) between the socket and
//! its connection.
//!
//! - [`connect`] and [`create_server`] are Node's `tls.connect` and `tls.createServer`.
//! - [`upgrade_client`] and [`upgrade_server`] begin TLS in the middle of a connection (`STARTTLS`).
//! - [`Tls::of`] returns what was negotiated on a socket.
//!
//! ```no_run
//! use fyke_tls::{Identity, ServerContext, create_server};
//!
//! fn main() -> fyke::Result<()> {
//!     let identity = Identity::from_pem_files("cert.pem", "key.pem")?;
//!     let context = ServerContext::new(identity)?;
//!     fyke::run(|| {
//!         // Called for each client whose handshake is done.
//!         let server = create_server(&context, |socket| {
//!             socket.end_with("hello over TLS\n");
//!         });
//!         server.on_tls_client_error(|_, error| eprintln!("refused: {error}"));
//!         server.listen(("0.0.0.0", 8443))
//!     })
//! }
//! ```
//!
//! ```no_run
//! use fyke_tls::{ClientContext, connect};
//!
//! fn main() -> fyke::Result<()> {
//!     let context = ClientContext::new()?;
//!     fyke::run(|| {
//!         let socket = connect(("example.org", 8443), &context)?;
//!         socket.on_text(|_, text| print!("{text}"));
//!         socket.on_error(|_, error| eprintln!("{error}"));
//!         Ok(())
//!     })
//! }
//! ```
//!
//! Certificates are verified. A connection that ends without `close_notify` fails with `ERR_TLS_TRUNCATED`, where
//! Node emits `end`: bytes may be missing.
//!
//! # What rustls does not have
//!
//! Renegotiation, versions before TLS 1.2, cipher suites by OpenSSL's names, keys that both sides know before (PSK),
//! sessions as bytes (`setSession`), and PFX files: options for them are missing here too. rustls 0.23 has no
//! exporter in the interface that is used here.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `aws-lc-rs` | yes | the cryptography of aws-lc-rs, the fastest |
//! | `ring` | no | the cryptography of ring, which builds faster; used without `aws-lc-rs` |
//! | `platform-verifier` | yes | clients trust what the system trusts |
//! | `webpki-roots` | no | clients trust Mozilla's list, which is compiled in; used without `platform-verifier` |
#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used)]

mod certificate;
mod client;
mod engine;
mod error;
mod fingerprint;
mod hello;
mod identities;
mod identity;
mod options;
mod provider;
mod rustls23;
mod server;
mod server_context;
mod session;
mod verify;

pub use certificate::PeerCertificate;
pub use client::{ClientContext, ClientOptions, connect, upgrade_client};
pub use error::code;
pub use fingerprint::{Fingerprint, NotAFingerprint};
pub use hello::Hello;
pub use identity::Identity;
pub use options::Version;
pub use server::{ContextReply, TlsServer, create_server, upgrade_server};
pub use server_context::{ServerContext, ServerOptions};
pub use session::Tls;
