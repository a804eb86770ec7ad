//! Shared helpers of the HTTP tests: a hyper server as in `examples/http.rs` and `examples/https.rs`, and clients.

#![allow(dead_code, reason = "each test file uses its part")]

use std::convert::Infallible;
use std::ops::Deref;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use fyke::rt::{LocalExecutor, LocalTimer};
use fyke::{Endpoint, Server, Socket, SocketStream, spawn_local, timer};
use fyke_tls::{
    ClientContext, ClientOptions, Identity, ServerContext, ServerOptions, Tls, create_server,
};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::server::conn::auto::Builder;
use tokio::sync::oneshot;

pub(crate) type Body = BoxBody<Bytes, hyper::Error>;
pub(crate) type ServeResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// How long a server waits for the headers of a request: a test of TCP waits for it. The clients of a test of TLS
/// connect one after the other, and a handshake takes milliseconds, so it must not end there.
fn headers_limit(socket: &Socket) -> Duration {
    match Tls::of(socket) {
        Some(_) => Duration::from_secs(60),
        None => Duration::from_millis(300),
    }
}

pub(crate) fn text(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|error| match error {}).boxed()
}

/// Returns the body of the request chunk by chunk; answers `GET /later` after a delay.
pub(crate) async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    if request.uri().path().starts_with("/later") {
        timer::sleep(Duration::from_millis(30)).unwrap().await;
    }
    let body = match request.method().as_str() {
        "POST" => request.into_body().boxed(),
        _ => text(request.uri().path().to_owned()),
    };
    Ok(Response::new(body))
}

/// Serves the protocol that was negotiated. Without TLS, or if the client has offered none, the first bytes decide.
fn builder(socket: &Socket) -> Builder<LocalExecutor> {
    let http = Builder::new(LocalExecutor);
    match Tls::of(socket).and_then(|tls| tls.alpn_protocol()).as_deref() {
        Some(b"h2") => http.http2_only(),
        Some(_) => http.http1_only(),
        None => http,
    }
}

pub(crate) async fn serve_connection<F, R>(socket: Socket, answer: F) -> ServeResult
where
    F: Fn(Request<Incoming>) -> R + 'static,
    R: Future<Output = Result<Response<Body>, Infallible>> + 'static,
{
    let shutting_down = socket.shutting_down();
    let mut http = builder(&socket);
    http.http1().timer(LocalTimer).header_read_timeout(headers_limit(&socket));
    http.http2().timer(LocalTimer);
    let mut connection = pin!(http.serve_connection(socket.stream()?, service_fn(answer)));
    match select(connection.as_mut(), shutting_down).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

/// Below HTTP.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transport {
    Tcp,
    Tls,
}

pub(crate) const TRANSPORTS: [Transport; 2] = [Transport::Tcp, Transport::Tls];

/// A server that listens, and what its clients need.
#[derive(Clone)]
pub(crate) struct Site {
    server: Server,
    authority: Option<ClientOptions>,
}

impl Deref for Site {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl From<Server> for Site {
    fn from(server: Server) -> Self {
        Self { server, authority: None }
    }
}

/// Serves HTTP without TLS.
pub(crate) async fn serve<F, R>(endpoint: Endpoint, answer: F) -> Site
where
    F: Fn(Request<Incoming>) -> R + Clone + 'static,
    R: Future<Output = Result<Response<Body>, Infallible>> + 'static,
{
    serve_over(Transport::Tcp, endpoint, answer).await
}

/// Handles each connection in a separate task.
pub(crate) async fn serve_over<F, R>(transport: Transport, endpoint: Endpoint, answer: F) -> Site
where
    F: Fn(Request<Incoming>) -> R + Clone + 'static,
    R: Future<Output = Result<Response<Body>, Infallible>> + 'static,
{
    let start = move |socket: Socket| {
        let connection = serve_connection(socket, answer.clone());
        // The clients check the errors of their connections.
        spawn_local(async { _ = connection.await }).unwrap();
    };
    let (server, authority) = match transport {
        Transport::Tcp => (Server::new(), None),
        Transport::Tls => {
            let (context, authority) = contexts();
            let server = create_server(&context, {
                let start = start.clone();
                move |socket| start(socket.clone())
            });
            ((*server).clone(), Some(authority))
        }
    };
    server.listen(endpoint).unwrap();
    server.listening().await.unwrap();
    if authority.is_none() {
        let mut connections = server.incoming();
        spawn_local(async move {
            while let Some(socket) = connections.next().await {
                start(socket.unwrap());
            }
        })
        .unwrap();
    }
    Site { server, authority }
}

/// Contexts of a server that accepts both versions of HTTP, and of clients that trust it.
pub(crate) fn contexts() -> (ServerContext, ClientOptions) {
    let names = ["localhost", "127.0.0.1"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
    let server = ServerOptions::new(identity).alpn_protocols(["h2", "http/1.1"]).build().unwrap();
    (server, ClientOptions::new().authorities_pem(certificate))
}

/// Waits for the handshake of a socket that is connecting.
pub(crate) async fn secured(socket: Socket) -> fyke::Result<SocketStream> {
    let (sender, is_done) = oneshot::channel();
    Tls::of(&socket).unwrap().on_secure_connect(|_| _ = sender.send(()));
    let (stream, closed) = (socket.stream()?, socket.closed());
    // If the handshake fails, the sender is dropped and the socket closed.
    if is_done.await.is_err() {
        closed.await?;
    }
    Ok(stream)
}

impl Site {
    /// Returns the context of a client that offers these protocols.
    pub(crate) fn client(&self, protocols: &[&str]) -> ClientContext {
        let options = self.authority.clone().unwrap();
        options.alpn_protocols(protocols.iter().copied()).build().unwrap()
    }

    pub(crate) async fn stream(&self, version: Version) -> SocketStream {
        let endpoint = self.endpoint().unwrap();
        if self.authority.is_none() {
            return SocketStream::connect(endpoint).await.unwrap();
        }
        let protocol = match version {
            Version::One => "http/1.1",
            Version::Two => "h2",
        };
        let socket = fyke_tls::connect(endpoint, &self.client(&[protocol])).unwrap();
        let stream = secured(socket).await.unwrap();
        let tls = Tls::of(stream.socket()).unwrap();
        assert_eq!(tls.alpn_protocol().as_deref(), Some(protocol.as_bytes()));
        stream
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Version {
    One,
    Two,
}

pub(crate) const VERSIONS: [Version; 2] = [Version::One, Version::Two];

/// One connection to a server.
pub(crate) enum Client {
    One(http1::SendRequest<Body>),
    Two(http2::SendRequest<Body>),
}

impl Client {
    pub(crate) async fn connect(version: Version, site: &Site) -> Self {
        Self::over(version, site.stream(version).await).await
    }

    pub(crate) async fn over(version: Version, stream: SocketStream) -> Self {
        match version {
            Version::One => {
                let (client, connection) = http1::handshake(stream).await.unwrap();
                spawn_local(async { _ = connection.await }).unwrap();
                Self::One(client)
            }
            Version::Two => {
                let mut builder = http2::Builder::new(LocalExecutor);
                builder.timer(LocalTimer);
                let (client, connection) = builder.handshake(stream).await.unwrap();
                spawn_local(async { _ = connection.await }).unwrap();
                Self::Two(client)
            }
        }
    }

    pub(crate) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::One(client) => {
                client.ready().await?;
                client.send_request(request).await
            }
            Self::Two(client) => client.send_request(request).await,
        }
    }

    pub(crate) async fn fetch(&mut self, request: Request<Body>) -> hyper::Result<Bytes> {
        let response = self.send(request).await?;
        assert_eq!(response.status(), 200);
        Ok(response.into_body().collect().await?.to_bytes())
    }
}

/// HTTP/2 requires the name of the server in the address.
fn uri(path: &str) -> String {
    format!("http://localhost{path}")
}

pub(crate) fn get(path: &str) -> Request<Body> {
    Request::get(uri(path)).header("host", "localhost").body(text("")).unwrap()
}

pub(crate) fn post(path: &str, body: impl Into<Bytes>) -> Request<Body> {
    Request::post(uri(path)).header("host", "localhost").body(text(body)).unwrap()
}

/// Waits until all connections of a server that was closed or shut down have ended.
pub(crate) async fn drained(server: &Server) {
    server.closed().await;
    assert_eq!(server.connections(), 0);
}
