//! An HTTP server with hyper, for HTTP/1 and HTTP/2, on fyke's loop. The argument is an endpoint.
//! `curl localhost:8080`, `curl --http2-prior-knowledge localhost:8080`, `curl -d fish localhost:8080`.
//! The end of standard input shuts the server down gracefully: no request is lost.

use std::convert::Infallible;
use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use fyke::rt::{LocalExecutor, LocalTimer};
use fyke::{Server, Socket};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, service::service_fn};
use hyper_util::server::conn::auto::Builder;

type Body = BoxBody<Bytes, hyper::Error>;

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

async fn serve(socket: Socket) -> Result<(), Box<dyn Error + Send + Sync>> {
    // Events and options of the socket work as usual while hyper uses it.
    socket.set_idle_timeout(Some(Duration::from_secs(60)));
    socket.on_idle_timeout(|socket| _ = socket.destroy());
    let shutting_down = socket.shutting_down();

    let mut http = Builder::new(LocalExecutor);
    http.http1().timer(LocalTimer).header_read_timeout(Duration::from_secs(10));
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

fn main() -> Result<(), Box<dyn Error>> {
    let endpoint = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    fyke::block_on(async {
        let server = Server::new();
        server.listen(endpoint)?;
        server.listening().await?;
        println!("listening on {}", server.endpoint().unwrap());

        let stop = server.to_ref();
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            stop.post(|server| _ = server.shutdown(Duration::from_secs(30)))
        });

        let mut connections = server.incoming();
        while let Some(socket) = connections.next().await {
            let socket = socket?;
            fyke::spawn_local(async {
                if let Err(error) = serve(socket).await {
                    eprintln!("{error}");
                }
            })?;
        }
        server.closed().await;
        Ok(())
    })?
}
