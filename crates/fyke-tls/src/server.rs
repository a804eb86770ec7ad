//! Servers.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use fyke::{Error, Result, Server, Socket};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{KeyLogFile, ServerConfig};

use crate::client::check_alpn;
use crate::engine::Engine;
use crate::error::{code, invalid_context, of_rustls};
use crate::hello::Hello;
use crate::identity::{Identity, authorities_in};
use crate::options::{HANDSHAKE_TIMEOUT, Version};
use crate::provider::provider;
use crate::rustls23::Connection;
use crate::session::{Counted, Session, Stage, Tls};

/// Handshakes of one server at the same time.
const HANDSHAKES_MAX: usize = 1024;

/// What the connections of a server have in common: Node's `tls.createSecureContext`. Clones share everything,
/// on every thread: the certificates, and the keys of session tickets.
#[derive(Clone)]
pub struct ServerContext {
    config: Arc<ServerConfig>,
    /// Not known if the configuration is the user's own.
    identities: Option<Arc<Identities>>,
}

/// How to make a [`ServerContext`].
#[derive(Clone, Debug)]
pub struct ServerOptions {
    identity: Identity,
    by_name: HashMap<String, Identity>,
    alpn: Vec<Vec<u8>>,
    min_version: Version,
    client_authorities: Vec<u8>,
    requires_client: bool,
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
            min_version: Version::default(),
            client_authorities: Vec::new(),
            requires_client: false,
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

    /// Sets the lowest version. Default: TLS 1.2. Node: `minVersion`.
    #[must_use]
    #[doc(alias = "minVersion")]
    pub fn min_version(mut self, version: Version) -> Self {
        self.min_version = version;
        self
    }

    /// Asks clients for a certificate of these authorities, in PEM. A client without one is accepted, and has no
    /// [`peer_certificate`](Tls::peer_certificate); one with another certificate is refused. Node:
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
    /// `ERR_TLS_INVALID_CONTEXT` if the authorities are not certificates in PEM, or if an application protocol
    /// is empty or longer than 255 bytes.
    pub fn build(self) -> Result<ServerContext> {
        check_alpn(&self.alpn)?;
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(self.min_version.and_later())
            .map_err(of_rustls)?;
        let builder = if self.client_authorities.is_empty() {
            builder.with_no_client_auth()
        } else {
            let roots = Arc::new(authorities_in(&self.client_authorities)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
            let verifier = match self.requires_client {
                true => verifier,
                false => verifier.allow_unauthenticated(),
            };
            let verifier = verifier.build().map_err(|error| invalid_context(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        };
        let by_name = self.by_name.into_iter().map(|(name, identity)| (name, identity.0)).collect();
        let identities = Arc::new(Identities {
            default: RwLock::new(self.identity.0),
            by_name: RwLock::new(by_name),
        });
        let resolver: Arc<dyn ResolvesServerCert> = identities.clone();
        let mut config = builder.with_cert_resolver(resolver);
        config.alpn_protocols = self.alpn;
        config.ticketer = ticketer()?;
        config.enable_secret_extraction = true;
        if self.logs_keys {
            config.key_log = Arc::new(KeyLogFile::new());
        }
        Ok(ServerContext { config: Arc::new(config), identities: Some(identities) })
    }
}

/// The keys rotate every six hours.
fn ticketer() -> Result<Arc<dyn rustls::server::ProducesTickets>> {
    #[cfg(feature = "aws-lc-rs")]
    return rustls::crypto::aws_lc_rs::Ticketer::new().map_err(of_rustls);
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    return rustls::crypto::ring::Ticketer::new().map_err(of_rustls);
}

// A panic leaves nothing half done.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// The certificates of a context, which can be replaced.
#[derive(Debug)]
struct Identities {
    default: RwLock<Arc<CertifiedKey>>,
    by_name: RwLock<HashMap<String, Arc<CertifiedKey>>>,
}

impl ResolvesServerCert for Identities {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let by_name = read(&self.by_name);
        let named = hello.server_name().filter(|_| !by_name.is_empty()).and_then(|name| {
            let name = name.to_ascii_lowercase();
            let wildcard = || {
                let (_, domain) = name.split_once('.')?;
                by_name.get(&format!("*.{domain}"))
            };
            by_name.get(&name).or_else(wildcard).cloned()
        });
        let default = || Arc::clone(&read(&self.default));
        Some(named.unwrap_or_else(default))
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

    /// Makes a context with a configuration of rustls. Its certificates cannot be replaced.
    ///
    /// # Errors
    /// `ERR_TLS_INVALID_CONTEXT` if the configuration accepts early data, which an attacker can send again.
    pub fn from_config(config: Arc<ServerConfig>) -> Result<Self> {
        if config.max_early_data_size > 0 {
            return Err(invalid_context("early data is not supported, because it can be replayed"));
        }
        // As a configuration that is built here: see `rustls23/records.rs`.
        let mut config = Arc::unwrap_or_clone(config);
        config.enable_secret_extraction = true;
        Ok(Self { config: Arc::new(config), identities: None })
    }

    /// Replaces the certificate for the connections that follow, in all clones of the context. Established
    /// connections are not affected. Node: `server.setSecureContext`.
    ///
    /// # Errors
    /// `ERR_TLS_INVALID_CONTEXT` if the context was made [from a configuration](Self::from_config).
    #[doc(alias = "setSecureContext")]
    pub fn set_identity(&self, identity: Identity) -> Result<()> {
        *write(&self.identities()?.default) = identity.0;
        Ok(())
    }

    /// Replaces the certificate for clients that ask for `name`, see [`ServerOptions::identity_for`].
    ///
    /// # Errors
    /// `ERR_TLS_INVALID_CONTEXT` if the context was made [from a configuration](Self::from_config).
    pub fn set_identity_for(&self, name: &str, identity: Identity) -> Result<()> {
        write(&self.identities()?.by_name).insert(name.to_ascii_lowercase(), identity.0);
        Ok(())
    }

    fn identities(&self) -> Result<&Identities> {
        let message = "the certificates of a configuration of rustls cannot be replaced";
        self.identities.as_deref().ok_or_else(|| invalid_context(message))
    }

    fn engine(&self) -> Result<Box<dyn Engine>> {
        Ok(Box::new(Connection::server(&self.config)?))
    }
}

impl fmt::Debug for ServerContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerContext").finish_non_exhaustive()
    }
}

/// A listener for clients whose handshake has failed.
type ErrorListener = Rc<dyn Fn(&Socket, &Error)>;
/// A listener that chooses the context of a client.
type NameListener = Rc<dyn Fn(&Hello, ContextReply)>;

/// A server that speaks TLS: Node's `tls.Server`. It is a [`fyke::Server`], with the events of TLS.
#[derive(Clone)]
pub struct TlsServer {
    server: Server,
    shared: Rc<Shared>,
}

struct Shared {
    context: ServerContext,
    on_error: RefCell<Option<ErrorListener>>,
    on_hello: RefCell<Option<NameListener>>,
    handshake_timeout: Cell<Option<Duration>>,
    handshakes_max: Cell<usize>,
    handshakes: Rc<Cell<usize>>,
}

/// Makes a server, and calls `on_secure_connection` for each client whose handshake is done: Node's
/// `tls.createServer`. Call [`listen`](Server::listen) on it.
///
/// A client whose handshake fails or takes longer than two minutes is closed. It causes no `error` event, but
/// [`TlsServer::on_tls_client_error`].
///
/// ```no_run
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     let identity = fyke_tls::Identity::from_pem_files("cert.pem", "key.pem")?;
///     let context = fyke_tls::ServerContext::new(identity)?;
///     let server = fyke_tls::create_server(&context, |socket| _ = socket.pipe(socket));
///     server.on_tls_client_error(|_, error| eprintln!("{error}"));
///     server.listen(8443)
/// })
/// # }
/// ```
#[doc(alias = "tls.createServer")]
pub fn create_server(
    context: &ServerContext,
    on_secure_connection: impl Fn(&Socket) + 'static,
) -> TlsServer {
    let server = Server::new();
    let shared = Rc::new(Shared {
        context: context.clone(),
        on_error: RefCell::default(),
        on_hello: RefCell::default(),
        handshake_timeout: Cell::new(Some(HANDSHAKE_TIMEOUT)),
        handshakes_max: Cell::new(HANDSHAKES_MAX),
        handshakes: Rc::default(),
    });
    let secure = Rc::new(on_secure_connection);
    let connections = Rc::clone(&shared);
    server.on_connection(move |_, socket| {
        let secure = Rc::clone(&secure);
        let begun = begin(&connections, socket, move |socket| secure(socket));
        if let Err(error) = begun {
            connections.report(socket, &error);
            socket.destroy();
        }
    });
    TlsServer { server, shared }
}

fn begin(
    shared: &Rc<Shared>,
    socket: &Socket,
    secure: impl FnOnce(&Socket) + 'static,
) -> Result<()> {
    if shared.handshakes.get() >= shared.handshakes_max.get() {
        let message = "too many TLS handshakes are in progress";
        return Err(Error::new(code::ERR_TLS_TOO_MANY_HANDSHAKES, message));
    }
    let session = shared.session(socket);
    session.counted.replace(Some(Counted::new(&shared.handshakes)));
    let reports = Rc::clone(shared);
    let listener = socket.on_error(move |socket, error| reports.report(socket, error));
    Tls::new(Rc::clone(&session)).on_secure_connect(move |socket| {
        socket.off(listener);
        secure(socket);
    });
    session.attach(socket, &[], shared.handshake_timeout.get())
}

impl Shared {
    fn report(&self, socket: &Socket, error: &Error) {
        let listener = self.on_error.borrow().clone();
        if let Some(listener) = listener {
            listener(socket, error);
        }
    }

    fn session(self: &Rc<Self>, socket: &Socket) -> Rc<Session> {
        let (shared, socket) = (Rc::clone(self), socket.clone());
        let choose = move |session: &Rc<Session>, hello: Hello| {
            let listener = shared.on_hello.borrow().clone();
            let Some(listener) = listener else { return shared.context.engine().map(Some) };
            let default = shared.context.clone();
            let reply = ContextReply { session: Rc::clone(session), socket, default };
            listener(&hello, reply);
            Ok(None)
        };
        Session::new(Stage::Hello(Some(Box::new(choose))), None)
    }
}

/// The answer of an application that chooses the certificate of a client, see [`TlsServer::on_client_hello`]. Dropping
/// it without an answer leaves the client waiting until the handshake takes too long.
pub struct ContextReply {
    session: Rc<Session>,
    socket: Socket,
    default: ServerContext,
}

impl ContextReply {
    /// Continues the handshake with this context.
    pub fn use_context(self, context: &ServerContext) {
        self.answer(context.engine());
    }

    /// Continues the handshake with the context of the server.
    pub fn use_default(self) {
        self.answer(self.default.engine());
    }

    /// Closes the connection: the server does not know this name. The client gets an alert.
    pub fn refuse(self) {
        let message = "the application refused the name that the client asked for";
        self.answer(Err(Error::new(code::ERR_TLS_SNI_REFUSED, message)));
    }

    fn answer(&self, engine: Result<Box<dyn Engine>>) {
        self.session.choose(engine);
        self.socket.wake_layer();
    }
}

impl fmt::Debug for ContextReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextReply").finish_non_exhaustive()
    }
}

impl TlsServer {
    /// Calls `f` for each client whose handshake fails, with the reason. The socket is closed then. Replaces the
    /// listener before it. Node: the event `tlsClientError`.
    #[doc(alias = "tlsClientError")]
    pub fn on_tls_client_error(&self, f: impl Fn(&Socket, &Error) + 'static) {
        let before = self.shared.on_error.replace(Some(Rc::new(f)));
        drop(before);
    }

    /// Calls `f` for each client that has said what it wants, to choose the certificate: at once, or later. The
    /// handshake waits for the answer. Replaces the listener before it. Node: `SNICallback`.
    #[doc(alias = "SNICallback")]
    pub fn on_client_hello(&self, f: impl Fn(&Hello, ContextReply) + 'static) {
        let before = self.shared.on_hello.replace(Some(Rc::new(f)));
        drop(before);
    }

    /// Limits how long a handshake may take, or not. Default: two minutes. Node: `handshakeTimeout`.
    #[doc(alias = "handshakeTimeout")]
    pub fn set_handshake_timeout(&self, timeout: Option<Duration>) {
        self.shared.handshake_timeout.set(timeout);
    }

    /// Sets how many handshakes may be in progress. A client beyond that is closed. Default: 1024.
    pub fn set_max_handshakes(&self, max: usize) {
        self.shared.handshakes_max.set(max);
    }

    /// Returns the number of handshakes in progress.
    pub fn handshakes(&self) -> usize {
        self.shared.handshakes.get()
    }
}

impl Deref for TlsServer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Begins TLS as the server on a connected socket, for example after `STARTTLS`. What was written before is sent
/// without TLS. `received` are bytes for TLS that a listener got together with the last ones before it; usually
/// none. Node: `new tls.TLSSocket(socket, { isServer: true })`.
///
/// # Errors
/// `ERR_HAS_LAYER` and `ERR_SOCKET_CLOSED`, as [`Socket::add_layer`].
pub fn upgrade_server(socket: &Socket, received: &[u8], context: &ServerContext) -> Result<Tls> {
    let context = context.clone();
    let choose = move |_: &Rc<Session>, _: Hello| context.engine().map(Some);
    let session = Session::new(Stage::Hello(Some(Box::new(choose))), None);
    session.attach(socket, received, Some(HANDSHAKE_TIMEOUT))?;
    Ok(Tls::new(session))
}
