//! TLS on a socket: the layer, and the handle to it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::{Rc, Weak};
use std::time::Duration;

use fyke::timer::{self, Timer};
use fyke::{Error, Layer, LayerOutput, LayerStep, Result, Socket};

use crate::certificate::PeerCertificate;
use crate::engine::{Engine, Facts};
use crate::error::{code, http_request, refusal};
use crate::hello::{self, Hello};
use crate::resumption;
use crate::watch::Watch;

/// Called when the handshake is done.
type Listener = Box<dyn FnOnce(&Socket)>;

/// Chooses the engine of a server when the ClientHello is complete: now, or later by
/// [`TlsLayer::choose`].
pub(crate) type Chooser = Box<dyn FnOnce(&Rc<TlsLayer>, Hello) -> Result<Option<Box<dyn Engine>>>>;

pub(crate) enum Stage {
    /// A server waits for the ClientHello.
    Hello(Option<Chooser>),
    /// The application chooses the certificate.
    Choosing,
    /// The application has refused the client.
    Refused(Error),
    Engine(Box<dyn Engine>),
}

/// The layer between a socket and its connection.
pub(crate) struct TlsLayer {
    this: Weak<Self>,
    stage: RefCell<Stage>,
    /// The handshake is done.
    open: Cell<bool>,
    facts: RefCell<Facts>,
    server_name: RefCell<Option<String>>,
    secured: RefCell<Vec<Listener>>,
    deadline: RefCell<Option<Timer>>,
    pub(crate) watch: Watch,
    /// Counts among the handshakes of its server.
    pub(crate) counted: RefCell<Option<Counted>>,
}

/// One of a limited number of handshakes.
pub(crate) struct Counted(Rc<Cell<usize>>);

impl Counted {
    pub(crate) fn new(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl TlsLayer {
    pub(crate) fn new(stage: Stage, server_name: Option<String>) -> Rc<Self> {
        Rc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            stage: RefCell::new(stage),
            open: Cell::new(false),
            facts: RefCell::default(),
            server_name: RefCell::new(server_name),
            secured: RefCell::default(),
            deadline: RefCell::default(),
            watch: Watch::default(),
            counted: RefCell::default(),
        })
    }

    /// Puts this layer on the socket, and limits the time of its handshake.
    pub(crate) fn attach(
        self: &Rc<Self>,
        socket: &Socket,
        received: &[u8],
        timeout: Option<Duration>,
    ) -> Result<()> {
        socket.add_layer_after(Rc::clone(self), received)?;
        if let Some(timeout) = timeout {
            // The socket owns the layer, and the layer the timer.
            let (layer, owner) = (Rc::downgrade(self), socket.clone());
            let timer = timer::set_timeout(timeout, move || {
                let late = layer.upgrade().is_some_and(|layer| !layer.open.get());
                if late {
                    let message = "the TLS handshake took too long";
                    owner.destroy_with(Error::new(code::ERR_TLS_HANDSHAKE_TIMEOUT, message));
                }
            })?;
            timer.unref_loop();
            self.deadline.replace(Some(timer));
        }
        Ok(())
    }

    /// Sets the engine of a server that was choosing it.
    pub(crate) fn choose(&self, engine: Result<Box<dyn Engine>>) {
        let stage = engine.map_or_else(Stage::Refused, Stage::Engine);
        let before = self.stage.replace(stage);
        drop(before);
    }

    fn handshake_is_done(&self, facts: Facts) {
        if facts.is_resumed {
            self.watch.resumed(&facts.peer_certificates);
        }
        self.open.set(true);
        self.facts.replace(facts);
        self.stop_deadline();
        let counted = self.counted.take();
        drop(counted);
    }

    fn stop_deadline(&self) {
        let timer = self.deadline.take();
        if let Some(timer) = timer {
            timer.cancel();
        }
    }

    /// Reads the ClientHello, and lets the server choose its engine. Returns whether there is one now; a client
    /// has one from the beginning.
    fn read_hello(&self, coded: &[u8]) -> Result<bool> {
        let chooser = match &mut *self.stage.borrow_mut() {
            Stage::Engine(_) => return Ok(true),
            Stage::Choosing => return Ok(false),
            Stage::Refused(error) => return Err(error.clone()),
            Stage::Hello(chooser) => {
                // All bytes are passed again when more are received.
                if !hello::is_complete(coded) {
                    return Ok(false);
                }
                if hello::is_http_request(coded) {
                    return Err(http_request());
                }
                let Some(hello) = Hello::find(coded) else { return Ok(false) };
                chooser.take().map(|chooser| (chooser, hello))
            }
        };
        let (Some((chooser, hello)), Some(this)) = (chooser, self.this.upgrade()) else {
            return Ok(false);
        };
        self.stage.replace(Stage::Choosing);
        self.server_name.replace(hello.server_name().map(str::to_owned));
        if let Some(engine) = chooser(&this, hello)? {
            self.choose(Ok(engine));
        }
        match &*self.stage.borrow() {
            Stage::Refused(error) => Err(error.clone()),
            stage => Ok(matches!(stage, Stage::Engine(_))),
        }
    }

    fn truncated(&self) -> Error {
        let message = match self.open.get() {
            true => "the connection ended without close_notify, so bytes may be missing",
            false => "the peer ended the connection during the TLS handshake",
        };
        Error::new(code::ERR_TLS_TRUNCATED, message)
    }
}

impl Layer for TlsLayer {
    fn begin(&self, coded: &mut Vec<u8>) -> Result<()> {
        if let Stage::Engine(engine) = &mut *self.stage.borrow_mut() {
            let mut output = LayerOutput::default();
            engine.read(&mut [], &mut output)?;
            coded.append(&mut output.coded);
        }
        Ok(())
    }

    fn receive(&self, coded: &mut [u8], output: &mut LayerOutput) -> Result<LayerStep> {
        let may_read = self.open.get()
            || self.read_hello(coded).inspect_err(|error| {
                output.coded.extend_from_slice(&refusal(error));
            })?;
        if !may_read {
            let waits = matches!(*self.stage.borrow(), Stage::Choosing);
            return Ok(LayerStep { waits, ..LayerStep::default() });
        }
        let mut stage = self.stage.borrow_mut();
        let Stage::Engine(engine) = &mut *stage else { return Ok(LayerStep::default()) };
        let (read, rejected) = match self.open.get() && !self.watch.listens() {
            true => (engine.read(coded, output), None),
            false => self.watch.collect(|| engine.read(coded, output)),
        };
        if let Some(chain) = rejected {
            self.facts.borrow_mut().peer_certificates = chain;
        }
        let step = match read {
            Ok(step) => step,
            Err(error) => {
                // The engine cannot be used after an error.
                let before = std::mem::replace(&mut *stage, Stage::Refused(error.clone()));
                drop(stage);
                drop(before);
                return Err(error);
            }
        };
        if !self.open.get() && engine.is_open() {
            let facts = engine.opened()?;
            drop(stage);
            self.handshake_is_done(facts);
        }
        Ok(step)
    }

    fn is_open(&self) -> bool {
        self.open.get()
    }

    fn send(&self, plain: &[u8], coded: &mut Vec<u8>) -> Result<()> {
        match &mut *self.stage.borrow_mut() {
            Stage::Engine(engine) => engine.write(plain, coded),
            _ => Ok(()),
        }
    }

    fn end(&self, coded: &mut Vec<u8>) {
        if let Stage::Engine(engine) = &mut *self.stage.borrow_mut() {
            engine.close(coded);
        }
    }

    fn end_of_stream(&self) -> Result<()> {
        Err(self.truncated())
    }

    fn after_receive(&self, socket: &Socket) {
        self.watch.emit_keys(socket);
        if self.open.get() {
            for listener in self.secured.take() {
                listener(socket);
            }
            self.watch.emit_sessions(socket);
        }
    }

    fn removed(&self) {
        // A `Tls` or a `ContextReply` may outlive the connection. It must not keep the listeners or a place among
        // the handshakes, and the deadline must not end the socket's next connection.
        self.stop_deadline();
        drop((self.counted.take(), self.secured.take()));
        self.watch.clear();
        let chooser = match self.stage.try_borrow_mut().as_deref_mut() {
            Ok(Stage::Hello(chooser)) => chooser.take(),
            _ => None,
        };
        drop(chooser);
    }
}

impl Drop for TlsLayer {
    fn drop(&mut self) {
        // The timer holds the socket.
        self.stop_deadline();
    }
}

/// TLS on a socket: Node's `tls.TLSSocket`, without what `net.Socket` has.
///
/// ```no_run
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     let client = fyke_tls::ClientContext::new()?;
///     let socket = fyke_tls::connect(("example.org", 443), &client)?;
///     fyke_tls::Tls::of(&socket).unwrap().on_secure_connect(|socket| {
///         let tls = fyke_tls::Tls::of(socket).unwrap();
///         println!("{:?} {:?}", tls.protocol(), tls.cipher());
///         socket.end_with("GET / HTTP/1.0\r\nHost: example.org\r\n\r\n");
///     });
///     socket.on_text(|_, text| println!("{text}"));
///     Ok(())
/// })
/// # }
/// ```
#[derive(Clone)]
pub struct Tls(Rc<TlsLayer>);

impl Tls {
    pub(crate) fn new(layer: Rc<TlsLayer>) -> Self {
        Self(layer)
    }

    /// Returns the TLS of a socket, or `None` if the socket does not speak TLS. It ends with its connection: keep
    /// this value to use the getters after `close`.
    pub fn of(socket: &Socket) -> Option<Self> {
        socket.layer::<TlsLayer>().map(Self)
    }

    /// Calls `f` once when the handshake is done, before any data is delivered. It is not called if the
    /// handshake [is done](Self::is_secure) already. Node: the events `secureConnect` and `secure`.
    #[doc(alias = "secureConnect")]
    pub fn on_secure_connect(&self, f: impl FnOnce(&Socket) + 'static) {
        if !self.is_secure() {
            self.0.secured.borrow_mut().push(Box::new(f));
        }
    }

    /// Calls `f` for each secret of this connection, with a line in the format of NSS: a label, the random bytes of
    /// the client, and the secret, in hexadecimal digits, with a line feed. With them Wireshark can decrypt the
    /// connection, and so can everybody else. Several listeners may be added, at any time; a secret that was
    /// negotiated before is not repeated. Node: the event `keylog`.
    ///
    /// The lines come before [`on_secure_connect`](Self::on_secure_connect), also if the handshake then fails.
    /// [`ClientOptions::log_keys`](crate::ClientOptions::log_keys) writes those of all connections to a file.
    ///
    /// ```no_run
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let socket = fyke_tls::connect(("example.org", 443), &fyke_tls::ClientContext::new()?)?;
    ///     fyke_tls::Tls::of(&socket).unwrap().on_key_log(|_, line| eprint!("{line}"));
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[doc(alias = "keylog")]
    pub fn on_key_log(&self, f: impl Fn(&Socket, &str) + 'static) {
        self.0.watch.on_key_log(Rc::new(f));
    }

    /// Calls `f` for each session of this connection that a later one [can
    /// continue](crate::ClientContext::with_session). Only clients have them. A server of TLS 1.3 usually sends two
    /// after the handshake, one of TLS 1.2 one; they are received only while the socket reads. The event follows
    /// [`on_secure_connect`](Self::on_secure_connect). Node: the event `session`.
    ///
    /// A context remembers the sessions of connections without this listener, and continues them by itself. With
    /// it, the sessions belong to the application. It is not called if the context was made [from a
    /// configuration](crate::ClientContext::from_config), which has its own store.
    ///
    /// ```no_run
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let context = fyke_tls::ClientContext::new()?;
    ///     let socket = fyke_tls::connect(("example.org", 443), &context)?;
    ///     fyke_tls::Tls::of(&socket).unwrap().on_session(move |_, session| {
    ///         let again = fyke_tls::connect(("example.org", 443), &context.with_session(session));
    ///         fyke_tls::Tls::of(&again.unwrap()).unwrap().on_secure_connect(|socket| {
    ///             println!("{}", fyke_tls::Tls::of(socket).unwrap().is_session_reused());
    ///             socket.destroy();
    ///         });
    ///     });
    ///     socket.end_with("GET / HTTP/1.0\r\nHost: example.org\r\n\r\n").resume();
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[doc(alias = "session")]
    pub fn on_session(&self, f: impl Fn(&Socket, resumption::Session) + 'static) {
        self.0.watch.on_session(Rc::new(f));
    }

    /// Returns whether the handshake is done. Until then, written bytes wait.
    pub fn is_secure(&self) -> bool {
        self.0.open.get()
    }

    /// Returns whether the peer has presented a certificate that was verified. `false` before the handshake is done.
    ///
    /// On clients it is `false` only with [`dangerous_accept_any_certificate`], on servers also if the client has
    /// presented none. A resumed session has the certificates of the first one; if any certificate is accepted, they
    /// are verified again. With a context that was made from a configuration of rustls, every certificate that it
    /// accepts counts as verified. Node: `authorized`.
    ///
    /// [`dangerous_accept_any_certificate`]: crate::ClientOptions::dangerous_accept_any_certificate
    #[doc(alias = "authorized")]
    pub fn is_authorized(&self) -> bool {
        let has_certificate = !self.0.facts.borrow().peer_certificates.is_empty();
        self.is_secure() && has_certificate && self.authorization_error().is_none()
    }

    /// Returns why the certificate of the peer is not acceptable: an error with one of the codes in
    /// [`code`], for example `CERT_HAS_EXPIRED`. `None` if it is acceptable, or if there is none. If the
    /// handshake has failed because of it, the error and the certificates can still be read. Node: `authorizationError`.
    #[doc(alias = "authorizationError")]
    pub fn authorization_error(&self) -> Option<Error> {
        self.0.watch.unauthorized()
    }

    /// Returns whether the session continues an earlier one. Node: `isSessionReused()`.
    #[doc(alias = "isSessionReused")]
    pub fn is_session_reused(&self) -> bool {
        self.0.facts.borrow().is_resumed
    }

    /// Returns the version: `TLSv1.2` or `TLSv1.3`, or `None` before the handshake is done. Node:
    /// `getProtocol()`.
    #[doc(alias = "getProtocol")]
    pub fn protocol(&self) -> Option<&'static str> {
        self.0.facts.borrow().protocol
    }

    /// Returns IANA's name of the cipher suite. Node: `getCipher().standardName`.
    #[doc(alias = "getCipher")]
    pub fn cipher(&self) -> Option<&'static str> {
        self.0.facts.borrow().cipher
    }

    /// Returns the application protocol that both sides have agreed on. Node: `alpnProtocol`.
    #[doc(alias = "alpnProtocol")]
    pub fn alpn_protocol(&self) -> Option<Vec<u8>> {
        self.0.facts.borrow().alpn.clone()
    }

    /// Returns the name of the server that the client has asked for. Node: `servername`.
    #[doc(alias = "servername")]
    pub fn server_name(&self) -> Option<String> {
        self.0.server_name.borrow().clone()
    }

    /// Returns the certificate of the peer, also if the handshake failed because it is not acceptable. Node:
    /// `getPeerCertificate()`.
    ///
    /// # Errors
    /// `ERR_TLS_CERT_INVALID` if it cannot be read.
    #[doc(alias = "getPeerCertificate")]
    pub fn peer_certificate(&self) -> Result<Option<PeerCertificate>> {
        let facts = self.0.facts.borrow();
        facts.peer_certificates.first().map(|der| PeerCertificate::parse(der)).transpose()
    }

    /// Returns the certificates that the peer has sent, its own one first, each in DER.
    pub fn peer_certificate_chain(&self) -> Vec<Vec<u8>> {
        self.0.facts.borrow().peer_certificates.clone()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = self.0.facts.borrow();
        f.debug_struct("Tls")
            .field("is_secure", &self.is_secure())
            .field("protocol", &facts.protocol)
            .field("cipher", &facts.cipher)
            .finish_non_exhaustive()
    }
}
