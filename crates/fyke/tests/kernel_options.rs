//! Options that the system stores, each read back from it. Keep-alive is in `keep_alive.rs`.

mod support;

use std::cell::Cell;
use std::time::Duration;

use fyke::{
    ConnectOptions, ErrorCode, ListenOptions, Server, ServerOptions, Socket, SocketOptions, timer,
};
use support::options::{MS, SECOND, look, look_accepted, probes};

/// The size that Linux sets for a requested size (socket(7)).
fn buffer(linux: bool, bytes: usize) -> Option<usize> {
    Some(if linux { 2 * bytes } else { bytes })
}

on_every_driver! {
    fn tmo_10_no_delay_is_off_until_it_is_set(net) {
        net.run(|| look(net, net.tcp(), &Socket::new(), |client| {
            assert!(!client.no_delay());
            for on in [true, true, false, true, false] {
                client.set_no_delay(on).unwrap();
                assert_eq!(client.no_delay(), on);
            }
        }));
    }

    fn tmo_11_no_delay_set_before_the_connection_is_active_in_connect_and_after_a_reconnect(net) {
        net.run(|| {
            look(net, net.tcp(), &SocketOptions::new().no_delay(true).build(), |client| {
                assert!(client.no_delay());
            });
            look(net, net.tcp(), &SocketOptions::new().no_delay(false).build(), |client| {
                assert!(!client.no_delay());
            });
            let fresh = Socket::new();
            fresh.set_no_delay(true).unwrap();
            assert!(fresh.no_delay());
            look(net, net.tcp(), &fresh, |client| assert!(client.no_delay()));
        });
        net.run(|| {
            let server = fyke::create_server(|socket| { socket.resume(); });
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let options = ConnectOptions::new(&endpoint).no_delay(true);
                let client = options.connect_then(|client| { client.end(); }).unwrap();
                client.resume();
                let rounds = Cell::new(0);
                client.on_close(move |client, _| {
                    rounds.set(rounds.get() + 1);
                    if rounds.get() == 3 {
                        server.close();
                        return;
                    }
                    let connected = |client: &Socket| {
                        assert!(client.no_delay());
                        client.end();
                    };
                    client.connect_then(&endpoint, connected).unwrap();
                });
            });
        });
    }

    fn tmo_11_tmo_19_options_set_while_connecting_are_remembered_too(net) {
        let linux = net.is_linux();
        net.run(|| net.pair(net.tcp(), |socket| _ = socket.end(), move |client| {
            let client = client.clone();
            // After the call of `connect`, before there is a result.
            timer::next_tick(move || {
                assert!(client.is_connecting());
                client.set_no_delay(true).unwrap();
                client.set_keep_alive_probes(probes(6, 3, 4)).unwrap();
                client.set_type_of_service(0x10).unwrap();
                client.set_user_timeout(Some(SECOND)).unwrap();
                client.set_send_buffer_size_bytes(30_000).unwrap();
                client.on_connection_attempt(|client, _| {
                    // The descriptor exists, the connection does not.
                    client.set_receive_buffer_size_bytes(20_000).unwrap();
                });
                assert_eq!(client.type_of_service(), 0x10, "never EBADF");
                client.on_connect(move |client| {
                    assert!(client.no_delay());
                    assert_eq!(client.keep_alive(), Some(probes(6, 3, 4)));
                    assert_eq!(client.type_of_service(), 0x10);
                    assert_eq!(client.user_timeout(), Some(SECOND).filter(|_| linux));
                    assert_eq!(client.send_buffer_size_bytes(), buffer(linux, 30_000));
                    assert_eq!(client.receive_buffer_size_bytes(), buffer(linux, 20_000));
                });
                client.resume();
            }).unwrap();
        }));
    }

    fn tmo_12_srv_21_the_servers_no_delay_is_set_before_connection(net) {
        look_accepted(net, ServerOptions::new().no_delay(true), |socket| assert!(socket.no_delay()));
        look_accepted(net, ServerOptions::new(), |socket| assert!(!socket.no_delay()));
    }

    fn srv_21_options_inherited_from_the_listener_can_be_changed_on_each_connection(net) {
        let options = ServerOptions::new().no_delay(true).keep_alive(6 * SECOND);
        look_accepted(net, options, |socket| {
            assert!(socket.no_delay());
            assert_eq!(socket.keep_alive(), Some(probes(6, 1, 10)));
            socket.set_no_delay(false).unwrap();
            socket.set_keep_alive(false, SECOND).unwrap();
            assert!(!socket.no_delay());
            assert_eq!(socket.keep_alive(), None);
        });
    }

    fn tmo_18_type_of_service_over_ipv4_and_ipv6(net) {
        let linux = net.is_linux();
        for endpoint in [net.tcp(), ("::1", 0).into()] {
            net.run(|| look(net, endpoint, &Socket::new(), move |client| {
                assert_eq!(client.type_of_service(), 0);
                client.set_type_of_service(0x48).unwrap();
                assert_eq!(client.type_of_service(), 0x48);
                client.set_type_of_service(255).unwrap();
                let masked = if linux { 252 } else { 255 };
                assert_eq!(client.type_of_service(), masked, "the two bits of ECN are the system's");
            }));
        }
    }

    fn tmo_18_a_mapped_peer_of_a_dual_stack_server_has_a_type_of_service(net) {
        net.run(|| {
            let server = fyke::create_server(|socket| {
                socket.server().unwrap().close();
                assert!(socket.remote_address().unwrap().is_ipv6());
                socket.set_type_of_service(0x10).unwrap();
                assert_eq!(socket.type_of_service(), 0x10);
                socket.end();
            });
            server.listen_then(0, |server| {
                let port = server.address().unwrap().port().unwrap();
                fyke::connect(("127.0.0.1", port)).unwrap().resume();
            }).unwrap();
        });
    }

    fn tmo_19_type_of_service_is_remembered_before_the_connection_and_after_destroy(net) {
        let option = SocketOptions::new().type_of_service(0x20).build();
        let setter = Socket::new();
        assert_eq!((option.type_of_service(), setter.type_of_service()), (0x20, 0));
        setter.set_type_of_service(0x20).unwrap();
        net.run(|| for client in [option, setter] {
            look(net, net.tcp(), &client, |client| {
                assert_eq!(client.type_of_service(), 0x20);
                client.on_close(|client, _| {
                    assert_eq!(client.type_of_service(), 0x20, "the last value");
                    client.set_type_of_service(0x28).unwrap();
                    assert_eq!(client.type_of_service(), 0x28);
                });
            });
        });
        net.run(|| {
            let server = Server::new();
            server.on_connection(|server, socket| { server.close(); socket.end(); });
            net.listen(&server, net.tcp(), |endpoint| {
                let options = ConnectOptions::new(endpoint).type_of_service(0x20);
                let connected = |client: &Socket| assert_eq!(client.type_of_service(), 0x20);
                options.connect_then(connected).unwrap().resume();
            });
        });
    }

    fn user_timeout_is_the_systems_until_it_is_set(net) {
        let linux = net.is_linux();
        let fresh = Socket::new();
        fresh.set_user_timeout(Some(1500 * MS)).unwrap();
        assert_eq!(fresh.user_timeout(), Some(1500 * MS));
        net.run(|| look(net, net.tcp(), &fresh, move |client| if linux {
            assert_eq!(client.user_timeout(), Some(1500 * MS));
            client.set_user_timeout(Some(MS / 10)).unwrap();
            assert_eq!(client.user_timeout(), Some(MS), "not zero, which is the system's own");
            client.set_user_timeout(None).unwrap();
            assert_eq!(client.user_timeout(), None);
            let most = MS * 0x7fff_ffff;
            client.set_user_timeout(Some(most)).unwrap();
            let code = client.set_user_timeout(Some(most + MS)).unwrap_err().code();
            assert_eq!((code, client.user_timeout()), (ErrorCode::ERR_OUT_OF_RANGE, Some(most)));
            client.set_user_timeout(Some(Duration::ZERO)).unwrap();
            assert_eq!(client.user_timeout(), None);
        }));
        look_accepted(net, ServerOptions::new(), move |socket| if linux {
            assert_eq!(socket.user_timeout(), None);
            socket.set_user_timeout(Some(SECOND)).unwrap();
            assert_eq!(socket.user_timeout(), Some(SECOND));
        });
    }

    fn sizes_of_buffers_are_set_before_connecting_and_on_a_connection(net) {
        let linux = net.is_linux();
        for endpoint in net.endpoints() {
            let options = SocketOptions::new().send_buffer_size_bytes(40_000);
            let client = options.receive_buffer_size_bytes(50_000).build();
            assert_eq!(client.send_buffer_size_bytes(), Some(40_000));
            assert_eq!(Socket::new().receive_buffer_size_bytes(), None);
            net.run(|| look(net, endpoint, &client, move |client| {
                assert_eq!(client.send_buffer_size_bytes(), buffer(linux, 40_000));
                assert_eq!(client.receive_buffer_size_bytes(), buffer(linux, 50_000));
                client.set_send_buffer_size_bytes(60_000).unwrap();
                client.set_receive_buffer_size_bytes(70_000).unwrap();
                assert_eq!(client.send_buffer_size_bytes(), buffer(linux, 60_000));
                assert_eq!(client.receive_buffer_size_bytes(), buffer(linux, 70_000));
                // Reduced to what the system allows, and never refused.
                client.set_send_buffer_size_bytes(usize::MAX).unwrap();
                client.set_receive_buffer_size_bytes(usize::MAX).unwrap();
            }));
        }
    }

    fn accepted_sockets_have_the_sizes_of_buffers_from_their_listener(net) {
        let linux = net.is_linux();
        let options = ServerOptions::new().send_buffer_size_bytes(40_000);
        look_accepted(net, options.receive_buffer_size_bytes(50_000), move |socket| {
            assert_eq!(socket.send_buffer_size_bytes(), buffer(linux, 40_000));
            assert_eq!(socket.receive_buffer_size_bytes(), buffer(linux, 50_000));
        });
        let server = ServerOptions::new().send_buffer_size_bytes(40_000).create_server(move |socket| {
            socket.server().unwrap().close();
            assert_eq!(socket.send_buffer_size_bytes(), buffer(linux, 30_000), "those of the listen");
            assert_eq!(socket.receive_buffer_size_bytes(), buffer(linux, 20_000));
            socket.end();
        });
        net.run(|| {
            let options = ListenOptions::new(net.tcp()).send_buffer_size_bytes(30_000);
            options.receive_buffer_size_bytes(20_000).listen_then(&server, |server| {
                fyke::connect(server.endpoint().unwrap()).unwrap().resume();
            }).unwrap();
        });
    }

    fn tmo_10_tmo_18_options_of_tcp_do_nothing_on_a_unix_socket(net) {
        net.run(|| look(net, net.path().into(), &Socket::new(), |client| {
            client.set_no_delay(true).unwrap();
            client.set_keep_alive(true, SECOND).unwrap();
            client.set_type_of_service(0x10).unwrap();
            client.set_user_timeout(Some(SECOND)).unwrap();
            assert_eq!((client.no_delay(), client.type_of_service()), (true, 0x10), "only stored");
            assert_eq!(client.keep_alive(), Some(probes(1, 1, 10)));
            assert_eq!(client.user_timeout(), Some(SECOND));
        }));
    }
}
