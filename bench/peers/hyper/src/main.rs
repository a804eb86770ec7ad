//! The hello-world server of hyper's own examples, on fyke (`RUNTIME=fyke`) or on tokio (`RUNTIME=tokio`):
//! one thread, a task for each connection.

use std::convert::Infallible;
use std::env;
use std::io;

use fyke::rt::LocalTimer;
use fyke::{ListenOptions, ServerOptions};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpSocket;

const BACKLOG: u32 = 4096;

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"Hello, World!"))))
}

fn on_fyke(port: u16) -> fyke::Result<()> {
    fyke::block_on(async {
        let server = ServerOptions::new().no_delay(true).create();
        ListenOptions::new(("127.0.0.1", port)).backlog(BACKLOG).listen(&server)?;
        loop {
            let stream = server.accept().await?.stream()?;
            fyke::spawn_local(
                Builder::new().timer(LocalTimer).serve_connection(stream, service_fn(hello)),
            )?;
        }
    })?
}

async fn on_tokio(port: u16) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(([127, 0, 0, 1], port).into())?;
    let listener = socket.listen(BACKLOG)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(
            Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service_fn(hello)),
        );
    }
}

fn main() -> io::Result<()> {
    let port = env::var("PORT").ok().and_then(|port| port.parse().ok());
    let port = port.expect("PORT is not a number from 0 to 65535");
    match env::var("RUNTIME").as_deref() {
        Ok("tokio") => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(on_tokio(port)),
        _ => Ok(on_fyke(port)?),
    }
}
