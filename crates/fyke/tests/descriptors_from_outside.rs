//! Sockets and servers over descriptors from outside. On real systems only.

// Windows has no descriptors.
#![cfg(unix)]

mod support;

use std::io::Read;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};

use fyke::{
    Address, ConnectOptions, Endpoint, ErrorCode, ReadyState, Server, Socket, SocketOptions,
};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use support::{Log, Net, collect, settled};

/// A Unix socket that is not connected, and bound if there is a path.
fn unconnected(path: Option<&std::path::Path>) -> OwnedFd {
    let fd = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    // With a separate call, because Apple's systems have no flag for it.
    fcntl_setfd(&fd, FdFlags::CLOEXEC).unwrap();
    if let Some(path) = path {
        rustix::net::bind(&fd, &SocketAddrUnix::new(path).unwrap()).unwrap();
    }
    fd
}

on_every_system! {
    fn fd_01_a_descriptor_that_is_not_connected_is_used_by_connect(net) {
        for (bound, options) in [(true, false), (true, true), (false, false), (false, true)] {
            let log = Log::new();
            let seen = log.clone();
            let path = net.path();
            net.run(|| {
                let fd = unconnected(bound.then_some(path.as_path()));
                let server = fyke::create_server(|socket| {
                    socket.pipe(socket);
                    socket.server().unwrap().close();
                });
                let ours = bound.then(|| Address::Path(path.clone()));
                net.listen(&server, net.path().into(), move |target| {
                    let client = Socket::from_fd(fd).unwrap();
                    assert!(client.is_pending() && !client.is_connecting());
                    assert_eq!(client.address(), ours);
                    let bytes = collect(&client);
                    let connected = log.clone();
                    let f = move |client: &Socket| {
                        connected.add("connect");
                        let _ = client.write("over ");
                        client.end_with("it");
                        assert_eq!(client.address(), ours);
                    };
                    match options {
                        true => client.connect_with_then(ConnectOptions::new(target), f).unwrap(),
                        false => client.connect_then(target, f).unwrap(),
                    }
                    client.on_end(move |_| {
                        log.add(String::from_utf8_lossy(&bytes.borrow()));
                    });
                    client.on_close(move |_, had_error| assert!(!had_error));
                });
            });
            assert_eq!(seen.take(), ["connect", "over it"]);
            assert_eq!(path.exists(), bound, "not ours to remove");
        }
    }

    fn fd_01_the_connected_descriptor_keeps_its_number(net) {
        net.run(|| {
            let server = Server::new();
            server.on_connection(|server, socket| {
                server.close();
                socket.resume();
            });
            net.listen(&server, net.path().into(), |target| {
                let fd = unconnected(None);
                let number = fd.as_raw_fd();
                let client = Socket::from_fd(fd).unwrap();
                client
                    .connect_then(target, move |client| {
                        let fd = client.take_fd().unwrap();
                        assert_eq!(fd.as_raw_fd(), number);
                    })
                    .unwrap();
            });
        });
    }

    fn fd_02_fd_03_a_pipe_is_read_to_its_end_and_the_other_end_written(net) {
        let log = Log::new();
        let seen = log.clone();
        let writes = Log::new();
        let written = writes.clone();
        let (from, to) = std::io::pipe().unwrap();
        net.run(|| {
            let reader = Socket::from_fd(from.into()).unwrap();
            assert!(!reader.is_connecting() && !reader.is_pending());
            assert_eq!((reader.ready_state(), reader.address()), (ReadyState::Open, None));
            let bytes = collect(&reader);
            log.watch("", &reader);
            let writer = SocketOptions::new().readable(false).build_from_fd(to.into()).unwrap();
            writes.watch("", &writer);
            // More bytes than a pipe holds.
            writer.end_with(support::pattern(300_000));
            reader.on_end(move |_| assert_eq!(*bytes.borrow(), support::pattern(300_000)));
        });
        assert_eq!(seen.take(), ["end", "finish", "close false"]);
        assert_eq!(written.take(), ["finish", "close false"]);
    }

    fn fd_04_readable_and_writable_are_true_for_any_descriptor(net) {
        let log = Log::new();
        let seen = log.clone();
        let (from, _to) = std::io::pipe().unwrap();
        let (_from, to) = std::io::pipe().unwrap();
        net.run(|| {
            let reader = Socket::from_fd(from.into()).unwrap();
            assert!(reader.is_readable() && reader.is_writable());
            reader.on_error(|_, error| assert_eq!(error.syscall(), Some("write")));
            log.watch("", &reader);
            let reported = log.clone();
            reader.write_then("x", move |_, result| reported.add(result.unwrap_err().code()));
        });
        assert_eq!(seen.take(), ["EPIPE", "error EPIPE", "close true"]);
        net.run(|| {
            let writer = Socket::from_fd(to.into()).unwrap();
            assert!(writer.is_readable() && writer.is_writable());
            writer.on_error(|_, error| assert_eq!(error.syscall(), Some("read")));
            log.watch("", &writer);
        });
        assert_eq!(seen.take(), ["error ENOTCONN", "close true"]);
    }

    fn fd_04_a_socket_that_is_not_readable_never_reads_and_its_end_closes_it(net) {
        let log = Log::new();
        let seen = log.clone();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        net.run(|| {
            let socket = SocketOptions::new().readable(false).build_from_fd(ours.into()).unwrap();
            assert_eq!(socket.ready_state(), ReadyState::WriteOnly);
            assert!(!socket.is_readable() && socket.is_readable_ended());
            socket.on_data(|_, _| panic!("it never reads"));
            log.watch("", &socket);
            socket.end_with("only this");
            // Not EPIPE, because the peer has not ended.
            let reported = log.clone();
            socket.on_finish(move |socket| {
                let reported = reported.clone();
                socket.write_then("late", move |_, result| reported.add(result.unwrap_err().code()));
            });
        });
        let late = "ERR_STREAM_WRITE_AFTER_END";
        assert_eq!(seen.take(), ["finish", late, &format!("error {late}"), "close true"]);
        let mut text = String::new();
        theirs.read_to_string(&mut text).unwrap();
        assert_eq!(text, "only this");

        let (ours, _theirs) = UnixStream::pair().unwrap();
        net.run(|| {
            let socket = SocketOptions::new().readable(false).build_from_fd(ours.into()).unwrap();
            log.watch("", &socket);
            socket.end();
        });
        assert_eq!(seen.take(), ["finish", "close false"]);
    }

    fn fd_04_a_socket_that_is_not_writable_refuses_writes_and_closes_after_the_end(net) {
        let log = Log::new();
        let seen = log.clone();
        let read_only = |stream: UnixStream| {
            let socket = SocketOptions::new().writable(false).build_from_fd(stream.into()).unwrap();
            assert_eq!(socket.ready_state(), ReadyState::ReadOnly);
            assert!(!socket.is_writable() && socket.is_writable_ended() && socket.is_writable_finished());
            socket
        };
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        net.run(|| {
            let socket = read_only(ours);
            log.watch("", &socket);
            let bytes = collect(&socket);
            std::io::Write::write_all(&mut theirs, b"to read").unwrap();
            drop(theirs);
            socket.on_end(move |_| assert_eq!(*bytes.borrow(), b"to read"));
        });
        assert_eq!(seen.take(), ["end", "close false"]);

        let (ours, _theirs) = UnixStream::pair().unwrap();
        net.run(|| {
            let socket = read_only(ours);
            log.watch("", &socket);
            assert!(!socket.write("refused"));
        });
        assert_eq!(seen.take(), ["error ERR_STREAM_WRITE_AFTER_END", "close true"]);
    }

    fn end_13_a_direction_that_never_existed_counts_as_done(net) {
        use std::io::Write;

        // Whether the socket reads or writes, and the result.
        let cases = [(true, ["end", "close false"]), (false, ["finish", "close false"])];
        for half_open in [false, true] {
            for (reads, wanted) in cases {
                let log = Log::new();
                let seen = log.clone();
                let (ours, mut theirs) = UnixStream::pair().unwrap();
                net.run(|| {
                    let options = SocketOptions::new().readable(reads).writable(!reads);
                    let socket = options.allow_half_open(half_open).build_from_fd(ours.into()).unwrap();
                    assert_eq!((socket.is_readable_ended(), socket.is_writable_finished()), (!reads, reads));
                    log.watch("", &socket);
                    socket.resume();
                    // The disabled direction alone does not end both.
                    settled(move || {
                        assert_eq!(log.entries().len(), 0);
                        assert!(!socket.is_destroyed());
                        match reads {
                            // The other direction of the peer stays open.
                            true => {
                                theirs.write_all(b"all").unwrap();
                                theirs.shutdown(std::net::Shutdown::Write).unwrap();
                                socket.on_close(move |socket, _| {
                                    assert_eq!(socket.bytes_read(), 3);
                                    assert_eq!(theirs.read(&mut [0]).unwrap(), 0, "closed");
                                });
                            }
                            false => {
                                socket.end_with("all");
                                socket.on_close(move |_, _| {
                                    let mut text = String::new();
                                    theirs.read_to_string(&mut text).unwrap();
                                    assert_eq!(text, "all");
                                });
                            }
                        }
                    });
                });
                assert_eq!(seen.take(), wanted);
            }
        }
    }

    fn fd_02_an_initially_paused_descriptor_reads_nothing_before_resume(net) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        std::io::Write::write_all(&mut theirs, b"waits").unwrap();
        drop(theirs);
        net.run(|| {
            let socket = SocketOptions::new().pause_on_create(true).build_from_fd(ours.into()).unwrap();
            assert!(socket.is_paused());
            let bytes = collect(&socket);
            fyke::timer::set_timeout(std::time::Duration::from_millis(1), move || {
                assert_eq!(socket.bytes_read(), 0);
                socket.resume();
                socket.on_end(move |_| assert_eq!(*bytes.borrow(), b"waits"));
            })
            .unwrap();
        });
    }

    fn fd_02_a_connected_descriptor_is_an_open_socket_that_reads(net) {
        let log = Log::new();
        let seen = log.clone();
        let (ours, theirs) = UnixStream::pair().unwrap();
        net.run(|| {
            let (a, b) =
                (Socket::from_fd(ours.into()).unwrap(), Socket::from_fd(theirs.into()).unwrap());
            assert!(!a.is_connecting() && !a.is_pending());
            assert_eq!(a.ready_state(), ReadyState::Open);
            log.watch("", &b);
            let bytes = collect(&b);
            b.on_end(move |_| log.add(String::from_utf8_lossy(&bytes.borrow())));
            a.resume();
            a.end_with("over a pair");
        });
        assert_eq!(seen.take(), ["end", "over a pair", "finish", "close false"]);
    }

    fn fd_02_a_tcp_descriptor_reports_its_addresses(net) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        net.run(|| {
            let local = stream.local_addr().unwrap();
            let socket = Socket::from_fd(stream.into()).unwrap();
            assert_eq!(socket.local_address(), Some(local));
            assert_eq!(socket.remote_address(), Some(listener.local_addr().unwrap()));
            socket.destroy();
        });
        drop(accepted);
    }

    fn fd_03_a_descriptor_of_another_kind_is_refused(net) {
        net.run(|| {
            let file: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
            let datagram: OwnedFd = UdpSocket::bind("127.0.0.1:0").unwrap().into();
            let listener: OwnedFd = TcpListener::bind("127.0.0.1:0").unwrap().into();
            for fd in [file, datagram, listener] {
                assert_eq!(Socket::from_fd(fd).unwrap_err().code(), ErrorCode::ERR_INVALID_FD_TYPE);
            }
        });
        let (fd, _other) = UnixStream::pair().unwrap();
        let code = Socket::from_fd(fd.into()).unwrap_err().code();
        assert_eq!(code, ErrorCode::ERR_NO_EVENT_LOOP);
    }

    fn fd_05_a_server_listens_on_a_descriptor_and_leaves_its_file(net) {
        let path = net.path();
        let unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let served = Log::new();
        let seen = served.clone();
        net.run(|| {
            for (fd, endpoint, known) in [
                (OwnedFd::from(tcp), Endpoint::Ip(address), Some(Address::Ip(address))),
                (OwnedFd::from(unix), Endpoint::Path(path.clone()), None),
            ] {
                let served = served.clone();
                let server = fyke::create_server(move |socket| {
                    served.add("served");
                    socket.end();
                    socket.server().unwrap().close();
                });
                server
                    .listen_fd_then(fd, move |_| {
                        fyke::connect(endpoint).unwrap().resume();
                    })
                    .unwrap();
                assert!(server.is_listening());
                // The name of a descriptor from outside is not known.
                assert_eq!(server.address(), known);
            }
        });
        assert_eq!(seen.take(), ["served", "served"]);
        assert!(path.exists(), "not ours to remove");
    }

    fn fd_06_a_descriptor_that_cannot_listen_is_an_error_on_the_tick(net) {
        let (connected, _other) = UnixStream::pair().unwrap();
        let path = net.path();
        let file = std::fs::File::create(&path).unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        let folder = std::fs::File::open(path.parent().unwrap()).unwrap();
        let datagrams = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let (named, _) = UnixDatagram::pair().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let (pipe, to) = std::io::pipe().unwrap();
        // Node's codes: a pipe is the only one that is asked to listen, and is not a socket.
        let fds = [
            (OwnedFd::from(connected), "EINVAL"),
            (OwnedFd::from(file), "EINVAL"),
            (OwnedFd::from(null), "EINVAL"),
            (OwnedFd::from(folder), "EINVAL"),
            (OwnedFd::from(datagrams), "EINVAL"),
            (OwnedFd::from(named), "EINVAL"),
            (OwnedFd::from(client), "EINVAL"),
            (OwnedFd::from(accepted), "EINVAL"),
            (unconnected(None), "EINVAL"),
            (OwnedFd::from(pipe), "ENOTSOCK"),
            (OwnedFd::from(to), "ENOTSOCK"),
        ];
        for (fd, code) in fds {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let server = Server::new();
                server.listen_fd_then(fd, |_| panic!("it cannot listen")).unwrap();
                server.on_error(move |_, error| {
                    assert!(error.syscall() == Some("listen") && error.address().is_none());
                    log.add(error.code());
                });
            });
            assert_eq!(seen.take(), [code]);
        }
    }
}

/// Only descriptors from outside can be open in one direction.
#[test]
fn con_23_a_descriptor_open_in_one_direction_ends_the_other_immediately() {
    use rustix::net::{Shutdown, shutdown};

    for side in [Shutdown::Read, Shutdown::Write] {
        let net = Net::ready();
        let log = Log::new();
        let seen = log.clone();
        let (ours, theirs) = UnixStream::pair().unwrap();
        shutdown(&ours, side).unwrap();
        net.run(|| {
            let socket = Socket::from_fd(ours.into()).unwrap();
            socket.set_allow_half_open(true);
            assert_eq!(socket.is_writable(), side == Shutdown::Read);
            let peer = Socket::from_fd(theirs.into()).unwrap();
            log.watch("", &socket);
            let bytes = collect(&peer);
            let reported = log.clone();
            peer.on_end(move |_| reported.add(format!("peer got {}", bytes.borrow().len())));
            peer.on_error(|_, _| {});
            socket.resume();
            match side {
                Shutdown::Read => socket.on_end(|socket| _ = socket.end_with("still writable")),
                _ => socket.on_finish(move |_| _ = peer.end()),
            };
        });
        let wanted = match side {
            Shutdown::Read => ["end", "finish", "peer got 14", "close false"],
            _ => ["finish", "peer got 0", "end", "close false"],
        };
        let (mut entries, mut wanted) = (seen.take(), wanted.to_vec());
        assert_eq!(entries[0], wanted[0]);
        entries.sort();
        wanted.sort_unstable();
        assert_eq!(entries, wanted);
    }
}

on_every_system! {
    fn wr_30_a_descriptor_that_was_changed_from_outside_fails_the_write(net) {
        let log = Log::new();
        let seen = log.clone();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let beneath = ours.try_clone().unwrap();
        net.run(|| {
            let socket = Socket::from_fd(ours.into()).unwrap();
            log.watch("", &socket);
            socket.on_error(|_, error| assert_eq!(error.to_string(), "write EPIPE"));
            beneath.shutdown(std::net::Shutdown::Write).unwrap();
            socket.write_then("x", move |_, result| log.add(result.unwrap_err().code()));
            assert!(!socket.is_destroyed(), "runs on the tick");
        });
        drop(theirs);
        assert_eq!(seen.take(), ["EPIPE", "error EPIPE", "close true"]);
    }

    fn an_adopted_descriptor_is_not_inherited_by_a_child(net) {
        use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

        // Passed as a parent process would pass them.
        let inheritable = |fd: OwnedFd| {
            fcntl_setfd(&fd, FdFlags::empty()).unwrap();
            fd
        };
        let is_kept = |fd: OwnedFd| fcntl_getfd(&fd).unwrap().contains(FdFlags::CLOEXEC);
        net.run(|| {
            let (ours, _theirs) = UnixStream::pair().unwrap();
            let options = SocketOptions::new().pause_on_create(true);
            let socket = options.build_from_fd(inheritable(ours.into())).unwrap();
            assert!(is_kept(socket.take_fd().unwrap()));

            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let server = Server::new();
            server.listen_fd(inheritable(listener.into())).unwrap();
            assert!(is_kept(server.duplicate_fd().unwrap()));
            assert!(is_kept(server.take_fd().unwrap()));

            let bound = fyke::BoundSocket::bind(("127.0.0.1", 0)).unwrap().into_fd().unwrap();
            let bound = fyke::BoundSocket::from_fd(inheritable(bound)).unwrap();
            assert!(is_kept(bound.into_fd().unwrap()));
        });
    }
}
