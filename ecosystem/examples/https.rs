//! An HTTP server with hyper over TLS: HTTP/2 for clients that offer it (ALPN), HTTP/1.1 for all others.
//!
//! Usage: `https [ENDPOINT [CERTIFICATE.pem KEY.pem]]`. Without a certificate it makes one for `localhost`, and
//! prints its fingerprint for `examples/https_client.rs`. `curl -k https://localhost:8443`.
//! The end of standard input shuts the server down gracefully: no request is lost.

use std::convert::Infallible;
use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use fyke::Socket;
use fyke::rt::{LocalExecutor, LocalTimer};
use fyke_tls::{Identity, ServerOptions, Tls, create_server};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, service::service_fn};
use hyper_util::server::conn::auto::Builder;

type AnyError = Box<dyn Error + Send + Sync>;
type Body = BoxBody<Bytes, hyper::Error>;

fn identity(files: &[String]) -> Result<Identity, AnyError> {
    if let [certificate, key] = files {
        return Ok(Identity::from_pem_files(certificate, key)?);
    }
    let made = rcgen::generate_simple_self_signed(["localhost", "127.0.0.1"].map(str::to_owned))?;
    let key = made.signing_key.serialize_der();
    let identity = Identity::from_der(vec![made.cert.der().to_vec()], key)?;
    eprintln!("fingerprint {}", identity.fingerprint());
    Ok(identity)
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let body = match *request.method() {
        // Returns the body of the request chunk by chunk: the server never holds all of it in memory.
        Method::POST => request.into_body().boxed(),
        _ => Full::from(format!("you asked for {}\n", request.uri().path()))
            .map_err(|e| match e {})
            .boxed(),
    };
    Ok(Response::new(body))
}

async fn serve(socket: Socket) -> Result<(), AnyError> {
    let is_http2 = Tls::of(&socket).and_then(|tls| tls.alpn_protocol()).is_some_and(|p| p == b"h2");
    let http = Builder::new(LocalExecutor);
    let mut http = if is_http2 { http.http2_only() } else { http.http1_only() };
    http.http1().timer(LocalTimer).header_read_timeout(Duration::from_secs(10));
    http.http2().timer(LocalTimer);

    // hyper reads and writes plain bytes: TLS is a part of the socket.
    let shutting_down = socket.shutting_down();
    let mut connection = pin!(http.serve_connection(socket.stream()?, service_fn(answer)));
    match select(connection.as_mut(), shutting_down).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

fn start(socket: &Socket) {
    socket.set_idle_timeout(Some(Duration::from_secs(60)));
    socket.on_idle_timeout(|socket| _ = socket.destroy());
    let connection = serve(socket.clone());
    let task = fyke::spawn_local(async {
        if let Err(error) = connection.await {
            eprintln!("{error}");
        }
    });
    task.expect("the loop runs");
}

fn main() -> Result<(), AnyError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let endpoint = arguments.first().map_or("127.0.0.1:8443", String::as_str).to_owned();
    let options = ServerOptions::new(identity(arguments.get(1..).unwrap_or_default())?);
    let context = options.alpn_protocols(["h2", "http/1.1"]).build()?;
    fyke::block_on(async {
        // Called for each client whose handshake is done.
        let server = create_server(&context, start);
        server.on_tls_client_error(|_, error| eprintln!("{error}"));
        server.listen(endpoint)?;
        server.listening().await?;
        println!("listening on {}", server.endpoint().unwrap());

        let stop = server.to_ref();
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            stop.post(|server| _ = server.shutdown(Duration::from_secs(30)))
        });
        server.closed().await;
        Ok(())
    })?
}
