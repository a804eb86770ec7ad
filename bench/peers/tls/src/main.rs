//! Servers that speak TLS, on fyke and on tokio with tokio-rustls, and the load for them. Both use the same rustls
//! and the same cryptography.
//!
//! `RUNTIME=fyke|tokio MODE=echo|sink PORT=… peer-tls` serves. `peer-tls certificate CERT KEY` writes a certificate and
//! its key for servers that are not in this program. `peer-tls load echo|sink|handshakes|idle PORT CONNECTIONS
//! SECONDS` prints how many messages, bytes or handshakes there were; `idle` waits for the end of its input. `peer-tls
//! ping PORT SECONDS` prints when each echo began, and how long it took. `peer-tls storm PORT CONNECTIONS` begins that
//! many handshakes at once, again and again until it is killed, and prints when they began and ended. All in microseconds. `peer-tls
//! limit SECONDS` prints how many handshakes a second of this process the server's side of rustls takes, in memory.

use std::cell::{Cell, RefCell};
use std::env;
use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fyke::{Bytes, EventLoop, Socket};
use fyke_tls::{ClientContext, ServerContext, Tls};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A new certificate with a key of ECDSA P-256.
fn server_config() -> Arc<rustls::ServerConfig> {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = CertificateDer::from_pem_slice(certified.cert.pem().as_bytes()).unwrap();
    let key = certified.signing_key.serialize_pem();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    Arc::new(config)
}

fn client_config() -> Arc<rustls::ClientConfig> {
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything(provider())))
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

/// Accepts every certificate, without a look at it: the load is not what is measured.
#[derive(Debug)]
struct Anything(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn write_certificate(certificate: &str, key: &str) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(certificate, certified.cert.pem()).unwrap();
    std::fs::write(key, certified.signing_key.serialize_pem()).unwrap();
}

fn port() -> u16 {
    env::var("PORT").map_or(0, |port| port.parse().expect("a port"))
}

fn echoes() -> bool {
    env::var("MODE").as_deref() != Ok("sink")
}

fn serve_on_fyke() {
    let context = ServerContext::from_config(server_config()).unwrap();
    let echoes = echoes();
    fyke::run(|| {
        let server = fyke_tls::create_server(&context, move |socket| {
            socket.on_error(|_, _| {});
            socket.on_data(move |socket, data| {
                if echoes && !socket.write(data) {
                    socket.pause();
                    socket.once_drain(|socket| _ = socket.resume());
                }
            });
        });
        server.listen(("127.0.0.1", port()))
    })
    .unwrap();
}

fn serve_on_tokio() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let acceptor = tokio_rustls::TlsAcceptor::from(server_config());
    let echoes = echoes();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port())).await.unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut buffer = vec![0; 16 * 1024];
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    if echoes {
                        let written = stream.write_all(&buffer[..count]).await;
                        if written.is_err() || stream.flush().await.is_err() {
                            return;
                        }
                    }
                }
                let _ = stream.shutdown().await;
            });
        }
    });
}

fn connect(port: u16, context: &ClientContext) -> Socket {
    let socket = fyke_tls::connect(("127.0.0.1", port), context).unwrap();
    socket.on_error(|_, error| panic!("{error}"));
    socket
}

fn load(kind: &str, port: u16, connections: usize, seconds: u64) {
    let context = ClientContext::from_config(client_config());
    let event_loop = EventLoop::new().unwrap();
    let count = Rc::new(Cell::new(0_u64));
    let secure = Rc::new(Cell::new(0));
    event_loop.enter(|| {
        for _ in 0..connections {
            let (count, secure) = (Rc::clone(&count), Rc::clone(&secure));
            match kind {
                "echo" => {
                    let socket = connect(port, &context);
                    let _ = socket.write(&[7; 64]);
                    let missing = Cell::new(64);
                    socket.on_data(move |socket, data| {
                        missing.set(missing.get() - data.len());
                        if missing.get() == 0 {
                            missing.set(64);
                            count.set(count.get() + 1);
                            let _ = socket.write(&[7; 64]);
                        }
                    });
                }
                "sink" => {
                    let socket = connect(port, &context);
                    socket.resume();
                    send(&socket, count);
                }
                "handshakes" => handshake(port, context.clone(), count),
                _ => {
                    let socket = connect(port, &context);
                    socket.resume();
                    Tls::of(&socket)
                        .unwrap()
                        .on_secure_connect(move |_| secure.set(secure.get() + 1));
                }
            }
        }
    });
    if kind == "idle" {
        while secure.get() < connections {
            event_loop.turn(Some(Duration::from_millis(10))).unwrap();
        }
        println!("{connections}");
        let _ = std::io::stdin().read(&mut [0]);
        return;
    }
    let turn_until = |end: Instant| {
        while Instant::now() < end {
            event_loop.turn(Some(Duration::from_millis(10))).unwrap();
        }
    };
    // The runner reads the server's clock when it is told to.
    turn_until(Instant::now() + Duration::from_secs(1));
    println!("begin");
    std::io::stdout().flush().unwrap();
    let before = count.get();
    turn_until(Instant::now() + Duration::from_secs(seconds));
    println!("{}", count.get() - before);
    std::process::exit(0);
}

fn send(socket: &Socket, count: Rc<Cell<u64>>) {
    static CHUNK: [u8; 256 * 1024] = [7; 256 * 1024];
    socket.write_then(Bytes::from_static(&CHUNK), move |socket, result| {
        if result.is_ok() {
            count.set(count.get() + CHUNK.len() as u64);
            send(socket, count);
        }
    });
}

fn handshake(port: u16, context: ClientContext, count: Rc<Cell<u64>>) {
    let socket = connect(port, &context);
    socket.resume();
    Tls::of(&socket).unwrap().on_secure_connect(|socket| _ = socket.end());
    socket.on_close(move |_, _| {
        count.set(count.get() + 1);
        handshake(port, context.clone(), Rc::clone(&count));
    });
}

/// Microseconds on the clock that all processes share.
fn now() -> u128 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros()
}

/// Measures echoes on one connection, one every millisecond.
fn ping(port: u16, seconds: u64) {
    let context = ClientContext::from_config(client_config());
    let times: Rc<RefCell<Vec<(u128, u128)>>> = Rc::default();
    let event_loop = EventLoop::new().unwrap();
    event_loop.enter(|| {
        let socket = connect(port, &context);
        let (begun, missing) = (Rc::new(Cell::new(now())), Cell::new(64));
        let send = {
            let begun = Rc::clone(&begun);
            move |socket: &Socket| {
                begun.set(now());
                let _ = socket.write(&[7; 64]);
            }
        };
        Tls::of(&socket).unwrap().on_secure_connect(send.clone());
        let times = Rc::clone(&times);
        socket.on_data(move |socket, data| {
            missing.set(missing.get() - data.len());
            if missing.get() == 0 {
                missing.set(64);
                times.borrow_mut().push((begun.get(), now() - begun.get()));
                let (socket, send) = (socket.clone(), send.clone());
                fyke::timer::set_timeout(Duration::from_millis(1), move || send(&socket)).unwrap();
            }
        });
    });
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        event_loop.turn(Some(Duration::from_millis(10))).unwrap();
    }
    for (begun, taken) in times.take() {
        println!("{begun} {taken}");
    }
    std::process::exit(0);
}

/// Connects, and begins all handshakes at once when all are connected. When the server has answered all, closes them
/// one after the other, and begins again.
fn storm(port: u16, connections: usize) {
    fn close(sockets: Rc<Vec<Socket>>, closed: usize, port: u16, context: ClientContext) {
        match sockets.get(closed) {
            None => begin(port, closed, context),
            Some(socket) => {
                let _ = socket.destroy();
                fyke::timer::set_immediate(move || close(sockets, closed + 1, port, context))
                    .unwrap();
            }
        }
    }

    fn begin(port: u16, connections: usize, context: ClientContext) {
        let sockets: Vec<_> =
            (0..connections).map(|_| fyke::connect(("127.0.0.1", port)).unwrap()).collect();
        let sockets = Rc::new(sockets);
        let (connected, answered) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        for socket in &*sockets {
            socket.on_error(|_, error| panic!("{error}"));
            let (all, context) = (Rc::clone(&sockets), context.clone());
            let (connected, answered) = (Rc::clone(&connected), Rc::clone(&answered));
            socket.once_connect(move |_| {
                connected.set(connected.get() + 1);
                if connected.get() < connections {
                    return;
                }
                let begun = now();
                for socket in &*all {
                    fyke_tls::upgrade_client(socket, "localhost", &[], &context).unwrap();
                    let _ = socket.write(b"x");
                    let (all, context) = (Rc::clone(&all), context.clone());
                    let answered = Rc::clone(&answered);
                    socket.once_data(move |_, _| {
                        answered.set(answered.get() + 1);
                        if answered.get() == connections {
                            println!("{begun} {}", now());
                            close(Rc::clone(&all), 0, port, context.clone());
                        }
                    });
                }
            });
        }
    }
    let context = ClientContext::from_config(client_config());
    let event_loop = EventLoop::new().unwrap();
    event_loop.enter(|| begin(port, connections, context));
    event_loop.run().unwrap();
}

/// The server's side of handshakes without a network.
fn limit(seconds: u64) {
    let (server, client) = (server_config(), client_config());
    let mut spent = Duration::ZERO;
    let mut count = 0_u64;
    while spent < Duration::from_secs(seconds) {
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let mut client = rustls::ClientConnection::new(Arc::clone(&client), name).unwrap();
        let mut at_server = Vec::new();
        client.write_tls(&mut at_server).unwrap();
        let begin = Instant::now();
        let mut connection = rustls::ServerConnection::new(Arc::clone(&server)).unwrap();
        connection.read_tls(&mut &at_server[..]).unwrap();
        connection.process_new_packets().unwrap();
        let mut at_client = Vec::new();
        while connection.wants_write() {
            connection.write_tls(&mut at_client).unwrap();
        }
        spent += begin.elapsed();
        client.read_tls(&mut &at_client[..]).unwrap();
        client.process_new_packets().unwrap();
        at_server.clear();
        client.write_tls(&mut at_server).unwrap();
        let begin = Instant::now();
        connection.read_tls(&mut &at_server[..]).unwrap();
        connection.process_new_packets().unwrap();
        while connection.wants_write() {
            connection.write_tls(&mut at_client).unwrap();
        }
        assert!(!connection.is_handshaking());
        drop(connection);
        spent += begin.elapsed();
        count += 1;
    }
    println!("{}", count as f64 / spent.as_secs_f64());
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |index: usize| arguments[index].parse().expect("a number");
    match arguments.first().map(String::as_str) {
        Some("load") => {
            load(&arguments[1], number(2) as u16, number(3), number(4) as u64);
        }
        Some("ping") => ping(number(1) as u16, number(2) as u64),
        Some("storm") => storm(number(1) as u16, number(2)),
        Some("limit") => limit(number(1) as u64),
        Some("certificate") => write_certificate(&arguments[1], &arguments[2]),
        _ if env::var("RUNTIME").as_deref() == Ok("tokio") => serve_on_tokio(),
        _ => serve_on_fyke(),
    }
}
