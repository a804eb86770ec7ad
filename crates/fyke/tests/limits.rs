//! Limits and deadlines that only fyke has, and abort signals.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use fyke::sim::SimOptions;
use fyke::{
    AbortController, ConnectOptions, DriverKind, ErrorCode, ListenOptions, Server, SocketOptions,
    timer,
};
use support::{Log, Net, drive};

const MS: Duration = Duration::from_millis(1);

on_every_driver! {
    fn c7_a_write_on_a_queue_past_its_limit_fails_and_one_at_the_limit_does_not(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(|_| panic!("destroyed before"));
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let client = SocketOptions::new().write_queue_bytes_max(100).build();
                client.connect_then(endpoint, |_| panic!("destroyed before")).unwrap();
                log.watch("", &client);
                // Everything is queued while connecting.
                let _ = client.write(vec![0; 100]);
                let _ = client.write(b"x");
                assert!(!client.is_destroyed(), "at the limit a write is accepted, which exceeds it");
                let reported = log.clone();
                assert!(!client.write_then("y", move |_, r| reported.add(r.unwrap_err().code())));
                assert!(client.is_destroyed());
                client.on_close(move |_, _| _ = server.close());
            });
        });
        let code = ErrorCode::ERR_WRITE_QUEUE_FULL.as_str();
        assert_eq!(seen.take(), [code, &format!("error {code}"), "close true"]);
    }

    fn the_callback_of_an_end_past_the_queue_limit_gets_the_error_of_the_socket(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(|_| panic!("destroyed before"));
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let client = SocketOptions::new().write_queue_bytes_max(100).build();
                client.connect_then(endpoint, |_| panic!("destroyed before")).unwrap();
                client.on_error(|_, _| {});
                let _ = client.write(vec![0; 101]);
                let reported = log.clone();
                client.end_with_then("x", move |client, result| {
                    let error = result.unwrap_err();
                    assert_eq!(client.error().unwrap().to_string(), error.to_string());
                    reported.add(error.code());
                });
                assert!(client.is_destroyed());
                client.on_close(move |_, _| _ = server.close());
            });
        });
        assert_eq!(seen.take(), ["ERR_WRITE_QUEUE_FULL"]);
    }

    fn the_error_of_a_connect_timeout_names_the_host_that_was_not_resolved(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let answers = Rc::new(RefCell::new(Vec::new()));
            let kept = Rc::clone(&answers);
            let options = ConnectOptions::new(("silent.example", 80));
            let options = options.connect_timeout(20 * MS);
            let options = options.lookup(move |_, answer| kept.borrow_mut().push(answer));
            let client = options.connect_then(|_| panic!("no address")).unwrap();
            client.on_error(move |_, error| {
                log.add(error);
                assert_eq!((error.host(), error.port()), (Some("silent.example"), None));
            });
            // Neither an unanswered lookup nor the deadline keeps the loop alive.
            let wait = timer::set_interval(MS, || {}).unwrap();
            client.on_close(move |_, _| {
                wait.cancel();
                drop(answers.take());
            });
        });
        assert_eq!(seen.take(), ["connect ETIMEDOUT silent.example"]);
    }

    fn a_peer_that_accepts_nothing_fails_by_the_write_stall_timeout(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::ServerOptions::new().write_stall_timeout(50 * MS).create_server(
                move |socket| {
                    socket.server().unwrap().close();
                    log.watch("", socket);
                    let _ = socket.write(vec![0; 32 << 20]);
                },
            );
            net.listen(&server, net.tcp(), |endpoint| {
                let client = fyke::connect(endpoint).unwrap();
                client.on_error(|_, _| {});
                client.pause();
                // Without reading, it would not detect that the server has closed.
                timer::set_timeout(1000 * MS, move || _ = client.destroy()).unwrap();
            });
        });
        assert_eq!(seen.take(), ["error ERR_WRITE_STALLED", "close true"]);
    }

    /// Regression: the timer stayed until it was due, and kept the memory of closed sockets.
    fn a_finished_write_leaves_no_deadline(net) {
        let event_loop = net.event_loop();
        let is_watched = || {
            let soon = Instant::now() + Duration::from_secs(60);
            event_loop.next_deadline().is_some_and(|deadline| deadline > soon)
        };
        let (client, received) = (Rc::new(RefCell::new(None)), Rc::new(Cell::new(0)));
        event_loop.enter(|| {
            let options = fyke::ServerOptions::new().write_stall_timeout(3_600_000 * MS);
            let server = options.create_server(|socket| _ = socket.write(vec![0; 32 << 20]));
            let (client, received) = (Rc::clone(&client), Rc::clone(&received));
            net.listen(&server, net.tcp(), move |endpoint| {
                let connected = fyke::connect(endpoint).unwrap();
                connected.pause();
                connected.on_data(move |_, data| received.set(received.get() + data.len()));
                client.replace(Some(connected));
            });
        });
        drive(&event_loop, is_watched).unwrap();
        client.take().unwrap().resume();
        drive(&event_loop, || received.get() == 32 << 20).unwrap();
        for _ in 0..10 {
            event_loop.turn(Some(Duration::ZERO)).unwrap();
        }
        assert!(!is_watched());
    }

    fn a_peer_that_reads_slowly_does_not_fail_by_the_write_stall_timeout(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::ServerOptions::new().write_stall_timeout(400 * MS).create_server(
                move |socket| {
                    socket.server().unwrap().close();
                    log.watch("", socket);
                    socket.end_with(vec![0; 2 << 20]);
                },
            );
            net.listen(&server, net.tcp(), |endpoint| {
                let client = fyke::connect(endpoint).unwrap();
                client.on_data(|client, _| {
                    client.pause();
                    let client = client.clone();
                    timer::set_timeout(5 * MS, move || _ = client.resume()).unwrap();
                });
            });
        });
        assert_eq!(seen.take(), ["finish", "end", "close false"]);
    }

    fn proc_06_an_aborted_socket_is_destroyed_immediately_and_its_error_emitted_on_the_tick(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(|socket| {
                socket.server().unwrap().close();
                socket.resume();
            });
            net.listen(&server, net.tcp(), move |endpoint| {
                let controller = AbortController::new();
                let options = ConnectOptions::new(endpoint).signal(&controller.signal());
                let client = options.connect().unwrap();
                log.watch("", &client);
                client.on_ready(move |client| {
                    controller.abort_with("enough");
                    assert!(client.is_destroyed());
                    assert_eq!(client.error().unwrap().to_string(), "ABORT_ERR: enough");
                });
            });
        });
        assert_eq!(seen.take(), ["connect", "ready", "error ABORT_ERR", "close true"]);
    }

    fn proc_08_a_signal_aborted_before_prevents_the_connect(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let controller = AbortController::new();
            controller.abort();
            let options = ConnectOptions::new(("127.0.0.1", 9)).signal(&controller.signal());
            let client = options.connect_then(|_| panic!("aborted before")).unwrap();
            client.on_connection_attempt(|_, _| panic!("aborted before"));
            assert!(client.is_destroyed());
            log.watch("", &client);
        });
        assert_eq!(seen.take(), ["error ABORT_ERR", "close true"]);
    }

    fn proc_06_after_close_a_signal_has_no_effect(net) {
        net.run(|| {
            let controller = AbortController::new();
            let socket = SocketOptions::new().signal(&controller.signal()).build();
            socket.on_error(|_, _| panic!("closed before"));
            socket.destroy();
            socket.on_close(move |_, _| controller.abort());
        });
    }

    fn proc_09_a_signal_closes_a_server_and_leaves_its_connections(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let controller = AbortController::new();
            let options = ListenOptions::new(net.tcp()).signal(&controller.signal());
            let server = fyke::create_server({
                let log = log.clone();
                move |socket| {
                    controller.abort();
                    assert!(!socket.server().unwrap().is_listening() && !socket.is_destroyed());
                    let log = log.clone();
                    socket.on_end(move |_| log.add("served"));
                    socket.resume();
                }
            });
            let closed = log.clone();
            server.on_close(move |_| closed.add("closed"));
            options.listen_then(&server, |server| {
                let client = fyke::connect_then(server.endpoint().unwrap(), |client| _ = client.end());
                client.unwrap().resume();
            }).unwrap();
        });
        assert_eq!(seen.take(), ["served", "closed"]);
    }

    fn proc_09_a_signal_aborted_before_closes_the_server_on_the_tick(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let controller = AbortController::new();
            controller.abort();
            let server = Server::new();
            server.on_close(move |_| log.add("close"));
            let options = ListenOptions::new(0).signal(&controller.signal());
            options.listen_then(&server, |_| panic!("closed before")).unwrap();
            assert!(server.is_listening());
        });
        assert_eq!(seen.take(), ["close"]);
    }
}

/// On the simulated network, in virtual time. When a batch takes as long as the timeout, two checks can
/// find the same number of bytes left, of different batches.
#[test]
fn batches_of_equal_size_that_make_progress_do_not_stall() {
    for batch_bytes in (3..=40).map(|pieces| pieces << 15) {
        let net = Net::new(DriverKind::Sim(SimOptions::default()));
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let options = fyke::ServerOptions::new().write_stall_timeout(10 * MS);
            let server = options.create_server(move |socket| {
                socket.server().unwrap().close();
                log.watch("", socket);
                let mut left = 40;
                socket.on_drain(move |socket| {
                    left -= 1;
                    match left {
                        0 => _ = socket.end(),
                        _ => _ = socket.write(vec![0; batch_bytes]),
                    }
                });
                let _ = socket.write(vec![0; 1 << 20]);
            });
            net.listen(&server, net.tcp(), |endpoint| {
                let client = fyke::connect(endpoint).unwrap();
                client.on_error(|_, _| {});
                client.on_data(|client, _| {
                    client.pause();
                    let client = client.clone();
                    timer::set_timeout(MS, move || _ = client.resume()).unwrap();
                });
            });
        });
        let seen: Vec<_> = seen.take().into_iter().filter(|event| event != "drain").collect();
        assert_eq!(seen, ["finish", "end", "close false"], "{batch_bytes}");
    }
}

/// On the simulated network, which has addresses that never answer.
#[test]
fn a_connect_that_takes_too_long_fails_by_the_connect_timeout() {
    let silent = "10.0.0.1".parse().unwrap();
    let options = SimOptions { silent: [silent].into(), ..SimOptions::default() };
    let net = Net::new(DriverKind::Sim(options));
    let log = Log::new();
    let seen = log.clone();
    net.run(|| {
        let options = ConnectOptions::new((silent, 80)).connect_timeout(3000 * MS);
        let client = options.connect_then(|_| panic!("no address answers")).unwrap();
        log.watch("", &client);
        let reported = log.clone();
        client.on_error(move |_, error| {
            reported.add(error);
            assert_eq!((error.syscall(), error.port()), (Some("connect"), Some(80)));
        });
        timer::set_timeout(2900 * MS, move || assert!(client.is_connecting())).unwrap();
    });
    let reported = "connect ETIMEDOUT 10.0.0.1:80";
    assert_eq!(seen.take(), ["error ETIMEDOUT", reported, "close true"]);
}

/// On the simulated network, which has addresses that never answer, so everything stays queued.
#[test]
fn a_write_queue_limit_of_4_gib_less_one_or_more_is_no_limit_and_a_smaller_one_applies() {
    const LAST_LIMIT: usize = u32::MAX as usize - 1;
    let silent = "10.0.0.1".parse().unwrap();
    for (limit, fits) in [(usize::MAX, true), (LAST_LIMIT + 1, true), (LAST_LIMIT, false)] {
        let options = SimOptions { silent: [silent].into(), ..SimOptions::default() };
        Net::new(DriverKind::Sim(options)).run(|| {
            let client = SocketOptions::new().write_queue_bytes_max(limit).build();
            client.on_error(|_, _| {});
            client.connect_then((silent, 80), |_| panic!("no address answers")).unwrap();
            // One piece of memory, written many times.
            let piece = fyke::Bytes::from(vec![0; 64 << 20]);
            (0..64).for_each(|_| _ = client.write(piece.clone()));
            assert_eq!(client.write_queue_len(), 4 << 30);
            let _ = client.write("x");
            assert_eq!(client.is_destroyed(), !fits);
            client.destroy();
        });
    }
}

#[test]
fn a_high_water_mark_is_at_most_4_gib_less_one_and_is_not_changed_by_a_read_of_more() {
    let socket = SocketOptions::new().high_water_mark(usize::MAX).build();
    assert_eq!(socket.high_water_mark(), u32::MAX as usize);
    let socket = SocketOptions::new().high_water_mark(100).build();
    assert_eq!(socket.read_n(1000).unwrap(), None);
    assert_eq!(socket.high_water_mark(), 100);
}
