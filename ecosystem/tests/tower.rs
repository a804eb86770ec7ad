//! Tests a tower service with layers behind hyper.

#[path = "../../crates/fyke/tests/support/mod.rs"]
mod support;
mod web;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use fyke::rt::{LocalExecutor, LocalTimer};
use fyke::{ErrorCode, Server, spawn_local, timer};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::{Request, Response};
use hyper_util::service::TowerToHyperService;
use tower::{Service, ServiceBuilder, ServiceExt};
use web::{Client, Version, get};

/// Serves HTTP/2 connections with a tower service.
async fn serve<S>(server: Server, service: S) -> fyke::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = fyke::Error>
        + Clone
        + 'static,
{
    loop {
        let stream = server.accept().await?.stream()?;
        let service = TowerToHyperService::new(service.clone());
        spawn_local(async {
            let mut http = http2::Builder::new(LocalExecutor);
            let _ = http.timer(LocalTimer).serve_connection(stream, service).await;
        })?;
    }
}

async fn listening(net: &support::Net) -> Server {
    support::futures::listening(net.tcp()).await
}

on_every_driver! {
    fn a_layer_limits_the_number_of_concurrent_requests(net) {
        net.block_on(async {
            let (running, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            let count = (Rc::clone(&running), Rc::clone(&most));
            let service = ServiceBuilder::new().concurrency_limit(3).service_fn(move |_: Request<Incoming>| {
                let (running, most) = count.clone();
                async move {
                    running.set(running.get() + 1);
                    most.set(running.get().max(most.get()));
                    timer::sleep(Duration::from_millis(2))?.await;
                    running.set(running.get() - 1);
                    Ok(Response::new(Full::from("done")))
                }
            });
            let server = listening(net).await;
            spawn_local(serve(server.clone(), service)).unwrap();
            // Two connections share the limit.
            let clients = [Client::connect(Version::Two, &server.clone().into()).await, Client::connect(Version::Two, &server.clone().into()).await];
            let answers = clients.iter().flat_map(|client| {
                let Client::Two(client) = client else { panic!() };
                (0..10).map(|_| {
                    let mut client = Client::Two(client.clone());
                    async move { client.fetch(get("/")).await.unwrap() }
                })
            });
            assert!(join_all(answers).await.iter().all(|answer| answer == "done"));
            assert_eq!((running.get(), most.get()), (0, 3));
        });
    }

    fn a_layer_limits_the_duration_of_a_request(net) {
        net.block_on(async {
            let dropped = Rc::new(Cell::new(false));
            let gone = Rc::clone(&dropped);
            let service = ServiceBuilder::new()
                .map_future(|answer| async { timer::timeout(Duration::from_millis(5), answer).await? })
                .service_fn(move |_: Request<Incoming>| {
                    let sets = SetsWhenDropped(Rc::clone(&gone));
                    async move {
                        let _sets = sets;
                        std::future::pending().await
                    }
                })
                .map_result(|result: fyke::Result<_>| match result {
                    Err(error) if error.code() == ErrorCode::ETIMEDOUT => Ok(Response::new(Full::from("too late"))),
                    result => result,
                });
            let server = listening(net).await;
            spawn_local(serve(server.clone(), service)).unwrap();
            let mut client = Client::connect(Version::Two, &server.clone().into()).await;
            assert_eq!(client.fetch(get("/")).await.unwrap(), "too late");
            assert!(dropped.get());
        });
    }
}

struct SetsWhenDropped(Rc<Cell<bool>>);

impl Drop for SetsWhenDropped {
    fn drop(&mut self) {
        self.0.set(true);
    }
}
