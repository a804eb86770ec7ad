//! Servers.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

use fyke::{Error, Result, Server, Socket};

use crate::engine::Engine;
use crate::error::code;
use crate::hello::Hello;
use crate::layer::{Counted, Stage, Tls, TlsLayer};
use crate::options::HANDSHAKE_TIMEOUT;
use crate::server_context::ServerContext;

/// Handshakes of one server at the same time.
const HANDSHAKES_MAX: usize = 1024;

/// A listener for clients whose handshake has failed.
type ErrorListener = Rc<dyn Fn(&Socket, &Error)>;
/// A listener for the secrets of connections.
type KeyListener = Rc<dyn Fn(&Socket, &str)>;
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
    on_key_log: RefCell<Option<KeyListener>>,
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
        on_key_log: RefCell::default(),
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
    let layer = shared.layer(socket);
    let listener = shared.on_key_log.borrow().clone();
    if let Some(listener) = listener {
        layer.watch.on_key_log(listener);
    }
    layer.counted.replace(Some(Counted::new(&shared.handshakes)));
    let reports = Rc::clone(shared);
    let listener = socket.on_error(move |socket, error| reports.report(socket, error));
    Tls::new(Rc::clone(&layer)).on_secure_connect(move |socket| {
        socket.off(listener);
        secure(socket);
    });
    layer.attach(socket, &[], shared.handshake_timeout.get())
}

impl Shared {
    fn report(&self, socket: &Socket, error: &Error) {
        let listener = self.on_error.borrow().clone();
        if let Some(listener) = listener {
            listener(socket, error);
        }
    }

    fn layer(self: &Rc<Self>, socket: &Socket) -> Rc<TlsLayer> {
        let (shared, socket) = (Rc::clone(self), socket.clone());
        let choose = move |layer: &Rc<TlsLayer>, hello: Hello| {
            let listener = shared.on_hello.borrow().clone();
            let Some(listener) = listener else {
                return shared.context.engine(layer, &hello).map(Some);
            };
            let default = shared.context.clone();
            let layer = Rc::clone(layer);
            let reply = ContextReply { layer, socket, default, hello: hello.clone() };
            listener(&hello, reply);
            Ok(None)
        };
        TlsLayer::new(Stage::Hello(Some(Box::new(choose))), None)
    }
}

/// The answer of an application that chooses the certificate of a client, see [`TlsServer::on_client_hello`]. Dropping
/// it without an answer leaves the client waiting until the handshake takes too long.
pub struct ContextReply {
    layer: Rc<TlsLayer>,
    socket: Socket,
    default: ServerContext,
    hello: Hello,
}

impl ContextReply {
    /// Continues the handshake with this context.
    pub fn use_context(self, context: &ServerContext) {
        self.answer(context.engine(&self.layer, &self.hello));
    }

    /// Continues the handshake with the context of the server.
    pub fn use_default(self) {
        self.answer(self.default.engine(&self.layer, &self.hello));
    }

    /// Closes the connection: the server does not know this name. The client gets the alert `unrecognized_name`, and
    /// the handshake fails with `ERR_TLS_SNI_REFUSED`.
    pub fn refuse(self) {
        let message = "the application refused the name that the client asked for";
        self.answer(Err(Error::new(code::ERR_TLS_SNI_REFUSED, message)));
    }

    fn answer(&self, engine: Result<Box<dyn Engine>>) {
        self.layer.choose(engine);
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

    /// Calls `f` for each secret of the connections that are accepted from now on, see [`Tls::on_key_log`]. Replaces
    /// the listener before it. Node: the event `keylog` of a server.
    ///
    /// ```
    /// # fn debug(server: &fyke_tls::TlsServer, file: std::fs::File) {
    /// use std::io::Write;
    ///
    /// server.on_key_log(move |_, line| _ = (&file).write_all(line.as_bytes()));
    /// # }
    /// ```
    #[doc(alias = "keylog")]
    pub fn on_key_log(&self, f: impl Fn(&Socket, &str) + 'static) {
        let before = self.shared.on_key_log.replace(Some(Rc::new(f)));
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
    let choose = move |layer: &Rc<TlsLayer>, hello: Hello| context.engine(layer, &hello).map(Some);
    let layer = TlsLayer::new(Stage::Hello(Some(Box::new(choose))), None);
    layer.attach(socket, received, Some(HANDSHAKE_TIMEOUT))?;
    Ok(Tls::new(layer))
}
