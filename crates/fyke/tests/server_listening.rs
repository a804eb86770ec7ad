//! Listening: what is bound when, and when the event is emitted.

mod support;

use fyke::sim::SimOptions;
use fyke::{AbortController, DriverKind, ErrorCode, ListenOptions, Server, ServerOptions, timer};
use support::{Log, Net, settled};

fn port(server: &Server) -> u16 {
    server.address().unwrap().port().unwrap()
}

/// All events of a server.
fn watch(log: &Log, server: &Server) {
    let [listening, error, close] = [(); 3].map(|()| log.clone());
    server.on_listening(move |_| listening.add("listening"));
    server.on_error(move |_, failed| error.add(failed.code()));
    server.on_close(move |_| close.add("close"));
}

on_every_driver! {
    fn srv_01_a_new_server_does_nothing_and_its_handler_is_a_connection_listener(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            for server in [Server::new(), ServerOptions::new().create_server(|_| {})] {
                assert!(!server.is_listening() && server.address().is_none());
                assert_eq!(server.connections(), 0);
            }
            let handler = log.clone();
            let server = fyke::create_server(move |socket| {
                handler.add("handler");
                socket.end();
            });
            server.on_connection(move |server, _| {
                log.add("listener");
                server.close();
            });
            net.listen(&server, net.tcp(), |endpoint| {
                fyke::connect(endpoint).unwrap().resume();
            });
        });
        assert_eq!(seen.take(), ["handler", "listener"]);
    }

    fn srv_03_without_a_host_the_server_is_bound_in_the_call_and_listening_is_emitted_on_the_tick(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = Server::new();
            let called = log.clone();
            server.listen_then(0, move |_| called.add("callback")).unwrap();
            assert!(server.is_listening() && port(&server) > 0);
            // Usable immediately.
            let client = fyke::connect(("127.0.0.1", port(&server))).unwrap();
            client.resume();
            server.on_connection(|server, socket| {
                socket.end();
                server.close();
            });
            let late = log.clone();
            server.on_listening(move |_| late.add("listening"));
            log.add("returned");
        });
        assert_eq!(seen.take(), ["returned", "callback", "listening"]);
    }

    fn srv_04_a_literal_host_is_bound_before_listening_is_emitted_on_the_tick(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = Server::new();
            let called = log.clone();
            server.listen_then(("127.0.0.1", 0), move |server| {
                called.add("listening");
                server.close();
            }).unwrap();
            timer::next_tick(move || log.add(server.is_listening())).unwrap();
        });
        assert_eq!(seen.take(), ["true", "listening"]);
    }

    fn srv_08_a_callback_of_a_closed_listen_runs_with_the_next(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = Server::new();
            let [older, newer, last] = [(); 3].map(|()| log.clone());
            server.listen_then(0, move |_| older.add("older")).unwrap();
            server.close();
            server.listen_then(0, move |server| {
                newer.add("newer");
                server.close();
                // No port is left for a third server.
                server.listen_then(0, move |server| {
                    last.add("last");
                    server.close();
                }).unwrap();
            }).unwrap();
        });
        assert_eq!(seen.take(), ["older", "newer", "last"]);
    }

    fn srv_10_the_wildcard_fails_if_the_port_is_in_use_on_one_address(net) {
        net.run(|| {
            let first = Server::new();
            net.listen(&first.clone(), net.tcp(), move |_| {
                let taken = port(&first);
                let second = Server::new();
                second.on_error(move |_, error| {
                    // Linux refuses; other systems allow the more general address.
                    assert_eq!(error.code(), ErrorCode::EADDRINUSE);
                    let text = format!("[::]:{taken}");
                    assert_eq!(error.address().unwrap().to_string(), text);
                    assert!(error.to_string().ends_with(&text), "{error}");
                    first.close();
                });
                second.listen_then(taken, |_| panic!("in use")).unwrap();
            });
        });
    }

    fn srv_14_a_second_listen_before_the_host_is_resolved_supersedes_the_first(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = Server::new();
            let [first, second] = [log.clone(), log.clone()];
            server.on_listening(move |_| log.add("listening"));
            server.listen_then(("localhost", 0), move |_| first.add("first")).unwrap();
            server.listen_then(("127.0.0.2", 0), move |server| {
                second.add("second");
                let address = server.address().unwrap().ip().unwrap();
                assert_eq!(address.ip().to_string(), "127.0.0.2");
                // By then the older lookup has answered too.
                let server = server.clone();
                let other = Server::new();
                other.listen_then(("localhost", 0), move |other| {
                    other.close();
                    server.close();
                }).unwrap();
            }).unwrap();
        });
        assert_eq!(seen.take(), ["listening", "first", "second"]);
    }

    fn proc_09_a_signal_aborted_while_the_host_is_resolved_ends_that_listen(net) {
        // Before the call, after it, and on the tick.
        for when in 0..3 {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let controller = AbortController::new();
                let server = Server::new();
                watch(&log, &server);
                let options = ListenOptions::new(("localhost", 0));
                let options = options.signal(&controller.signal());
                if when == 0 {
                    controller.abort();
                }
                options.listen_then(&server, |_| panic!("aborted meanwhile")).unwrap();
                match when {
                    0 => {}
                    1 => controller.abort(),
                    _ => timer::next_tick(move || controller.abort()).unwrap(),
                }
                assert!(!server.is_listening(), "the address is not known yet");
                settled(move || {
                    assert!(!server.is_listening() && server.address().is_none());
                    log.add("settled");
                });
            });
            assert_eq!(seen.take(), ["close", "settled"]);
        }
    }

    fn proc_09_a_signal_is_dropped_at_close_and_does_not_affect_the_next_listen(net) {
        // Aborted when the server is closed, when it listens again, or before it listens.
        for when in 0..3 {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let controller = AbortController::new();
                let server = Server::new();
                watch(&log, &server);
                let options = ListenOptions::new(0).signal(&controller.signal());
                options.listen_then(&server, |server| _ = server.close()).unwrap();
                let mut first = true;
                server.on_close(move |server| {
                    if !std::mem::take(&mut first) {
                        return;
                    }
                    if when == 0 {
                        controller.abort();
                    }
                    server.listen_then(("127.0.0.1", 0), {
                        let controller = controller.clone();
                        move |server| {
                            if when == 2 {
                                controller.abort();
                            }
                            let server = server.clone();
                            settled(move || {
                                assert!(server.is_listening(), "not closed by the older signal");
                                server.close();
                            });
                        }
                    }).unwrap();
                    if when == 1 {
                        controller.abort();
                    }
                });
            });
            assert_eq!(seen.take(), ["listening", "close", "listening", "close"]);
        }
    }

    fn proc_09_the_signal_of_a_listen_that_was_superseded_closes_nothing(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let controller = AbortController::new();
            let server = Server::new();
            watch(&log, &server);
            let options = ListenOptions::new(("localhost", 0));
            options.signal(&controller.signal()).listen(&server).unwrap();
            server.listen(("127.0.0.1", 0)).unwrap();
            controller.abort();
            settled(move || {
                assert!(server.is_listening());
                server.close();
            });
        });
        assert_eq!(seen.take(), ["listening", "close"]);
    }

    fn srv_16_the_failed_lookup_of_a_listen_that_was_superseded_is_no_error(net) {
        // Longer than a label may be, so no name server need be asked.
        let unknown = "x".repeat(64);
        // Listening again immediately, and after a close.
        for closes in [false, true] {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let server = Server::new();
                watch(&log, &server);
                server.listen((unknown.as_str(), 0)).unwrap();
                if closes {
                    server.close();
                }
                server.listen(("127.0.0.2", 0)).unwrap();
                // When its answer arrives, the older one has arrived too: an answer serves all lookups
                // of the same name.
                let other = Server::new();
                other.on_error(move |_, error| {
                    assert_eq!(error.code(), ErrorCode::ENOTFOUND);
                    let server = server.clone();
                    settled(move || {
                        let address = server.address().unwrap().ip().unwrap();
                        assert_eq!(address.ip().to_string(), "127.0.0.2");
                        server.close();
                    });
                });
                other.listen_then((unknown.as_str(), 0), |_| panic!("unknown")).unwrap();
            });
            let mut entries = seen.take();
            if closes {
                assert_eq!(entries.remove(0), "close");
            }
            assert_eq!(entries, ["listening", "close"]);
        }
    }

    fn srv_20_two_servers_never_get_the_same_free_port(net) {
        net.run(|| {
            let servers: Vec<Server> = (0..20).map(|_| {
                let server = Server::new();
                server.listen_then(0, |server| _ = server.close()).unwrap();
                server
            }).collect();
            let mut ports: Vec<u16> = servers.iter().map(port).collect();
            ports.sort_unstable();
            ports.dedup();
            assert_eq!(ports.len(), 20);
        });
    }
}

/// No system call is made for a server that is not listening.
#[cfg(feature = "tracing")]
#[test]
fn srv_01_making_a_server_makes_no_system_call() {
    let net = Net::sim();
    let made = support::steps::of(|| net.run(|| drop(fyke::create_server(|_| {}))));
    assert!(made.is_empty(), "{made:?}");
}

/// In virtual time, a name may take as long as everything else.
#[test]
fn srv_16_the_late_answer_for_a_superseded_listen_has_no_effect() {
    let lookup_delay = std::time::Duration::from_secs(3600);
    let options = SimOptions { lookup_delay, ..SimOptions::default() };
    let options = options.host("slow.test", ["127.0.0.3".parse().unwrap()]);
    let log = Log::new();
    let seen = log.clone();
    Net::new(DriverKind::Sim(options)).run(|| {
        let server = Server::new();
        watch(&log, &server);
        server.listen(("slow.test", 0)).unwrap();
        server.listen(("127.0.0.2", 0)).unwrap();
        timer::set_timeout(2 * lookup_delay, move || {
            let address = server.address().unwrap().ip().unwrap();
            assert_eq!(address.ip().to_string(), "127.0.0.2");
            server.close();
        })
        .unwrap();
    });
    assert_eq!(seen.take(), ["listening", "close"]);
}
