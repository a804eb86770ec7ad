//! Bound sockets that become clients.

mod support;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use fyke::{
    Address, BoundSocket, ConnectOptions, Endpoint, ErrorCode, ReadyState, Server, ServerOptions,
    Socket, SocketOptions,
};
use support::{Log, collect, drive};

fn bind() -> BoundSocket {
    BoundSocket::bind(("127.0.0.1", 0)).unwrap()
}

fn ip(bound: &BoundSocket) -> SocketAddr {
    bound.address().ip().unwrap()
}

fn endpoint(address: &Address) -> Endpoint {
    address.clone().try_into().unwrap()
}

on_every_driver! {
    fn bnd_07_a_client_adopts_a_bound_socket_and_is_pending_until_it_connects(net) {
        net.run(|| {
            let bound = bind();
            let address = ip(&bound);
            let socket = Socket::from_bound(bound);
            assert!(!socket.is_connecting() && socket.is_pending() && !socket.is_destroyed());
            assert_eq!(socket.ready_state(), ReadyState::Open);
            assert_eq!(socket.local_address(), Some(address));
            assert_eq!(socket.address(), Some(Address::Ip(address)));
            assert_eq!(socket.remote_address(), None);
            // The socket reads nothing, so it does not keep this loop alive (PROC-01).
            socket.on_data(|_, _| panic!("not connected"));
            socket.on_close(|_, _| panic!("nothing happens to it"));
        });
    }

    fn bnd_08_the_server_sees_the_port_that_the_client_was_bound_to(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = Server::new();
            let bound = BoundSocket::bind(0).unwrap();
            let port = ip(&bound).port();
            server.on_connection(move |server, socket| {
                assert_eq!(socket.remote_address().unwrap(), SocketAddr::from(([127, 0, 0, 1], port)));
                server.close();
                socket.end_with("hello");
            });
            net.listen(&server, net.tcp(), move |target| {
                let client = Socket::from_bound(bound);
                assert!(client.local_address().unwrap().ip().is_unspecified());
                let attempts = log.clone();
                client.on_connection_attempt(move |_, _| attempts.add("attempt"));
                let bytes = collect(&client);
                client.connect_then(target, move |client| {
                    // The address is no longer the wildcard.
                    let concrete = SocketAddr::from(([127, 0, 0, 1], port));
                    assert_eq!(client.local_address(), Some(concrete));
                    assert!(!client.is_pending());
                }).unwrap();
                assert!(client.is_connecting());
                log.add("returned");
                client.on_close(move |client, _| {
                    assert_eq!(client.local_address().map(|local| local.port()), Some(port));
                    log.add(String::from_utf8_lossy(&bytes.borrow()));
                });
            });
        });
        assert_eq!(seen.take(), ["returned", "attempt", "hello"]);
    }

    fn bnd_08_only_the_first_address_of_a_name_is_tried_and_another_local_address_is_refused(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let client = Socket::from_bound(bind());
            let options = || ConnectOptions::new(("one.test", 1));
            for wrong in [options().local_address([127, 0, 0, 1].into()), options().local_port(1)] {
                let error = client.connect_with(wrong).unwrap_err();
                assert_eq!(error.code(), ErrorCode::ERR_INVALID_ARG_VALUE);
            }
            assert!(!client.is_connecting() && client.local_address().is_some(), "as it was");

            let lookup = options().lookup(|request, reply| {
                assert!(!request.all);
                reply.answer(Ok(vec![[127, 0, 0, 2].into(), [127, 0, 0, 3].into()]));
            });
            client.connect_with_then(lookup, |_| panic!("there is no server")).unwrap();
            let attempts = log.clone();
            client.on_connection_attempt(move |_, address| attempts.add(address));
            client.on_error(move |client, error| {
                assert!(client.attempted_addresses().is_empty());
                log.add(error);
            });
        });
        assert_eq!(seen.take(), ["127.0.0.2:1", "connect ECONNREFUSED 127.0.0.2:1"]);
    }

    fn bnd_07_socket_options_apply_to_an_adopted_bound_socket(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = ServerOptions::new().receive_buffer_size_bytes(30_000).create_server(|socket| {
                let bytes = socket.receive_buffer_size_bytes().unwrap();
                assert!([30_000, 60_000].contains(&bytes), "{bytes}");
                socket.server().unwrap().close();
                socket.end();
            });
            // Linux doubles the requested size (socket(7)).
            server.listen_bound_then(bind(), move |server| {
                let options = SocketOptions::new().send_buffer_size_bytes(20_000).no_delay(true);
                let client = options.build_from_bound(bind());
                client.connect_then(server.endpoint().unwrap(), move |client| {
                    let bytes = client.send_buffer_size_bytes().unwrap();
                    assert!([20_000, 40_000].contains(&bytes), "{bytes}");
                    assert!(client.no_delay());
                    client.resume();
                    log.add("checked");
                }).unwrap();
            }).unwrap();
        });
        assert_eq!(seen.take(), ["checked"]);
    }

    fn bnd_09_after_a_refusal_a_bound_client_connects_again_as_an_ordinary_socket(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = Server::new();
            server.on_connection(|server, socket| {
                server.close();
                socket.end();
            });
            net.listen(&server, net.tcp(), move |target| {
                let bound = bind();
                let first = ip(&bound);
                let client = Socket::from_bound(bound);
                log.watch("", &client);
                let attempts = log.clone();
                client.on_connection_attempt_failed(move |_, _, error| attempts.add(error.code()));
                // A connect to the own port would succeed. Nothing listens on port 1.
                client.connect(("127.0.0.1", 1)).unwrap();
                let mut target = Some(target);
                client.on_close(move |client, _| {
                    let Some(target) = target.take() else { return };
                    client.connect_then(target, move |client| {
                        assert_ne!(client.local_address(), Some(first));
                        client.resume();
                    }).unwrap();
                });
            });
        });
        let expected = [
            "ECONNREFUSED", "error ECONNREFUSED", "close true",
            "connect", "ready", "end", "finish", "close false",
        ];
        assert_eq!(seen.take(), expected);
    }

    fn bnd_09_a_target_of_another_family_is_einval_with_the_local_address_in_the_message(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let bound = BoundSocket::bind(("::1", 0)).unwrap();
            let local = ip(&bound);
            let client = Socket::from_bound(bound);
            client.connect_then(("127.0.0.1", 1), |_| panic!("another family")).unwrap();
            client.on_error(move |client, error| {
                assert!(client.is_destroyed());
                let text = format!("connect EINVAL 127.0.0.1:1 - Local ({local})");
                assert_eq!(error.to_string(), text);
                assert_eq!(error.local_address(), Some(local));
            });
            log.watch("", &client);
        });
        assert_eq!(seen.take(), ["error EINVAL", "close true"]);
    }

    fn bnd_09_a_write_before_the_connect_is_epipe(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let client = Socket::from_bound(bind());
            let callback = log.clone();
            let room = client.write_then("early", move |_, result| {
                callback.add(result.unwrap_err().code());
            });
            assert!(!room);
            client.on_error(|_, error| assert_eq!(error.syscall(), Some("write")));
            log.watch("", &client);
        });
        assert_eq!(seen.take(), ["EPIPE", "error EPIPE", "close true"]);
    }

    fn bnd_09_destroying_or_dropping_a_bound_client_frees_the_port(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let bound = BoundSocket::bind(net.path()).unwrap();
            let address = bound.address().clone();
            let client = Socket::from_bound(bound);
            log.watch("", &client);
            client.destroy();
            assert_eq!(client.local_address(), None);
            let again = BoundSocket::bind(endpoint(&address)).unwrap();
            drop(Socket::from_bound(again));
            BoundSocket::bind(endpoint(&address)).unwrap();

            // Also between `connect` and the attempt.
            let connecting = Socket::from_bound(BoundSocket::bind(endpoint(&address)).unwrap());
            connecting.connect_then(net.path(), |_| panic!("destroyed")).unwrap();
            connecting.destroy();
            BoundSocket::bind(endpoint(&address)).unwrap();
        });
        assert_eq!(seen.take(), ["close false"]);
    }

    fn bnd_10_a_client_bound_to_a_path_reports_it_and_its_peer_does_not(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let path = net.path();
            let bound = BoundSocket::bind(path.as_path()).unwrap();
            assert!(bound.is_unix());
            assert_eq!(bound.address(), &Address::Path(path.clone()));
            assert!(net.is_sim() || path.exists());
            let server = Server::new();
            server.on_connection(|server, socket| {
                assert_eq!((socket.remote_address(), socket.address()), (None, None));
                server.close();
                socket.end();
            });
            net.listen(&server, net.path().into(), move |target| {
                let client = Socket::from_bound(bound);
                let ours = Some(Address::Path(path.clone()));
                assert_eq!((client.address(), client.local_address()), (ours.clone(), None));
                client.connect_then(target, |client| { client.resume(); }).unwrap();
                client.on_close(move |client, had_error| {
                    assert_eq!((client.address(), client.local_address()), (ours.clone(), None));
                    assert!(!path.exists(), "closing removes it");
                    log.add(had_error);
                });
            });
        });
        assert_eq!(seen.take(), ["false"]);
    }

    fn bnd_11_a_bound_client_connects_only_to_endpoints_of_its_kind(net) {
        net.run(|| {
            let unix = Socket::from_bound(BoundSocket::bind(net.path()).unwrap());
            let error = unix.connect(("127.0.0.1", 1)).unwrap_err();
            assert_eq!(error.code(), ErrorCode::ERR_INVALID_ARG_TYPE);
            let tcp = Socket::from_bound(bind());
            let error = tcp.connect(net.path()).unwrap_err();
            assert_eq!(error.code(), ErrorCode::ERR_INVALID_ARG_TYPE);
            for socket in [unix, tcp] {
                assert!(!socket.is_connecting() && socket.address().is_some(), "as it was");
            }
        });
    }

    fn a_client_stays_open_without_a_handle(net) {
        let event_loop = net.event_loop();
        let log = Rc::new(RefCell::new(Vec::new()));
        event_loop.enter(|| {
            let server = Server::new();
            let seen = Rc::clone(&log);
            server.on_connection(move |server, socket| {
                server.close();
                let bytes = collect(socket);
                let seen = Rc::clone(&seen);
                socket.on_end(move |_| seen.borrow_mut().push(bytes.take()));
            });
            net.listen(&server, net.tcp(), |target| {
                let client = Socket::from_bound(bind());
                client.connect_then(target, |client| { client.resume().end_with("alone"); }).unwrap();
            });
        });
        drive(&event_loop, || false).unwrap();
        assert_eq!(log.take(), [b"alone".to_vec()]);
    }
}
