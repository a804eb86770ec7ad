//! Listeners that fail while listening, and listeners that are handed over while connections arrive.
#![cfg(unix)]

mod support;

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use fyke::{Endpoint, ErrorCode, Server, Socket};
use support::{Log, drive};

/// The error of an `accept` that never succeeds again: EINVAL on Linux.
fn shut_down(listener: &OwnedFd) {
    rustix::net::shutdown(listener, rustix::net::Shutdown::Both).unwrap();
}

/// Starts a client that sends one byte, and counts it as served when the byte is echoed.
fn start_client(endpoint: &Endpoint, served: &Rc<Cell<usize>>) {
    let served = Rc::clone(served);
    let client = Socket::new();
    client.on_data(move |client, _| {
        served.set(served.get() + 1);
        client.destroy();
    });
    client.connect_then(endpoint.clone(), |client| _ = client.write("x")).unwrap();
}

fn echo_one(socket: &Socket) {
    socket.on_data(|socket, bytes| _ = socket.write(bytes.to_vec()));
}

on_every_system! {
    /// Regression: readiness took EINVAL for a vanished connection, and retried for ever.
    fn srv_23_a_listener_that_another_holder_shut_down_fails_once_and_does_not_spin(net) {
        for endpoint in net.endpoints() {
            let log = Log::new();
            let event_loop = net.event_loop();
            let server = Server::new();
            event_loop.enter(|| {
                let seen = log.clone();
                server.on_error(move |server, error| {
                    seen.add(format!("error {} {:?}", error.code(), error.syscall()));
                    assert!(server.is_listening(), "until it is closed");
                });
                let seen = log.clone();
                server.on_close(move |_| seen.add("close"));
                server.listen_then(endpoint, |server| shut_down(&server.duplicate_fd().unwrap())).unwrap();
            });
            drive(&event_loop, || !log.entries().is_empty()).unwrap();
            // A loop without work sleeps until the timer is due.
            let due = Rc::new(Cell::new(false));
            let reported = Rc::clone(&due);
            event_loop.enter(|| {
                fyke::timer::set_timeout(Duration::from_millis(50), move || reported.set(true)).unwrap();
            });
            let mut turns = 0;
            while !due.get() {
                event_loop.turn(Some(Duration::from_millis(50))).unwrap();
                turns += 1;
            }
            assert!(turns < 10, "{turns} turns in 50 ms");
            assert_eq!(log.entries(), ["error EINVAL Some(\"accept\")"]);
            event_loop.enter(|| server.close());
            drive(&event_loop, || false).unwrap();
            assert_eq!(log.take(), ["error EINVAL Some(\"accept\")", "close"]);
        }
    }

    fn a_listener_of_an_adopted_descriptor_that_is_shut_down_fails_once(net) {
        let log = Log::new();
        net.run(|| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let other: OwnedFd = listener.try_clone().unwrap().into();
            let server = Server::new();
            let seen = log.clone();
            server.on_error(move |server, error| {
                seen.add(error.code());
                server.close();
            });
            server.listen_fd_then(listener.into(), move |_| shut_down(&other)).unwrap();
        });
        assert_eq!(log.take(), ["EINVAL"]);
    }

    fn an_accept_error_without_a_listener_ends_the_run(net) {
        let error = net.try_run(|| {
            Server::new().listen_then(net.tcp(), |server| shut_down(&server.duplicate_fd().unwrap()))
        });
        let error = error.unwrap_err();
        assert_eq!((error.code(), error.syscall()), (ErrorCode::EINVAL, Some("accept")));
    }

    fn a_server_whose_listener_failed_can_be_closed_and_listen_again(net) {
        let served = Rc::new(Cell::new(0));
        net.run(|| {
            let server = Server::new();
            server.on_connection(|server, socket| {
                server.close();
                echo_one(socket);
            });
            let count = Rc::clone(&served);
            let again = net.tcp();
            server.on_error(move |server, _| {
                let count = Rc::clone(&count);
                server.close();
                server
                    .listen_then(again.clone(), move |server| {
                        start_client(&server.endpoint().unwrap(), &count);
                    })
                    .unwrap();
            });
            server
                .listen_then(net.tcp(), |server| shut_down(&server.duplicate_fd().unwrap()))
                .unwrap();
        });
        assert_eq!(served.get(), 1);
    }

    /// Regression: a ring had already accepted the connections, and reset them.
    fn connections_that_arrive_while_a_listener_is_handed_over_are_all_served(net) {
        const CLIENTS: usize = 20;
        for endpoint in net.endpoints() {
            let served = Rc::new(Cell::new(0));
            let (first, second) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            let event_loop = net.event_loop();
            event_loop.enter(|| {
                let server = Server::new();
                let (here, there) = (Rc::clone(&first), Rc::clone(&second));
                let successor = Rc::new(RefCell::new(None));
                server.on_connection(move |server, socket| {
                    here.set(here.get() + 1);
                    echo_one(socket);
                    let there = Rc::clone(&there);
                    let other = fyke::create_server(move |socket| {
                        there.set(there.get() + 1);
                        echo_one(socket);
                    });
                    other.listen_fd(server.take_fd().unwrap()).unwrap();
                    assert!(successor.replace(Some(other)).is_none(), "nothing was received afterwards");
                });
                let served = Rc::clone(&served);
                net.listen(&server, endpoint, move |endpoint| {
                    (0..CLIENTS).for_each(|_| start_client(&endpoint, &served));
                });
            });
            drive(&event_loop, || served.get() == CLIENTS).unwrap();
            assert_eq!((first.get(), second.get()), (1, CLIENTS - 1));
        }
    }

    fn a_listener_handed_over_after_its_turn_includes_all_waiting_connections(net) {
        let served = Rc::new(Cell::new(0));
        let event_loop = net.event_loop();
        let fd: Rc<RefCell<Option<OwnedFd>>> = Rc::default();
        event_loop.enter(|| {
            let server = Server::new();
            server.on_connection(|_, _| panic!("it was handed over before"));
            let (fd, served) = (Rc::clone(&fd), Rc::clone(&served));
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let connected = Rc::new(Cell::new(0));
                let count = Rc::clone(&connected);
                for _ in 0..5 {
                    let count = Rc::clone(&count);
                    start_client(&endpoint, &served);
                    let client = Socket::new();
                    client.connect_then(endpoint.clone(), move |client| {
                        count.set(count.get() + 1);
                        client.destroy();
                    }).unwrap();
                }
                *fd.borrow_mut() = Some(server.take_fd().unwrap());
            });
        });
        drive(&event_loop, || fd.borrow().is_some()).unwrap();
        let fd = fd.take().unwrap();
        event_loop.enter(|| fyke::create_server(echo_one).listen_fd(fd).unwrap());
        drive(&event_loop, || served.get() == 5).unwrap();
    }
}
