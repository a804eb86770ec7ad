//! Sockets and servers over descriptors that come from outside: the real system's business.

mod support;

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use fyke::{Address, Endpoint, ErrorCode, ReadyState, Server, Socket};
use support::{Log, Net, collect};

#[test]
fn fd_02_a_connected_descriptor_is_an_open_socket_that_reads() {
    let net = Net::ready();
    let log = Log::new();
    let seen = log.clone();
    let (ours, theirs) = UnixStream::pair().unwrap();
    net.run(|| {
        let (a, b) =
            (Socket::from_fd(ours.into()).unwrap(), Socket::from_fd(theirs.into()).unwrap());
        assert!(!a.connecting() && !a.pending());
        assert_eq!(a.ready_state(), ReadyState::Open);
        log.watch("", &b);
        let bytes = collect(&b);
        b.on_end(move |_| log.add(String::from_utf8_lossy(&bytes.borrow())));
        a.resume();
        a.end_with("over a pair");
    });
    assert_eq!(seen.take(), ["end", "over a pair", "finish", "close false"]);
}

#[test]
fn fd_02_a_tcp_descriptor_knows_its_addresses() {
    let net = Net::ready();
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

#[test]
fn fd_03_what_is_no_connected_stream_socket_is_refused() {
    let net = Net::ready();
    net.run(|| {
        let file: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
        let datagram: OwnedFd = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into();
        let listener: OwnedFd = TcpListener::bind("127.0.0.1:0").unwrap().into();
        for fd in [file, datagram, listener] {
            assert_eq!(Socket::from_fd(fd).unwrap_err().code(), ErrorCode::ERR_INVALID_FD_TYPE);
        }
    });
    let (fd, _other) = UnixStream::pair().unwrap();
    let code = Socket::from_fd(fd.into()).unwrap_err().code();
    assert_eq!(code, ErrorCode::ERR_NO_EVENT_LOOP);
}

#[test]
fn fd_05_a_server_listens_on_a_descriptor_and_leaves_its_file() {
    let net = Net::ready();
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
                .listen_fd(fd, move |_| {
                    fyke::connect(endpoint, |_| {}).unwrap().resume();
                })
                .unwrap();
            assert!(server.listening());
            // A name that came from outside is not known.
            assert_eq!(server.address(), known);
        }
    });
    assert_eq!(seen.take(), ["served", "served"]);
    assert!(path.exists(), "not ours to remove");
}

#[test]
fn fd_06_a_descriptor_that_cannot_listen_is_an_error_on_the_tick() {
    let net = Net::ready();
    let (connected, _other) = UnixStream::pair().unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    for (fd, code) in [(OwnedFd::from(connected), "EINVAL"), (file.into(), "ENOTSOCK")] {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = Server::new();
            server.listen_fd(fd, |_| panic!("it cannot listen")).unwrap();
            server.on_error(move |_, error| {
                assert!(error.syscall() == Some("listen") && error.address().is_none());
                log.add(error.code());
            });
        });
        assert_eq!(seen.take(), [code]);
    }
}

/// Only what comes from outside can be open in one direction.
#[test]
fn con_23_a_connection_that_is_open_in_one_direction_ends_the_other_at_once() {
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
            assert_eq!(socket.writable(), side == Shutdown::Read);
            let peer = Socket::from_fd(theirs.into()).unwrap();
            log.watch("", &socket);
            let bytes = collect(&peer);
            let told = log.clone();
            peer.on_end(move |_| told.add(format!("peer got {}", bytes.borrow().len())));
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

#[test]
fn wr_30_what_is_done_to_the_descriptor_beneath_shows_as_an_error_of_the_write() {
    let net = Net::ready();
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
        assert!(!socket.destroyed(), "told on the tick");
    });
    drop(theirs);
    assert_eq!(seen.take(), ["EPIPE", "error EPIPE", "close true"]);
}
