//! Connecting to a server that is not ready: a Unix server whose queue is full, and a port where only
//! the client itself answers.

#![cfg(target_os = "linux")]

mod support;

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use fyke::{ConnectOptions, Error, ErrorCode, Socket};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use support::{Log, settled, word};

fn unix_socket() -> OwnedFd {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap()
}

/// A listener that accepts nothing, and the clients that fill its queue.
fn full_server(path: &Path) -> (OwnedFd, Vec<OwnedFd>) {
    let address = SocketAddrUnix::new(path).unwrap();
    let listener = unix_socket();
    rustix::net::bind(&listener, &address).unwrap();
    rustix::net::listen(&listener, 1).unwrap();
    let mut clients = Vec::new();
    loop {
        let client = unix_socket();
        match rustix::net::connect(&client, &address) {
            Ok(()) => clients.push(client),
            Err(Errno::AGAIN) => return (listener, clients),
            Err(errno) => panic!("{errno}"),
        }
    }
}

fn code(error: &Error) -> String {
    word(&Err(error.clone()))
}

/// The events of a connect, with its errors.
fn reported(options: ConnectOptions, log: &Log) -> Socket {
    let client = options.connect_then(|client| _ = client.destroy()).unwrap();
    let failed = log.clone();
    client.on_connection_attempt_failed(move |_, _, error| failed.add(code(error)));
    log.watch("", &client);
    client
}

on_every_system! {
    fn ipc_07_connect_waits_for_a_unix_server_whose_queue_is_full(net) {
        let log = Log::new();
        let path = net.path();
        let (listener, clients) = full_server(&path);
        let waits = log.clone();
        let from = listener.try_clone().unwrap();
        net.run(|| {
            reported(ConnectOptions::new(path.as_path()), &log);
            settled(move || {
                assert_eq!(waits.take(), [""; 0], "it waits");
                drop(rustix::net::accept(&from).unwrap());
            });
        });
        assert_eq!(log.take(), ["connect", "close false"]);
        drop((listener, clients));
    }

    fn ipc_07_the_wait_for_a_full_unix_server_is_limited_by_the_connect_timeout(net) {
        let log = Log::new();
        let path = net.path();
        let server = full_server(&path);
        let start = std::time::Instant::now();
        net.run(|| {
            let options = ConnectOptions::new(path.as_path());
            reported(options.connect_timeout(Duration::from_millis(200)), &log);
        });
        assert_eq!(log.take(), ["error ETIMEDOUT", "close true"]);
        assert!(start.elapsed() >= Duration::from_millis(200));
        // The loop does not wait if the connection is no longer wanted.
        net.run(|| {
            let client = reported(ConnectOptions::new(path.as_path()), &log);
            settled(move || _ = client.destroy());
        });
        assert_eq!(log.take().last().unwrap(), "close false");
        drop(server);
    }

    fn ipc_07_an_exact_loop_reports_that_the_queue_is_full(net) {
        let log = Log::new();
        let path = net.path();
        let server = full_server(&path);
        net.node_exact().run(|| {
            reported(ConnectOptions::new(path.as_path()), &log);
        });
        assert!(log.take().contains(&String::from("error EAGAIN")));
        drop(server);
    }

    fn a_connection_to_itself_is_allowed_as_in_node_unless_the_option_refuses_it(net) {
        for refuse in [false, true] {
            // An address that no other test uses, so that the port stays free.
            let free = TcpListener::bind("127.0.0.78:0").unwrap().local_addr().unwrap();
            let log = Log::new();
            net.run(|| {
                let options = ConnectOptions::new(free);
                let options = options.local_address(free.ip()).local_port(free.port());
                let client = reported(options.refuse_self_connection(refuse), &log);
                client.on_error(move |_, error| {
                    assert_eq!(error.code(), ErrorCode::ECONNREFUSED);
                    assert_eq!(error.port(), Some(free.port()));
                });
            });
            let expected: &[&str] = match refuse {
                true => &["ECONNREFUSED", "error ECONNREFUSED", "close true"],
                false => &["connect", "close false"],
            };
            assert_eq!(log.take(), expected);
            if refuse {
                // No connection is left in TIME_WAIT, which would block the port of the server.
                let again = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None);
                rustix::net::bind(again.unwrap(), &free).unwrap();
            }
        }
    }
}
