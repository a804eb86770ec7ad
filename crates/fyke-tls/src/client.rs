//! Clients.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use fyke::{Endpoint, Error, Result, Socket};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};

use crate::error::{code, invalid_context, of_rustls};
use crate::fingerprint::Fingerprint;
use crate::identity::{Identity, authorities_in};
use crate::layer::{Stage, Tls, TlsLayer};
use crate::options::{HANDSHAKE_TIMEOUT, Version, check_alpn, key_log};
use crate::provider::provider;
use crate::reports::{self, Keys, Reports};
use crate::resumption::{self, Sessions};
use crate::rustls23::Connection;
use crate::verify::{ByFingerprint, Reporting};

/// What the connections of a client have in common: Node's `tls.createSecureContext`. It can be used on every
/// thread. Sessions are resumed among the connections of one context.
#[derive(Clone, Debug)]
pub struct ClientContext {
    config: Arc<ClientConfig>,
    /// Set if connections go on with a certificate that is not acceptable.
    rechecks: Option<Arc<Reporting<dyn ServerCertVerifier>>>,
    session: Option<resumption::Session>,
    handshake_timeout: Option<Duration>,
    server_name: Option<String>,
}

/// How to make a [`ClientContext`].
#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    authorities: Vec<u8>,
    pins: Vec<Fingerprint>,
    accepts_all: bool,
    identity: Option<Identity>,
    alpn: Vec<Vec<u8>>,
    min_version: Version,
    logs_keys: bool,
    handshake_timeout: Option<Option<Duration>>,
    server_name: Option<String>,
}

impl ClientOptions {
    /// The defaults: servers are verified as the system does, TLS 1.2 and 1.3, a handshake takes at most two
    /// minutes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts these authorities, in PEM, and no others. Node: `ca`.
    #[must_use]
    pub fn authorities_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities = pem.into();
        self
    }

    /// Accepts the certificate with this fingerprint, whoever issued it and for whatever name, and no other
    /// one. May be called several times.
    #[must_use]
    pub fn pin(mut self, fingerprint: Fingerprint) -> Self {
        self.pins.push(fingerprint);
        self
    }

    /// Goes on with a certificate that is not acceptable. The connection is encrypted, but the server can be an
    /// attacker. The certificate is verified all the same: [`Tls::is_authorized`] has the result, and
    /// [`Tls::authorization_error`] the reason. Without [`authorities_pem`](Self::authorities_pem) and
    /// [`pin`](Self::pin) it is verified as the system does; if that is not possible, no certificate is
    /// authorized. Node: `rejectUnauthorized: false`.
    ///
    /// ```no_run
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let options = fyke_tls::ClientOptions::new().dangerous_accept_any_certificate();
    ///     let socket = fyke_tls::connect(("self-signed.example", 443), &options.build()?)?;
    ///     fyke_tls::Tls::of(&socket).unwrap().on_secure_connect(|socket| {
    ///         if let Some(error) = fyke_tls::Tls::of(socket).unwrap().authorization_error() {
    ///             eprintln!("warning: {error}");
    ///         }
    ///     });
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[must_use]
    #[doc(alias = "rejectUnauthorized")]
    pub fn dangerous_accept_any_certificate(mut self) -> Self {
        self.accepts_all = true;
        self
    }

    /// Presents this certificate if the server asks for one. Node: `cert` and `key`.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Offers these application protocols, the preferred one first. Node: `ALPNProtocols`.
    #[must_use]
    #[doc(alias = "ALPNProtocols")]
    pub fn alpn_protocols<P: Into<Vec<u8>>>(
        mut self,
        protocols: impl IntoIterator<Item = P>,
    ) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the lowest version. Default: TLS 1.2. Node: `minVersion`.
    #[must_use]
    #[doc(alias = "minVersion")]
    pub fn min_version(mut self, version: Version) -> Self {
        self.min_version = version;
        self
    }

    /// Appends the keys of all connections to the file that the environment variable `SSLKEYLOGFILE` names, so
    /// that Wireshark can decrypt them.
    #[must_use]
    pub fn log_keys(mut self) -> Self {
        self.logs_keys = true;
        self
    }

    /// Limits how long a handshake may take, or not. Default: two minutes. Node: `handshakeTimeout`.
    #[must_use]
    #[doc(alias = "handshakeTimeout")]
    pub fn handshake_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.handshake_timeout = Some(timeout);
        self
    }

    /// Asks for, and verifies, this name instead of the host that is connected to. Node: `servername`.
    #[must_use]
    #[doc(alias = "servername")]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Makes the context.
    ///
    /// # Errors
    /// - `ERR_TLS_INVALID_CONTEXT` if the authorities are not certificates in PEM, if no authority is given and
    ///   those of the system cannot be read, or if an application protocol is empty or longer than 255 bytes.
    /// - `ERR_TLS_INVALID_SERVER_NAME` if [`server_name`](Self::server_name) can be in no certificate.
    pub fn build(self) -> Result<ClientContext> {
        check_alpn(&self.alpn)?;
        if let Some(name) = &self.server_name {
            parse_name(name)?;
        }
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(self.min_version.and_later())
            .map_err(of_rustls)?;
        let verifier = Arc::new(Reporting::new(self.verifier()?, self.accepts_all));
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier.clone());
        let mut config = match self.identity {
            Some(identity) => builder.with_client_cert_resolver(Arc::new(Own(identity))),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn;
        config.enable_secret_extraction = true;
        config.resumption = Resumption::store(Arc::new(Sessions::new()));
        config.key_log = key_log(self.logs_keys);
        Ok(ClientContext {
            config: Arc::new(config),
            rechecks: self.accepts_all.then_some(verifier),
            session: None,
            handshake_timeout: self.handshake_timeout.unwrap_or(Some(HANDSHAKE_TIMEOUT)),
            server_name: self.server_name,
        })
    }

    fn verifier(&self) -> Result<Arc<dyn ServerCertVerifier>> {
        if !self.pins.is_empty() {
            return Ok(Arc::new(ByFingerprint::new(provider(), self.pins.clone())));
        }
        if !self.authorities.is_empty() {
            return verifier_of(authorities_in(&self.authorities)?);
        }
        match system_verifier() {
            Err(_) if self.accepts_all => Ok(Arc::new(ByFingerprint::nothing(provider()))),
            result => result,
        }
    }
}

fn verifier_of(roots: RootCertStore) -> Result<Arc<dyn ServerCertVerifier>> {
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
    Ok(verifier.build().map_err(|error| invalid_context(error.to_string()))?)
}

/// Trusts what the system trusts.
#[cfg(feature = "platform-verifier")]
fn system_verifier() -> Result<Arc<dyn ServerCertVerifier>> {
    let verifier = rustls_platform_verifier::Verifier::new(provider()).map_err(of_rustls)?;
    Ok(Arc::new(verifier))
}

/// Trusts Mozilla's list.
#[cfg(all(feature = "webpki-roots", not(feature = "platform-verifier")))]
fn system_verifier() -> Result<Arc<dyn ServerCertVerifier>> {
    verifier_of(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
}

#[cfg(not(any(feature = "platform-verifier", feature = "webpki-roots")))]
fn system_verifier() -> Result<Arc<dyn ServerCertVerifier>> {
    Err(invalid_context(
        "no authority is trusted: set some, or enable the feature `platform-verifier` or `webpki-roots`",
    ))
}

#[derive(Debug)]
struct Own(Identity);

impl ResolvesClientCert for Own {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0.certified))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ClientContext {
    /// Makes a context with the defaults of [`ClientOptions`].
    ///
    /// # Errors
    /// `ERR_TLS_INVALID_CONTEXT` if the authorities of the system cannot be read.
    pub fn new() -> Result<Self> {
        ClientOptions::new().build()
    }

    /// Makes a context with a configuration of rustls. Its sessions stay in its own store: there is no
    /// [`Tls::on_session`].
    pub fn from_config(config: Arc<ClientConfig>) -> Self {
        let mut config = Arc::unwrap_or_clone(config);
        // As a configuration that is built here: see `rustls23/records.rs`.
        config.enable_secret_extraction = true;
        config.key_log = Arc::new(Keys(config.key_log));
        Self {
            config: Arc::new(config),
            rechecks: None,
            session: None,
            handshake_timeout: Some(HANDSHAKE_TIMEOUT),
            server_name: None,
        }
    }

    /// Returns this context with a session that the next connection continues if the server accepts it; see
    /// [`Tls::is_session_reused`] then. Without an effect is a session that was used already, that is of another server
    /// name, or that is of a context other than this one and its clones: the handshake is a full one. Node: the
    /// option `session`. See [`Tls::on_session`] for an example.
    #[must_use]
    pub fn with_session(&self, session: resumption::Session) -> Self {
        Self { session: Some(session), ..self.clone() }
    }

    /// Returns this context with another limit on handshakes, see [`ClientOptions::handshake_timeout`]. Sessions
    /// are resumed among the connections of both.
    #[must_use]
    pub fn with_handshake_timeout(&self, timeout: Option<Duration>) -> Self {
        Self { handshake_timeout: timeout, ..self.clone() }
    }

    fn layer(&self, host: Option<&str>) -> Result<Rc<TlsLayer>> {
        let name = self.server_name.as_deref().or(host).unwrap_or("localhost");
        let (bare, parsed) = parse_name(name)?;
        let offers = Reports { offered: self.session.clone(), ..Reports::default() };
        let (connection, _) =
            reports::collect(offers, || Connection::client(&self.config, parsed.clone()));
        let layer = TlsLayer::new(Stage::Engine(Box::new(connection?)), Some(bare.to_owned()));
        if let Some(verifier) = &self.rechecks {
            let verifier = Arc::clone(verifier);
            layer.watch.recheck_with(Rc::new(move |chain| verifier.recheck(chain, &parsed)));
        }
        Ok(layer)
    }
}

/// Parses the name that a certificate must have. Returns it without what is no part of the name, too.
fn parse_name(name: &str) -> Result<(&str, ServerName<'static>)> {
    // A zone is local, and certificates do not have it.
    let bare = name.split('%').next().unwrap_or(name).trim_end_matches('.');
    let parsed = ServerName::try_from(bare.to_owned()).map_err(|_| {
        let message = format!("{name:?} is neither a host name nor an IP address");
        Error::new(code::ERR_TLS_INVALID_SERVER_NAME, message)
    })?;
    Ok((bare, parsed))
}

/// Connects to a server, and then speaks TLS with it: Node's `tls.connect`. The socket is returned at once. What
/// is written before the handshake is done waits for it.
///
/// The certificate must be for the host of the endpoint, or for
/// [`server_name`](ClientOptions::server_name). For Unix sockets the default is `localhost`, as in Node.
///
/// The events are those of [`fyke::connect`]; [`Tls::on_secure_connect`] follows `ready`. If the handshake
/// fails, `error` has one of the codes in [`code`], and `close` follows.
///
/// # Errors
/// - The errors of [`fyke::connect`].
/// - `ERR_TLS_INVALID_SERVER_NAME` if the name can be in no certificate.
#[doc(alias = "tls.connect")]
pub fn connect<E>(endpoint: E, context: &ClientContext) -> Result<Socket>
where
    E: TryInto<Endpoint>,
    Error: From<E::Error>,
{
    connect_to(endpoint.try_into()?, context)
}

fn connect_to(endpoint: Endpoint, context: &ClientContext) -> Result<Socket> {
    let host = match &endpoint {
        Endpoint::Host(host, _) => Some(host.clone()),
        Endpoint::Ip(address) => Some(address.ip().to_string()),
        _ => None,
    };
    let layer = context.layer(host.as_deref())?;
    let socket = Socket::new();
    layer.attach(&socket, &[], context.handshake_timeout)?;
    socket.connect(endpoint)?;
    Ok(socket)
}

/// Begins TLS as the client on a socket that is connected or connecting, for example after `STARTTLS`. The
/// server's certificate must be for `server_name`. What was written on a connected socket before is sent without
/// TLS. `received` are
/// bytes for TLS that a listener got together with the last ones before it; usually none. Node: `tls.connect({
/// socket })`.
///
/// # Errors
/// - `ERR_HAS_LAYER` and `ERR_SOCKET_CLOSED`, as [`Socket::add_layer`].
/// - `ERR_TLS_INVALID_SERVER_NAME` if the name can be in no certificate.
pub fn upgrade_client(
    socket: &Socket,
    server_name: &str,
    received: &[u8],
    context: &ClientContext,
) -> Result<Tls> {
    let layer = context.layer(Some(server_name))?;
    layer.attach(socket, received, context.handshake_timeout)?;
    Ok(Tls::new(layer))
}
