//! What keeps a program alive, how it is aborted, and what moves between its threads.

mod support;

use std::net::IpAddr;
use std::time::Duration;

use fyke::{
    AbortController, ConnectOptions, FamilySelection, ListenOptions, Result, Server, Socket,
};
use support::{Log, drive};

/// Returns whether the loop would continue.
fn goes_on(event_loop: &fyke::EventLoop) -> bool {
    event_loop.turn(Some(Duration::ZERO)).unwrap()
}

on_every_driver! {
    fn proc_03_a_server_keeps_the_loop_alive_unless_the_last_call_was_unref(net) {
        let event_loop = net.event_loop();
        let server = event_loop.enter(|| {
            let server = Server::new();
            // Remembered before there is an object to hold.
            assert_eq!(server.ref_loop().unref_loop().unref_loop(), &server);
            server.listen(net.path()).unwrap();
            server
        });
        drive(&event_loop, || false).unwrap();
        assert!(server.is_listening() && !goes_on(&event_loop));
        event_loop.enter(|| { server.ref_loop().ref_loop(); });
        assert!(goes_on(&event_loop));
        event_loop.enter(|| { server.unref_loop().ref_loop().unref_loop(); });
        assert!(!goes_on(&event_loop));
    }

    fn proc_03_an_unreferenced_server_accepts_and_its_sockets_are_referenced(net) {
        for endpoint in net.endpoints() {
            let event_loop = net.event_loop();
            let accepted = Log::new();
            let (server, client) = event_loop.enter(|| {
                let accepted = accepted.clone();
                let server = fyke::create_server(move |socket| {
                    accepted.add("accepted");
                    socket.resume();
                });
                server.listen(endpoint).unwrap();
                server.unref_loop();
                let client = Socket::new();
                client.unref_loop();
                (server, client)
            });
            drive(&event_loop, || server.is_listening() && !goes_on(&event_loop)).unwrap();
            event_loop.enter(|| client.connect(server.endpoint().unwrap()).unwrap());
            // Only the accepted socket keeps the loop alive then.
            drive(&event_loop, || !accepted.entries().is_empty() && !client.is_connecting()).unwrap();
            assert!(goes_on(&event_loop));
            event_loop.enter(|| { client.destroy(); });
            drive(&event_loop, || false).unwrap();
            assert!(server.is_listening() && server.connections() == 0);
        }
    }

    fn proc_04_the_last_call_of_ref_and_unref_counts_even_before_the_connection(net) {
        for endpoint in net.endpoints() {
            let event_loop = net.event_loop();
            let server = event_loop.enter(|| {
                let server = Server::new();
                server.listen(endpoint).unwrap();
                server.unref_loop();
                server.on_connection(|_, socket| {
                    socket.unref_loop();
                });
                server
            });
            drive(&event_loop, || server.is_listening()).unwrap();
            for (calls, holds) in [("u", false), ("ur", true), ("uru", false), ("ruur", true)] {
                let client = event_loop.enter(|| {
                    let client = Socket::new();
                    let call = |call| match call {
                        'u' => client.unref_loop(),
                        _ => client.ref_loop(),
                    };
                    // Some calls are made before there is a handle, the last one while connecting.
                    let (last, first) = (calls.chars().last().unwrap(), &calls[1..]);
                    first.chars().for_each(|name| assert_eq!(call(name), &client));
                    client.connect(server.endpoint().unwrap()).unwrap();
                    assert_eq!(call(last), &client);
                    server.ref_loop();
                    client
                });
                let connected = || !client.is_connecting() && server.connections() == 1;
                drive(&event_loop, connected).unwrap();
                event_loop.enter(|| { server.unref_loop(); });
                assert_eq!(goes_on(&event_loop), holds, "{calls}");
                // Immediately while it is connected.
                event_loop.enter(|| { if holds { client.unref_loop() } else { client.ref_loop() }; });
                assert_eq!(goes_on(&event_loop), !holds, "{calls}");
                event_loop.enter(|| { client.ref_loop().destroy(); });
                event_loop.enter(|| { server.ref_loop(); });
                drive(&event_loop, || server.connections() == 0).unwrap();
                event_loop.enter(|| { server.unref_loop(); });
            }
        }
    }

    fn proc_07_after_an_abort_no_further_address_is_tried(net) {
        for selection in [FamilySelection::Race, FamilySelection::Sequential] {
            for abort_on_failure in [false, true] {
                let log = Log::new();
                let seen = log.clone();
                net.run(|| {
                    let controller = AbortController::new();
                    let addresses: [IpAddr; 3] = [1, 2, 3].map(|last| [127, 0, 0, last].into());
                    let client = ConnectOptions::new(("three.test", 1))
                        .family_selection(selection)
                        .signal(&controller.signal())
                        .lookup(move |_, reply| reply.answer(Ok(addresses.to_vec())))
                        .connect_then(|_| panic!("there is no server"))
                        .unwrap();
                    let (attempts, failures) = (log.clone(), log.clone());
                    let early = controller.clone();
                    client.on_connection_attempt(move |client, address| {
                        attempts.add(address);
                        if !abort_on_failure {
                            early.abort_with("enough");
                            assert!(client.is_destroyed());
                        }
                    });
                    client.on_connection_attempt_failed(move |_, _, error| {
                        failures.add(error.code());
                        controller.abort();
                    });
                    log.watch("", &client);
                });
                let failed: &[&str] = if abort_on_failure { &["ECONNREFUSED"] } else { &[] };
                let expected = [&["127.0.0.1:1"], failed, &["error ABORT_ERR", "close true"]];
                assert_eq!(seen.take(), expected.concat());
            }
        }
    }

    fn proc_13_a_port_belongs_to_one_server_unless_all_share_it(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let share = |endpoint: fyke::Endpoint, server: &Server| {
                let options = ListenOptions::new(endpoint).reuse_port(true);
                options.listen(server).unwrap();
            };
            let servers: [Server; 5] = std::array::from_fn(|_| Server::new());
            let [first, second, refused, sharing, shared] = servers.clone();
            first.listen(net.tcp()).unwrap();
            second.listen(net.tcp()).unwrap();
            share(net.tcp(), &sharing);
            fyke::timer::set_immediate(move || {
                assert_ne!(first.address(), second.address());
                // Both servers must set the option.
                share(first.endpoint().unwrap(), &refused);
                let tried = log.clone();
                refused.on_error(move |_, error| tried.add(error.code()));
                share(sharing.endpoint().unwrap(), &shared);
                shared.on_listening(move |shared| {
                    assert_eq!(shared.address(), sharing.address());
                    log.add("shared");
                    servers.iter().for_each(|server| { server.close(); });
                });
            }).unwrap();
        });
        assert_eq!(seen.take(), ["EADDRINUSE", "shared"]);
    }

    fn proc_19_every_call_returns_immediately_and_not_a_future(net) {
        net.run(|| {
            let server = Server::new();
            let listening: Result<()> = server.listen_then(net.path(), |server| {
                let client: Socket = fyke::connect_then(server.endpoint().unwrap(), |client| {
                    let room: bool = client.write("x");
                    assert!(room);
                    let ended: &Socket = client.end_then(|_, _: Result<()>| {});
                    let destroyed: &Socket = ended.destroy();
                    assert!(destroyed.is_destroyed());
                }).unwrap();
                assert!(client.is_connecting());
            });
            listening.unwrap();
            server.on_connection(|server, socket| {
                socket.destroy();
                let closing: &Server = server.close_then(|_, result: Result<()>| result.unwrap());
                assert!(!closing.is_listening());
            });
        });
    }
}

#[cfg(unix)]
mod without_descriptors {
    use fyke::{ErrorCode, Server};

    use super::support::Log;
    use crate::on_every_driver;

    on_every_driver! {
        fn proc_18_on_a_network_without_descriptors_taking_one_fails_and_loses_nothing(net) {
            if !net.is_sim() {
                return;
            }
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                net.pair(net.tcp(), move |socket| {
                    let error = socket.take_fd().unwrap_err();
                    assert_eq!(error.code(), ErrorCode::ENOTSUP);
                    socket.end_with("as before");
                }, move |client| {
                    client.on_data(move |_, data| log.add(String::from_utf8_lossy(data)));
                });
                let server = Server::new();
                server.listen_then(net.tcp(), |server| {
                    let code = server.take_fd().unwrap_err().code();
                    assert_eq!((code, server.is_listening()), (ErrorCode::ENOTSUP, true));
                    assert_eq!(server.duplicate_fd().unwrap_err().code(), ErrorCode::ENOTSUP);
                    server.close();
                }).unwrap();
            });
            assert_eq!(seen.take(), ["as before"]);
        }
    }
}

#[cfg(unix)]
mod between_threads {
    use std::os::fd::OwnedFd;
    use std::sync::mpsc;
    use std::thread;

    use fyke::{ErrorCode, Server, ServerOptions, Socket, SocketOptions};

    use super::support::{Log, Net, collect};
    use crate::on_every_system;

    const REFUSED: ErrorCode = ErrorCode::ERR_WORKER_HANDLE_NOT_TRANSFERABLE;

    on_every_system! {
        fn proc_18_an_accepted_socket_moves_to_the_loop_of_another_thread(net) {
            let (moved, arrives) = mpsc::channel::<OwnedFd>();
            let other = thread::spawn(move || {
                let fd = arrives.recv().unwrap();
                Net::ready().run(|| {
                    let socket = Socket::from_fd(fd).unwrap();
                    assert_eq!(socket.readable_flowing(), None);
                    socket.pipe(&socket);
                });
            });
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let source = log.clone();
                let server = ServerOptions::new().pause_on_connect(true).create_server(move |socket| {
                    source.watch("source ", socket);
                    let server = socket.server().unwrap();
                    moved.send(socket.take_fd().unwrap()).unwrap();
                    assert!(socket.is_destroyed() && socket.remote_address().is_some());
                    assert_eq!(server.connections(), 0);
                    server.close();
                });
                net.listen(&server, net.tcp(), move |endpoint| {
                    let client = fyke::connect_then(endpoint, |client| {
                        client.end_with("there and back");
                    })
                    .unwrap();
                    let bytes = collect(&client);
                    client.on_end(move |_| log.add(String::from_utf8_lossy(&bytes.borrow())));
                });
            });
            assert_eq!(seen.take(), ["source close false", "there and back"]);
            other.join().unwrap();
        }

        fn proc_18_a_server_moves_and_no_longer_runs_in_its_old_loop(net) {
            let (moved, arrives) = mpsc::channel::<OwnedFd>();
            let other = thread::spawn(move || {
                let fd = arrives.recv().unwrap();
                let log = Log::new();
                let seen = log.clone();
                Net::ready().run(|| {
                    let server = fyke::create_server(|socket| {
                        socket.end_with("from there");
                        socket.server().unwrap().close();
                    });
                    server.listen_fd_then(fd, move |_| log.add("listening")).unwrap();
                    assert!(server.is_listening());
                });
                assert_eq!(seen.take(), ["listening"]);
            });
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let server = Server::new();
                server.on_connection(|_, _| panic!("not any more"));
                net.listen(&server.clone(), net.tcp(), move |endpoint| {
                    let fd = server.take_fd().unwrap();
                    assert_eq!((server.is_listening(), server.address()), (false, None));
                    let code = server.take_fd().unwrap_err().code();
                    assert_eq!(code, ErrorCode::ERR_SERVER_NOT_RUNNING);
                    let closed = log.clone();
                    server.close_then(move |_, result| closed.add(result.unwrap_err().code()));
                    // Waits until the connection is accepted.
                    let client = fyke::connect(endpoint).unwrap();
                    let bytes = collect(&client);
                    client.on_end(move |_| log.add(String::from_utf8_lossy(&bytes.borrow())));
                    moved.send(fd).unwrap();
                });
            });
            assert_eq!(seen.take(), ["ERR_SERVER_NOT_RUNNING", "from there"]);
            other.join().unwrap();
        }

        fn proc_18_the_file_of_a_server_that_moves_is_not_removed(net) {
            let path = net.path();
            net.run(|| {
                let server = Server::new();
                server.listen(path.as_path()).unwrap();
                let fd = server.take_fd().unwrap();
                assert!(path.exists());
                let other = fyke::create_server(|socket| {
                    socket.end();
                    socket.server().unwrap().close();
                });
                other.listen_fd(fd).unwrap();
                fyke::connect(path.as_path()).unwrap().resume();
            });
            assert!(path.exists());
        }
    }

    /// Two sockets over a pair: one whose descriptor is taken, and its peer.
    fn pair() -> (Socket, Socket) {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        (Socket::from_fd(ours.into()).unwrap(), Socket::from_fd(theirs.into()).unwrap())
    }

    fn stays(socket: &Socket, code: ErrorCode) {
        assert_eq!(socket.take_fd().unwrap_err().code(), code);
    }

    on_every_system! {
        fn proc_18_ipc_15_take_fd_fails_with_unsent_bytes(net) {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let (ours, peer) = pair();
                // More than the kernel accepts while the peer reads nothing.
                ours.write_then(vec![7; 10 << 20], |_, result| result.unwrap());
                stays(&ours, REFUSED);
                assert!(!ours.is_destroyed());
                let received = std::rc::Rc::new(std::cell::Cell::new(0));
                let count = std::rc::Rc::clone(&received);
                peer.on_data(move |_, data| count.set(count.get() + data.len()));
                ours.on_drain(move |ours| {
                    ours.cork();
                    let _ = ours.write("held back");
                    stays(ours, REFUSED);
                    ours.uncork();
                    // Every byte is sent, so the descriptor may be taken. The write callback still
                    // runs.
                    let reported = log.clone();
                    ours.write_then("last", move |_, result| reported.add(result.is_ok()));
                    drop(ours.take_fd().unwrap());
                    assert!(ours.is_destroyed());
                });
                peer.on_end(move |_| assert_eq!(received.get(), (10 << 20) + "held backlast".len()));
            });
            assert_eq!(seen.take(), ["true"]);
        }

        fn proc_18_ipc_15_take_fd_fails_with_unread_bytes(net) {
            net.run(|| {
                let (ours, peer) = pair();
                let _ = peer.write("to be read here");
                ours.on_readable(|ours| {
                    stays(ours, REFUSED);
                    assert_eq!(ours.read().unwrap(), b"to be read here");
                    ours.unshift("back");
                    stays(ours, REFUSED);
                    ours.read().unwrap();
                    drop(ours.take_fd().unwrap());
                });
                peer.on_end(|peer| {
                    peer.destroy();
                });
                peer.resume();
            });
        }

        fn proc_18_take_fd_fails_with_half_a_character_or_an_end(net) {
            net.run(|| {
                let (ours, peer) = pair();
                let _ = peer.write(&b"a\xc3"[..]);
                ours.on_text(|ours, text| {
                    assert_eq!(text, "a");
                    stays(ours, REFUSED);
                    ours.destroy();
                });
                peer.resume();

                let (ours, peer) = pair();
                ours.end();
                stays(&ours, REFUSED);
                ours.resume();
                peer.resume();

                let (ours, peer) = pair();
                peer.end();
                peer.resume();
                ours.set_allow_half_open(true);
                ours.on_end(|ours| {
                    stays(ours, REFUSED);
                    ours.end();
                });
                ours.resume();
            });
        }

        fn proc_18_take_fd_without_a_connection_fails(net) {
            net.run(|| {
                let closed = ErrorCode::ERR_SOCKET_CLOSED;
                stays(&Socket::new(), closed);
                let (ours, _peer) = pair();
                ours.destroy();
                stays(&ours, closed);
                let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
                let options = SocketOptions::new().pause_on_create(true);
                let ours = options.build_from_fd(ours.into()).unwrap();
                drop(ours.take_fd().unwrap());
                stays(&ours, closed);
                drop(theirs);
            });
        }
    }
}
