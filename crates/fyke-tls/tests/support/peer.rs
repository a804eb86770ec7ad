//! Peers whose every byte the test decides: rustls' buffered interface over a socket without a layer, and a relay
//! that changes what passes.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use fyke::{Endpoint, Socket};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, Connection, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::Authority;

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A configuration that trusts `authority`.
pub(crate) fn client_config(authority: &Authority) -> ClientConfig {
    client_config_of(authority, rustls::DEFAULT_VERSIONS)
}

/// A configuration that trusts `authority`, of these versions.
pub(crate) fn client_config_of(
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(versions).unwrap();
    builder.with_root_certificates(roots).with_no_client_auth()
}

/// A configuration with a certificate for `127.0.0.1`, and tickets.
pub(crate) fn server_config(authority: &Authority) -> ServerConfig {
    let (certificate, key) = authority.pem_pair(&["127.0.0.1"]);
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_no_client_auth();
    let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    config
}

/// One side of TLS over a socket without a layer.
pub(crate) struct Peer {
    pub(crate) socket: Socket,
    pub(crate) tls: RefCell<Connection>,
    /// The plain bytes that were received.
    pub(crate) received: RefCell<Vec<u8>>,
}

impl Peer {
    pub(crate) fn client(config: ClientConfig, endpoint: Endpoint) -> Rc<Self> {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let tls = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        Self::new(tls.into(), fyke::connect(endpoint).unwrap())
    }

    pub(crate) fn server(config: &Arc<ServerConfig>, socket: &Socket) -> Rc<Self> {
        let tls = rustls::ServerConnection::new(Arc::clone(config)).unwrap();
        Self::new(tls.into(), socket.clone())
    }

    fn new(tls: Connection, socket: Socket) -> Rc<Self> {
        socket.on_error(|_, _| {});
        Rc::new(Self { socket, tls: RefCell::new(tls), received: RefCell::default() })
    }

    /// Handles received bytes. Returns the records to be sent, and the error if the other side violated the
    /// protocol or sent an alert.
    pub(crate) fn feed(&self, mut bytes: &[u8]) -> (Vec<u8>, Option<rustls::Error>) {
        let mut tls = self.tls.borrow_mut();
        let mut failure = None;
        while !bytes.is_empty() && failure.is_none() {
            if tls.read_tls(&mut bytes).unwrap() == 0 {
                break;
            }
            failure = tls.process_new_packets().err();
            let mut plain = Vec::new();
            let _ = std::io::Read::read_to_end(&mut tls.reader(), &mut plain);
            self.received.borrow_mut().extend_from_slice(&plain);
        }
        drop(tls);
        (self.records(), failure)
    }

    /// Takes the records that rustls wants to send.
    pub(crate) fn records(&self) -> Vec<u8> {
        let mut records = Vec::new();
        let mut tls = self.tls.borrow_mut();
        while tls.wants_write() {
            tls.write_tls(&mut records).unwrap();
        }
        records
    }

    /// Codes plain bytes.
    pub(crate) fn coded(&self, plain: &[u8]) -> Vec<u8> {
        std::io::Write::write_all(&mut self.tls.borrow_mut().writer(), plain).unwrap();
        self.records()
    }

    pub(crate) fn is_secure(&self) -> bool {
        !self.tls.borrow().is_handshaking()
    }

    /// Answers as the protocol demands, and calls `then` whenever bytes were handled.
    pub(crate) fn run(self: &Rc<Self>, mut then: impl FnMut(&Rc<Self>) + 'static) {
        self.send(&self.records());
        let peer = Rc::clone(self);
        self.socket.on_data(move |_, bytes| {
            let (records, _) = peer.feed(bytes);
            peer.send(&records);
            then(&peer);
        });
    }

    /// Sends `close_notify`, and ends the connection.
    pub(crate) fn end(&self) {
        self.tls.borrow_mut().send_close_notify();
        self.send(&self.records());
        self.socket.end();
    }

    pub(crate) fn send(&self, bytes: &[u8]) {
        if !bytes.is_empty() {
            let _ = self.socket.write(bytes);
        }
    }
}

/// Cuts bytes into records.
pub(crate) fn split_records(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = bytes;
    let mut records = Vec::new();
    while let [_, _, _, high, low, ..] = rest {
        let (record, next) = rest.split_at(5 + usize::from(u16::from_be_bytes([*high, *low])));
        records.push(record.to_vec());
        rest = next;
    }
    records
}

/// Where a relay passes bytes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Towards {
    Server,
    Client,
}

/// What a relay does after it has passed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Continue,
    /// Ends both connections.
    End,
    /// Resets both connections.
    Reset,
}

/// Listens for one connection, passes it on to `target` through `change`, and calls `on_listening` with its
/// address.
pub(crate) fn relay(
    target: Endpoint,
    change: impl FnMut(Towards, &[u8]) -> (Vec<u8>, Then) + 'static,
    on_listening: impl FnOnce(Endpoint) + 'static,
) {
    let change = Rc::new(RefCell::new(change));
    let relay = fyke::create_server(move |front| {
        front.server().unwrap().close();
        let behind = fyke::connect(target.clone()).unwrap();
        for (from, to, towards) in
            [(front, &behind, Towards::Server), (&behind, front, Towards::Client)]
        {
            from.set_allow_half_open(true);
            let (change, other) = (Rc::clone(&change), to.clone());
            from.on_data(move |from, bytes| {
                let (bytes, then) = (change.borrow_mut())(towards, bytes);
                if !bytes.is_empty() && other.is_writable() {
                    let _ = other.write(&bytes);
                }
                let both = [from, &other];
                match then {
                    Then::Continue => {}
                    Then::End => both.iter().for_each(|socket| _ = socket.end()),
                    Then::Reset => both.iter().for_each(|socket| _ = socket.reset_and_destroy()),
                }
            });
            let other = to.clone();
            from.on_end(move |_| _ = other.end());
            from.on_error(|_, _| {});
            let other = to.clone();
            from.on_close(move |_, had_error| match had_error {
                true => _ = other.destroy(),
                false => _ = other.end(),
            });
        }
    });
    relay
        .listen_then(("127.0.0.1", 0), move |relay| on_listening(relay.endpoint().unwrap()))
        .unwrap();
}
