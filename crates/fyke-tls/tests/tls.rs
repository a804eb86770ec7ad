//! Sockets that speak TLS with each other, on every driver.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use fyke::spawn_local;
use fyke_tls::{ClientOptions, ServerOptions, Tls, Version, connect, create_server};
use support::{Authority, Log, contexts, outcome, pattern, when, with_client};

on_every_driver! {
    fn an_echo_of_a_megabyte_returns_every_byte_and_ends_with_close_notify(net) {
        let (server, client) = contexts();
        let sent = pattern(1 << 20);
        let received = Rc::new(RefCell::new(Vec::new()));
        let log = Log::new();
        let (expected, sink, events) = (sent.clone(), Rc::clone(&received), log.clone());
        net.run(|| {
            let server = create_server(&server, |socket| _ = socket.pipe(socket));
            with_client(&server, &client, move |client| {
                client.end_with(&sent);
                client.on_data(move |_, data| sink.borrow_mut().extend_from_slice(data));
                let log = events.clone();
                Tls::of(client).unwrap().on_secure_connect(move |_| log.add("secure"));
                events.watch("", client);
            });
        });
        assert!(*received.borrow() == expected);
        assert_eq!(log.take(), ["connect", "ready", "secure", "finish", "end", "close false"]);
    }

    fn both_versions_report_what_was_negotiated(net) {
        for (version, name) in [(Version::Tls12, "TLSv1.2"), (Version::Tls13, "TLSv1.3")] {
            let authority = Authority::new();
            let identity = authority.identity(&["localhost", "127.0.0.1"]);
            let fingerprint = identity.fingerprint();
            let server = ServerOptions::new(identity).alpn_protocols(["h2", "echo"]).build().unwrap();
            let options = ClientOptions::new().authorities_pem(authority.pem());
            let client = options.alpn_protocols(["echo"]).min_version(version).build().unwrap();
            let server = match version {
                Version::Tls12 => support::only_tls12(&authority),
                _ => server,
            };
            let done = Rc::new(Cell::new(0));
            let (at_server, at_client) = (Rc::clone(&done), Rc::clone(&done));
            net.run(|| {
                let server = create_server(&server, move |socket| {
                    let tls = Tls::of(socket).unwrap();
                    assert_eq!(tls.protocol(), Some(name));
                    assert_eq!(tls.server_name(), None, "an IP address is no name");
                    at_server.set(at_server.get() + 1);
                    socket.end_with("bye");
                });
                with_client(&server, &client, move |client| {
                    Tls::of(client).unwrap().on_secure_connect(move |client| {
                        let tls = Tls::of(client).unwrap();
                        assert_eq!((tls.protocol(), tls.is_session_reused()), (Some(name), false));
                        assert!(tls.cipher().is_some_and(|cipher| cipher.starts_with("TLS")));
                        let certificate = tls.peer_certificate().unwrap().unwrap();
                        assert_eq!(certificate.dns_names, ["localhost"]);
                        assert_eq!(certificate.ip_addresses.len(), 1);
                        if version == Version::Tls13 {
                            assert_eq!(certificate.fingerprint, fingerprint);
                            assert_eq!(tls.alpn_protocol().as_deref(), Some(&b"echo"[..]));
                        }
                        at_client.set(at_client.get() + 1);
                        client.end();
                    });
                    client.resume();
                });
            });
            assert_eq!(done.get(), 2);
        }
    }

    fn protocols_without_a_common_one_are_refused(net) {
        let authority = Authority::new();
        let server = ServerOptions::new(authority.identity(&["127.0.0.1"]));
        let server = server.alpn_protocols(["h2"]).build().unwrap();
        let client = ClientOptions::new().authorities_pem(authority.pem());
        let client = client.alpn_protocols(["http/1.1"]).build().unwrap();
        let expected = ("ERR_TLS_ALERT".into(), "ERR_TLS_NO_APPLICATION_PROTOCOL".into());
        assert_eq!(outcome(net, &server, &client), expected);
    }

    fn sides_without_a_common_version_are_told(net) {
        let authority = Authority::new();
        let server = support::only_tls12(&authority);
        let client = ClientOptions::new().authorities_pem(authority.pem());
        let client = client.min_version(Version::Tls13).build().unwrap();
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = create_server(&server, |_| unreachable!("there is no handshake"));
            server.on_tls_client_error(move |_, error| seen.add(error));
            with_client(&server, &client, |client| {
                client.on_error(|_, error| {
                    let message = "the peer closed the connection: alert protocol_version \
                                   (it supports neither TLS 1.2 nor TLS 1.3)";
                    assert_eq!(error.message(), Some(message));
                });
            });
        });
        assert_eq!(log.take(), ["ERR_TLS_INCOMPATIBLE: both sides have no version of TLS (1.2 or 1.3) in common"]);
    }

    fn a_session_is_resumed_by_the_same_context(net) {
        let (server, client) = contexts();
        let reused = Rc::new(RefCell::new(Vec::new()));
        for _ in 0..2 {
            let seen = Rc::clone(&reused);
            net.run(|| {
                let server = create_server(&server, |socket| _ = socket.end_with("ticket"));
                with_client(&server, &client, move |client| {
                    Tls::of(client).unwrap().on_secure_connect(move |client| {
                        seen.borrow_mut().push(Tls::of(client).unwrap().is_session_reused());
                    });
                    client.on_end(|client| _ = client.end());
                    client.resume();
                });
            });
        }
        assert_eq!(*reused.borrow(), [false, true]);
    }

    fn plain_text_at_a_server_and_at_a_client_is_named(net) {
        let (context, client) = contexts();
        let log = Log::new();
        let (seen, told) = (log.clone(), log.clone());
        net.run(|| {
            let server = create_server(&context, |_| unreachable!("there is no handshake"));
            server.on_tls_client_error(move |_, error| seen.add(error.code()));
            server.on_connection(|server, _| _ = server.close());
            server.listen_then(("127.0.0.1", 0), move |server| {
                let client = fyke::connect(server.endpoint().unwrap()).unwrap();
                client.end_with("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n");
                client.on_error(|_, _| {});
                client.resume();
            }).unwrap();

            let plain = fyke::create_server(|socket| {
                socket.server().unwrap().close();
                socket.on_error(|_, _| {});
                socket.end_with("220 mail.example.org\r\n");
                socket.resume();
            });
            plain.listen_then(("127.0.0.1", 0), move |plain| {
                let client = connect(plain.endpoint().unwrap(), &client).unwrap();
                client.on_error(move |_, error| told.add(error.code()));
            }).unwrap();
        });
        assert_eq!(log.take(), ["ERR_TLS_NOT_TLS", "ERR_TLS_NOT_TLS"]);
    }

    fn a_plain_client_at_a_server_is_told_what_is_wrong(net) {
        let http = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
            This port expects TLS. Use https:// instead of http://.\n";
        for (request, answer) in [
            ("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", &http[..]),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", http),
            // The alert `decode_error`.
            ("GETTING STARTED\r\n", &[21, 3, 3, 0, 2, 2, 50]),
            ("220 mail.example.org\r\n", &[21, 3, 3, 0, 2, 2, 50]),
        ] {
            let (context, _) = contexts();
            let received = Rc::new(RefCell::new(Vec::new()));
            let was_cut = Rc::new(Cell::new(false));
            let (seen, cut) = (Rc::clone(&received), Rc::clone(&was_cut));
            net.run(|| {
                let server = create_server(&context, |_| unreachable!("there is no handshake"));
                server.on_connection(|server, _| _ = server.close());
                server.listen_then(("127.0.0.1", 0), move |server| {
                    let client = fyke::connect(server.endpoint().unwrap()).unwrap();
                    let _ = client.write(request);
                    client.on_data(move |_, data| seen.borrow_mut().extend_from_slice(data));
                    client.on_end(|client| _ = client.end());
                    // The server closes while the simulated network still carries a part of the request.
                    client.on_error(move |_, _| cut.set(true));
                }).unwrap();
            });
            let received = received.borrow();
            assert!(answer.starts_with(&received), "{request}");
            assert!(was_cut.get() || *received == answer, "{request}");
        }
    }

    fn a_handshake_that_never_ends_is_ended(net) {
        let (context, _) = contexts();
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = create_server(&context, |_| unreachable!("there is no handshake"));
            server.set_handshake_timeout(Some(Duration::from_millis(30)));
            server.on_tls_client_error(move |_, error| seen.add(error.code()));
            server.on_connection(|server, _| _ = server.close());
            let watched = server.clone();
            server.listen_then(("127.0.0.1", 0), move |server| {
                let client = fyke::connect(server.endpoint().unwrap()).unwrap();
                // The beginning of a record that announces more.
                let _ = client.write(&[22, 3, 1, 2, 0, 1]);
                client.on_error(|_, _| {});
                client.on_close(move |_, _| assert_eq!(watched.handshakes(), 0));
                client.resume();
            }).unwrap();
        });
        assert_eq!(log.take(), ["ERR_TLS_HANDSHAKE_TIMEOUT"]);
    }

    fn a_client_can_limit_one_handshake(net) {
        let (_, client) = contexts();
        let client = client.with_handshake_timeout(Some(Duration::from_millis(30)));
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            // It accepts, and never answers.
            let server = fyke::create_server(|socket| {
                socket.server().unwrap().close();
                socket.on_error(|_, _| {});
                socket.resume();
            });
            server.listen_then(("127.0.0.1", 0), move |server| {
                let client = connect(server.endpoint().unwrap(), &client).unwrap();
                client.on_error(move |_, error| seen.add(error.code()));
            }).unwrap();
        });
        assert_eq!(log.take(), ["ERR_TLS_HANDSHAKE_TIMEOUT"]);
    }

    fn handshakes_beyond_the_limit_are_closed_and_places_become_free(net) {
        let (context, client) = contexts();
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = create_server(&context, |socket| _ = socket.end_with("served"));
            server.set_max_handshakes(1);
            let refused = seen.clone();
            server.on_tls_client_error(move |_, error| refused.add(error.code()));
            let handle = server.clone();
            server.listen_then(("127.0.0.1", 0), move |server| {
                let endpoint = server.endpoint().unwrap();
                let slow = fyke::connect(endpoint.clone()).unwrap();
                slow.on_error(|_, _| {});
                slow.resume();
                let occupied = handle.clone();
                when(move || occupied.handshakes() == 1, move || {
                    let second = connect(endpoint.clone(), &client).unwrap();
                    second.on_error(|_, _| {});
                    second.once_close(move |_, _| {
                        slow.destroy();
                        let free = handle.clone();
                        when(move || free.handshakes() == 0, move || {
                            let third = connect(endpoint, &client).unwrap();
                            third.on_text(move |_, text| seen.add(text));
                            third.on_end(move |_| _ = handle.close());
                        });
                    });
                });
            }).unwrap();
        });
        let entries = log.take();
        assert_eq!(entries[0], "ERR_TLS_TOO_MANY_HANDSHAKES");
        assert_eq!(entries.last().unwrap(), "served");
    }

    fn a_connection_that_is_cut_is_an_error_with_a_name(net) {
        let (context, client) = contexts();
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            // A relay that ends both connections when the first answer has passed.
            let server = create_server(&context, |socket| {
                socket.on_error(|_, _| {});
                let _ = socket.write("half of it");
            });
            server.on_connection(|server, _| _ = server.close());
            server.listen_then(("127.0.0.1", 0), move |server| {
                let target = server.endpoint().unwrap();
                let relay = fyke::create_server(move |socket| {
                    socket.server().unwrap().close();
                    let behind = fyke::connect(target.clone()).unwrap();
                    [socket, &behind].iter().for_each(|one| _ = one.on_error(|_, _| {}));
                    socket.pipe(&behind);
                    behind.pipe_without_end(socket);
                    let (client, server) = (socket.clone(), behind.clone());
                    socket.on_data(move |_, data| {
                        // The client says so when it has everything; the text is never that short before.
                        if data.len() < 40 {
                            client.end();
                            server.end();
                        }
                    });
                });
                relay.listen_then(("127.0.0.1", 0), move |relay| {
                    let client = connect(relay.endpoint().unwrap(), &client).unwrap();
                    let log = seen.clone();
                    client.on_text(move |client, text| {
                        log.add(text);
                        let _ = client.write("got it");
                    });
                    client.on_error(move |_, error| seen.add(error.code()));
                }).unwrap();
            }).unwrap();
        });
        assert_eq!(log.take().last().unwrap(), "ERR_TLS_TRUNCATED");
    }

    fn a_stream_of_a_task_works_above_tls(net) {
        let (server, client) = contexts();
        let sent = pattern(200_000);
        let expected = sent.clone();
        let done = Rc::new(Cell::new(false));
        let seen = Rc::clone(&done);
        net.run(|| {
            let server = create_server(&server, |socket| _ = socket.pipe(socket));
            with_client(&server, &client, move |client| {
                let (mut reader, mut writer) = client.stream().unwrap().split();
                drop(spawn_local(async move {
                    writer.write_all(&sent).await.unwrap();
                    writer.end().await.unwrap();
                }).unwrap());
                drop(spawn_local(async move {
                    let all = reader.read_to_end().await.unwrap();
                    assert!(all == expected);
                    seen.set(true);
                }).unwrap());
            });
        });
        assert!(done.get());
    }

    fn starttls_begins_in_the_middle_of_a_connection(net) {
        let (context, client) = contexts();
        let log = Log::new();
        let (at_server, at_client) = (log.clone(), log.clone());
        net.run(|| {
            let server = fyke::create_server(move |socket| {
                socket.server().unwrap().close();
                let (context, log) = (context.clone(), at_server.clone());
                socket.on_readable(move |socket| {
                    if Tls::of(socket).is_none() {
                        let Ok(Some(request)) = socket.read_n(10) else { return };
                        assert_eq!(request, b"STARTTLS\r\n");
                        let _ = socket.write("220 go\r\n");
                        fyke_tls::upgrade_server(socket, &[], &context).unwrap();
                    }
                    while let Some(data) = socket.read() {
                        log.add(String::from_utf8(data).unwrap());
                        socket.end_with("secret answer");
                    }
                });
            });
            server.listen_then(("127.0.0.1", 0), move |server| {
                let socket = fyke::connect(server.endpoint().unwrap()).unwrap();
                let _ = socket.write("STARTTLS\r\n");
                let all = RefCell::new(Vec::new());
                socket.on_data(move |socket, data| {
                    let mut all = all.borrow_mut();
                    all.extend_from_slice(data);
                    if Tls::of(socket).is_none() && all.ends_with(b"\r\n") {
                        fyke_tls::upgrade_client(socket, "localhost", &[], &client).unwrap();
                        let _ = socket.write("secret");
                    } else if all.ends_with(b"secret answer") {
                        at_client.add(String::from_utf8_lossy(&all));
                        socket.end();
                    }
                });
            }).unwrap();
        });
        assert_eq!(log.take(), ["secret", "220 go\r\nsecret answer"]);
    }

    fn a_loop_that_is_dropped_in_a_handshake_frees_everything(net) {
        let (context, client) = contexts();
        let freed = Rc::new(());
        let event_loop = net.event_loop();
        let captured = Rc::clone(&freed);
        event_loop.enter(|| {
            let kept = Rc::clone(&captured);
            let server = create_server(&context, move |_| _ = &kept);
            server.on_client_hello(move |_, _| _ = &captured);
            server.listen_then(("127.0.0.1", 0), move |server| {
                let socket = connect(server.endpoint().unwrap(), &client).unwrap();
                socket.resume();
            }).unwrap();
        });
        for _ in 0..20 {
            event_loop.turn(Some(Duration::from_millis(1))).unwrap();
        }
        assert_eq!(Rc::strong_count(&freed), 3);
        drop(event_loop);
        assert_eq!(Rc::strong_count(&freed), 1);
    }
}
