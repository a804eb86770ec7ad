//! The original conversation of the project, over every transport, with its events in order.

mod support;

use fyke::sim::SimOptions;
use fyke::{ConnectOptions, DriverKind, Endpoint, ErrorCode, Server, Socket};
use support::{Log, Net, collect};

/// A server that answers `hello client`, a client that says `hello server!`, ends, and reports.
fn converse(net: &Net, endpoint: Endpoint, connect_to: Option<Endpoint>) {
    let log = Log::new();
    let said = Log::new();
    {
        let (log, said) = (log.clone(), said.clone());
        net.run(move || {
            let server = fyke::create_server({
                let (log, said) = (log.clone(), said.clone());
                move |socket| {
                    log.watch("server ", socket);
                    let said = said.clone();
                    socket.on_data(move |_, data| {
                        said.add(String::from_utf8_lossy(data));
                    });
                    let _ = socket.write("hello client");
                    let server = socket.server().unwrap();
                    server.close();
                }
            });
            net.listen(&server, endpoint, move |endpoint| {
                let client = fyke::connect_then(connect_to.unwrap_or(endpoint), |client| {
                    let _ = client.write("hello server!\r\n");
                })
                .unwrap();
                log.watch("client ", &client);
                client.on_data(move |client, data| {
                    said.add(String::from_utf8_lossy(data));
                    client.end();
                });
            });
        });
    }
    let mut said = said.take();
    said.sort();
    assert_eq!(said.concat(), "hello clienthello server!\r\n");
    let of = |side: &str| -> Vec<String> {
        let all = log.entries();
        all.iter().filter_map(|entry| entry.strip_prefix(side).map(str::to_owned)).collect()
    };
    assert_eq!(of("client "), ["connect", "ready", "finish", "end", "close false"]);
    assert_eq!(of("server "), ["end", "finish", "close false"]);
}

on_every_driver! {
    fn the_conversation_over_tcp(net) {
        converse(net, net.tcp(), None);
    }

    fn the_conversation_over_a_unix_socket(net) {
        converse(net, net.path().into(), None);
    }

    fn ipc_09_the_conversation_over_an_abstract_name(net) {
        // A path of the net is also a unique name: the drivers are tested at the same time.
        let name = net.path().into_os_string().into_encoded_bytes();
        converse(net, Endpoint::Abstract(name), None);
    }

    fn the_conversation_over_ipv6(net) {
        converse(net, ("::1", 0).into(), None);
    }

    fn srv_06_a_server_without_a_host_accepts_ipv4_and_ipv6(net) {
        for host in ["127.0.0.1", "::1"] {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let server = fyke::create_server(move |socket| {
                    seen.add(socket.remote_address().unwrap().ip());
                    seen.add(socket.local_address().unwrap().ip());
                    socket.end();
                    socket.server().unwrap().close();
                });
                server.listen_then(0, move |server| {
                    let port = server.address().unwrap().port().unwrap();
                    fyke::connect((host, port)).unwrap();
                }).unwrap();
                assert!(server.is_listening(), "a port alone is bound inside the call (SRV-03)");
            });
            let mapped = if host == "::1" { "::1" } else { "::ffff:127.0.0.1" };
            assert_eq!(log.take(), [mapped, mapped]);
        }
    }

    fn con_21_a_port_without_a_host_connects_to_localhost(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(|socket| {
                socket.end();
                socket.server().unwrap().close();
            });
            server.listen_then(0, move |server| {
                let port = server.address().unwrap().port().unwrap();
                let client = fyke::connect(port).unwrap();
                let lookup = seen.clone();
                client.on_lookup(move |_, event| {
                    assert!(event.address.is_ok());
                    lookup.add(&event.host);
                });
                client.on_connect(move |_| seen.add("connect"));
            }).unwrap();
        });
        let entries = log.take();
        assert_eq!(entries.first().map(String::as_str), Some("localhost"));
        assert_eq!(entries.last().map(String::as_str), Some("connect"));
    }

    fn he_03_an_unknown_host_is_an_error_with_its_name(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            // 64 characters: longer than a label may be, so no name server is asked.
            let host = "x".repeat(64);
            let client = fyke::connect((host.as_str(), 80)).unwrap();
            seen.watch("", &client);
            client.on_error(move |socket, error| {
                assert_eq!((error.syscall(), error.host()), (Some("getaddrinfo"), Some(&*host)));
                assert!(!socket.is_connecting() && error.port().is_none());
            });
        });
        assert_eq!(log.take(), ["error ENOTFOUND", "close true"]);
    }

    fn con_07_a_refused_connection_is_reported_in_nodes_order(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = Server::new();
            let endpoint = net.tcp();
            net.listen(&server.clone(), endpoint, move |endpoint| {
                // The port no longer has a listener.
                server.close();
                let text = format!("connect ECONNREFUSED {endpoint}");
                let client = fyke::connect_then(endpoint, |_| panic!("there is no server")).unwrap();
                let attempt = seen.clone();
                client.on_connection_attempt(move |_, _| attempt.add("attempt"));
                let failed = seen.clone();
                client.on_connection_attempt_failed(move |socket, _, _| {
                    failed.add(format!("failed {} {}", socket.is_connecting(), socket.is_destroyed()));
                });
                seen.watch("", &client);
                client.on_error(move |_, error| assert_eq!(error.to_string(), text));
            });
        });
        let wanted = ["attempt", "failed false false", "error ECONNREFUSED", "close true"];
        assert_eq!(log.take(), wanted);
    }

    fn ipc_07_connecting_to_a_path_that_does_not_exist_fails(net) {
        let log = Log::new();
        let seen = log.clone();
        let path = net.path();
        net.run(|| {
            let client = fyke::connect(path.as_path()).unwrap();
            seen.watch("", &client);
        });
        assert_eq!(log.take(), ["error ENOENT", "close true"]);
    }

    fn con_16_a_closed_socket_may_connect_again_from_its_close_listener(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(|socket| { socket.end_with("hi"); });
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let client = Socket::new();
                seen.watch("", &client);
                let bytes = collect(&client);
                let (again, mut rounds) = (endpoint.clone(), 0);
                client.on_close(move |client, _| {
                    rounds += 1;
                    assert_eq!((client.bytes_read(), bytes.take().len()), (2, 2));
                    match rounds {
                        3 => { server.close(); }
                        _ => client.connect(&again).unwrap(),
                    }
                });
                client.connect(endpoint).unwrap();
            });
        });
        let round = ["connect", "ready", "end", "finish", "close false"];
        assert_eq!(log.take(), round.repeat(3));
    }

    fn con_17_con_18_connect_in_the_wrong_state_fails_and_changes_nothing(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(|socket| { socket.server().unwrap().close(); });
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let client = fyke::connect(&endpoint).unwrap();
                let code = |client: &Socket, endpoint: &Endpoint| {
                    client.connect(endpoint).unwrap_err().code()
                };
                assert_eq!(code(&client, &endpoint), ErrorCode::EALREADY);
                seen.watch("", &client);
                client.on_ready(move |client| {
                    assert_eq!(code(client, &endpoint), ErrorCode::EISCONN);
                    client.destroy();
                    assert_eq!(code(client, &endpoint), ErrorCode::ERR_SOCKET_CLOSED);
                });
            });
        });
        assert_eq!(log.take(), ["connect", "ready", "close false"]);
    }

    fn con_11_con_12_a_client_may_choose_its_local_address(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server({
                let seen = seen.clone();
                move |socket| {
                    seen.add(socket.remote_address().unwrap().ip());
                    socket.end();
                    socket.server().unwrap().close();
                }
            });
            net.listen(&server, net.tcp(), move |endpoint| {
                let options = ConnectOptions::new(endpoint);
                let client = options.local_address("127.0.0.3".parse().unwrap()).connect();
                client.unwrap().on_connect(move |client| {
                    seen.add(client.local_address().unwrap().ip());
                });
            });
        });
        let mut seen = log.take();
        seen.dedup();
        assert_eq!(seen, ["127.0.0.3"]);
    }
}

/// On the simulated network only, which defines its own names. The names of the test machine cannot be
/// relied on.
#[test]
fn he_15_if_all_addresses_refuse_one_error_lists_them() {
    let addresses = ["::1", "127.0.0.1"].map(|ip| ip.parse().unwrap());
    let options = SimOptions::default().host("both.test", addresses);
    let net = Net::new(DriverKind::Sim(options));
    let log = Log::new();
    let seen = log.clone();
    net.run(move || {
        let client = fyke::connect(("both.test", 9)).unwrap();
        let attempt = seen.clone();
        client.on_connection_attempt(move |_, to| attempt.add(format!("attempt {to}")));
        let failed = seen.clone();
        client.on_connection_attempt_failed(move |_, to, _| failed.add(format!("failed {to}")));
        seen.watch("", &client);
        client.on_error(|client, error| {
            let texts: Vec<String> = error.attempts().iter().map(ToString::to_string).collect();
            let wanted = ["connect ECONNREFUSED [::1]:9", "connect ECONNREFUSED 127.0.0.1:9"];
            assert_eq!(texts, wanted);
            assert_eq!(client.attempted_addresses().len(), 2);
        });
    });
    let wanted = [
        "attempt [::1]:9",
        "failed [::1]:9",
        "attempt 127.0.0.1:9",
        "failed 127.0.0.1:9",
        "error ECONNREFUSED",
        "close true",
    ];
    assert_eq!(log.take(), wanted);
}
