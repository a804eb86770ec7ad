//! What the connections of a server have in common.

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use fyke::{Error, Result};
use rustls::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};

use crate::engine::Engine;
use crate::error::{code, invalid_context, of_rustls};
use crate::hello::Hello;
use crate::identities::Identities;
use crate::identity::{Identity, authorities_in};
use crate::layer::TlsLayer;
use crate::options::{Version, check_alpn, key_log};
use crate::provider::provider;
use crate::reports::Keys;
use crate::rustls23::Connection;
use crate::tickets::{TicketKeys, Tickets};
use crate::verify::Reporting;

/// What the connections of a server have in common: Node's `tls.createSecureContext`. Clones share everything,
/// on every thread: the certificates, and the keys of session tickets.
#[derive(Clone)]
pub struct ServerContext {
    config: Arc<ServerConfig>,
    /// Set if connections go on with a certificate that is not acceptable.
    rechecks: Option<Arc<Reporting<dyn ClientCertVerifier>>>,
    chooses_alpn: Option<ChoosesAlpn>,
    // Not known if the configuration is the user's own.
    identities: Option<Arc<Identities>>,
    tickets: Option<Arc<Tickets>>,
}

/// Chooses the application protocol of a client.
#[derive(Clone)]
struct ChoosesAlpn(Arc<dyn Fn(&Hello) -> Option<Vec<u8>> + Send + Sync>);

impl fmt::Debug for ChoosesAlpn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChoosesAlpn")
    }
}

/// How to make a [`ServerContext`].
#[derive(Clone, Debug)]
pub struct ServerOptions {
    identity: Identity,
    by_name: HashMap<String, Identity>,
    alpn: Vec<Vec<u8>>,
    chooses_alpn: Option<ChoosesAlpn>,
    min_version: Version,
    client_authorities: Vec<u8>,
    requires_client: bool,
    accepts_any_client: bool,
    ticket_keys: Option<TicketKeys>,
    logs_keys: bool,
}

impl ServerOptions {
    /// The defaults, with this certificate: TLS 1.2 and 1.3, clients need no certificate, and sessions can be
    /// resumed by tickets.
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            by_name: HashMap::new(),
            alpn: Vec::new(),
            chooses_alpn: None,
            min_version: Version::default(),
            client_authorities: Vec::new(),
            requires_client: false,
            accepts_any_client: false,
            ticket_keys: None,
            logs_keys: false,
        }
    }

    /// Uses this certificate for clients that ask for `name` (SNI). `*.example.org` stands for every name with
    /// one label before `.example.org`. Node: `server.addContext`.
    #[must_use]
    #[doc(alias = "addContext")]
    pub fn identity_for(mut self, name: &str, identity: Identity) -> Self {
        self.by_name.insert(name.to_ascii_lowercase(), identity);
        self
    }

    /// Accepts these application protocols, the preferred one first. A client that offers others only is
    /// refused. Node: `ALPNProtocols`.
    #[must_use]
    #[doc(alias = "ALPNProtocols")]
    pub fn alpn_protocols<P: Into<Vec<u8>>>(
        mut self,
        protocols: impl IntoIterator<Item = P>,
    ) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Calls `f` for each client that offers application protocols, to choose one of them; [`Hello`] has them, and the
    /// server name. `None` refuses the client with the alert `no_application_protocol`, and the handshake fails
    /// with `ERR_TLS_NO_APPLICATION_PROTOCOL`. A protocol that the client has not offered does, too, with
    /// `ERR_TLS_ALPN_CALLBACK_INVALID_RESULT`. A client that offers none is accepted without a protocol, and `f` is not
    /// called. It cannot be used together with [`alpn_protocols`](Self::alpn_protocols). Node: `ALPNCallback`.
    ///
    /// ```
    /// # fn serve(identity: fyke_tls::Identity) -> fyke::Result<()> {
    /// let options = fyke_tls::ServerOptions::new(identity).alpn_callback(|hello| {
    ///     let offered = hello.alpn_protocols();
    ///     match hello.server_name() {
    ///         Some("legacy.example") => offered.iter().find(|name| *name == b"http/1.1").cloned(),
    ///         _ => offered.first().cloned(),
    ///     }
    /// });
    /// # options.build().map(drop)
    /// # }
    /// ```
    #[must_use]
    #[doc(alias = "ALPNCallback")]
    pub fn alpn_callback(
        mut self,
        f: impl Fn(&Hello) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        self.chooses_alpn = Some(ChoosesAlpn(Arc::new(f)));
        self
    }

    /// Sets the lowest version. Default: TLS 1.2. Node: `minVersion`.
    #[must_use]
    #[doc(alias = "minVersion")]
    pub fn min_version(mut self, version: Version) -> Self {
        self.min_version = version;
        self
    }

    /// Asks clients for a certificate of these authorities, in PEM. A client without one is accepted, and has no
    /// [`peer_certificate`](crate::Tls::peer_certificate); one with another certificate is refused. Node:
    /// `requestCert`.
    #[must_use]
    #[doc(alias = "requestCert")]
    pub fn request_client_certificate(mut self, authorities_pem: impl Into<Vec<u8>>) -> Self {
        self.client_authorities = authorities_pem.into();
        self
    }

    /// Requires a certificate of these authorities, in PEM: a client without one is refused. Node:
    /// `requestCert` with `rejectUnauthorized`.
    #[must_use]
    pub fn require_client_certificate(self, authorities_pem: impl Into<Vec<u8>>) -> Self {
        Self { requires_client: true, ..self.request_client_certificate(authorities_pem) }
    }

    /// Goes on with a certificate of a client that is not acceptable. It is verified all the same:
    /// [`is_authorized`](crate::Tls::is_authorized) has the result, and [`authorization_error`](crate::Tls::authorization_error) the reason. Needs
    /// [`request_client_certificate`](Self::request_client_certificate) or
    /// [`require_client_certificate`](Self::require_client_certificate), with which a client without a certificate
    /// is still refused. Node: `requestCert` with `rejectUnauthorized: false`.
    ///
    /// ```
    /// # fn serve(identity: fyke_tls::Identity, authorities: String) -> fyke::Result<()> {
    /// let options = fyke_tls::ServerOptions::new(identity).request_client_certificate(authorities);
    /// let context = options.dangerous_accept_any_client_certificate().build()?;
    /// let server = fyke_tls::create_server(&context, |socket| {
    ///     let tls = fyke_tls::Tls::of(socket).unwrap();
    ///     match (tls.is_authorized(), tls.authorization_error()) {
    ///         (true, _) => _ = socket.end_with("welcome"),
    ///         (false, Some(error)) => _ = socket.end_with(error.to_string()),
    ///         (false, None) => _ = socket.end_with("you have no certificate"),
    ///     }
    /// });
    /// # server.listen(0)
    /// # }
    /// ```
    #[must_use]
    pub fn dangerous_accept_any_client_certificate(mut self) -> Self {
        self.accepts_any_client = true;
        self
    }

    /// Encrypts session tickets with these keys, which other servers may share. Default: a random key, which is replaced every
    /// six hours. Node: `ticketKeys`. See [`TicketKeys`] for how to rotate them.
    ///
    /// ```
    /// # fn serve(identity: fyke_tls::Identity) -> fyke::Result<()> {
    /// let keys = fyke_tls::TicketKeys::from_bytes(&std::fs::read("ticket.keys")?)?;
    /// let context = fyke_tls::ServerOptions::new(identity).ticket_keys(keys).build()?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    #[doc(alias = "ticketKeys")]
    pub fn ticket_keys(mut self, keys: TicketKeys) -> Self {
        self.ticket_keys = Some(keys);
        self
    }

    /// Appends the keys of all connections to the file that the environment variable `SSLKEYLOGFILE` names, so
    /// that Wireshark can decrypt them.
    #[must_use]
    pub fn log_keys(mut self) -> Self {
        self.logs_keys = true;
        self
    }

    /// Makes the context.
    ///
    /// # Errors
    /// - `ERR_TLS_INVALID_CONTEXT` if the authorities are not certificates in PEM, if an application protocol
    ///   is empty or longer than 255 bytes, or if every certificate of a client is accepted and none requested.
    /// - `ERR_TLS_ALPN_CALLBACK_WITH_PROTOCOLS` if there are application protocols and a callback that chooses one.
    pub fn build(self) -> Result<ServerContext> {
        check_alpn(&self.alpn)?;
        if self.chooses_alpn.is_some() && !self.alpn.is_empty() {
            let message =
                "a callback chooses the application protocol, so there must be no list of them";
            return Err(Error::new(code::ERR_TLS_ALPN_CALLBACK_WITH_PROTOCOLS, message));
        }
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(self.min_version.and_later())
            .map_err(of_rustls)?;
        let verifier = self.client_verifier()?;
        let builder = match &verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier.clone()),
            None => builder.with_no_client_auth(),
        };
        let accepts_any_client = self.accepts_any_client;
        let identities = Arc::new(Identities::new(self.identity, self.by_name));
        let resolver: Arc<dyn ResolvesServerCert> = identities.clone();
        let mut config = builder.with_cert_resolver(resolver);
        config.alpn_protocols = self.alpn;
        let tickets = Arc::new(Tickets::new(self.ticket_keys)?);
        config.ticketer = tickets.clone();
        config.enable_secret_extraction = true;
        config.key_log = key_log(self.logs_keys);
        Ok(ServerContext {
            config: Arc::new(config),
            rechecks: verifier.filter(|_| accepts_any_client),
            chooses_alpn: self.chooses_alpn,
            identities: Some(identities),
            tickets: Some(tickets),
        })
    }

    fn client_verifier(&self) -> Result<Option<Arc<Reporting<dyn ClientCertVerifier>>>> {
        if self.client_authorities.is_empty() {
            return match self.accepts_any_client {
                true => Err(invalid_context("no certificate is requested from clients")),
                false => Ok(None),
            };
        }
        let roots = Arc::new(authorities_in(&self.client_authorities)?);
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
        let builder = match self.requires_client {
            true => builder,
            false => builder.allow_unauthenticated(),
        };
        let verifier = builder.build().map_err(|error| invalid_context(error.to_string()))?;
        Ok(Some(Arc::new(Reporting::new(verifier, self.accepts_any_client))))
    }
}

impl ServerContext {
    /// Makes a context with the defaults of [`ServerOptions`].
    ///
    /// # Errors
    /// The errors of [`ServerOptions::build`].
    pub fn new(identity: Identity) -> Result<Self> {
        ServerOptions::new(identity).build()
    }

    /// Makes a context with a configuration of rustls. Its certificates and keys of tickets cannot be
    /// replaced.
    ///
    /// # Errors
    /// `ERR_TLS_INVALID_CONTEXT` if the configuration accepts early data, which an attacker can send again.
    pub fn from_config(config: Arc<ServerConfig>) -> Result<Self> {
        if config.max_early_data_size > 0 {
            return Err(invalid_context("early data is not supported, because it can be replayed"));
        }
        let mut config = Arc::unwrap_or_clone(config);
        // As a configuration that is built here: see `rustls23/records.rs`.
        config.enable_secret_extraction = true;
        config.key_log = Arc::new(Keys(config.key_log));
        Ok(Self {
            config: Arc::new(config),
            rechecks: None,
            chooses_alpn: None,
            identities: None,
            tickets: None,
        })
    }

    /// Replaces the certificate for the connections that follow, in all clones of the context. Established
    /// connections are not affected. Node: `server.setSecureContext`.
    ///
    /// # Errors
    /// `ERR_TLS_INVALID_CONTEXT` if the context was made [from a configuration](Self::from_config).
    #[doc(alias = "setSecureContext")]
    pub fn set_identity(&self, identity: Identity) -> Result<()> {
        self.identities()?.set(identity);
        Ok(())
    }

    /// Replaces the certificate for clients that ask for `name`, see [`ServerOptions::identity_for`].
    ///
    /// # Errors
    /// `ERR_TLS_INVALID_CONTEXT` if the context was made [from a configuration](Self::from_config).
    pub fn set_identity_for(&self, name: &str, identity: Identity) -> Result<()> {
        self.identities()?.set_for(name, identity);
        Ok(())
    }

    /// Reads all certificates and keys again that were read [from files](Identity::from_pem_files), for the
    /// connections that follow, in all clones of the context. Established connections and handshakes in progress
    /// are not affected, and none is lost. Blocks while it reads; it may be called on any thread. If one file cannot be used, all
    /// certificates stay as they were. Authorities are not read again.
    ///
    /// # Errors
    /// - The errors of [`Identity::from_pem_files`]: a file is missing, or the key does not belong to the
    ///   certificate, perhaps because only one of them is replaced yet.
    /// - `ERR_TLS_INVALID_CONTEXT` if no certificate was read from files, or if the context was made
    ///   [from a configuration](Self::from_config).
    ///
    /// ```no_run
    /// # fn main() -> fyke::Result<()> {
    /// let identity = fyke_tls::Identity::from_pem_files("cert.pem", "key.pem")?;
    /// let context = fyke_tls::ServerContext::new(identity)?;
    /// // After the files were replaced:
    /// if let Err(error) = context.reload() {
    ///     eprintln!("the old certificate stays in use: {error}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn reload(&self) -> Result<()> {
        self.identities()?.reload()
    }

    /// Replaces the keys of session tickets for the connections that follow, in all clones of the context. Node:
    /// `server.setTicketKeys`. See [`TicketKeys`] for how to rotate them.
    ///
    /// # Errors
    /// `ERR_TLS_INVALID_CONTEXT` if the context was made [from a configuration](Self::from_config).
    #[doc(alias = "setTicketKeys")]
    pub fn set_ticket_keys(&self, keys: TicketKeys) -> Result<()> {
        let message = "the ticket keys of a configuration of rustls cannot be replaced";
        self.tickets.as_deref().ok_or_else(|| invalid_context(message))?.set(keys);
        Ok(())
    }

    fn identities(&self) -> Result<&Identities> {
        let message = "the certificates of a configuration of rustls cannot be replaced";
        self.identities.as_deref().ok_or_else(|| invalid_context(message))
    }

    /// Makes the engine of a connection.
    pub(crate) fn engine(&self, layer: &TlsLayer, hello: &Hello) -> Result<Box<dyn Engine>> {
        if let Some(verifier) = self.rechecks.clone() {
            layer.watch.recheck_with(Rc::new(move |chain| verifier.recheck(chain)));
        }
        Ok(Box::new(Connection::server(&self.config_for(hello)?)?))
    }

    /// Returns the configuration with the application protocol that is chosen for this client.
    fn config_for(&self, hello: &Hello) -> Result<Arc<ServerConfig>> {
        let offered = hello.alpn_protocols();
        let (false, Some(chooses)) = (offered.is_empty(), &self.chooses_alpn) else {
            return Ok(Arc::clone(&self.config));
        };
        let chosen = match (chooses.0)(hello) {
            Some(chosen) if !offered.contains(&chosen) => {
                let message = "the application chose a protocol that the client has not offered";
                return Err(Error::new(code::ERR_TLS_ALPN_CALLBACK_INVALID_RESULT, message));
            }
            // No client offers a protocol without a name, so that the client is refused.
            chosen => chosen.unwrap_or_default(),
        };
        let mut config = ServerConfig::clone(&self.config);
        config.alpn_protocols = vec![chosen];
        Ok(Arc::new(config))
    }
}

impl fmt::Debug for ServerContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerContext").finish_non_exhaustive()
    }
}
