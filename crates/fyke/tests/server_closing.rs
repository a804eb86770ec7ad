//! Closing a server: what stops, what continues, and when the event is emitted.

mod support;

use std::cell::{Cell, RefCell};
use std::io::Read;
use std::rc::Rc;

use fyke::{Endpoint, ErrorCode, Server, ServerOptions, Socket, timer};
use support::Log;

fn add_close(log: &Log, server: &Server) {
    let log = log.clone();
    server.on_close(move |_| log.add("server close"));
}

on_every_driver! {
    fn cls_02_without_connections_close_is_emitted_on_the_tick(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = Server::new();
            add_close(&log, &server);
            server.listen_then(0, move |server| {
                let [before, after, later] = [log.clone(), log.clone(), log.clone()];
                timer::next_tick(move || before.add("before")).unwrap();
                server.close();
                timer::next_tick(move || after.add("after")).unwrap();
                timer::set_immediate(move || later.add("immediate")).unwrap();
                log.add("returned");
            }).unwrap();
        });
        assert_eq!(seen.take(), ["returned", "before", "server close", "after", "immediate"]);
    }

    fn cls_02_cls_03_each_of_two_sockets_closes_and_the_server_once(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let accepted: Rc<RefCell<Vec<Socket>>> = Rc::default();
            let all = log.clone();
            let server = fyke::create_server(move |socket| {
                let own = all.clone();
                socket.on_close(move |_, _| own.add("socket close"));
                accepted.borrow_mut().push(socket.clone());
                if accepted.borrow().len() == 2 {
                    let server = socket.server().unwrap();
                    server.close();
                    assert_eq!(server.connections(), 2);
                    for socket in accepted.take() {
                        socket.destroy();
                    }
                }
            });
            add_close(&log, &server);
            net.listen(&server, net.tcp(), |endpoint| for _ in 0..2 {
                let client = fyke::connect(&endpoint).unwrap();
                client.resume().on_error(|_, _| {});
            });
        });
        assert_eq!(seen.take(), ["server close", "socket close", "socket close"]);
    }

    fn cls_01_cls_09_a_client_that_connects_while_the_server_closes_is_refused_or_reset(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(|_| panic!("closed before"));
            add_close(&log, &server);
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let client = fyke::connect(endpoint).unwrap();
                server.close();
                assert!(!server.is_listening());
                assert_eq!((client.remote_address(), client.local_address()), (None, None));
                client.resume().on_error(move |_, error| {
                    let codes = [ErrorCode::ECONNREFUSED, ErrorCode::ECONNRESET];
                    assert!(codes.contains(&error.code()), "{error}");
                    log.add("client error");
                });
            });
        });
        assert_eq!(seen.take(), ["server close", "client error"]);
    }

    fn cls_10_a_server_closed_in_the_connection_listener_keeps_that_connection(net) {
        for endpoint in net.endpoints() {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let at_end = log.clone();
                let server = fyke::create_server(move |socket| {
                    let server = socket.server().unwrap();
                    assert_eq!(server.close(), &server, "close returns the server");
                    socket.pipe(socket);
                    let log = at_end.clone();
                    socket.on_end(move |_| log.add("socket end"));
                });
                add_close(&log, &server);
                net.listen(&server, endpoint, |endpoint| {
                    let client = fyke::connect_then(endpoint, |client| { let _ = client.write("served"); }).unwrap();
                    client.on_data(move |client, data| {
                        log.add(String::from_utf8_lossy(data));
                        client.end();
                    });
                });
            });
            assert_eq!(seen.take(), ["served", "socket end", "server close"]);
        }
    }

    fn cls_11_connections_counts_accepted_sockets_that_are_not_destroyed(net) {
        net.run(|| {
            assert_eq!(Server::new().connections(), 0, "also if it never listened");
            let server = ServerOptions::new().max_connections(1).create_server(|socket| {
                let server = socket.server().unwrap();
                assert_eq!(server.connections(), 1, "counted in its own event");
                socket.resume();
            });
            server.on_drop(|server, _| assert_eq!(server.connections(), 1, "not for the dropped connection"));
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let first = fyke::connect(&endpoint).unwrap();
                first.resume();
                let server = server.clone();
                first.on_ready(move |first| {
                    let second = fyke::connect(&endpoint).unwrap();
                    let (first, server) = (first.clone(), server.clone());
                    second.resume().on_close(move |_, _| {
                        server.close();
                        assert_eq!(server.connections(), 1, "also after close");
                        first.end();
                    });
                });
            });
        });
    }

    fn cls_11_the_count_is_lower_in_the_call_that_destroys(net) {
        let seen = Rc::new(Cell::new(false));
        let checked = seen.clone();
        net.run(|| {
            let server = fyke::create_server(move |socket| {
                let server = socket.server().unwrap();
                server.close();
                socket.on_close(|socket, _| assert_eq!(socket.server().unwrap().connections(), 0));
                socket.destroy();
                assert_eq!(server.connections(), 0);
                checked.set(true);
            });
            net.listen(&server, net.tcp(), |endpoint| {
                fyke::connect(endpoint).unwrap().resume().on_error(|_, _| {});
            });
        });
        assert!(seen.get());
    }

    fn cls_14_of_twenty_clients_ten_are_served(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let served = log.clone();
            let server = ServerOptions::new().max_connections(10).create_server(move |socket| {
                served.add("connection");
                let _ = socket.resume().write("data");
            });
            let dropped = log.clone();
            server.on_drop(move |_, _| dropped.add("drop"));
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                connect_in_turn(&endpoint, 20, Rc::default(), Rc::new(move |clients: Vec<Socket>| {
                    let got = |client: &&Socket| client.bytes_read() == 4;
                    assert_eq!(clients.iter().filter(got).count(), 10);
                    assert!(clients[10..].iter().all(|late| late.bytes_read() == 0 && late.is_destroyed()));
                    assert!(clients[..10].iter().all(|early| !early.is_destroyed()));
                    server.close();
                    clients.iter().for_each(|client| _ = client.end());
                }));
            });
        });
        let entries = seen.take();
        assert_eq!(entries[..10], ["connection"; 10]);
        assert_eq!(entries[10..], ["drop"; 10]);
    }

    fn cls_14_a_place_is_free_when_the_accepted_socket_is_destroyed(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let accepted: Rc<RefCell<Vec<Socket>>> = Rc::default();
            let (served, own) = (log.clone(), accepted.clone());
            let server = ServerOptions::new().max_connections(1).create_server(move |socket| {
                served.add("connection");
                own.borrow_mut().push(socket.resume().clone());
                let _ = socket.write("data");
            });
            server.on_drop(move |_, _| log.add("drop"));
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let again = endpoint.clone();
                connect_in_turn(&endpoint, 2, Rc::default(), Rc::new(move |_| {
                    accepted.borrow_mut().remove(0).destroy();
                    let (server, accepted) = (server.clone(), accepted.clone());
                    connect_in_turn(&again, 2, Rc::default(), Rc::new(move |_| {
                        server.close();
                        accepted.borrow_mut().remove(0).destroy();
                    }));
                }));
            });
        });
        assert_eq!(seen.take(), ["connection", "drop", "connection", "drop"]);
    }

    fn cls_18_dropping_every_handle_does_not_close_the_server_and_close_then_still_runs(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(|socket| {
                // The only remaining reference.
                let server = socket.server().unwrap();
                server.close_then(|server, result| {
                    assert!(result.is_ok() && !server.is_listening());
                });
                socket.end();
            });
            add_close(&log, &server);
            server.listen_then(0, |server| {
                let port = server.address().unwrap().port().unwrap();
                fyke::connect(("127.0.0.1", port)).unwrap().resume();
            }).unwrap();
            drop(server);
        });
        assert_eq!(seen.take(), ["server close"]);
    }
}

/// Connects `count` clients, each after the previous one has received data or was closed, and then
/// calls `then`.
fn connect_in_turn(
    endpoint: &Endpoint,
    count: usize,
    clients: Rc<RefCell<Vec<Socket>>>,
    then: Rc<dyn Fn(Vec<Socket>)>,
) {
    if clients.borrow().len() == count {
        return then(clients.take());
    }
    let client = fyke::connect(endpoint).unwrap();
    clients.borrow_mut().push(client.clone());
    let endpoint = endpoint.clone();
    let mut next = Some(move || connect_in_turn(&endpoint, count, clients, then));
    let next = Rc::new(RefCell::new(move || {
        if let Some(next) = next.take() {
            next();
        }
    }));
    let closed = next.clone();
    client.on_error(|_, _| {});
    client.on_data(move |_, _| (next.borrow_mut())());
    client.on_close(move |_, _| (closed.borrow_mut())());
}

on_every_system! {
    /// A client whose handshake is complete and that is not accepted. Only the real system allows one
    /// to be created inside a callback.
    fn cls_09_connections_in_the_kernels_queue_are_reset_and_do_not_delay_close(net) {
        let log = Log::new();
        let seen = log.clone();
        let client = Rc::new(RefCell::new(None));
        let own = client.clone();
        net.run(|| {
            let server = fyke::create_server(|_| panic!("it was not accepted"));
            add_close(&log, &server);
            server
                .listen_then(("127.0.0.1", 0), move |server| {
                    let address = server.address().unwrap().ip().unwrap();
                    *own.borrow_mut() = Some(std::net::TcpStream::connect(address).unwrap());
                    server.close();
                    assert_eq!(server.connections(), 0);
                })
                .unwrap();
        });
        assert_eq!(seen.take(), ["server close"]);
        let mut client = client.take().unwrap();
        let error = client.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
}

on_every_system! {
    fn cls_18_the_port_is_free_when_the_server_is_closed_and_when_its_loop_is_dropped(net) {
        for close in [true, false] {
            let event_loop = net.event_loop();
            let server = Server::new();
            event_loop.enter(|| server.listen(0)).unwrap();
            let address = server.address().unwrap().ip().unwrap();
            assert!(std::net::TcpListener::bind(address).is_err(), "in use");
            if close {
                event_loop.enter(|| _ = server.close());
                std::net::TcpListener::bind(address).unwrap();
            }
            drop(event_loop);
            std::net::TcpListener::bind(address).unwrap();
            assert!(!server.is_listening());
        }
    }
}
