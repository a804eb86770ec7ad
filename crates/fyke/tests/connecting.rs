//! From the call of `connect` to `connect`, `ready` or `error`: which events are emitted when, for a
//! single address. Hosts with several addresses are in `family_selection.rs`.

mod support;

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;

use fyke::{
    Address, BlockList, ConnectOptions, Endpoint, Error, ErrorCode, Family, ReadyState, Socket,
    timer,
};
use support::Log;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Records attempts, in addition to the events of [`Log::watch`].
fn watch(log: &Log, client: &Socket) {
    let attempts = log.clone();
    client.on_connection_attempt(move |_, _| attempts.add("attempt"));
    let failures = log.clone();
    client.on_connection_attempt_failed(move |_, _, error| {
        failures.add(format!("failed {}", error.code()));
    });
    log.watch("", client);
}

fn tick(log: &Log, entry: &'static str) {
    let log = log.clone();
    timer::next_tick(move || log.add(entry)).unwrap();
}

/// The call and the port of an error, and whether it has the local address.
fn shape(error: &Error) -> (Option<&str>, Option<u16>, bool) {
    (error.syscall(), error.port(), error.local_address().is_some())
}

on_every_driver! {
    fn con_01_every_form_of_the_target_connects_and_the_state_is_opening_until_then(net) {
        let connected = Rc::new(Cell::new(0));
        let count = Rc::clone(&connected);
        let path = net.path();
        for endpoint in [Endpoint::Port(0), path.into()] {
            let count = Rc::clone(&count);
            net.run(move || {
                let server = fyke::create_server(|socket| _ = socket.end());
                server.listen_then(endpoint, move |server| {
                    let forms: Vec<Endpoint> = match server.address().unwrap() {
                        Address::Ip(address) => {
                            let port = address.port();
                            vec![
                                port.into(), ("localhost", port).into(), ("", port).into(),
                                (ip("127.0.0.1"), port).into(), ("::1", port).into(),
                                format!("127.0.0.1:{port}").parse().unwrap(),
                                format!("localhost:{port}").parse().unwrap(),
                                server.address().unwrap().try_into().unwrap(),
                            ]
                        }
                        address => vec![
                            address.path().unwrap().into(),
                            format!("unix:{address}").parse().unwrap(),
                            address.try_into().unwrap(),
                        ],
                    };
                    let left = Rc::new(Cell::new(2 * forms.len()));
                    for (form, is_own) in forms.into_iter().flat_map(|form| [(form.clone(), false), (form, true)]) {
                        let seen = Rc::clone(&count);
                        let then = move |_: &Socket| seen.set(seen.get() + 1);
                        let client = match is_own {
                            true => Socket::new(),
                            false => fyke::connect_then(&form, then.clone()).unwrap(),
                        };
                        if is_own {
                            client.connect_then(&form, then).unwrap();
                        }
                        assert!(client.is_connecting() && client.is_pending());
                        assert_eq!(client.ready_state(), ReadyState::Opening);
                        client.on_connect(|client| {
                            assert!(!client.is_connecting() && !client.is_pending());
                            assert_eq!(client.ready_state(), ReadyState::Open);
                        });
                        client.resume();
                        let (left, server) = (Rc::clone(&left), server.clone());
                        client.on_close(move |_, _| {
                            left.set(left.get() - 1);
                            if left.get() == 0 {
                                server.close();
                            }
                        });
                    }
                }).unwrap();
            });
        }
        assert_eq!(connected.get(), 2 * (8 + 3));
    }

    fn con_02_the_callback_runs_once_in_listener_order_and_is_then_dropped(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(|socket| _ = socket.end());
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let client = Socket::new();
                let add = |entry: &'static str| { let log = log.clone(); move |_: &Socket| log.add(entry) };
                client.on_connect(add("before"));
                let captured = Rc::new(());
                let alive = Rc::downgrade(&captured);
                let reported = log.clone();
                client.connect_then(&endpoint, move |_| {
                    let _captured = &captured;
                    reported.add("callback");
                }).unwrap();
                client.on_connect(add("after"));
                client.on_ready(move |_| assert!(alive.upgrade().is_none(), "not released"));
                client.resume();
                let mut again = Some(endpoint);
                client.on_close(move |client, _| match again.take() {
                    Some(endpoint) => client.connect(endpoint).unwrap(),
                    None => _ = server.close(),
                });
            });
        });
        assert_eq!(seen.take(), ["before", "callback", "after", "before", "after"]);
    }

    fn con_03_an_address_is_tried_on_the_tick_and_its_result_is_emitted_later(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(|socket| _ = socket.end());
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let Endpoint::Ip(wanted) = endpoint else { panic!("not an address") };
                tick(&log, "earlier tick");
                let client = fyke::connect(endpoint).unwrap();
                tick(&log, "later tick");
                log.add("called");
                // A call in the same turn is early enough.
                client.on_lookup(|_, _| panic!("there is nothing to look up"));
                client.on_connection_attempt(move |client, to| {
                    assert!(to.ip() == Some(wanted) && client.is_connecting());
                });
                watch(&log, &client);
                client.resume();
                client.on_close(move |_, _| _ = server.close());
            });
        });
        let wanted = [
            "called", "earlier tick", "attempt", "later tick", "connect", "ready", "end", "finish",
            "close false",
        ];
        assert_eq!(seen.take(), wanted);
    }

    fn con_03_a_socket_destroyed_before_the_tick_attempts_nothing(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            for endpoint in net.endpoints() {
                let client = fyke::connect_then(endpoint, |_| panic!("destroyed before")).unwrap();
                watch(&log, &client);
                client.destroy();
            }
        });
        assert_eq!(seen.take(), ["close false", "close false"]);
    }

    fn con_04_a_path_is_tried_on_the_tick_and_its_result_is_emitted_later(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(|socket| _ = socket.end());
            let missing = net.path();
            let path = net.path();
            let wanted = path.clone();
            net.listen(&server.clone(), path.into(), move |endpoint| {
                let client = fyke::connect(endpoint).unwrap();
                client.on_connection_attempt(move |_, to| {
                    assert_eq!((to.path(), to.port()), (Some(wanted.as_path()), None));
                });
                watch(&log, &client);
                log.add("called");
                client.on_connection_attempt({
                    let log = log.clone();
                    move |_, _| tick(&log, "tick")
                });
                client.resume();
                client.on_close(move |_, _| {
                    server.close();
                    let client = fyke::connect(missing.as_path()).unwrap();
                    watch(&log, &client);
                    log.add("called");
                });
            });
        });
        let wanted = [
            "called", "attempt", "tick", "connect", "ready", "end", "finish", "close false",
            "called", "attempt", "failed ENOENT", "error ENOENT", "close true",
        ];
        assert_eq!(seen.take(), wanted);
    }

    fn con_05_ready_directly_follows_connect_and_precedes_all_data(net) {
        for endpoint in net.endpoints() {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| net.pair(endpoint, |socket| _ = socket.end_with("immediately"), move |client| {
                watch(&log, client);
                let later = log.clone();
                client.on_connect(move |_| {
                    later.add("second listener");
                    tick(&later, "tick");
                });
                client.on_data(move |_, _| log.add("data"));
            }));
            let mut entries = seen.take();
            entries.dedup();
            let wanted = [
                "attempt", "connect", "second listener", "ready", "tick", "data", "end", "finish",
                "close false",
            ];
            assert_eq!(entries, wanted);
        }
    }

    fn con_05_ready_is_not_emitted_after_a_connect_listener_destroys_the_socket(net) {
        for endpoint in net.endpoints() {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| net.pair(endpoint, |socket| {
                socket.on_error(|_, _| {});
                let _ = socket.write("never delivered");
            }, move |client| {
                client.on_connect(|client| _ = client.destroy());
                watch(&log, client);
                client.on_data(|_, _| panic!("destroyed before"));
            }));
            assert_eq!(seen.take(), ["attempt", "connect", "close false"]);
        }
    }

    fn con_06_is_connecting_is_false_in_every_connect_and_error_listener(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(net.tcp(), |socket| _ = socket.end(), move |client| {
            for _ in 0..2 {
                let log = log.clone();
                client.on_connect(move |client| log.add(format!("connect {}", client.is_connecting())));
            }
            client.on_close(move |_, _| {
                let refused = fyke::connect(("127.0.0.1", 1)).unwrap();
                for _ in 0..2 {
                    let log = log.clone();
                    refused.on_error(move |client, error| {
                        log.add(format!("{} {}", error.code(), client.is_connecting()));
                    });
                }
            });
            client.resume();
        }));
        let wanted = ["connect false", "connect false", "ECONNREFUSED false", "ECONNREFUSED false"];
        assert_eq!(seen.take(), wanted);
    }

    fn con_07_a_refused_attempt_is_reported_first_its_error_on_the_tick_and_close_in_its_phase(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let client = fyke::connect_then(("127.0.0.1", 1), |_| panic!("there is no server")).unwrap();
            watch(&log, &client);
            client.on_connection_attempt_failed(move |_, _, _| {
                tick(&log, "earlier tick");
                let log = log.clone();
                timer::set_immediate(move || log.add("immediate")).unwrap();
            });
            client.on_error(|client, error| {
                assert_eq!(error.to_string(), "connect ECONNREFUSED 127.0.0.1:1");
                assert_eq!(shape(error), (Some("connect"), Some(1), false));
                assert_eq!(client.error().unwrap().to_string(), error.to_string());
            });
        });
        let wanted = [
            "attempt", "failed ECONNREFUSED", "earlier tick", "error ECONNREFUSED", "immediate",
            "close true",
        ];
        assert_eq!(seen.take(), wanted);
    }

    fn con_22_an_ip_literal_keeps_its_family_whatever_is_requested(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            for (host, family) in [("127.0.0.1", Family::V6), ("::1", Family::V4)] {
                let options = ConnectOptions::new((host, 1)).family(family);
                let log = log.clone();
                options.connect().unwrap().on_error(move |_, error| log.add(error));
            }
        });
        let mut entries = seen.take();
        entries.sort();
        assert_eq!(entries, ["connect ECONNREFUSED 127.0.0.1:1", "connect ECONNREFUSED [::1]:1"]);
    }

    fn con_08_a_refusal_by_the_system_is_emitted_after_the_call_and_not_returned(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let list = BlockList::new();
            list.add_address("127.0.0.1").unwrap();
            let options = || ConnectOptions::new(("127.0.0.1", 1));
            let lookup = ConnectOptions::new(("a.test", 1)).lookup(|_, reply| {
                reply.answer(Err(Error::new(ErrorCode::EAI_AGAIN, "immediately")));
            });
            let cases = [
                options(), options().local_address(ip("203.0.113.9")),
                options().block_list(&list), lookup,
                ConnectOptions::new(net.path()),
                ConnectOptions::new(Endpoint::Path("x".repeat(500).into())),
                ConnectOptions::new(Endpoint::Path("a\0b".into())),
            ];
            for options in cases {
                let client = options.connect_then(|_| panic!("it cannot connect")).unwrap();
                assert!(client.is_connecting() && !client.is_destroyed());
                let log = log.clone();
                client.on_error(move |_, error| log.add(error.code()));
            }
            log.add("called");
        });
        let mut entries = seen.take();
        assert_eq!(entries.remove(0), "called");
        entries.sort();
        let wanted = [
            "EADDRNOTAVAIL", "EAI_AGAIN", "ECONNREFUSED", "EINVAL", "EINVAL", "ENOENT", "ERR_IP_BLOCKED",
        ];
        assert_eq!(entries, wanted);
    }

    fn con_09_port_0_is_accepted_and_refused_later_without_a_port(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let client = fyke::connect(("127.0.0.1", 0)).unwrap();
            watch(&log, &client);
            client.on_error(|_, error| {
                assert_eq!((error.port(), error.syscall()), (None, Some("connect")));
                assert!(error.to_string().ends_with(" 127.0.0.1"), "{error}");
            });
        });
        let entries = seen.take();
        assert_eq!((entries.len(), &*entries[0], &*entries[3]), (4, "attempt", "close true"));
    }

    fn con_19_a_server_closed_in_the_turn_of_the_connect_refuses_the_connection(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(|_| panic!("closed before"));
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let client = fyke::connect_then(endpoint, |_| panic!("closed before")).unwrap();
                watch(&log, &client);
                server.close();
                assert_eq!((client.remote_address(), client.local_address()), (None, None));
                client.on_connection_attempt(|client, _| assert_eq!(client.remote_address(), None));
                client.on_error(|client, _| assert_eq!(client.remote_address(), None));
            });
        });
        assert_eq!(seen.take(), ["attempt", "failed ECONNREFUSED", "error ECONNREFUSED", "close true"]);
    }

    fn con_19_a_listener_closed_before_accepting_ends_the_connect_with_one_error(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(|socket| {
                socket.on_error(|_, _| {});
            });
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let client = fyke::connect(endpoint).unwrap();
                watch(&log, &client);
                client.resume();
                // Runs after the system was asked to connect, and before the result is read.
                client.on_connection_attempt(move |_, _| {
                    let server = server.clone();
                    timer::next_tick(move || _ = server.close()).unwrap();
                });
            });
        });
        let entries = seen.take();
        let errors = entries.iter().filter(|entry| entry.starts_with("error")).count();
        assert_eq!((errors, entries.last().map(String::as_str)), (1, Some("close true")), "{entries:?}");
        let reported = ["error ECONNRESET", "error ECONNREFUSED"];
        assert!(entries.iter().any(|entry| reported.contains(&entry.as_str())), "{entries:?}");
    }
}
