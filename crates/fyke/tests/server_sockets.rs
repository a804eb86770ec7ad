//! Listening and accepted sockets: their options, and their state in `connection`.

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use fyke::{ConnectOptions, Endpoint, ReadyState, Server, ServerOptions, Socket, timer};
use support::{Log, Net};

/// A socket that a server with these options has accepted, as seen in `connection`.
fn look_accepted(
    net: &Net,
    endpoint: Endpoint,
    options: ServerOptions,
    looker: impl FnOnce(&Socket) + 'static,
) {
    let (looked, mut looker) = (Rc::new(Cell::new(false)), Some(looker));
    let seen = looked.clone();
    net.run(|| {
        let server = options.create_server(move |socket| {
            socket.server().unwrap().close();
            looker.take().expect("one connection, one event")(socket);
            looked.set(true);
            socket.resume();
        });
        net.listen(&server, endpoint, |endpoint| {
            fyke::connect_then(endpoint, |client| _ = client.end_with("data")).unwrap().resume();
        });
    });
    assert!(seen.get());
}

on_every_driver! {
    fn srv_22_a_connection_is_emitted_open_counted_and_with_its_addresses(net) {
        for endpoint in net.endpoints() {
            let unix = endpoint.is_unix();
            look_accepted(net, endpoint, ServerOptions::new(), move |socket| {
                assert!(!socket.is_pending() && !socket.is_connecting() && !socket.is_destroyed());
                assert_eq!(socket.ready_state(), ReadyState::Open);
                assert!(socket.is_readable() && socket.is_writable() && !socket.is_paused());
                assert_eq!(socket.server().unwrap().connections(), 1);
                assert_eq!(socket.remote_address().is_none(), unix);
                assert_eq!(socket.local_address().is_none(), unix);
                for late in [Socket::on_connect, Socket::on_ready] {
                    late(socket, |_: &Socket| panic!("an accepted socket never emits it"));
                }
            });
        }
    }

    fn prop_09_the_peer_address_is_available_however_late_it_is_first_requested(net) {
        for reset in [false, true] {
            let event_loop = net.event_loop();
            let [at_close, after_close, after_the_loop] = [(); 3].map(|()| Rc::new(Cell::new(None)));
            let kept: Rc<std::cell::RefCell<Vec<Socket>>> = Rc::default();
            let clients: Rc<std::cell::RefCell<Vec<Socket>>> = Rc::default();
            let (sockets, reported) = (kept.clone(), at_close.clone());
            event_loop.enter(|| {
                let server = fyke::create_server(move |socket| {
                    let reported = reported.clone();
                    socket.on_error(|_, _| {});
                    socket.resume().on_close(move |socket, _| reported.set(socket.remote_address()));
                    sockets.borrow_mut().push(socket.clone());
                });
                server.unref_loop();
                let made = clients.clone();
                net.listen(&server, net.tcp(), move |endpoint| {
                    for _ in 0..3 {
                        made.borrow_mut().push(fyke::connect(&endpoint).unwrap());
                    }
                });
            });
            let all = || kept.borrow().len() == 3 && clients.borrow().iter().all(|c| !c.is_connecting());
            support::drive(&event_loop, all).unwrap();
            let port = |client: &Socket| client.local_address().map(|local| local.port());
            let mut ports: Vec<_> = clients.borrow().iter().map(port).collect();
            event_loop.enter(|| for client in &clients.borrow()[..2] {
                match reset {
                    true => client.reset_and_destroy().unwrap(),
                    false => _ = client.destroy(),
                }
            });
            let closed = || kept.borrow().iter().filter(|socket| socket.is_destroyed()).count() == 2;
            support::drive(&event_loop, closed).unwrap();
            let gone = kept.borrow().iter().rfind(|socket| socket.is_destroyed()).cloned().unwrap();
            let open = kept.borrow().iter().find(|socket| !socket.is_destroyed()).cloned().unwrap();
            after_close.set(gone.remote_address());
            drop(event_loop);
            after_the_loop.set(open.remote_address());
            for reported in [at_close, after_close, after_the_loop] {
                let port = reported.get().map(|address: std::net::SocketAddr| address.port());
                assert!(ports.contains(&port) && port.is_some(), "{port:?} of {ports:?}");
            }
            let last = open.remote_address().map(|address| address.port());
            assert_eq!(ports.pop(), Some(last), "each is its own");
        }
    }

    fn srv_22_an_accepted_socket_reads_automatically(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            move |socket| {
                // There is neither a listener nor a `resume`, so received data is stored.
                let socket = socket.clone();
                let watch: Rc<Cell<Option<timer::Timer>>> = Rc::default();
                let own = watch.clone();
                let interval = timer::set_interval(Duration::from_millis(1), move || {
                    if socket.bytes_read() == 4 {
                        own.take().unwrap().cancel();
                        log.add(socket.read_queue_len());
                        socket.resume();
                    }
                });
                watch.set(interval.ok());
            },
            |client| _ = client.resume().on_connect(|client| _ = client.end_with("data")),
        ));
        assert_eq!(seen.take(), ["4"]);
    }

    fn srv_21_options_are_passed_on_to_accepted_sockets(net) {
        look_accepted(net, net.tcp(), ServerOptions::new(), |socket| {
            assert!(!socket.allow_half_open() && !socket.is_paused());
            assert!(!socket.no_delay() && socket.keep_alive().is_none());
            assert_eq!(socket.high_water_mark(), 65_536);
            assert_eq!(socket.bytes_read(), 0);
        });
        let options = ServerOptions::new().allow_half_open(true).high_water_mark(10);
        look_accepted(net, net.tcp(), options, |socket| {
            assert!(socket.allow_half_open());
            assert_eq!(socket.high_water_mark(), 10);
            socket.on_end(|socket| _ = socket.end());
        });
        look_accepted(net, net.tcp(), ServerOptions::new().high_water_mark(0), |socket| {
            assert_eq!(socket.high_water_mark(), 0, "kept");
        });
        look_accepted(net, net.tcp(), ServerOptions::new().pause_on_connect(true), |socket| {
            assert!(socket.is_paused());
        });
    }

    fn srv_18_a_listener_sets_no_options_that_its_connections_could_inherit(net) {
        look_accepted(net, net.tcp(), ServerOptions::new(), |socket| {
            assert!(!socket.no_delay() && socket.keep_alive().is_none());
            assert_eq!((socket.user_timeout(), socket.type_of_service()), (None, 0));
        });
    }

    fn srv_18_a_server_listens_again_where_connections_are_in_time_wait(net) {
        net.run(|| {
            let server = fyke::create_server(|socket| {
                // The side that ends first gets TIME_WAIT (RFC 9293, section 3.6).
                socket.end();
                let server = socket.server().unwrap();
                socket.resume().on_close(move |_, _| {
                    let address = server.address().unwrap().ip().unwrap();
                    server.close();
                    Server::new().listen_then(address, |again| _ = again.close()).unwrap();
                });
            });
            net.listen(&server, net.tcp(), |endpoint| {
                fyke::connect(endpoint).unwrap().resume();
            });
        });
    }

    fn srv_18_a_client_that_is_bound_connects_again_from_its_port(net) {
        net.run(|| {
            let [first, second] = [(); 2].map(|()| fyke::create_server(|socket| {
                socket.resume();
                socket.server().unwrap().close();
            }));
            let endpoint = net.tcp();
            net.listen(&first, endpoint.clone(), move |first| {
                second.listen_then(endpoint, move |second| {
                    let second = second.endpoint().unwrap();
                    // Linux allows to bind a port in TIME_WAIT only if both sockets set the option, so
                    // the first one is bound too.
                    let options = ConnectOptions::new(first);
                    let options = options.local_address("127.0.0.1".parse().unwrap());
                    let client = options.connect_then(|client| _ = client.end()).unwrap();
                    client.resume().on_close(move |client, _| {
                        let local = client.local_address().unwrap();
                        let options = ConnectOptions::new(&second);
                        let options = options.local_address(local.ip()).local_port(local.port());
                        let again = options.connect_then(move |again| {
                            assert_eq!(again.local_address(), Some(local));
                            again.end();
                        });
                        again.unwrap().resume();
                    });
                }).unwrap();
            });
        });
    }
}

/// The backlog that `listen` is called with, as the driver logs it. This needs the feature `tracing`.
#[cfg(feature = "tracing")]
mod backlog {
    use fyke::{ListenOptions, SocketOptions};

    use super::support::steps;
    use super::*;

    fn backlog(net: &Net, options: ListenOptions) -> String {
        let listen =
            || net.run(|| options.listen_then(&Server::new(), |it| _ = it.close()).unwrap());
        let calls = steps::named("listen", listen);
        calls.concat().replace("backlog=", "")
    }

    on_every_driver! {
        fn srv_17_the_backlog_is_511_or_the_requested_one(net) {
            for endpoint in [0.into(), ("127.0.0.1", 0).into(), ("localhost", 0).into(), net.path().into()] {
                let options = || ListenOptions::new(Endpoint::clone(&endpoint));
                assert_eq!(backlog(net, options()), "511", "{endpoint}");
                assert_eq!(backlog(net, options().backlog(0)), "511", "{endpoint}");
                assert_eq!(backlog(net, options().backlog(7)), "7", "{endpoint}");
                // More than listen(2) accepts; the kernel reduces it to somaxconn.
                assert_eq!(backlog(net, options().backlog(u32::MAX)), i32::MAX.to_string());
            }
        }

        fn srv_18_neither_a_listener_nor_a_client_sets_options_of_tcp_by_default(net) {
            let made = steps::named("setsockopt", || net.run(|| net.pair(
                net.tcp(),
                |socket| _ = socket.end(),
                |client| _ = client.resume(),
            )));
            assert!(made.is_empty(), "{made:?}");
            let plain = SocketOptions::new().build();
            assert!(!plain.no_delay());
        }
    }
}
