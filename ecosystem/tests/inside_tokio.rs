//! Runs fyke's loop in a tokio task, and uses a tokio runtime on another thread from fyke's loop.

#[path = "../../crates/fyke/tests/support/mod.rs"]
mod support;
mod web;

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use fyke::rt::{LocalExecutor, LocalTimer};
use fyke::{ErrorCode, Server, SocketStream, spawn_local};
use http_body_util::BodyExt;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::Builder;
use support::{DEADLINE, pattern};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::{interval, sleep, timeout};
use web::{Client, VERSIONS, Version, get, post};

/// Runs a fyke task until it ends, with its loop in a task of a current-thread tokio runtime.
fn beside_tokio<F: Future<Output = ()> + 'static>(
    net: &support::Net,
    future: impl FnOnce() -> F + 'static,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let event_loop = net.event_loop();
    let task = event_loop.enter(|| spawn_local(async { future().await })).unwrap();
    let driven = async {
        event_loop.drive().await.unwrap();
        task.await.unwrap();
    };
    let limited = async { timeout(DEADLINE, driven).await.expect("the task does not end") };
    runtime.block_on(LocalSet::new().run_until(limited));
}

/// Runs hyper's tasks in tokio's `LocalSet`.
#[derive(Clone)]
struct InLocalSet;

impl<F: Future + 'static> hyper::rt::Executor<F> for InLocalSet {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async { _ = future.await });
    }
}

async fn listening() -> Server {
    let server = Server::new();
    server.listen(("127.0.0.1", 0)).unwrap();
    server.listening().await.unwrap();
    server
}

on_every_system! {
    fn a_tokio_timer_socket_and_channel_work_in_fyke_tasks(net) {
        beside_tokio(net, || async {
            let native = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = native.local_addr().unwrap();
            let (sender, mut receiver) = mpsc::channel(1);
            // A tokio listener accepts the connection of a fyke client.
            tokio::spawn(async move {
                let (mut stream, _) = native.accept().await.unwrap();
                let mut text = String::new();
                stream.read_to_string(&mut text).await.unwrap();
                stream.write_all(text.to_uppercase().as_bytes()).await.unwrap();
                sender.send(text).await.unwrap();
            });
            let ours = spawn_local(async move {
                sleep(Duration::from_millis(5)).await;
                let mut stream = SocketStream::connect(address).await.unwrap();
                stream.write_all(b"from fyke").await.unwrap();
                stream.end().await.unwrap();
                assert_eq!(stream.read_to_end().await.unwrap(), b"FROM FYKE");
                fyke::timer::sleep(Duration::from_millis(5)).unwrap().await;
                receiver.recv().await.unwrap()
            });
            assert_eq!(ours.unwrap().await.unwrap(), "from fyke");
        });
    }

    fn a_tokio_client_exchanges_data_with_fyke_callbacks(net) {
        beside_tokio(net, || async {
            let (sender, mut receiver) = mpsc::unbounded_channel();
            let server = fyke::create_server(move |socket| {
                let sender = sender.clone();
                socket.on_end(move |_| sender.send("the end").unwrap());
                socket.pipe(socket);
            });
            server.listen(("127.0.0.1", 0)).unwrap();
            server.listening().await.unwrap();
            let address = server.endpoint().unwrap().to_string();
            let bytes = pattern(3 << 20);
            let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
            let sent = bytes.clone();
            let sending = tokio::spawn(async move {
                writer.write_all(&sent).await.unwrap();
                writer.shutdown().await.unwrap();
            });
            let mut received = Vec::new();
            reader.read_to_end(&mut received).await.unwrap();
            sending.await.unwrap();
            assert!(received == bytes);
            assert_eq!(receiver.recv().await, Some("the end"));
            server.close();
        });
    }

    fn a_busy_fyke_connection_does_not_delay_tokio_timers_and_tasks(net) {
        beside_tokio(net, || async {
            let server = listening().await;
            let client = SocketStream::connect(server.endpoint().unwrap()).await.unwrap();
            let flooded = server.accept().await.unwrap().stream().unwrap();
            let (moved, stop) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
            let (count, stops) = (Rc::clone(&moved), Rc::clone(&stop));
            let ((mut reader, _writer), (_reader, mut writer)) = (flooded.split(), client.split());
            let reading = tokio::task::spawn_local(async move {
                let mut buffer = vec![0; 65_536];
                while AsyncReadExt::read(&mut reader, &mut buffer).await.unwrap() > 0 {
                    count.set(count.get() + 1);
                }
            });
            let writing = tokio::task::spawn_local(async move {
                while !stops.get() {
                    AsyncWriteExt::write_all(&mut writer, &[1; 65_536]).await.unwrap();
                }
            });
            let mut ticks = interval(Duration::from_millis(1));
            for _ in 0..20 {
                ticks.tick().await;
            }
            assert!(moved.get() > 0);
            stop.set(true);
            writing.await.unwrap();
            reading.await.unwrap();
            server.close();
        });
    }

    fn hyper_serves_fyke_streams_in_a_local_set(net) {
        for version in VERSIONS {
            beside_tokio(net, move || async move {
                let server = listening().await;
                let accepting = server.clone();
                tokio::task::spawn_local(async move {
                    while let Ok(socket) = accepting.accept().await {
                        let http = Builder::new(InLocalSet);
                        let stream = socket.stream().unwrap();
                        tokio::task::spawn_local(async move {
                            let _ = http.serve_connection(stream, service_fn(web::answer)).await;
                        });
                    }
                });
                let mut client = Client::connect(version, &server.clone().into()).await;
                assert_eq!(client.fetch(get("/fish")).await.unwrap(), "/fish");
                let bytes = pattern(1 << 20);
                assert!(client.fetch(post("/", bytes.clone())).await.unwrap() == bytes);
                server.close();
            });
        }
    }

    fn a_tokio_client_and_a_fyke_server_speak_http_in_one_runtime(net) {
        beside_tokio(net, || async {
            let server = web::serve(("127.0.0.1", 0).into(), web::answer).await;
            let stream = TcpStream::connect(server.endpoint().unwrap().to_string()).await.unwrap();
            let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
            let (mut client, connection) = handshake.unwrap();
            tokio::spawn(connection);
            let response = client.send_request(get("/fish")).await.unwrap();
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "/fish");
            drop(client);
            server.close();
            web::drained(&server).await;
        });
    }

    fn tokio_tasks_may_call_the_library_while_a_loop_is_driven(net) {
        let event_loop = net.event_loop();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let alive = event_loop.handle().keep_alive();
        let task = async {
            let server = listening().await;
            let mut client = SocketStream::connect(server.endpoint().unwrap()).await.unwrap();
            let mut accepted = server.accept().await.unwrap().stream().unwrap();
            let (mut seen, bytes) = (vec![0; 100_000], pattern(100_000));
            let (sent, received) =
                tokio::join!(AsyncWriteExt::write_all(&mut client, &bytes), accepted.read_exact(&mut seen));
            sent.unwrap();
            received.unwrap();
            assert!(seen == bytes);
            server.close();
            drop(alive);
        };
        runtime.block_on(async {
            let driven = async { timeout(DEADLINE, event_loop.drive()).await.unwrap().unwrap() };
            tokio::join!(driven, task);
        });
        assert!(fyke::LoopHandle::current().is_err(), "the loop must no longer be the current one");
    }

    fn a_second_driver_of_one_loop_is_refused(net) {
        let event_loop = net.event_loop();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = event_loop.enter(|| {
                let server = Server::new();
                server.listen(("127.0.0.1", 0)).map(|()| server)
            }).unwrap();
            let second = async {
                let error = event_loop.drive().await.unwrap_err();
                assert_eq!(error.code(), ErrorCode::ERR_EVENT_LOOP_BUSY);
                server.close();
            };
            tokio::join!(async { event_loop.drive().await.unwrap() }, second);
        });
    }
}

on_every_system! {
    // This does not run in the simulated network, whose clock advances while a real thread works.
    fn a_fyke_task_awaits_a_task_of_a_tokio_runtime_on_another_thread(net) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let tokio = runtime.handle().clone();
        net.block_on(async {
            let server = web::serve(net.tcp(), move |request| {
                let path = request.uri().path().to_owned();
                // The answer comes from another thread, where tokio's timer and sockets work.
                let made = tokio.spawn(async move {
                    sleep(Duration::from_millis(1)).await;
                    tokio::task::spawn_blocking(move || path.to_uppercase()).await.unwrap()
                });
                async { Ok::<_, Infallible>(hyper::Response::new(web::text(made.await.unwrap()))) }
            })
            .await;
            let mut client = Client::connect(Version::One, &server).await;
            for n in 0..20 {
                let answer = client.fetch(get(&format!("/fish/{n}"))).await.unwrap();
                assert_eq!(answer, format!("/FISH/{n}"));
            }
        });
    }
}

#[test]
fn the_executor_and_timer_for_hyper_warn_without_a_loop() {
    let warnings = support::steps::warnings(|| {
        hyper::rt::Executor::execute(&LocalExecutor, async { unreachable!() });
        drop(hyper::rt::Timer::sleep(&LocalTimer, Duration::ZERO));
    });
    assert_eq!(warnings.len(), 2);
    assert!(warnings.iter().all(|warning| warning.contains("event loop")), "{warnings:?}");
}
