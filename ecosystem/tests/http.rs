//! Tests hyper's servers and clients, for HTTP/1 and HTTP/2, on streams of fyke.

#[path = "../../crates/fyke/tests/support/mod.rs"]
mod support;
mod web;

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use futures_util::future::join_all;
use fyke::rt::{LocalExecutor, LocalTimer};
use fyke::{EventLoop, SocketStream, spawn_local};
use http_body_util::BodyExt;
use hyper::rt::Timer;
use hyper::service::service_fn;
use support::futures::streams;
use support::pattern;
use web::{Client, VERSIONS, Version, answer, drained, get, post, serve};

const BIG: usize = 3 << 20;
const MS: Duration = Duration::from_millis(1);

/// Makes a timer of an hour that waits.
fn waiting_timer() -> Pin<Box<dyn hyper::rt::Sleep>> {
    let mut timer = LocalTimer.sleep(Duration::from_secs(3600));
    assert!(timer.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    timer
}

/// Whether a loop ends within a few turns.
fn ends(event_loop: &EventLoop) -> bool {
    (0..3).any(|_| !event_loop.turn(Some(Duration::ZERO)).unwrap())
}

on_every_driver! {
    fn timers_of_hyper_use_the_clock_of_the_loop(net) {
        let event_loop = net.event_loop();
        event_loop.block_on(async {
            let begun = LocalTimer.now();
            LocalTimer.sleep_until(begun + MS).await;
            assert!(LocalTimer.now() >= begun + MS);
            // This time has passed.
            LocalTimer.sleep_until(begun).await;
            LocalTimer.sleep(MS).await;
            assert!(LocalTimer.now() >= begun + 2 * MS);
        }).unwrap();
    }

    fn a_timer_of_hyper_holds_its_loop_until_it_is_dropped_anywhere(net) {
        let event_loop = net.event_loop();
        let timer = event_loop.enter(waiting_timer);
        assert!(!ends(&event_loop));
        event_loop.enter(|| drop(timer));
        assert!(ends(&event_loop));

        let timer = event_loop.enter(waiting_timer);
        drop(timer);
        assert!(ends(&event_loop));

        let timer = event_loop.enter(waiting_timer);
        std::thread::spawn(|| drop(timer)).join().unwrap();
        assert!(ends(&event_loop));

        let timer = event_loop.enter(waiting_timer);
        drop(event_loop);
        drop(timer);
    }

    fn requests_share_a_connection(net) {
        for (version, endpoint) in VERSIONS.into_iter().flat_map(|v| net.endpoints().into_iter().map(move |e| (v, e))) {
            net.block_on(async {
                let server = serve(endpoint, answer).await;
                let mut client = Client::connect(version, &server).await;
                for n in 0..100 {
                    let path = format!("/{n}");
                    assert_eq!(client.fetch(get(&path)).await.unwrap(), path);
                    assert_eq!(server.connections(), 1);
                }
                drop(client);
                server.close();
                drained(&server).await;
            });
        }
    }

    fn pipelined_requests_get_their_answers_in_order(net) {
        net.block_on(async {
            let server = serve(net.tcp(), answer).await;
            let mut client = SocketStream::connect(server.endpoint().unwrap()).await.unwrap();
            let mut requests: String =
                (0..50).map(|n| format!("GET /{n}. HTTP/1.1\r\nhost: localhost\r\n\r\n")).collect();
            requests += "GET /last. HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
            client.write_all(requests.as_bytes()).await.unwrap();
            let answers = String::from_utf8(client.read_to_end().await.unwrap()).unwrap();
            let bodies: Vec<&str> = answers
                .split("HTTP/1.1 200 OK\r\n")
                .skip(1)
                .map(|answer| answer.split_once("\r\n\r\n").unwrap().1)
                .collect();
            let wanted = (0..50).map(|n| format!("/{n}.")).chain(["/last.".to_owned()]);
            assert_eq!(bodies, wanted.collect::<Vec<_>>());
        });
    }

    fn http2_requests_run_concurrently(net) {
        net.block_on(async {
            let (running, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            let count = (Rc::clone(&running), Rc::clone(&most));
            let server = serve(net.tcp(), move |request| {
                let (running, most) = count.clone();
                async move {
                    running.set(running.get() + 1);
                    most.set(running.get().max(most.get()));
                    let answer = answer(request).await;
                    running.set(running.get() - 1);
                    answer
                }
            })
            .await;
            let Client::Two(client) = Client::connect(Version::Two, &server).await else { panic!() };
            let paths: Vec<String> = (0..20).map(|n| format!("/later/{n}")).collect();
            let answers = join_all(paths.iter().map(|path| {
                let mut client = Client::Two(client.clone());
                async move { client.fetch(get(path)).await.unwrap() }
            }));
            assert_eq!(answers.await, paths);
            assert_eq!((running.get(), most.get()), (0, 20));
        });
    }

    fn large_bodies_are_sent_in_both_directions_at_once(net) {
        for version in VERSIONS {
            net.block_on(async {
                let server = serve(net.tcp(), answer).await;
                let mut client = Client::connect(version, &server).await;
                let bytes = pattern(BIG);
                let body = client.fetch(post("/", bytes.clone())).await.unwrap();
                assert!(body == bytes, "{version:?}: a wrong body of {} bytes", body.len());
                assert_eq!(client.fetch(get("/after")).await.unwrap(), "/after");
            });
        }
    }

    fn a_body_that_is_not_read_stops_its_sender(net) {
        net.block_on(async {
            // More bytes than the buffers of both kernels hold.
            let bytes = pattern(16 << 20);
            let whole = bytes.clone();
            let server = serve(net.tcp(), move |_| {
                let body = web::text(bytes.clone());
                async { Ok(hyper::Response::new(body)) }
            })
            .await;
            let mut client = Client::connect(Version::One, &server).await;
            let mut slow = client.send(get("/")).await.unwrap().into_body();
            let first = slow.frame().await.unwrap().unwrap().into_data().unwrap();
            // Other clients are served meanwhile.
            let mut other = Client::connect(Version::Two, &server).await;
            assert!(other.fetch(get("/")).await.unwrap() == whole);
            let rest = slow.collect().await.unwrap().to_bytes();
            assert!([first, rest].concat() == whole);
        });
    }

    fn a_client_that_sends_incomplete_headers_is_closed(net) {
        net.block_on(async {
            let server = serve(net.tcp(), answer).await;
            let mut client = SocketStream::connect(server.endpoint().unwrap()).await.unwrap();
            client.write_all(b"GET / HTTP/1.1\r\nhost: ").await.unwrap();
            let answer = String::from_utf8(client.read_to_end().await.unwrap()).unwrap();
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer}");
            client.end().await.unwrap();
            server.close();
            drained(&server).await;
        });
    }

    fn a_client_that_disconnects_during_its_body_ends_only_its_request(net) {
        for resets in [false, true] {
            net.block_on(async {
                let failed = Rc::new(Cell::new(0));
                let count = Rc::clone(&failed);
                let server = serve(net.tcp(), move |request| {
                    let count = Rc::clone(&count);
                    async move {
                        match request.into_body().collect().await {
                            Ok(body) => Ok(hyper::Response::new(web::text(body.to_bytes()))),
                            Err(_) => {
                                count.set(count.get() + 1);
                                Ok(hyper::Response::new(web::text("")))
                            }
                        }
                    }
                })
                .await;
                let mut stays = Client::connect(Version::One, &server).await;
                assert_eq!(stays.fetch(get("/")).await.unwrap(), "");
                let mut client = SocketStream::connect(server.endpoint().unwrap()).await.unwrap();
                let request = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\nonly this";
                client.write_all(request).await.unwrap();
                match resets {
                    true => {
                        // A reset may discard bytes that were sent before it, so the server reads the
                        // request first.
                        assert_eq!(stays.fetch(get("/")).await.unwrap(), "");
                        client.socket().reset_and_destroy().unwrap();
                    }
                    false => drop(client),
                }
                server.close();
                assert_eq!(stays.fetch(post("/", "fish")).await.unwrap(), "fish");
                drop(stays);
                drained(&server).await;
                assert_eq!(failed.get(), 1, "resets: {resets}");
            });
        }
    }

    fn a_client_that_disconnects_during_an_answer_frees_its_connection(net) {
        for version in VERSIONS {
            net.block_on(async {
                let bytes = pattern(16 << 20);
                let server = serve(net.tcp(), move |_| {
                    let body = web::text(bytes.clone());
                    async { Ok(hyper::Response::new(body)) }
                })
                .await;
                let stream = SocketStream::connect(server.endpoint().unwrap()).await.unwrap();
                let socket = stream.socket().clone();
                let mut client = Client::over(version, stream).await;
                let mut body = client.send(get("/")).await.unwrap().into_body();
                body.frame().await.unwrap().unwrap();
                socket.destroy();
                server.close();
                drained(&server).await;
            });
        }
    }

    fn an_http2_peer_that_answers_no_ping_is_closed(net) {
        net.block_on(async {
            let (mut client, server) = streams(net.tcp()).await;
            let served = spawn_local(async {
                let mut http = hyper::server::conn::http2::Builder::new(LocalExecutor);
                let limit = Duration::from_millis(20);
                http.timer(LocalTimer).keep_alive_interval(limit).keep_alive_timeout(limit);
                http.serve_connection(server, service_fn(answer)).await
            }).unwrap();
            // The client sends the preface and empty settings, and then nothing.
            client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
            let error = served.await.unwrap().unwrap_err();
            assert!(error.is_timeout(), "{error:?}");
        });
    }
}
