//! Shared by the tests: drivers, a log, and certificates that are made for each test.

#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

#[path = "../../../fyke/tests/support/net.rs"]
mod net;
pub(crate) mod peer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fyke::sim::SimOptions;
use fyke::{DriverKind, Socket};
use fyke_tls::{
    ClientContext, ClientOptions, Identity, ServerContext, Tls, TlsServer, connect, create_server,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};

pub(crate) use net::{Log, Net, pattern, settled, when};

/// The simulated networks of `on_every_driver`, which cut the stream at different places.
pub(crate) fn sims() -> [Net; 4] {
    let sim = |seed| DriverKind::Sim(SimOptions { seed, ..SimOptions::default() });
    [1, 2, 3, 4].map(|seed| Net::new(sim(seed)))
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
