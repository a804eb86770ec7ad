//! Servers: listening, limits, closing.

mod support;

use std::rc::Rc;
use std::time::Duration;

use fyke::{Address, ErrorCode, ListenOptions, Server, ServerOptions, Socket, timer};
use support::Log;

fn watch(log: &Log, server: &Server) {
    let add = |event: &'static str| {
        let log = log.clone();
        move |_: &Server| log.add(event)
    };
    server.on_listening(add("listening"));
    server.on_close(add("close"));
    let errors = log.clone();
    server.on_error(move |_, error| errors.add(error.code()));
}

on_every_driver! {
    fn srv_02_srv_04_listening_is_false_true_false(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = Server::new();
            watch(&log, &server);
            assert!(!server.is_listening() && server.address().is_none());
            server.listen_then(net.tcp(), |server| {
                assert!(server.is_listening());
                assert_ne!(server.address().unwrap().port(), Some(0));
                server.close();
                assert!(!server.is_listening() && server.address().is_none());
            }).unwrap();
            assert!(!server.is_listening(), "a host is bound on the tick");
        });
        assert_eq!(seen.take(), ["listening", "close"]);
    }

    fn srv_10_srv_12_a_port_in_use_is_an_error_and_the_server_can_listen_again(net) {
        let log = Log::new();
        let seen = log.clone();
        let free = net.tcp();
        net.run(|| {
            let first = Server::new();
            net.listen(&first.clone(), net.tcp(), move |taken| {
                let second = Server::new();
                watch(&log, &second);
                second.on_error(move |second, error| {
                    assert_eq!(error.syscall(), Some("listen"));
                    assert_eq!(error.port(), first.address().unwrap().port());
                    assert!(error.to_string().starts_with("listen EADDRINUSE: "));
                    assert!(!second.is_listening());
                    first.close();
                    let called = log.clone();
                    second.listen_then(&free, move |second| {
                        called.add("second callback");
                        second.close();
                    }).unwrap();
                });
                second.listen(taken).unwrap();
            });
        });
        assert_eq!(seen.take(), ["EADDRINUSE", "listening", "second callback", "close"]);
    }

    fn srv_08_a_callback_of_a_failed_listen_runs_with_the_next(net) {
        let log = Log::new();
        let seen = log.clone();
        let free = net.tcp();
        net.run(|| {
            let first = Server::new();
            net.listen(&first.clone(), net.tcp(), move |taken| {
                let second = Server::new();
                let [older, newer] = [log.clone(), log.clone()];
                second.listen_then(taken, move |_| older.add("older")).unwrap();
                second.on_error(move |second, _| {
                    first.close();
                    let newer = newer.clone();
                    second.listen_then(&free, move |second| {
                        newer.add("newer");
                        second.close();
                    }).unwrap();
                });
            });
        });
        assert_eq!(seen.take(), ["older", "newer"]);
    }

    fn srv_13_listening_twice_fails_and_the_first_listen_continues(net) {
        net.run(|| {
            let server = Server::new();
            net.listen(&server.clone(), net.tcp(), move |_| {
                let code = server.listen(0).unwrap_err().code();
                assert_eq!(code, ErrorCode::ERR_SERVER_ALREADY_LISTEN);
                assert!(server.is_listening());
                server.close();
            });
        });
    }

    fn srv_15_close_and_listen_in_one_turn_gives_one_listening_each(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = Server::new();
            watch(&log, &server);
            server.listen(0).unwrap();
            server.close();
            server.listen_then(0, |server| { server.close(); }).unwrap();
        });
        assert_eq!(seen.take(), ["close", "listening", "close"]);
    }

    fn cls_01_cls_03_close_waits_for_the_connections_and_precedes_the_close_of_the_last_one(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server({
                let log = log.clone();
                move |socket| {
                    log.watch("socket ", socket);
                    let server = socket.server().unwrap();
                    let closed = log.clone();
                    server.close_then(move |_, result| closed.add(format!("close {result:?}")));
                    assert_eq!(server.connections(), 1);
                    let socket = socket.clone();
                    timer::set_timeout(Duration::from_millis(10), move || {
                        socket.destroy_with(fyke::Error::new(ErrorCode::EPIPE, "mine"));
                        assert_eq!(server.connections(), 0);
                    }).unwrap();
                }
            });
            net.listen(&server, net.tcp(), |endpoint| {
                let client = fyke::connect(endpoint).unwrap();
                client.resume();
            });
        });
        assert_eq!(seen.take(), ["socket error EPIPE", "close Ok(())", "socket close true"]);
    }

    fn cls_04_cls_06_cls_07_the_close_callback_gets_an_error_if_the_server_was_not_listening(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let code = |log: &Log| {
                let log = log.clone();
                move |_: &Server, result: fyke::Result<()>| {
                    log.add(result.map_or_else(|error| error.code().to_string(), |()| "ok".into()));
                }
            };
            let never = Server::new();
            never.close_then(code(&log));
            let bound = Server::new();
            bound.listen_then(0, |_| panic!("closed before")).unwrap();
            bound.close_then(code(&log));
            let resolving = Server::new();
            resolving.listen_then(("localhost", 0), |_| panic!("closed before")).unwrap();
            resolving.close_then(code(&log));
        });
        assert_eq!(seen.take(), ["ERR_SERVER_NOT_RUNNING", "ok", "ERR_SERVER_NOT_RUNNING"]);
    }

    fn cls_05_a_second_close_joins_the_first(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = Server::new();
            watch(&log, &server);
            server.listen_then(0, |server| {
                server.close().close();
            }).unwrap();
        });
        assert_eq!(seen.take(), ["listening", "close"]);
    }

    fn cls_12_cls_13_a_connection_over_the_limit_is_dropped(net) {
        for endpoint in net.endpoints() {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let server = ServerOptions::new().max_connections(1).create_server(|socket| {
                    socket.resume();
                });
                let dropped = log.clone();
                server.on_drop(move |server, info| {
                    assert_eq!(server.connections(), 1);
                    let port = info.and_then(|info| info.local_address).map(|local| local.port());
                    assert_eq!(port, server.address().unwrap().port());
                    dropped.add("drop");
                    server.close();
                });
                net.listen(&server, endpoint, move |endpoint| {
                    let first = fyke::connect(&endpoint).unwrap();
                    first.on_ready(move |first| {
                        let second = fyke::connect(&endpoint).unwrap();
                        log.watch("second ", &second);
                        let first = first.clone();
                        second.on_close(move |_, _| { first.end(); });
                        second.resume();
                    });
                    first.resume();
                });
            });
            let mut entries = seen.take();
            entries.sort();
            let wanted =
                ["drop", "second close false", "second connect", "second end", "second finish", "second ready"];
            assert_eq!(entries, wanted);
        }
    }

    fn cls_12_a_limit_of_zero_refuses_all_connections(net) {
        net.run(|| {
            let server = fyke::create_server(|_| panic!("refused"));
            server.set_max_connections(Some(0));
            server.on_drop(|server, _| { server.close(); });
            net.listen(&server, net.tcp(), |endpoint| {
                fyke::connect(endpoint).unwrap().resume();
            });
        });
    }

    fn rd_09_a_connection_of_a_pausing_server_reads_nothing_before_resume(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = ServerOptions::new().pause_on_connect(true).create_server(move |socket| {
                socket.server().unwrap().close();
                let data = log.clone();
                socket.on_data(move |_, bytes| data.add(String::from_utf8_lossy(bytes)));
                let (socket, log) = (socket.clone(), log.clone());
                timer::set_timeout(Duration::from_millis(20), move || {
                    log.add(format!("{} {}", socket.bytes_read(), socket.is_paused()));
                    socket.resume();
                }).unwrap();
            });
            net.listen(&server, net.tcp(), |endpoint| {
                fyke::connect_then(endpoint, |client| { client.end_with("early"); }).unwrap().resume();
            });
        });
        assert_eq!(seen.take(), ["0 true", "early"]);
    }

    fn prop_10_prop_16_both_ends_report_the_same_addresses(net) {
        net.run(|| {
            let client = Rc::new(Socket::new());
            let server = fyke::create_server({
                let client = client.clone();
                move |socket| {
                    let server = socket.server().unwrap();
                    assert_eq!(socket.local_address().map(Address::from), server.address());
                    let client = client.clone();
                    server.close();
                    socket.on_data(move |socket, _| {
                        assert_eq!(socket.remote_address(), client.local_address());
                        assert_eq!(socket.local_address(), client.remote_address());
                        socket.end();
                    });
                }
            });
            net.listen(&server, net.tcp(), move |endpoint| {
                client.connect_then(endpoint, |client| { client.end_with("x"); }).unwrap();
                client.resume();
                assert!(client.remote_address().is_none(), "absent until connected (PROP-09)");
            });
        });
    }

    fn srv_19_srv_20_two_servers_share_a_port_only_when_both_set_the_option(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let options = || ListenOptions::new(("127.0.0.1", 0)).reuse_port(true);
            let first = Server::new();
            options().listen_then(&first.clone(), move |_| {
                let endpoint = first.endpoint().unwrap();
                let second = Server::new();
                let same = ListenOptions::new(&endpoint).reuse_port(true);
                let log = log.clone();
                same.listen_then(&second.clone(), move |_| {
                    log.add("shared");
                    let third = Server::new();
                    third.on_error(move |_, error| {
                        log.add(error.code());
                        first.close();
                        second.close();
                    });
                    third.listen(endpoint).unwrap();
                }).unwrap();
            }).unwrap();
        });
        assert_eq!(seen.take(), ["shared", "EADDRINUSE"]);
    }
}

/// Unix sockets with files exist on real systems only.
#[cfg(unix)]
mod files {
    use std::os::unix::fs::FileTypeExt;

    use fyke::StaleFile;

    use super::support::Net;
    use super::*;

    fn code_of_listening(net: &Net, path: std::path::PathBuf) -> ErrorCode {
        net.try_run(|| {
            Server::new().listen_then(path, |server| {
                server.close();
            })
        })
        .unwrap_err()
        .code()
    }

    on_every_system! {
        fn ipc_01_ipc_04_the_file_exists_while_the_server_listens(net) {
            let path = net.path();
            let kept = path.clone();
            net.run(|| {
                let server = Server::new();
                server
                    .listen_then(path.as_path(), |server| {
                        server.close();
                    })
                    .unwrap();
                assert!(server.is_listening(), "a path is bound inside the call");
                assert_eq!(server.address(), Some(Address::Path(path.clone())));
                assert!(path.metadata().unwrap().file_type().is_socket());
            });
            assert!(!kept.exists());
        }

        fn ipc_04_a_file_that_is_no_longer_ours_is_not_removed(net) {
            let path = net.path();
            net.run(|| {
                let foreign = path.clone();
                Server::new()
                    .listen_then(path.as_path(), move |server| {
                        std::fs::remove_file(&foreign).unwrap();
                        std::fs::write(&foreign, "somebody else's").unwrap();
                        server.close();
                    })
                    .unwrap();
            });
            assert_eq!(std::fs::read_to_string(path).unwrap(), "somebody else's");
        }

        fn ipc_05_ipc_06_ipc_10_ipc_11_paths_that_cannot_be_bound_are_errors(net) {
            let taken = net.path();
            std::fs::write(&taken, "a file").unwrap();
            assert_eq!(code_of_listening(net, taken.clone()), ErrorCode::EADDRINUSE);
            assert_eq!(code_of_listening(net, taken.join("in/no/folder")).as_str(), "ENOTDIR");
            assert_eq!(code_of_listening(net, "/no/such/folder/x".into()), ErrorCode::EACCES);
            let long = format!("/tmp/{}", "x".repeat(200));
            assert_eq!(code_of_listening(net, long.into()), ErrorCode::EINVAL);
            assert_eq!(code_of_listening(net, "/tmp/a\0b".into()), ErrorCode::EINVAL);
            assert!(taken.exists());
        }
    }

    #[test]
    fn ipc_08_modes_are_set_exactly_before_any_client_can_connect() {
        use std::os::unix::fs::PermissionsExt;
        let net = Net::ready();
        for (readable, writable, mode) in
            [(true, false, 0o444), (false, true, 0o222), (true, true, 0o666)]
        {
            let path = net.path();
            net.run(|| {
                let options = ListenOptions::new(path.as_path());
                let options = options.readable_all(readable).writable_all(writable);
                options.listen_then(&Server::new(), |server| _ = server.close()).unwrap();
                assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, mode);
            });
        }
        let path = net.path();
        net.run(|| {
            let options = ListenOptions::new(path.as_path());
            let options = options.readable_all(true).mode(0o640);
            options.listen_then(&Server::new(), |server| _ = server.close()).unwrap();
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o640);
        });
        let name = ListenOptions::new("abstract:modes").readable_all(true);
        net.run(|| {
            let code = name.listen(&Server::new()).unwrap_err().code();
            assert_eq!(code, ErrorCode::ERR_INVALID_ARG_VALUE);
        });
    }

    on_every_system! {
        fn a_stale_file_is_removed_if_the_option_is_set_and_that_of_a_running_server_is_not(net) {
            let path = net.path();
            // A server that has ended without removing its file.
            drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
            assert_eq!(code_of_listening(net, path.clone()), ErrorCode::EADDRINUSE);
            net.run(|| {
                let options = ListenOptions::new(path.as_path());
                let options = options.stale_file(StaleFile::IfStale);
                let first = Server::new();
                options.clone().listen(&first).unwrap();
                assert!(first.is_listening());
                let second = Server::new();
                second.on_error(move |_, error| {
                    assert_eq!(error.code(), ErrorCode::EADDRINUSE);
                    first.close();
                });
                options.listen_then(&second, |_| panic!("the first listens there")).unwrap();
            });
            std::fs::write(&path, "no socket").unwrap();
            let file = ListenOptions::new(path.as_path()).stale_file(StaleFile::IfStale);
            let listened = net.try_run(|| file.listen(&Server::new()));
            assert_eq!(listened.unwrap_err().code(), ErrorCode::EADDRINUSE);
            assert!(path.exists());
        }

        fn peer_credentials_identify_the_process_at_the_other_end(net) {
            net.run(|| {
                net.pair(
                    net.path().into(),
                    |socket| {
                        let peer = socket.peer_credentials().unwrap();
                        assert_eq!(peer.pid.unsigned_abs(), std::process::id());
                        assert_eq!(peer.uid, rustix::process::getuid().as_raw());
                        assert_eq!(peer.gid, rustix::process::getgid().as_raw());
                        socket.end();
                    },
                    |client| _ = client.resume(),
                );
                net.pair(
                    net.tcp(),
                    |socket| {
                        assert_eq!(socket.peer_credentials().unwrap_err().code().as_str(), "ENOTSUP");
                        socket.end();
                    },
                    |client| _ = client.resume(),
                );
            });
            let code = Socket::new().peer_credentials().unwrap_err().code();
            assert_eq!(code, ErrorCode::ERR_SOCKET_CLOSED);
        }
    }

    #[test]
    fn ipc_10_connecting_to_a_path_that_is_too_long_fails() {
        let path = format!("/tmp/{}", "x".repeat(200));
        let error = Net::ready()
            .try_run(|| fyke::connect(std::path::Path::new(&path)).map(drop))
            .unwrap_err();
        assert_eq!((error.code(), error.syscall()), (ErrorCode::EINVAL, Some("connect")));
    }
}
