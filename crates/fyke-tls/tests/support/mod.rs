//! Shared by the tests: drivers, a log, and certificates that are made for each test.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod peer;

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use fyke::sim::SimOptions;
use fyke::{DriverKind, EventLoop, Socket};
use fyke_tls::{
    ClientContext, ClientOptions, Identity, ServerContext, Tls, TlsServer, connect, create_server,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};

/// Generous: only a test that hangs exceeds it, even on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Makes each function a test on every driver: `fn name(net) { … }`.
#[macro_export]
macro_rules! on_every_driver {
    ($(fn $name:ident($net:ident) $body:block)*) => {
        $(fn $name($net: &$crate::support::Net) $body)*
        mod ready {
            $(#[test] fn $name() { super::$name(&$crate::support::Net::ready()); })*
        }
        mod uring {
            $(#[test] fn $name() { $crate::support::Net::uring().iter().for_each(super::$name); })*
        }
        mod sim {
            $(#[test] fn $name() { $crate::support::Net::sims().iter().for_each(super::$name); })*
        }
    };
}

/// A driver to test on.
#[derive(Clone)]
pub(crate) struct Net(DriverKind);

impl Net {
    pub(crate) fn ready() -> Self {
        Self(DriverKind::Ready)
    }

    /// `None` where the system does not allow io_uring.
    pub(crate) fn uring() -> Option<Self> {
        let net = Self(DriverKind::Uring);
        (net.event_loop().driver_name() == "uring").then_some(net)
    }

    /// Simulated networks, which cut the stream at random places.
    pub(crate) fn sims() -> [Self; 4] {
        [1, 2, 3, 4].map(|seed| Self(DriverKind::Sim(SimOptions { seed, ..SimOptions::default() })))
    }

    pub(crate) fn event_loop(&self) -> EventLoop {
        EventLoop::builder().driver(self.0.clone()).build().unwrap()
    }

    /// Runs a loop until nothing holds it.
    pub(crate) fn run(&self, setup: impl FnOnce()) {
        let event_loop = self.event_loop();
        event_loop.enter(setup);
        let end = Instant::now() + DEADLINE;
        while event_loop.turn(Some(Duration::from_secs(1))).unwrap() {
            assert!(Instant::now() < end, "the loop does not end");
        }
    }
}

/// The events, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn add(&self, entry: impl Display) {
        self.0.borrow_mut().push(entry.to_string());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        self.0.take()
    }

    /// Records the events of a socket except `data`.
    pub(crate) fn watch(&self, socket: &Socket) {
        let add = |event: &'static str| {
            let log = self.clone();
            move |_: &Socket| log.add(event)
        };
        socket.on_connect(add("connect"));
        socket.on_ready(add("ready"));
        socket.on_end(add("end"));
        socket.on_finish(add("finish"));
        let log = self.clone();
        socket.on_error(move |_, error| log.add(error.code()));
        let log = self.clone();
        socket.on_close(move |_, had_error| log.add(format!("close {had_error}")));
    }
}

/// Bytes whose values depend on their position.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 7 + index / 256 * 13) as u8).collect()
}

/// Runs `then` as soon as `condition` holds, for states that have no event.
pub(crate) fn when(condition: impl Fn() -> bool + 'static, then: impl FnOnce() + 'static) {
    fyke::timer::set_immediate(move || match condition() {
        true => then(),
        false => when(condition, then),
    })
    .unwrap();
}

/// Runs `then` after enough rounds of the loop for every pending event to happen, to check that something does not
/// happen. Too few rounds may let a broken test pass, but never fail a correct one.
pub(crate) fn settled(then: impl FnOnce() + 'static) {
    let rounds = Cell::new(0);
    when(move || rounds.replace(rounds.get() + 1) == 200, then);
}

/// An authority that issues certificates.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        params.distinguished_name.push(DnType::CommonName, format!("Authority {number}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let pem = issuer.pem();
        Self { issuer, pem }
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    pub(crate) fn identity(&self, names: &[&str]) -> Identity {
        let (certificate, key) = self.pem_pair(names);
        Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap()
    }

    pub(crate) fn pem_pair(&self, names: &[&str]) -> (String, String) {
        self.issue(names, |_| {})
    }

    pub(crate) fn expired(&self, names: &[&str]) -> Identity {
        self.valid(names, 2001, 2002)
    }

    pub(crate) fn not_yet_valid(&self, names: &[&str]) -> Identity {
        self.valid(names, 4001, 4002)
    }

    fn valid(&self, names: &[&str], from: i32, to: i32) -> Identity {
        let (certificate, key) = self.issue(names, |params| {
            params.not_before = date_time_ymd(from, 1, 1);
            params.not_after = date_time_ymd(to, 1, 1);
        });
        Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap()
    }

    fn issue(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

/// A server that speaks TLS 1.2 only, through a configuration of rustls.
pub(crate) fn only_tls12(authority: &Authority) -> ServerContext {
    use rustls::pki_types::pem::PemObject;

    let (certificate, key) = authority.pem_pair(&["localhost", "127.0.0.1"]);
    let certificate = rustls::pki_types::CertificateDer::from_pem_slice(certificate.as_bytes());
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.unwrap()], key)
        .unwrap();
    ServerContext::from_config(Arc::new(config)).unwrap()
}

/// Listens with `server`, which serves one client, and connects a client to it.
pub(crate) fn with_client(
    server: &TlsServer,
    client: &ClientContext,
    on_client: impl FnOnce(&Socket) + 'static,
) {
    let client = client.clone();
    server.on_connection(|server, _| _ = server.close());
    server
        .listen_then(("127.0.0.1", 0), move |server| {
            on_client(&connect(server.endpoint().unwrap(), &client).unwrap());
        })
        .unwrap();
}

pub(crate) fn contexts() -> (ServerContext, ClientContext) {
    let authority = Authority::new();
    let server = ServerContext::new(authority.identity(&["localhost", "127.0.0.1"])).unwrap();
    let client = ClientOptions::new().authorities_pem(authority.pem()).build().unwrap();
    (server, client)
}

/// The outcome of a handshake: the codes that the client and the server see.
pub(crate) fn outcome(
    net: &Net,
    server: &ServerContext,
    client: &ClientContext,
) -> (String, String) {
    let (at_client, at_server) = (Log::new(), Log::new());
    let (seen, refused) = (at_client.clone(), at_server.clone());
    net.run(|| {
        let accepted = at_server.clone();
        let server = create_server(server, move |socket| {
            accepted.add("secure");
            socket.on_error({
                let accepted = accepted.clone();
                move |_, error| accepted.add(error.code())
            });
            socket.resume();
            socket.end();
        });
        server.on_tls_client_error(move |_, error| refused.add(error.code()));
        with_client(&server, client, move |client| {
            let log = seen.clone();
            Tls::of(client).unwrap().on_secure_connect(move |client| {
                log.add("secure");
                client.end();
            });
            client.on_error(move |_, error| seen.add(error.code()));
            client.resume();
        });
    });
    (at_client.take().join(" "), at_server.take().join(" "))
}
