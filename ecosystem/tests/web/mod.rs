//! Shared helpers of the HTTP tests: a hyper server as in `examples/http.rs`, and clients.

#![allow(dead_code, reason = "each test file uses its part")]

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use fyke::rt::{LocalExecutor, LocalTimer};
use fyke::{Endpoint, Server, Socket, SocketStream, spawn_local, timer};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::server::conn::auto::Builder;

pub(crate) type Body = BoxBody<Bytes, hyper::Error>;
pub(crate) type ServeResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// How long a server waits for the headers of a request.
pub(crate) const HEADERS: Duration = Duration::from_millis(300);

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

pub(crate) async fn serve_connection<F, R>(socket: Socket, answer: F) -> ServeResult
where
    F: Fn(Request<Incoming>) -> R + 'static,
    R: Future<Output = Result<Response<Body>, Infallible>> + 'static,
{
    let shutting_down = socket.shutting_down();
    let mut http = Builder::new(LocalExecutor);
    http.http1().timer(LocalTimer).header_read_timeout(HEADERS);
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

/// A listening server that handles each connection in a separate task.
pub(crate) async fn serve<F, R>(endpoint: Endpoint, answer: F) -> Server
where
    F: Fn(Request<Incoming>) -> R + Clone + 'static,
    R: Future<Output = Result<Response<Body>, Infallible>> + 'static,
{
    let server = Server::new();
    server.listen(endpoint).unwrap();
    server.listening().await.unwrap();
    let mut connections = server.incoming();
    spawn_local(async move {
        while let Some(socket) = connections.next().await {
            let connection = serve_connection(socket.unwrap(), answer.clone());
            // The clients check the errors of their connections.
            spawn_local(async { _ = connection.await }).unwrap();
        }
    })
    .unwrap();
    server
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
    pub(crate) async fn connect(version: Version, server: &Server) -> Self {
        let stream = SocketStream::connect(server.endpoint().unwrap()).await.unwrap();
        Self::over(version, stream).await
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
