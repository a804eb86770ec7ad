//! Behaviour that is specific to Unix sockets, and connections and listeners that are passed to another
//! process.

mod support;

use std::path::{Path, PathBuf};

use fyke::sim::SimOptions;
use fyke::{
    Address, ConnectOptions, DriverKind, Endpoint, ErrorCode, ListenOptions, Server, Socket,
};
use support::{Log, Net, collect};

/// The number of bytes that a path may have: `sun_path` in unix(7). On Linux its last byte need not be
/// NUL.
fn path_bytes_max(net: &Net) -> usize {
    if net.is_linux() { 108 } else { 104 }
}

/// A path of COUNT bytes, in an otherwise empty folder.
fn path_of(net: &Net, bytes: usize) -> PathBuf {
    let folder = net.path().parent().unwrap().to_owned();
    let name = "x".repeat(bytes - folder.as_os_str().len() - 1);
    folder.join(name)
}

on_every_driver! {
    /// Node connects within the call, so it reports ECONNRESET there.
    fn con_04_a_path_whose_server_closes_in_the_turn_of_the_connect_does_not_exist(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(|_| panic!("closed before"));
            let stop = server.clone();
            net.listen(&server, net.path().into(), move |path| {
                let client = Socket::new();
                log.watch("", &client);
                client.connect_then(path, |_| panic!("closed before")).unwrap();
                stop.close();
            });
        });
        assert_eq!(seen.take(), ["error ENOENT", "close true"]);
    }

    fn ipc_02_the_address_of_a_server_is_the_path_as_it_was_given(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            // Not the shortest form of the path.
            let path = net.path();
            let path = path.parent().unwrap().join(".").join(path.file_name().unwrap());
            let server = Server::new();
            assert_eq!(server.address(), None);
            let given = path.clone();
            server.listen_then(path.as_path(), move |server| {
                assert_eq!(server.address(), Some(Address::Path(given.clone())));
                assert_eq!(server.address().unwrap().to_string(), given.to_str().unwrap());
                let taken = Server::new();
                taken.listen_then(given.as_path(), |_| panic!("in use")).unwrap();
                assert_eq!(taken.address(), None);
                let server = server.clone();
                taken.on_error(move |taken, error| {
                    log.add(error.code());
                    assert_eq!(taken.address(), None);
                    server.close();
                    assert_eq!(server.address(), None);
                });
            }).unwrap();
            assert_eq!(server.address(), Some(Address::Path(path)));
        });
        assert_eq!(seen.take(), ["EADDRINUSE"]);
    }

    fn ipc_03_neither_side_has_an_address(net) {
        let none = |socket: &Socket| {
            assert_eq!((socket.local_address(), socket.remote_address()), (None, None));
            assert_eq!(socket.address(), None);
        };
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let counted = log.clone();
            net.pair(net.path().into(), move |socket| {
                none(socket);
                counted.add("server");
                socket.end();
            }, move |client| {
                none(client);
                client.on_connect(move |client| none(client));
                client.resume();
                client.on_close(move |client, _| {
                    none(client);
                    log.add("client");
                });
            });
        });
        assert_eq!(seen.take(), ["server", "client"]);
    }

    fn ipc_10_a_path_may_have_the_maximum_length(net) {
        for bytes in [path_bytes_max(net) - 1, path_bytes_max(net)] {
            let path = path_of(net, bytes);
            assert_eq!(path.as_os_str().len(), bytes);
            let log = Log::new();
            let seen = log.clone();
            let there = path.clone();
            net.run(|| {
                let served = log.clone();
                let server = fyke::create_server(move |socket| {
                    served.add("served");
                    socket.server().unwrap().close();
                    socket.end_with("whole");
                });
                net.listen(&server, path.as_path().into(), {
                    let (server, real) = (server.clone(), !net.is_sim());
                    move |_| {
                        assert_eq!(server.address(), Some(Address::Path(path.clone())));
                        assert!(!real || path.exists(), "not under a shorter name");
                        let client = fyke::connect(path.as_path()).unwrap();
                        let bytes = collect(&client);
                        client.on_close(move |_, had_error| {
                            assert!(!had_error);
                            log.add(String::from_utf8_lossy(&bytes.borrow()));
                        });
                    }
                });
            });
            assert_eq!(seen.take(), ["served", "whole"]);
            assert!(!there.exists());
        }
    }

    fn ipc_10_a_path_with_one_byte_more_fails_to_listen_and_is_not_truncated(net) {
        let log = Log::new();
        let seen = log.clone();
        let path = path_of(net, path_bytes_max(net) + 1);
        net.run(|| {
            let server = Server::new();
            let address = Address::Path(path.clone());
            let reported = log.clone();
            server.on_error(move |server, error| {
                assert_eq!((error.syscall(), error.address()), (Some("listen"), Some(&address)));
                assert!(!server.is_listening() && server.address().is_none());
                reported.add(format!("error {}", error.code()));
            });
            server.on_close(|_| panic!("it never listened"));
            server.listen_then(path.as_path(), |_| panic!("too long")).unwrap();
            assert!(!server.is_listening());
            log.add("returned");
        });
        assert_eq!(seen.take(), ["returned", "error EINVAL"]);
        let folder = path.parent().unwrap();
        assert_eq!(folder.read_dir().unwrap().count(), 0, "no shorter name either");
    }

    fn ipc_10_connecting_to_a_path_with_one_byte_more_fails_on_the_tick_after_its_attempt(net) {
        let log = Log::new();
        let seen = log.clone();
        let path = path_of(net, path_bytes_max(net) + 1);
        net.run(|| {
            // The server that would be reached if the path were truncated.
            let cut = path_of(net, path_bytes_max(net));
            let server = fyke::create_server(|_| panic!("that is another path"));
            let log = log.clone();
            net.listen(&server.clone(), cut.into(), move |_| {
                let client = Socket::new();
                let to = Address::Path(path.clone());
                let (attempted, failed) = (log.clone(), log.clone());
                let wanted = to.clone();
                client.on_connection_attempt(move |_, to| {
                    assert_eq!(*to, wanted);
                    attempted.add("attempt");
                });
                let wanted = to.clone();
                client.on_connection_attempt_failed(move |_, to, error| {
                    assert_eq!(*to, wanted);
                    failed.add(format!("failed {}", error.code()));
                });
                log.watch("", &client);
                client.on_error(move |client, error| {
                    assert_eq!((error.syscall(), error.address()), (Some("connect"), Some(&to)));
                    assert_eq!(error.to_string(), format!("connect EINVAL {to}"), "no local end");
                    assert!(client.is_destroyed() && !client.is_connecting());
                });
                client.on_close(move |_, _| _ = server.close());
                client.connect_then(path.as_path(), |_| panic!("too long")).unwrap();
                log.add("returned");
            });
        });
        let wanted = ["returned", "attempt", "failed EINVAL", "error EINVAL", "close true"];
        assert_eq!(seen.take(), wanted);
    }

    fn ipc_12_a_path_is_a_path_and_a_port_a_port_by_type_or_by_a_slash(net) {
        net.run(|| {
            let text = |text: &str| text.parse::<Endpoint>();
            assert_eq!(text("80").unwrap(), Endpoint::Port(80));
            assert_eq!(Endpoint::from(Path::new("80")), Endpoint::Path("80".into()));
            assert_eq!(Endpoint::from(PathBuf::from("-1")), Endpoint::Path("-1".into()));
            for (nonsense, code) in [
                ("80 ", ErrorCode::ERR_SOCKET_BAD_PORT),
                ("-1", ErrorCode::ERR_SOCKET_BAD_PORT),
                ("99999", ErrorCode::ERR_SOCKET_BAD_PORT),
                ("abc", ErrorCode::ERR_INVALID_ARG_VALUE),
                ("", ErrorCode::ERR_INVALID_ARG_VALUE),
            ] {
                assert_eq!(text(nonsense).unwrap_err().code(), code, "{nonsense:?}");
            }
            // An empty path is neither an automatic name nor TCP.
            let empty = || Endpoint::Path(PathBuf::new());
            let code = ErrorCode::ERR_INVALID_ARG_VALUE;
            let refused = ConnectOptions::new(empty()).connect_then(|_| panic!("refused"));
            assert_eq!(refused.unwrap_err().code(), code);
            let server = Server::new();
            let refused = ListenOptions::new(empty()).listen_then(&server, |_| panic!("refused"));
            assert_eq!(refused.unwrap_err().code(), code);
            assert_eq!(server.listen_then(empty(), |_| panic!("refused")).unwrap_err().code(), code);
            assert!(!server.is_listening());
            let socket = Socket::new();
            assert_eq!(socket.connect_then(empty(), |_| panic!("refused")).unwrap_err().code(), code);
            assert!(!socket.is_connecting());
        });
    }

    fn ipc_13_options_of_tcp_do_nothing(net) {
        let set = |socket: &Socket| {
            socket.set_no_delay(true).unwrap();
            socket.set_no_delay(false).unwrap();
            socket.set_keep_alive(true, std::time::Duration::from_secs(1)).unwrap();
            socket.set_keep_alive(false, std::time::Duration::ZERO).unwrap();
            socket.set_no_delay(true).unwrap();
            socket.set_keep_alive(true, std::time::Duration::from_secs(2)).unwrap();
        };
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            net.pair(net.path().into(), move |socket| {
                set(socket);
                socket.pipe(socket);
            }, move |client| {
                // Before the connection (to be applied when it is established), and after it.
                set(client);
                let bytes = collect(client);
                client.on_ready(move |client| {
                    set(client);
                    client.end_with("as before");
                });
                client.on_close(move |_, had_error| {
                    assert_eq!(*bytes.borrow(), b"as before");
                    log.add(had_error);
                });
            });
        });
        assert_eq!(seen.take(), ["false"]);
    }

    fn ipc_14_after_a_ping_pong_the_destroyed_client_ends_the_server_side(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = Server::new();
            let closed = log.clone();
            server.on_close(move |_| closed.add("server close"));
            let served = log.clone();
            server.on_connection(move |server, socket| {
                server.close();
                socket.on_data(|socket, data| {
                    assert_eq!(data, b"PING");
                    let _ = socket.write("PONG");
                });
                let served = served.clone();
                socket.on_close(move |_, had_error| served.add(format!("socket close {had_error}")));
            });
            net.listen(&server, net.path().into(), move |endpoint| {
                let client = fyke::connect_then(endpoint, |client| { let _ = client.write("PING"); }).unwrap();
                client.on_data(move |client, data| {
                    log.add(String::from_utf8_lossy(data));
                    client.destroy();
                });
            });
        });
        assert_eq!(seen.take(), ["PONG", "server close", "socket close false"]);
    }
}

#[test]
fn ipc_14_corked_writes_are_sent_in_one_piece() {
    // One send arrives as one piece here.
    let options = SimOptions { cut: false, ..SimOptions::default() };
    let net = Net::new(DriverKind::Sim(options));
    let log = Log::new();
    let seen = log.clone();
    net.run(|| {
        net.pair(
            net.path().into(),
            move |socket| {
                socket.on_data(move |_, data| log.add(data.len()));
            },
            |client| {
                client.on_connect(|client| {
                    client.cork();
                    for _ in 0..10 {
                        // Owned, and too large to be copied together.
                        let _ = client.write(vec![1; 5_000]);
                    }
                    client.uncork();
                    client.end();
                });
            },
        );
    });
    assert_eq!(seen.take(), ["50000"]);
}

#[cfg(unix)]
mod handing_over {
    use std::os::fd::{AsFd, OwnedFd};
    use std::process::Stdio;

    use fyke::{ServerOptions, Socket};

    use super::support::{Log, Net, child, collect};
    use super::{Endpoint, Server};
    use crate::on_every_system;

    /// A child of these tests gets this as its standard input.
    fn standard_input() -> OwnedFd {
        std::io::stdin().as_fd().try_clone_to_owned().unwrap()
    }

    fn spawn(test: &str, fd: OwnedFd) -> std::process::Child {
        child::to_run(test).stdin(Stdio::from(fd)).spawn().unwrap()
    }

    const SOCKETS_CHILD: &str = "handing_over::a_child_with_a_socket";

    fn hands_over(net: &Net, endpoint: Endpoint) {
        let log = Log::new();
        let seen = log.clone();
        let (children, running) = std::sync::mpsc::channel();
        net.run(|| {
            let server = ServerOptions::new().pause_on_connect(true).create_server(move |socket| {
                let server = socket.server().unwrap();
                server.close();
                assert_eq!(server.connections(), 1);
                socket.set_idle_timeout(Some(std::time::Duration::from_millis(1)));
                socket.on_idle_timeout(|_| panic!("its timer is dropped with the handle"));
                let fd = socket.take_fd().unwrap();
                // The handle is released immediately, and so is the count; `close` follows.
                assert!(socket.is_pending() && socket.is_destroyed());
                assert_eq!(server.connections(), 0);
                children.send(spawn(SOCKETS_CHILD, fd)).unwrap();
            });
            net.listen(&server, endpoint, move |endpoint| {
                // Written before the child is running. No data is lost.
                let client = fyke::connect_then(endpoint, |client| {
                    client.end_with("question");
                })
                .unwrap();
                let bytes = collect(&client);
                client.on_close(move |_, had_error| {
                    assert!(!had_error);
                    log.add(String::from_utf8_lossy(&bytes.borrow()));
                });
            });
        });
        assert_eq!(seen.take(), ["answer to question"]);
        child::passes(running.recv().unwrap());
    }

    on_every_system! {
        fn ipc_15_ipc_19_a_connected_socket_continues_in_another_process(net) {
            for endpoint in net.endpoints() {
                hands_over(net, endpoint);
            }
        }
    }

    #[test]
    #[ignore = "the child of a test"]
    fn a_child_with_a_socket() {
        if !child::is_for(SOCKETS_CHILD) {
            return;
        }
        let log = Log::new();
        let seen = log.clone();
        Net::ready().run(|| {
            let socket = Socket::from_fd(standard_input()).unwrap();
            assert!(!socket.is_pending() && !socket.allow_half_open() && socket.server().is_none());
            let bytes = collect(&socket);
            log.watch("", &socket);
            socket.on_end(move |socket| {
                let _ = socket.write("answer to ");
                socket.end_with(bytes.borrow().as_slice());
            });
        });
        assert_eq!(seen.take(), ["end", "finish", "close false"]);
    }

    const SERVERS_CHILD: &str = "handing_over::a_child_with_a_server";

    on_every_system! {
        fn ipc_17_a_listener_is_shared_with_another_process_and_either_may_close_it(net) {
            for endpoint in net.endpoints() {
                let log = Log::new();
                let seen = log.clone();
                let (children, running) = std::sync::mpsc::channel();
                net.run(|| {
                    let server = fyke::create_server(|socket| {
                        socket.end_with("from the parent");
                    });
                    let asked = |endpoint: Endpoint, log: &Log| {
                        let client = fyke::connect(endpoint).unwrap();
                        let bytes = collect(&client);
                        let log = log.clone();
                        client.on_end(move |_| log.add(String::from_utf8_lossy(&bytes.borrow())));
                        client
                    };
                    let keeper = server.clone();
                    net.listen(&server, endpoint, move |endpoint| {
                        // A client that leaves immediately is not missed.
                        let other = Server::new();
                        other.listen_fd(keeper.duplicate_fd().unwrap()).unwrap();
                        assert!(other.is_listening() && keeper.is_listening());
                        other.close();
                        let client = asked(endpoint.clone(), &log);
                        client.on_close(move |_, _| {
                            // Closing would remove the name of a Unix socket.
                            let fd = match endpoint.is_unix() {
                                true => keeper.take_fd().unwrap(),
                                false => keeper.duplicate_fd().unwrap(),
                            };
                            keeper.close();
                            children.send(spawn(SERVERS_CHILD, fd)).unwrap();
                            asked(endpoint.clone(), &log);
                        });
                    });
                });
                assert_eq!(seen.take(), ["from the parent", "from the child"]);
                child::passes(running.recv().unwrap());
            }
        }
    }

    #[test]
    #[ignore = "the child of a test"]
    fn a_child_with_a_server() {
        if !child::is_for(SERVERS_CHILD) {
            return;
        }
        let log = Log::new();
        let seen = log.clone();
        Net::ready().run(|| {
            let served = log.clone();
            let server = fyke::create_server(move |socket| {
                served.add("served");
                socket.end_with("from the child");
                socket.server().unwrap().close();
            });
            server.listen_fd_then(standard_input(), move |_| log.add("listening")).unwrap();
            assert!(server.is_listening());
        });
        assert_eq!(seen.take(), ["listening", "served"]);
    }
}
