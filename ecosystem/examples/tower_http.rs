//! A hyper server that runs a tower service with layers: at most 100 requests at a time, and at most 5
//! seconds for each. `curl localhost:8080`

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use fyke::rt::LocalTimer;
use fyke::{Server, timer};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::{Request, Response};
use hyper_util::service::TowerToHyperService;
use tower::ServiceBuilder;

async fn answer(request: Request<Incoming>) -> fyke::Result<Response<Full<Bytes>>> {
    timer::sleep(Duration::from_millis(10))?.await;
    Ok(Response::new(Full::from(format!("{} {}\n", request.method(), request.uri()))))
}

fn main() -> Result<(), Box<dyn Error>> {
    let endpoint = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    fyke::block_on(async {
        let server = Server::new();
        server.listen(endpoint)?;
        server.listening().await?;
        println!("listening on {}", server.endpoint().unwrap());

        let service = ServiceBuilder::new()
            .concurrency_limit(100)
            // Replaces tower's own timeout, which needs a tokio runtime.
            .map_future(|answer| async { timer::timeout(Duration::from_secs(5), answer).await? })
            .service_fn(answer);
        loop {
            let stream = server.accept().await?.stream()?;
            let service = TowerToHyperService::new(service.clone());
            fyke::spawn_local(async {
                let served =
                    http1::Builder::new().timer(LocalTimer).serve_connection(stream, service).await;
                if let Err(error) = served {
                    eprintln!("{error}");
                }
            })?;
        }
    })?
}
