//! Sockets that are bound before it is decided how to use them.

mod support;

use std::net::{Ipv4Addr, SocketAddr};

use fyke::{AbortController, Address, BindOptions, BoundSocket, Endpoint, ErrorCode, Server};
use support::{Log, Net};

fn bind() -> BoundSocket {
    BoundSocket::bind(("127.0.0.1", 0)).unwrap()
}

fn ip(bound: &BoundSocket) -> SocketAddr {
    bound.address().ip().unwrap()
}

fn endpoint(address: &Address) -> Endpoint {
    address.clone().try_into().unwrap()
}

#[cfg(unix)]
fn check_descriptor(net: &Net, bound: &BoundSocket) {
    assert!(bound.as_raw_fd().is_none_or(|fd| fd > 2));
    assert_eq!(bound.as_raw_fd().is_some(), !net.is_sim());
}

/// Windows has no descriptors.
#[cfg(not(unix))]
fn check_descriptor(_: &Net, _: &BoundSocket) {}

/// The addresses that a socket can be bound to, and how to request them.
fn places(net: &Net) -> Vec<Endpoint> {
    let name = net.path().into_os_string().into_encoded_bytes();
    let abstract_name = cfg!(target_os = "linux").then_some(Endpoint::Abstract(name));
    net.endpoints().into_iter().chain(abstract_name).collect()
}

on_every_driver! {
    fn bnd_01_the_socket_is_bound_when_the_constructor_returns(net) {
        net.run(|| {
            let bound = bind();
            let address = ip(&bound);
            assert_eq!(address.ip(), Ipv4Addr::LOCALHOST);
            assert_ne!(address.port(), 0);
            assert!(!bound.is_unix());
            check_descriptor(net, &bound);

            // Without a host, the socket is bound to all addresses, without a lookup.
            let everywhere = ip(&BoundSocket::bind(0).unwrap());
            assert_eq!(everywhere.ip(), Ipv4Addr::UNSPECIFIED);
            let only = ip(&BindOptions::new(0).ipv6_only(true).bind().unwrap());
            assert!(only.is_ipv6() && only.ip().is_unspecified());
        });
        let error = BoundSocket::bind(("127.0.0.1", 0)).unwrap_err();
        assert_eq!(error.code(), ErrorCode::ERR_NO_EVENT_LOOP);
    }

    fn proc_01_a_bound_socket_does_not_keep_the_loop_alive(net) {
        let event_loop = net.event_loop();
        let bound = event_loop.enter(bind);
        assert!(!event_loop.turn(None).unwrap());
        assert_ne!(ip(&bound).port(), 0);
    }

    fn bnd_02_invalid_endpoints_are_refused_and_options_without_effect_ignored(net) {
        net.run(|| {
            let code = |endpoint: &str| BoundSocket::bind(endpoint).unwrap_err().code();
            assert_eq!(code("localhost:0"), ErrorCode::ERR_INVALID_ARG_VALUE);
            assert_eq!(code("nonsense"), ErrorCode::ERR_INVALID_ARG_VALUE);
            assert_eq!(code("127.0.0.1:65536"), ErrorCode::ERR_SOCKET_BAD_PORT);
            let path = || BindOptions::new(net.path());
            for options in [path().ipv6_only(true), path().reuse_port(true)] {
                let error = options.bind().unwrap_err();
                assert_eq!(error.code(), ErrorCode::ERR_INVALID_ARG_VALUE);
            }
            assert_ne!(ip(&BoundSocket::bind("0").unwrap()).port(), 0);
            let plain = BindOptions::new(("127.0.0.1", 0)).ipv6_only(true).bind().unwrap();
            assert!(ip(&plain).is_ipv4());
        });
    }

    fn bnd_03_a_failed_bind_reports_its_code_syscall_and_address(net) {
        net.run(|| {
            let server = Server::new();
            server.listen_then(net.tcp(), |server| {
                let used = server.address().unwrap();
                let error = BoundSocket::bind(endpoint(&used)).unwrap_err();
                assert_eq!((error.code(), error.syscall()), (ErrorCode::EADDRINUSE, Some("bind")));
                assert_eq!((error.address(), error.port()), (Some(&used), used.port()));
                assert_eq!(error.to_string(), format!("bind EADDRINUSE {used}"));
                server.close();
            }).unwrap();

            // An address of TEST-NET-1 (RFC 5737), which no machine has.
            let error = BoundSocket::bind("192.0.2.1:0").unwrap_err();
            assert_eq!(error.to_string(), "bind EADDRNOTAVAIL 192.0.2.1");
            assert_eq!((error.syscall(), error.port()), (Some("bind"), None));
        });
    }

    fn bnd_04_of_two_sockets_on_one_port_the_first_to_listen_wins(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let first = bind();
            let address = first.address().clone();
            let second = BoundSocket::bind(endpoint(&address)).unwrap();
            let (winner, loser) = (Server::new(), Server::new());
            winner.listen_bound(first).unwrap();
            let tries = log.clone();
            // Registered by the failed listen, called by the one that succeeds (SRV-08).
            loser.listen_bound_then(second, move |_| tries.add("first callback")).unwrap();
            assert!(winner.is_listening() && !loser.is_listening());
            loser.on_error(move |loser, error| {
                assert_eq!((error.code(), error.syscall()), (ErrorCode::EADDRINUSE, Some("listen")));
                assert_eq!(error.address(), Some(&address));
                assert!(!loser.is_listening());
                let winner = winner.clone();
                let log = log.clone();
                log.add("error");
                loser.listen_then(("127.0.0.1", 0), move |loser| {
                    log.add("listens elsewhere");
                    assert_ne!(loser.address(), winner.address());
                    loser.close();
                    winner.close();
                }).unwrap();
            });
        });
        assert_eq!(seen.take(), ["error", "first callback", "listens elsewhere"]);
    }

    fn fd_08_bnd_05_a_server_adopts_a_bound_socket_and_listens_immediately(net) {
        for place in places(net) {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let bound = BoundSocket::bind(place).unwrap();
                let address = bound.address().clone();
                let target = endpoint(&address);
                let served = log.clone();
                let server = fyke::create_server(move |socket| {
                    served.add("served");
                    socket.end();
                    socket.server().unwrap().close();
                });
                let called = log.clone();
                server.listen_bound_then(bound.backlog(6), move |_| called.add("listening")).unwrap();
                assert!(server.is_listening());
                assert_eq!(server.address(), Some(address));
                log.add("returned");
                fyke::connect_then(target, |client| { client.resume(); }).unwrap();
            });
            assert_eq!(seen.take(), ["returned", "listening", "served"]);
        }
    }

    fn bnd_05_a_listening_server_returns_the_bound_socket_unchanged(net) {
        net.run(|| {
            let server = Server::new();
            server.listen_bound(bind()).unwrap();
            let bound = bind();
            let address = bound.address().clone();
            let refused = server.listen_bound_then(bound, |_| panic!("refused")).unwrap_err();
            assert_eq!(refused.error.code(), ErrorCode::ERR_SERVER_ALREADY_LISTEN);
            assert_eq!(refused.bound.address(), &address);
            server.close();
            let other = Server::new();
            other.listen_bound_then(refused.bound, |other| { other.close(); }).unwrap();
            assert_eq!(other.address(), Some(address));
        });
    }

    fn bnd_05_the_signal_of_a_bound_socket_closes_the_server(net) {
        for before in [true, false] {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let controller = AbortController::new();
                if before {
                    controller.abort();
                }
                let server = Server::new();
                let closed = log.clone();
                server.on_close(move |_| closed.add("close"));
                let bound = bind().signal(&controller.signal());
                server.listen_bound_then(bound, move |_| {
                    log.add("listening");
                    controller.abort();
                }).unwrap();
                assert!(server.is_listening());
            });
            let expected: &[&str] = if before { &["close"] } else { &["listening", "close"] };
            assert_eq!(seen.take(), expected);
        }
    }

    fn bnd_06_an_unused_bound_socket_frees_its_address_when_closed_or_dropped(net) {
        net.run(|| {
            for place in places(net) {
                let bound = BoundSocket::bind(place).unwrap();
                let address = bound.address().clone();
                let again = || BoundSocket::bind(endpoint(&address));
                if bound.is_unix() {
                    assert_eq!(again().unwrap_err().code(), ErrorCode::EADDRINUSE);
                }
                bound.close();
                let bound = again().unwrap();
                drop(bound);
                let server = Server::new();
                server.listen_then(endpoint(&address), |server| { server.close(); }).unwrap();
            }
        });
    }

    fn bnd_12_a_bound_socket_refuses_connections_until_it_listens(net) {
        for place in places(net) {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let bound = BoundSocket::bind(place).unwrap();
                let client = fyke::connect(endpoint(bound.address())).unwrap();
                client.on_error(move |_, error| {
                    log.add(error.code());
                    let _still_bound = &bound;
                });
            });
            assert_eq!(seen.take(), ["ECONNREFUSED"]);
        }
    }

    fn a_bound_socket_of_another_loop_is_returned(net) {
        let (ours, theirs) = (net.event_loop(), net.event_loop());
        let bound = theirs.enter(bind);
        let refused = ours.enter(|| {
            let server = Server::new();
            let refused = server.listen_bound_then(bound, |_| panic!("refused")).unwrap_err();
            assert!(!server.is_listening());
            refused
        });
        assert_eq!(refused.error.code(), ErrorCode::ERR_INVALID_ARG_VALUE);
        drop(theirs);
        // The loop was dropped, so nothing can adopt the socket. That has a code too.
        let refused = Server::new().listen_bound(refused.bound).unwrap_err();
        assert_eq!(refused.error.code(), ErrorCode::ERR_EVENT_LOOP_CLOSED);
    }
}

#[cfg(target_os = "linux")]
mod abstract_names {
    use super::*;

    on_every_driver! {
        fn bnd_10_an_empty_path_gets_a_name_from_the_system(net) {
            net.run(|| {
                let bound = [(); 2].map(|()| BoundSocket::bind(std::path::PathBuf::new()).unwrap());
                for bound in &bound {
                    assert!(matches!(bound.address(), Address::Abstract(name) if name.len() == 5));
                }
                assert_ne!(bound[0].address(), bound[1].address());
                let refused = BoundSocket::bind(Endpoint::Abstract(Vec::new())).unwrap_err();
                assert_eq!(refused.code(), ErrorCode::ERR_INVALID_ARG_VALUE, "an empty abstract name");
            });
        }
    }
}

// Files and descriptors.
#[cfg(unix)]
on_every_system! {
    fn bnd_10_the_file_exists_from_the_bind_to_the_close_of_the_last_owner(net) {
        net.run(|| {
            let path = net.path();
            let bound = BoundSocket::bind(path.as_path()).unwrap();
            assert!(path.exists());
            drop(bound);
            assert!(!path.exists());

            let server = Server::new();
            let closed = path.clone();
            let bound = BoundSocket::bind(path.as_path()).unwrap();
            server
                .listen_bound_then(bound, move |server| {
                    assert!(closed.exists());
                    server.close();
                    assert!(!closed.exists());
                })
                .unwrap();
            assert!(path.exists());
        });
    }

    fn bnd_10_a_path_that_cannot_be_bound_is_an_error_with_the_path(net) {
        net.run(|| {
            let used = net.path();
            std::fs::write(&used, "").unwrap();
            let missing = net.path().join("missing");
            let long = std::path::PathBuf::from("x".repeat(200));
            let with_nul = std::path::PathBuf::from("a\0b");
            for (path, code) in [
                (used, ErrorCode::EADDRINUSE),
                (missing, ErrorCode::EACCES),
                (long, ErrorCode::EINVAL),
                (with_nul, ErrorCode::EINVAL),
            ] {
                let error = BoundSocket::bind(path.as_path()).unwrap_err();
                assert_eq!((error.code(), error.syscall()), (code, Some("bind")));
                assert_eq!(error.address(), Some(&Address::Path(path)));
            }
        });
    }

    fn bnd_12_proc_18_a_bound_socket_moves_to_the_loop_of_another_thread_tcp_only(net) {
        let (fd, address) = net.event_loop().enter(|| {
            let bound = bind();
            let address = ip(&bound);
            let refused = BoundSocket::bind(net.path()).unwrap().into_fd().unwrap_err();
            let code = ErrorCode::ERR_WORKER_HANDLE_NOT_TRANSFERABLE;
            assert_eq!(refused.error.code(), code);
            assert!(refused.bound.address().path().unwrap().exists(), "handed back");
            (bound.into_fd().unwrap(), address)
        });
        let thread = std::thread::spawn(move || {
            Net::ready().run(|| {
                let bound = BoundSocket::from_fd(fd).unwrap();
                assert_eq!(ip(&bound), address);
                let server = fyke::create_server(|socket| {
                    socket.end();
                    socket.server().unwrap().close();
                });
                server
                    .listen_bound_then(bound, move |_| {
                        fyke::connect(address).unwrap().resume();
                    })
                    .unwrap();
            });
        });
        thread.join().unwrap();
    }
}
