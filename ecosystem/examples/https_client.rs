//! An HTTP client with hyper over TLS: HTTP/2 if the server agrees (ALPN), else HTTP/1.1.
//!
//! Usage: `https_client HOST:PORT TRUSTED [PATH…]`. TRUSTED is a file with the authority of the server (PEM), or the
//! fingerprint of its certificate, as `examples/https.rs` prints it. All requests use one connection.

use std::error::Error;
use std::io::Write;

use bytes::Bytes;
use fyke::rt::{LocalExecutor, LocalTimer};
use fyke::{SocketStream, spawn_local};
use fyke_tls::{ClientContext, ClientOptions, Tls};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, header};
use tokio::sync::oneshot;

type AnyError = Box<dyn Error + Send + Sync>;

enum Client {
    One(http1::SendRequest<Empty<Bytes>>),
    Two(http2::SendRequest<Empty<Bytes>>),
}

impl Client {
    /// Begins the protocol that was negotiated.
    async fn over(stream: SocketStream) -> Result<Self, AnyError> {
        let tls = Tls::of(stream.socket()).ok_or("the connection is closed")?;
        if tls.alpn_protocol().as_deref() == Some(b"h2") {
            let mut builder = http2::Builder::new(LocalExecutor);
            let (client, connection) = builder.timer(LocalTimer).handshake(stream).await?;
            spawn_local(connection)?;
            return Ok(Self::Two(client));
        }
        let (client, connection) = http1::handshake(stream).await?;
        spawn_local(connection)?;
        Ok(Self::One(client))
    }

    async fn get(&mut self, host: &str, path: &str) -> Result<Response<Incoming>, AnyError> {
        // HTTP/2 has the host in the address, and HTTP/1.1 in a header.
        let request = Request::get(format!("https://{host}{path}"));
        Ok(match self {
            Self::One(client) => {
                let request = Request::get(path).header(header::HOST, host);
                client.ready().await?;
                client.send_request(request.body(Empty::new())?).await?
            }
            Self::Two(client) => client.send_request(request.body(Empty::new())?).await?,
        })
    }
}

/// Connects, and waits for the handshake.
async fn connect(host: &str, context: &ClientContext) -> Result<SocketStream, AnyError> {
    let socket = fyke_tls::connect(host, context)?;
    let (sender, is_done) = oneshot::channel();
    if let Some(tls) = Tls::of(&socket) {
        tls.on_secure_connect(|_| _ = sender.send(()));
    }
    let (stream, closed) = (socket.stream()?, socket.closed());
    // If the handshake fails, the sender is dropped and the socket closed.
    if is_done.await.is_err() {
        closed.await?;
    }
    Ok(stream)
}

fn main() -> Result<(), AnyError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [host, trusted, paths @ ..] = &arguments[..] else {
        return Err("usage: https_client HOST:PORT TRUSTED [PATH…]".into());
    };
    let options = ClientOptions::new().alpn_protocols(["h2", "http/1.1"]);
    let options = match trusted.parse() {
        Ok(fingerprint) => options.pin(fingerprint),
        Err(_) => options.authorities_pem(std::fs::read(trusted)?),
    };
    let context = options.build()?;
    fyke::block_on(async {
        let mut client = Client::over(connect(host, &context).await?).await?;
        for path in paths {
            let response = client.get(host, path).await?;
            println!("{:?} {}", response.version(), response.status());
            let mut body = response.into_body();
            while let Some(frame) = body.frame().await {
                std::io::stdout().write_all(frame?.data_ref().map_or(b"", |data| data))?;
            }
        }
        Ok(())
    })?
}
