//! TLS for fyke's sockets: Node's `tls` module, on [rustls](https://docs.rs/rustls).
//!
//! A [`Socket`](fyke::Socket) that speaks TLS stays a socket: pipes, half-close, timeouts, backpressure, limits,
//! `async` streams and the simulated network work unchanged. TLS is a [layer](fyke::Layer) between the socket and
//! its connection.
//!
//! - [`connect`] and [`create_server`] are Node's `tls.connect` and `tls.createServer`.
//! - [`upgrade_client`] and [`upgrade_server`] begin TLS in the middle of a connection (`STARTTLS`).
//! - [`Tls::of`] returns what was negotiated on a socket, and has the events [`keylog`](Tls::on_key_log) and
//!   [`session`](Tls::on_session).
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
//! # What is not possible
//!
//! Options of Node that are missing here, because rustls cannot do what they ask for:
//!
//! | Node | the reason |
//! |---|---|
//! | versions before TLS 1.2, renegotiation, `dhparam` | rustls leaves out what is known to be insecure |
//! | `ciphers`, `ecdhCurve`, `sigalgs` in OpenSSL's words | rustls has safe suites only, chosen in a configuration: [`ServerContext::from_config`] |
//! | `pskCallback` | rustls has no keys that both sides know before |
//! | `session` and `getSession` as bytes | the format is private to rustls; a [`Session`] is a value of this process |
//! | `pfx`, `passphrase` | rustls reads keys without a password, in PEM or DER |
//! | `exportKeyingMaterial` | rustls 0.23 (up to 0.23.46) exports from its connections with buffers and of QUIC only; those without buffers, which are used here, do not have the function |
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
mod layer;
mod options;
mod provider;
mod reports;
mod resumption;
mod rustls23;
mod server;
mod server_context;
mod tickets;
mod verify;
mod watch;

pub use certificate::PeerCertificate;
pub use client::{ClientContext, ClientOptions, connect, upgrade_client};
pub use error::code;
pub use fingerprint::{Fingerprint, NotAFingerprint};
pub use hello::Hello;
pub use identity::Identity;
pub use layer::Tls;
pub use options::Version;
pub use resumption::Session;
pub use server::{ContextReply, TlsServer, create_server, upgrade_server};
pub use server_context::{ServerContext, ServerOptions};
pub use tickets::TicketKeys;
