//! Tests the graceful shutdown of a hyper server: every request that has arrived is answered.

#[path = "../../crates/fyke/tests/support/mod.rs"]
mod support;
mod web;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use fyke::sim::SimOptions;
use fyke::{DriverKind, spawn_local, timer};
use support::Net;
use tokio::sync::Semaphore;
use web::{Client, Transport, VERSIONS, Version, answer, drained, get, serve_over};

const CLIENTS: usize = 20;

on_every_driver! {
    fn a_shutdown_loses_no_request(net) {
        shuts_down(net, Transport::Tcp);
    }

    fn a_shutdown_loses_no_request_over_tls(net) {
        shuts_down(net, Transport::Tls);
    }
}

fn shuts_down(net: &Net, transport: Transport) {
    // A request that has arrived is not lost, even if it was not read yet. On this simulated network
    // everything that was written has arrived, as on the loopback interface.
    let at_once = SimOptions { latency: Duration::ZERO, cut: false, ..SimOptions::default() };
    let at_once = net.is_sim().then(|| Net::new(DriverKind::Sim(at_once)));
    let net = at_once.as_ref().unwrap_or(net);
    net.block_on(async {
        let (started, released) = (Rc::new(Cell::new(0)), Rc::new(Semaphore::new(0)));
        let (count, waits) = (Rc::clone(&started), Rc::clone(&released));
        let server = serve_over(transport, net.tcp(), move |request| {
            let waits = Rc::clone(&waits);
            let is_late = request.uri().path() == "/late";
            count.set(count.get() + usize::from(is_late));
            async move {
                if is_late {
                    waits.acquire().await.unwrap().forget();
                }
                answer(request).await
            }
        })
        .await;
        // Requests in progress.
        let mut answers = Vec::new();
        for version in VERSIONS.into_iter().flat_map(|version| [version; CLIENTS]) {
            let mut client = Client::connect(version, &server).await;
            answers.push(
                spawn_local(async move {
                    assert_eq!(client.fetch(get("/late")).await.unwrap(), "/late");
                })
                .unwrap(),
            );
        }
        // Connections that have served requests, and connections that have not.
        let mut raw = Vec::new();
        for _ in 0..CLIENTS {
            let mut used = server.stream(Version::One).await;
            used.write_all(b"GET /first HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"/first") {
                answer.extend_from_slice(&used.next_chunk().await.unwrap().unwrap());
            }
            raw.push(used);
            raw.push(server.stream(Version::One).await);
        }
        while (started.get(), server.connections()) != (2 * CLIENTS, 4 * CLIENTS) {
            timer::sleep(Duration::from_millis(1)).unwrap().await;
        }
        // Requests that arrive at the time of the shutdown.
        for stream in &mut raw {
            stream.write_all(b"GET /second HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        }
        let outcome = Rc::new(Cell::new(None));
        let told = Rc::clone(&outcome);
        let limit = Duration::from_secs(30);
        server.shutdown_then(limit, move |_, outcome| told.set(Some(outcome))).unwrap();

        released.add_permits(answers.len());
        for answer in answers {
            answer.await.unwrap();
        }
        for mut stream in raw {
            let answer = String::from_utf8(stream.read_to_end().await.unwrap()).unwrap();
            assert!(answer.ends_with("/second"), "{answer}");
        }
        drained(&server).await;
        timer::sleep(Duration::ZERO).unwrap().await;
        let outcome = outcome.take().unwrap();
        let numbers = (outcome.ended, outcome.failed, outcome.reset);
        match (transport, net.event_loop().driver_name()) {
            // A client of HTTP/2 closes its connection when it has its answers, and the last frame of the server may
            // find it closed: it needs two turns with io_uring.
            (Transport::Tls, "uring") => {
                assert_eq!((numbers.0 + numbers.1, numbers.2), (4 * CLIENTS, 0));
            }
            _ => assert_eq!(numbers, (4 * CLIENTS, 0, 0)),
        }
    });
}
