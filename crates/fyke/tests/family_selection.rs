//! Hosts with several addresses, continued: which attempts were made, and what survives failed
//! attempts. The order of events is in `race.rs`; addresses that do not answer are in
//! `dead_addresses.rs`.

mod support;

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;

use fyke::{BlockList, ConnectOptions, Endpoint, ErrorCode, FamilySelection, Socket};
use support::{Log, Net, collect};

const BOTH_WAYS: [FamilySelection; 2] = [FamilySelection::Race, FamilySelection::Sequential];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Options for a host that a hook resolves to these addresses.
fn several(port: u16, addresses: &[&str], selection: FamilySelection) -> ConnectOptions {
    let addresses: Vec<IpAddr> = addresses.iter().map(|text| ip(text)).collect();
    let options = ConnectOptions::new(("several.test", port)).family_selection(selection);
    options.lookup(move |_, reply| reply.answer(Ok(addresses.clone())))
}

fn port(endpoint: Endpoint) -> u16 {
    match endpoint {
        Endpoint::Ip(address) => address.port(),
        other => panic!("{other} has no port"),
    }
}

fn attempted(client: &Socket) -> Vec<String> {
    client.attempted_addresses().iter().map(|address| address.ip().to_string()).collect()
}

/// Records attempts, in addition to the events of [`Log::watch`].
fn watch(log: &Log, client: &Socket) {
    let attempts = log.clone();
    client.on_connection_attempt(move |_, to| {
        attempts.add(format!("attempt {}", to.ip().unwrap().ip()));
    });
    let failures = log.clone();
    client.on_connection_attempt_failed(move |_, to, error| {
        failures.add(format!("failed {} {}", to.ip().unwrap().ip(), error.code()));
    });
    log.watch("", client);
}

on_every_driver! {
    fn he_14_the_attempted_addresses_are_those_whose_attempts_began(net) {
        for selection in BOTH_WAYS {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let server = fyke::create_server(|socket| _ = socket.end());
                net.listen(&server.clone(), net.tcp(), move |endpoint| {
                    let list = BlockList::new();
                    list.add_address(ip("127.0.0.3")).unwrap();
                    let addresses = ["127.0.0.3", "::1", "127.0.0.2", "127.0.0.1", "127.0.0.4"];
                    let options = several(port(endpoint), &addresses, selection);
                    let client = options.block_list(&list).connect().unwrap();
                    let reported = log.clone();
                    client.on_connection_attempt(move |client, _| reported.add(attempted(client).len()));
                    client.on_ready(move |client| log.add(attempted(client).join(" ")));
                    client.resume();
                    client.on_close(move |client, _| {
                        assert_eq!(attempted(client).len(), 3, "they stay after close");
                        assert!(client.attempted_addresses().iter().all(|address| address.port() != 0));
                        server.close();
                    });
                });
            });
            assert_eq!(seen.take(), ["1", "2", "3", "::1 127.0.0.2 127.0.0.1"]);
        }
    }

    fn he_14_an_empty_list_differs_from_a_connect_without_a_choice_of_addresses(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let list = BlockList::new();
            list.add_subnet(ip("127.0.0.0"), 8).unwrap();
            for addresses in [&["127.0.0.1", "127.0.0.2"][..], &["127.0.0.1"]] {
                let options = several(1, addresses, FamilySelection::Sequential);
                let client = options.block_list(&list).connect().unwrap();
                assert!(!client.has_several_addresses(), "it is not resolved yet");
                let log = log.clone();
                client.on_error(|_, _| {});
                client.on_close(move |client, _| {
                    assert!(client.attempted_addresses().is_empty());
                    log.add(client.has_several_addresses());
                });
            }
        });
        let mut entries = seen.take();
        entries.sort();
        assert_eq!(entries, ["false", "true"]);
    }

    fn he_11_he_14_one_usable_address_is_not_listed_and_its_error_is_plain(net) {
        for selection in [FamilySelection::Race, FamilySelection::Sequential, FamilySelection::Off] {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let options = several(1, &["127.0.0.1", "127.0.0.1"], selection);
                let client = options.connect().unwrap();
                client.on_error(move |client, error| {
                    assert!(error.attempts().is_empty() && attempted(client).is_empty());
                    log.add(error);
                });
            });
            assert_eq!(seen.take(), ["connect ECONNREFUSED 127.0.0.1:1"]);
        }
    }

    fn he_14_he_15_addresses_that_were_never_tried_are_in_the_error_and_not_in_the_list(net) {
        for selection in BOTH_WAYS {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let server = fyke::create_server(|_| panic!("no socket can be bound there"));
                net.listen(&server.clone(), net.tcp(), move |endpoint| {
                    let list = BlockList::new();
                    list.add_address(ip("::1")).unwrap();
                    let port = port(endpoint);
                    // The server's own port, which is in use at 0.0.0.0 as well.
                    let options = several(port, &["::1", "127.0.0.1", "127.0.0.2"], selection);
                    let options = options.local_port(port).block_list(&list);
                    let client = options.connect().unwrap();
                    watch(&log, &client);
                    client.on_error(|client, error| {
                        let reported = |error: &fyke::Error| {
                            (error.code().as_str(), error.syscall(), error.port().is_some())
                        };
                        let bind = ("EADDRINUSE", Some("bind"), true);
                        let wanted = [("ERR_IP_BLOCKED", None, false), bind, bind];
                        assert_eq!(error.attempts().iter().map(reported).collect::<Vec<_>>(), wanted);
                        assert_eq!((error.code(), error.syscall()), (ErrorCode::ERR_IP_BLOCKED, None));
                        assert!(attempted(client).is_empty());
                    });
                    client.on_close(move |_, _| _ = server.close());
                });
            });
            let wanted = ["failed ::1 ERR_IP_BLOCKED", "error ERR_IP_BLOCKED", "close true"];
            assert_eq!(seen.take(), wanted);
        }
    }

    fn he_18_data_written_before_is_sent_once_on_the_winning_attempt(net) {
        for selection in BOTH_WAYS {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let reported = log.clone();
                let server = fyke::create_server(move |socket| {
                    let (bytes, reported) = (collect(socket), reported.clone());
                    socket.on_end(move |_| reported.add(String::from_utf8_lossy(&bytes.borrow())));
                });
                net.listen(&server.clone(), net.tcp(), move |endpoint| {
                    let addresses = ["::1", "127.0.0.2", "127.0.0.1"];
                    let client = several(port(endpoint), &addresses, selection)
                        .connect_then(|client| _ = client.write(", and after"))
                        .unwrap();
                    client.write_then("request", move |_, result| log.add(result.is_ok()));
                    client.on_ready(|client| _ = client.end());
                    client.resume();
                    client.on_close(move |_, _| _ = server.close());
                });
            });
            assert_eq!(seen.take(), ["true", "request, and after"]);
        }
    }

    fn he_21_an_end_before_the_connection_applies_to_any_winning_attempt(net) {
        for selection in BOTH_WAYS {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let reported = log.clone();
                let server = fyke::create_server(move |socket| {
                    let (bytes, reported) = (collect(socket), reported.clone());
                    socket.on_end(move |_| reported.add(String::from_utf8_lossy(&bytes.borrow())));
                });
                net.listen(&server.clone(), net.tcp(), move |endpoint| {
                    let options = several(port(endpoint), &["::1", "127.0.0.1"], selection);
                    let client = options.connect().unwrap();
                    client.end_with("last words");
                    client.on_connection_attempt(|client, _| assert!(!client.is_writable()));
                    client.end_then(move |client, result| {
                        assert!(client.is_writable_ended());
                        log.add(format!("ended {}", result.is_ok()));
                    });
                    client.resume();
                    client.on_close(move |client, had_error| {
                        assert!(!had_error && client.is_writable_finished());
                        server.close();
                    });
                });
            });
            let mut entries = seen.take();
            entries.sort();
            assert_eq!(entries, ["ended true", "last words"]);
        }
    }

    fn he_22_unref_belongs_to_the_socket_and_not_to_its_first_attempt(net) {
        for selection in BOTH_WAYS {
            let connected = Rc::new(Cell::new(false));
            let seen = Rc::clone(&connected);
            // The loop must end by itself, even if both ends are open.
            net.run(|| {
                let server = fyke::create_server(|socket| _ = socket.unref_loop());
                net.listen(&server.clone(), net.tcp(), move |endpoint| {
                    let client = several(port(endpoint), &["::1", "127.0.0.1"], selection)
                        .connect_then(move |_| connected.set(true))
                        .unwrap();
                    client.unref_loop();
                    client.on_close(|_, _| panic!("it was not ended"));
                    server.unref_loop();
                });
            });
            assert!(seen.get(), "an attempt that is under way holds the loop (PROC-05)");
        }
    }

    fn he_25_after_an_attempt_listener_destroys_the_socket_nothing_is_sent_and_close_follows(net) {
        for (selection, addresses) in [
            (FamilySelection::Race, &["127.0.0.1", "127.0.0.2"][..]),
            (FamilySelection::Sequential, &["127.0.0.1", "127.0.0.2"]),
            (FamilySelection::Off, &["127.0.0.1"]),
        ] {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let server = fyke::create_server(|socket| {
                    let from = socket.remote_address().unwrap().ip();
                    assert_eq!(from, ip("127.0.0.9"), "no system call was to be made");
                    socket.end();
                    socket.server().unwrap().close();
                });
                net.listen(&server, net.tcp(), move |endpoint| {
                    let client = several(port(endpoint.clone()), addresses, selection)
                        .connect_then(|_| panic!("destroyed before"))
                        .unwrap();
                    client.on_connection_attempt(|client, _| _ = client.destroy());
                    watch(&log, &client);
                    client.on_close(move |_, _| {
                        // An attempt that would follow the first one.
                        let options = ConnectOptions::new(&endpoint);
                        let witness = options.local_address(ip("127.0.0.9")).connect();
                        witness.unwrap().resume();
                    });
                });
            });
            assert_eq!(seen.take(), ["attempt 127.0.0.1", "close false"]);
        }
    }

    fn he_10_a_lookup_listener_that_destroys_stops_the_rest(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            for selection in [FamilySelection::Race, FamilySelection::Sequential, FamilySelection::Off] {
                let options = several(1, &["127.0.0.1", "::1"], selection);
                let client = options.connect_then(|_| panic!("destroyed before")).unwrap();
                let reported = log.clone();
                client.on_lookup(move |client, event| {
                    reported.add(event.address.as_ref().unwrap());
                    client.destroy();
                });
                watch(&log, &client);
            }
        });
        let mut entries = seen.take();
        entries.sort();
        assert_eq!(entries, [["127.0.0.1"; 3], ["close false"; 3]].concat());
    }

    fn he_24_after_a_failed_attempt_listener_destroys_the_socket_nothing_more_is_tried_or_reported(net) {
        for selection in BOTH_WAYS {
            for with_error in [false, true] {
                let log = Log::new();
                let seen = log.clone();
                net.run(|| {
                    let options = several(1, &["::1", "127.0.0.1"], selection);
                    let client = options.connect_then(|_| panic!("destroyed before")).unwrap();
                    client.on_connection_attempt_failed(move |client, _, _| match with_error {
                        true => _ = client.destroy_with(fyke::Error::new(ErrorCode::EPIPE, "mine")),
                        false => _ = client.destroy(),
                    });
                    watch(&log, &client);
                });
                let begun = ["attempt ::1", "failed ::1 ECONNREFUSED"];
                let ended: &[&str] = match with_error {
                    true => &["error EPIPE", "close true"],
                    false => &["close false"],
                };
                assert_eq!(seen.take(), [&begun, ended].concat());
            }
        }
    }

    fn he_07_a_local_address_leaves_one_remote_address_and_a_local_port_does_not(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            for selection in BOTH_WAYS {
                let options = several(1, &["127.0.0.1", "::1"], selection);
                let options = options.local_address(ip("127.0.0.1"));
                let client = options.connect_then(|_| panic!("there is no server")).unwrap();
                let log = log.clone();
                client.on_error(move |_, error| log.add(error));
            }
        });
        assert_eq!(seen.take(), ["connect ECONNREFUSED 127.0.0.1:1"; 2]);
        // A free port may be taken between two tests. Then another one is tried.
        let bound = (0..20).map(|_| errors_with_own_port(net));
        let bound = bound.skip_while(|errors| errors.iter().any(|error| error.starts_with("bind")));
        let wanted = [
            "connect ECONNREFUSED 127.0.0.1:1 - Local (0.0.0.0:PORT)",
            "connect ECONNREFUSED [::1]:1 - Local ([::]:PORT)",
        ];
        assert_eq!(bound.take(1).flatten().collect::<Vec<_>>(), wanted);
    }
}

/// Returns the errors of two refused attempts that are bound to a port which was free just before.
fn errors_with_own_port(net: &Net) -> Vec<String> {
    let log = Log::new();
    let seen = log.clone();
    net.run(|| {
        let server = fyke::Server::new();
        net.listen(&server.clone(), net.tcp(), move |endpoint| {
            let port = port(endpoint);
            server.close_then(move |_, _| {
                let options = several(1, &["127.0.0.1", "::1"], FamilySelection::Race);
                let client =
                    options.local_port(port).connect_then(|_| panic!("there is no server"));
                client.unwrap().on_error(move |_, error| {
                    // A failed bind is not an attempt: its error is not part of a list.
                    let alone = std::slice::from_ref(error);
                    let attempts = error.attempts();
                    for error in if attempts.is_empty() { alone } else { attempts } {
                        log.add(error.to_string().replace(&port.to_string(), "PORT"));
                    }
                });
            });
        });
    });
    seen.take()
}
