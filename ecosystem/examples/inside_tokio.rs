//! Runs fyke's loop in a tokio task: hyper serves connections of fyke. A tokio task receives the requests
//! through a channel, counts them, and prints their number each second.

use std::convert::Infallible;

use bytes::Bytes;
use fyke::rt::{LocalExecutor, LocalTimer};
use fyke::{EventLoop, Server};
use http_body_util::Full;
use hyper::{Response, service::service_fn};
use hyper_util::server::conn::auto::Builder;
use tokio::sync::mpsc;
use tokio::time::{Duration, interval};

type AnyError = Box<dyn std::error::Error>;

async fn report(mut requests: mpsc::UnboundedReceiver<()>) {
    let (mut count, mut second) = (0, interval(Duration::from_secs(1)));
    loop {
        tokio::select! {
            Some(()) = requests.recv() => count += 1,
            _ = second.tick() => eprintln!("{count} requests"),
        }
    }
}

async fn serve(server: Server, requests: mpsc::UnboundedSender<()>) -> Result<(), AnyError> {
    server.listening().await?;
    println!("listening on {}", server.endpoint().unwrap());
    loop {
        let (stream, requests) = (server.accept().await?.stream()?, requests.clone());
        fyke::spawn_local(async {
            let service = service_fn(move |_| {
                let _ = requests.send(());
                async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("hello\n"))) }
            });
            let mut http = Builder::new(LocalExecutor);
            http.http1().timer(LocalTimer);
            let _ = http.serve_connection(stream, service).await;
        })?;
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), AnyError> {
    let endpoint = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(report(receiver));
    let event_loop = EventLoop::new()?;
    // Inside `enter`, `listen`, `connect` and `spawn_local` use this loop.
    event_loop.enter(|| -> Result<_, AnyError> {
        let server = Server::new();
        server.listen(endpoint)?;
        fyke::spawn_local(async { serve(server, sender).await.unwrap() })?;
        Ok(())
    })?;
    Ok(event_loop.drive().await?)
}
