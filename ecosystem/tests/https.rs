//! Tests hyper over TLS: the version of HTTP is the negotiated one, and hyper learns when bytes are missing.

#[path = "../../crates/fyke/tests/support/mod.rs"]
mod support;
mod web;

use std::cell::{Cell, RefCell};
use std::io::IoSlice;
use std::rc::Rc;
use std::time::Duration;

use fyke::sim::SimOptions;
use fyke::{DriverKind, Error, SocketStream, spawn_local, timer};
use fyke_tls::{ContextReply, Tls, code, create_server};
use http_body_util::BodyExt;
use hyper::http;
use support::{Net, pattern};
use web::{
    Client, Site, Transport, VERSIONS, Version, answer, drained, get, post, secured, serve_over,
};

const BIG: usize = 3 << 20;

async fn connect(site: &Site, protocols: &[&str]) -> SocketStream {
    let socket = fyke_tls::connect(site.endpoint().unwrap(), &site.client(protocols)).unwrap();
    secured(socket).await.unwrap()
}

/// The simulated networks, which cut the stream at random places, or this network of the system.
fn each_seed(net: &Net, test: impl Fn(&Net)) {
    match net.is_sim() {
        true => (1..5).for_each(|seed| test(&Net::new(DriverKind::Sim(SimOptions::seeded(seed))))),
        false => test(net),
    }
}

on_every_driver! {
    fn the_version_of_http_is_the_negotiated_one(net) {
        each_seed(net, |net| net.block_on(async {
            let site = serve_over(Transport::Tls, net.tcp(), answer).await;
            for (offered, version) in [
                (&["h2", "http/1.1"][..], Version::Two),
                (&["http/1.1", "h2"], Version::Two),
                (&["http/1.1"], Version::One),
                (&[], Version::One),
            ] {
                let stream = connect(&site, offered).await;
                let agreed = Tls::of(stream.socket()).unwrap().alpn_protocol();
                assert_eq!(agreed.as_deref(), match version {
                    Version::Two => Some(&b"h2"[..]),
                    Version::One => offered.first().map(|name| name.as_bytes()),
                });
                let mut client = Client::over(version, stream).await;
                let response = client.send(get("/fish")).await.unwrap();
                assert_eq!(response.version(), match version {
                    Version::One => http::Version::HTTP_11,
                    Version::Two => http::Version::HTTP_2,
                });
                assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "/fish");
            }
            site.close();
            drained(&site).await;
        }));
    }

    fn a_client_that_speaks_another_version_than_agreed_is_refused(net) {
        each_seed(net, |net| net.block_on(async {
            let site = serve_over(Transport::Tls, net.tcp(), answer).await;
            let mut client = Client::over(Version::Two, connect(&site, &["http/1.1"]).await).await;
            client.send(get("/")).await.unwrap_err();
            let mut client = Client::over(Version::One, connect(&site, &["h2"]).await).await;
            client.send(get("/")).await.unwrap_err();
            drop(client);
            site.close();
            drained(&site).await;
        }));
    }

    fn large_bodies_are_sent_in_both_directions_at_once_over_tls(net) {
        each_seed(net, |net| for version in VERSIONS {
            net.block_on(async {
                let site = serve_over(Transport::Tls, net.tcp(), answer).await;
                let mut client = Client::connect(version, &site).await;
                let bytes = pattern(BIG);
                let body = client.fetch(post("/", bytes.clone())).await.unwrap();
                assert!(body == bytes, "{version:?}: a wrong body of {} bytes", body.len());
                assert_eq!(client.fetch(get("/after")).await.unwrap(), "/after");
            });
        });
    }

    // hyper writes the head and the body of an answer from two places. The layer got one record for each, and the
    // kernel held the second one back until the client had acknowledged the first (Nagle), after 40 milliseconds.
    fn several_parts_are_written_at_once(net) {
        each_seed(net, |net| net.block_on(async {
            let site = serve_over(Transport::Tls, net.tcp(), answer).await;
            let mut stream = connect(&site, &["http/1.1"]).await;
            let parts = ["", "GET / HTTP/1.1\r\n", "", "connection: close\r\n", "\r\n"];
            let parts = parts.map(|part| IoSlice::new(part.as_bytes()));
            let length: usize = parts.iter().map(|part| part.len()).sum();
            assert_eq!(stream.write_vectored(&parts).await.unwrap(), length);
            let answer = String::from_utf8(stream.read_to_end().await.unwrap()).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert_eq!(stream.write_vectored(&[]).await.unwrap(), 0);
        }));
    }

    // The loop did not end: see `tasks.rs` of fyke.
    fn a_loop_ends_while_requests_are_in_progress(net) {
        net.block_on(async {
            let site = serve_over(Transport::Tls, net.tcp(), |_| std::future::pending()).await;
            let mut client = Client::connect(Version::Two, &site).await;
            spawn_local(async move { _ = client.send(get("/")).await }).unwrap();
            timer::sleep(Duration::from_millis(20)).unwrap().await;
        });
    }

    fn connections_of_one_client_context_resume_its_session(net) {
        each_seed(net, |net| net.block_on(async {
            let site = serve_over(Transport::Tls, net.tcp(), answer).await;
            let context = site.client(&["h2"]);
            for is_resumed in [false, true, true] {
                let socket = fyke_tls::connect(site.endpoint().unwrap(), &context).unwrap();
                let stream = secured(socket).await.unwrap();
                assert_eq!(Tls::of(stream.socket()).unwrap().is_session_reused(), is_resumed);
                let mut client = Client::over(Version::Two, stream).await;
                assert_eq!(client.fetch(get("/fish")).await.unwrap(), "/fish");
            }
        }));
    }

    fn a_body_that_ends_with_its_connection_is_complete_only_with_close_notify(net) {
        for is_cut in [false, true] {
            net.block_on(async {
                let (context, authority) = web::contexts();
                let server = create_server(&context, move |socket| {
                    socket.on_error(|_, _| {});
                    socket.once_data(move |socket, _| {
                        // Neither a length nor chunks: the end of the connection is the end of the body.
                        let text = "HTTP/1.1 200 OK\r\n\r\nonly a part";
                        match is_cut {
                            true => _ = socket.write_then(text, |socket, _| _ = socket.destroy()),
                            false => _ = socket.end_with(text),
                        }
                        socket.resume();
                    });
                });
                server.listen(net.tcp()).unwrap();
                server.listening().await.unwrap();
                let context = authority.build().unwrap();
                let socket = fyke_tls::connect(server.endpoint().unwrap(), &context).unwrap();
                let mut client = Client::over(Version::One, secured(socket).await.unwrap()).await;
                let response = client.send(get("/")).await.unwrap();
                match (response.into_body().collect().await, is_cut) {
                    (Ok(body), false) => assert_eq!(body.to_bytes(), "only a part"),
                    (Err(error), true) => assert_truncated(&error),
                    (result, _) => panic!("cut: {is_cut}, {result:?}"),
                }
                server.close();
                server.closed().await;
            });
        }
    }

    fn a_shutdown_loses_no_request_of_a_client_in_its_handshake(net) {
        // See `http_shutdown.rs`: everything that was written has arrived.
        let at_once = SimOptions { latency: Duration::ZERO, cut: false, ..SimOptions::default() };
        let at_once = net.is_sim().then(|| Net::new(DriverKind::Sim(at_once)));
        at_once.as_ref().unwrap_or(net).block_on(async {
            let (context, authority) = web::contexts();
            let server = create_server(&context, |socket| {
                let served = web::serve_connection(socket.clone(), answer);
                spawn_local(async { _ = served.await }).unwrap();
            });
            // The application chooses the certificate after the shutdown has begun.
            let waiting = Rc::new(RefCell::new(Vec::<ContextReply>::new()));
            let waits = Rc::clone(&waiting);
            server.on_client_hello(move |_, reply| waits.borrow_mut().push(reply));
            server.listen(net.tcp()).unwrap();
            server.listening().await.unwrap();
            let context = authority.alpn_protocols(["http/1.1"]).build().unwrap();
            let mut clients = Vec::new();
            for _ in 0..20 {
                let socket = fyke_tls::connect(server.endpoint().unwrap(), &context).unwrap();
                let mut stream = socket.stream().unwrap();
                // Sent as soon as the handshake is done.
                stream.write_all(b"GET /early HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
                clients.push(stream);
            }
            while waiting.borrow().len() < clients.len() {
                timer::sleep(Duration::from_millis(1)).unwrap().await;
            }
            let outcome = Rc::new(Cell::new(None));
            let told = Rc::clone(&outcome);
            let limit = Duration::from_secs(30);
            server.shutdown_then(limit, move |_, outcome| told.set(Some(outcome))).unwrap();
            timer::sleep(Duration::from_millis(5)).unwrap().await;
            waiting.take().into_iter().for_each(ContextReply::use_default);
            let count = clients.len();
            for mut stream in clients {
                let answer = String::from_utf8(stream.read_to_end().await.unwrap()).unwrap();
                assert!(answer.ends_with("/early"), "{answer}");
            }
            drained(&server).await;
            timer::sleep(Duration::ZERO).unwrap().await;
            let outcome = outcome.take().unwrap();
            assert_eq!((outcome.ended, outcome.failed, outcome.reset), (count, 0, 0));
        });
    }
}

/// hyper's error must have that of the socket as its source.
fn assert_truncated(error: &hyper::Error) {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = source {
        if let Some(error) =
            error.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref())
        {
            if let Some(error) = error.downcast_ref::<Error>() {
                return assert_eq!(error.code(), code::ERR_TLS_TRUNCATED);
            }
        }
        source = error.source();
    }
    panic!("no error of the socket: {error:?}");
}
