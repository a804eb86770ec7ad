//! The properties of a socket at every point of its life.

mod support;

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use fyke::{Endpoint, Error, ErrorCode, Family, Server, Socket, SocketAddress};
use support::Log;

/// Pending, connecting, destroyed, state.
fn state(socket: &Socket) -> String {
    let (pending, connecting) = (socket.is_pending(), socket.is_connecting());
    let word = |holds: bool, word: &'static str| if holds { word } else { "" };
    let [pending, connecting, destroyed] = [
        word(pending, "pending "),
        word(connecting, "connecting "),
        word(socket.is_destroyed(), "destroyed "),
    ];
    format!("{pending}{connecting}{destroyed}{:?}", socket.ready_state())
}

on_every_driver! {
    fn prop_15_the_properties_of_a_new_socket(net) {
        net.run(|| {
            let fresh = Socket::new();
            assert_eq!(state(&fresh), "pending Open");
            assert!(fresh.is_readable() && fresh.is_writable() && !fresh.allow_half_open());
            assert_eq!((fresh.bytes_read(), fresh.bytes_written()), (0, 0));
            assert_eq!((fresh.write_queue_len(), fresh.read_queue_len()), (0, 0));
            assert_eq!((fresh.idle_timeout(), fresh.high_water_mark()), (None, 65_536));
            assert_eq!((fresh.local_address(), fresh.remote_address()), (None, None));
            assert!(fresh.server().is_none() && fresh.error().is_none());
            assert!(!fresh.is_closed() && !fresh.has_delivered());
            assert!(!fresh.is_readable_ended() && !fresh.is_readable_aborted());
            assert!(!fresh.is_writable_ended() && !fresh.is_writable_finished() && !fresh.is_writable_aborted());
        });
    }

    fn prop_01_prop_02_connecting_pending_and_the_state_over_the_life_of_a_socket(net) {
        for endpoint in net.endpoints() {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let server = fyke::create_server(|socket| {
                    assert_eq!(state(socket), "Open", "an accepted socket is connected");
                    socket.server().unwrap().close();
                    socket.resume();
                });
                net.listen(&server, endpoint, move |endpoint| {
                    let client = Socket::new();
                    let add = |at: &'static str| {
                        let log = log.clone();
                        move |client: &Socket| log.add(format!("{at}: {}", state(client)))
                    };
                    client.resume().on_connect(add("connect"));
                    client.on_ready(add("ready"));
                    client.on_end(add("end"));
                    client.on_finish(add("finish"));
                    let closed = add("close");
                    client.on_close(move |client, _| closed(client));
                    client.connect(endpoint).unwrap();
                    add("called")(&client);
                    let written = add("written");
                    client.write_then("x", move |client, _| {
                        written(client);
                        client.end();
                        written(client);
                    });
                });
            });
            assert_eq!(seen.take(), [
                "called: pending connecting Opening",
                "connect: Open",
                "written: Open",
                "written: ReadOnly",
                "ready: ReadOnly",
                "finish: ReadOnly",
                "end: Closed",
                "close: pending destroyed Closed",
            ]);
        }
    }

    fn prop_01_prop_02_the_state_of_a_socket_ended_or_destroyed_while_connecting(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = Server::new();
            server.on_connection(|_, socket| _ = socket.resume());
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let ended = Socket::new();
                ended.connect(&endpoint).unwrap();
                ended.resume().end();
                assert_eq!(state(&ended), "pending connecting Opening");
                let connected = log.clone();
                ended.on_connect(move |ended| connected.add(state(ended)));
                ended.on_close(move |_, _| _ = server.close());

                let destroyed = Socket::new();
                destroyed.connect_then(endpoint, |_| panic!("destroyed")).unwrap();
                destroyed.destroy();
                assert_eq!(state(&destroyed), "pending destroyed Closed");
            });
        });
        assert_eq!(seen.take(), ["ReadOnly"]);
    }

    fn prop_02_a_half_open_socket_is_write_only_and_closed_while_it_sends_the_rest(net) {
        net.run(|| net.pair(
            net.tcp(),
            |socket| {
                socket.set_allow_half_open(true);
                socket.resume().on_end(|socket| {
                    assert_eq!(state(socket), "WriteOnly");
                    let _ = socket.write(vec![0; 32 << 20]);
                    socket.end();
                    assert!(socket.write_queue_len() > 0);
                    assert_eq!(state(socket), "Closed", "not destroyed: it still sends");
                });
            },
            |client| { client.resume().end(); },
        ));
    }

    fn prop_08_prop_09_addresses_are_available_from_connect_until_the_next_connect(net) {
        for host in ["127.0.0.1", "::1"] {
            net.run(|| {
                let server = fyke::create_server(|socket| {
                    let server = socket.server().unwrap();
                    let address = server.address().unwrap().ip().unwrap();
                    assert_eq!(socket.local_address(), Some(address), "what the client used");
                    server.close();
                    let remote = socket.remote_address();
                    assert!(remote.is_some());
                    socket.resume().on_close(move |socket, _| {
                        assert_eq!((socket.local_address(), socket.remote_address()), (Some(address), remote));
                    });
                });
                net.listen(&server, (host, 0).into(), |endpoint| {
                    let port: u16 = endpoint.to_string().rsplit_once(':').unwrap().1.parse().unwrap();
                    let client = fyke::connect(endpoint).unwrap();
                    let none = (None, None);
                    assert_eq!((client.local_address(), client.remote_address()), none);
                    client.resume().on_connect(move |client| {
                        let (local, remote) = (client.local_address(), client.remote_address());
                        assert_eq!(remote.map(|remote| remote.port()), Some(port));
                        assert_ne!(local.map(|local| local.port()), Some(port));
                        client.on_close(move |client, _| {
                            assert_eq!((client.local_address(), client.remote_address()), (local, remote));
                        });
                        client.end();
                    });
                });
            });
        }
    }

    fn prop_08_prop_09_a_failed_connection_and_a_unix_socket_have_no_addresses(net) {
        net.run(|| {
            let client = Socket::new();
            client.on_error(|_, error| assert_eq!(error.code(), ErrorCode::ECONNREFUSED));
            client.on_close(|client, _| {
                assert_eq!((client.local_address(), client.remote_address()), (None, None));
            });
            client.connect_then(("127.0.0.1", 1), |_| panic!("no server listens there")).unwrap();
            net.pair(
                net.path().into(),
                |socket| {
                    assert_eq!((socket.local_address(), socket.remote_address()), (None, None));
                    socket.end();
                },
                |client| _ = client.resume().on_connect(|client| {
                    assert_eq!((client.local_address(), client.remote_address()), (None, None));
                }),
            );
        });
    }

    fn prop_08_prop_09_a_new_connect_has_no_addresses_until_it_is_established(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let both = |client: &Socket| (client.local_address(), client.remote_address());
            let serve = || fyke::create_server(|socket| {
                socket.server().unwrap().close();
                socket.end();
            });
            let (v4, v6) = (serve(), serve());
            net.listen(&v6, ("::1", 0).into(), move |second| {
                v4.listen_then(("127.0.0.1", 0), move |v4| {
                    let first = v4.endpoint().unwrap();
                    let client = Socket::new();
                    client.resume();
                    client.on_connection_attempt(move |client, _| {
                        assert_eq!(both(client), (None, None), "while it connects");
                    });
                    let port = |endpoint: &Endpoint| match endpoint {
                        Endpoint::Ip(address) => address.port(),
                        other => panic!("{other} is no address"),
                    };
                    let mut ports = [port(&first), port(&second)].into_iter();
                    let addresses = Rc::new(Cell::new((None, None)));
                    let kept = addresses.clone();
                    client.on_connect(move |client| {
                        let (local, remote) = both(client);
                        let (local, remote) = (local.unwrap(), remote.unwrap());
                        assert_eq!(remote.port(), ports.next().unwrap());
                        assert_eq!(local.is_ipv4(), remote.is_ipv4());
                        log.add(Family::of(&remote));
                        addresses.set((Some(local), Some(remote)));
                    });
                    let mut next = Some(second);
                    client.on_close(move |client, had_error| {
                        assert!(!had_error);
                        assert_eq!(both(client), kept.get(), "until the next connect");
                        let Some(next) = next.take() else { return };
                        client.connect(next).unwrap();
                        assert_eq!((both(client), client.address()), ((None, None), None));
                    });
                    client.connect(first).unwrap();
                }).unwrap();
            });
        });
        assert_eq!(seen.take(), ["IPv4", "IPv6"]);
    }

    fn prop_11_families_are_one_enum_with_nodes_names(net) {
        assert_eq!([Family::V4, Family::V6].map(|family| family.to_string()), ["IPv4", "IPv6"]);
        let text: SocketAddr = "[::1]:80".parse().unwrap();
        assert_eq!(SocketAddress::from(text).family(), Family::V6);
        for (host, family) in [("127.0.0.1", Family::V4), ("::1", Family::V6)] {
            net.run(|| net.pair(
                (host, 0).into(),
                move |socket| {
                    assert_eq!(Family::of(&socket.remote_address().unwrap()), family);
                    assert_eq!(Family::of(&socket.local_address().unwrap()), family);
                    socket.end();
                },
                |client| _ = client.resume(),
            ));
        }
    }

    fn prop_12_connecting_to_the_wildcard_reaches_loopback(net) {
        net.run(|| {
            let server = fyke::create_server(|socket| {
                socket.server().unwrap().close();
                let mapped = "::ffff:127.0.0.1".parse::<std::net::IpAddr>().unwrap();
                assert_eq!(socket.local_address().unwrap().ip(), mapped);
                assert_eq!(socket.remote_address().unwrap().ip(), mapped);
                socket.end();
            });
            server.listen_then(0, |server| {
                let port = server.address().unwrap().port().unwrap();
                let client = fyke::connect_then(("0.0.0.0", port), |client| {
                    let loopback = "127.0.0.1".parse::<std::net::IpAddr>().unwrap();
                    assert_eq!(client.local_address().unwrap().ip(), loopback);
                    assert_eq!(client.remote_address(), Some((loopback, client.remote_address().unwrap().port()).into()));
                });
                client.unwrap().resume();
            }).unwrap();
        });
    }

    fn prop_13_prop_14_flags_of_a_connection_that_ends_well(net) {
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.end_with("x"); },
            |client| {
                client.set_allow_half_open(true);
                client.on_data(|client, _| assert!(!client.is_readable_ended() && client.is_readable()));
                client.on_end(|client| {
                    assert!(client.has_delivered() && client.is_readable_ended());
                    assert!(!client.is_readable() && client.is_writable());
                    assert!(!client.is_writable_ended());
                    client.end();
                    assert!(client.is_writable_ended() && !client.is_writable());
                    assert!(!client.is_writable_finished());
                });
                client.on_finish(|client| assert!(client.is_writable_finished()));
                client.on_close(|client, _| {
                    assert!(client.is_destroyed() && client.is_closed() && client.error().is_none());
                    assert!(!client.is_readable_aborted() && !client.is_writable_aborted());
                });
            },
        ));
    }

    fn prop_13_prop_14_flags_of_a_socket_that_is_destroyed_turn_in_the_call(net) {
        let closed = Rc::new(Cell::new(0));
        let seen = closed.clone();
        net.run(|| {
            let flags = |socket: &Socket| {
                assert!(socket.is_destroyed() && socket.is_closed());
                assert!(!socket.is_readable() && !socket.is_writable());
                assert!(socket.is_readable_aborted() && socket.is_writable_aborted());
                assert!(!socket.is_readable_ended() && !socket.is_writable_ended());
                assert!(!socket.has_delivered() && !socket.is_writable_finished());
            };
            let plain = Socket::new();
            plain.destroy();
            flags(&plain);
            assert!(plain.error().is_none());
            net.pair(
                net.tcp(),
                |socket| { socket.resume().on_error(|_, _| {}); },
                move |client| _ = client.on_connect(move |client| {
                    let closed = closed.clone();
                    client.on_close(move |client, had_error| {
                        flags(client);
                        assert!(had_error);
                        closed.set(closed.get() + 1);
                    });
                    client.on_error(|client, _| assert!(client.error().is_some()));
                    client.destroy_with(Error::new(ErrorCode::EPIPE, "mine"));
                    flags(client);
                    assert_eq!(client.error().unwrap().code(), ErrorCode::EPIPE);
                }),
            );
        });
        assert_eq!(seen.get(), 1);
    }

    fn prop_16_accepted_sockets_return_their_server_even_after_close_and_clients_none(net) {
        net.run(|| {
            let server = Server::new();
            server.on_connection(|server, socket| {
                server.close();
                let server = server.clone();
                assert_eq!(socket.server(), Some(server.clone()));
                socket.resume().on_close(move |socket, _| {
                    assert_eq!(socket.server().as_ref(), Some(&server));
                });
            });
            net.listen(&server, net.tcp(), |endpoint| {
                let client = fyke::connect_then(endpoint, |client| {
                    assert!(client.server().is_none());
                    client.end();
                });
                client.unwrap().resume();
            });
        });
    }
}
