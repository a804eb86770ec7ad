//! Limits that only fyke's servers have: a limit per address.

mod support;

use std::time::Duration;

use fyke::{BlockList, Server, ServerOptions, timer};
use support::Log;

on_every_driver! {
    fn cls_15_cls_16_a_blocked_client_is_closed_without_an_event_and_after_the_limit(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let list = BlockList::new();
            list.add_address("127.0.0.1").unwrap();
            let options = ServerOptions::new().block_list(&list).max_connections(1);
            let server = options.create_server(|_| panic!("blocked, or too many"));
            let dropped = log.clone();
            server.on_drop(move |_, _| dropped.add("drop"));
            // Dual stack: the rule is IPv4, the client appears as a mapped address.
            server.listen_then(0, move |server| {
                let server = server.clone();
                let port = server.address().unwrap().port().unwrap();
                let client = fyke::connect(("127.0.0.1", port)).unwrap();
                log.watch("", &client);
                client.resume();
                client.on_close(move |_, _| {
                    assert_eq!(server.connections(), 0);
                    server.set_max_connections(Some(0));
                    let second = fyke::connect(("127.0.0.1", port)).unwrap();
                    second.resume();
                    let server = server.clone();
                    second.on_close(move |_, _| _ = server.close());
                });
            }).unwrap();
        });
        assert_eq!(seen.take(), ["connect", "ready", "end", "finish", "close false", "drop"]);
    }

    fn max_connections_per_ip_counts_each_address_separately(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = ServerOptions::new().max_connections_per_ip(1).create_server(|socket| {
                socket.resume();
            });
            let dropped = log.clone();
            server.on_drop(move |_, info| dropped.add(format!("drop {}", info.unwrap().remote_address.ip())));
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let connect = move |from: &str| {
                    let options = fyke::ConnectOptions::new(&endpoint);
                    let client = options.local_address(from.parse().unwrap()).connect().unwrap();
                    client.resume();
                    client
                };
                let first = connect("127.0.0.1");
                let other = connect("127.0.0.2");
                let again = connect("127.0.0.1");
                again.on_close(move |_, _| {
                    assert_eq!(server.connections(), 2);
                    // A place is free again when the first connection is closed.
                    let (server, other, connect) = (server.clone(), other.clone(), connect.clone());
                    let log = log.clone();
                    first.on_close(move |_, _| {
                        let third = connect("127.0.0.1");
                        let (server, other, log) = (server.clone(), other.clone(), log.clone());
                        timer::set_timeout(Duration::from_millis(30), move || {
                            log.add(third.is_destroyed());
                            third.end();
                            other.end();
                            server.close();
                        }).unwrap();
                    });
                    first.end();
                });
            });
        });
        assert_eq!(seen.take(), ["drop 127.0.0.1", "false"]);
    }

    /// Regression: also if the address of a connection was never requested and is no longer available.
    fn on_an_exact_loop_a_place_of_an_address_also_becomes_free_again(net) {
        net.node_exact().run(|| {
            let server = ServerOptions::new().max_connections_per_ip(1).create_server(|socket| {
                socket.resume();
            });
            server.on_drop(|_, _| panic!("the previous one is closed"));
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let first = fyke::connect_then(&endpoint, |client| _ = client.end()).unwrap();
                first.resume();
                first.on_close(move |_, _| {
                    let second = fyke::connect_then(&endpoint, |client| _ = client.end()).unwrap();
                    second.resume();
                    let server = server.clone();
                    second.on_close(move |_, _| _ = server.close());
                });
            });
        });
    }

    fn a_connection_counts_once_even_if_its_socket_connects_again(net) {
        net.run(|| {
            let other = fyke::create_server(|socket| _ = socket.end());
            let (server, tcp) = (Server::new(), net.tcp());
            net.listen(&other.clone(), net.tcp(), move |elsewhere| {
                let mut first = None;
                server.on_connection(move |server, socket| {
                    let Some(stays) = first.clone() else {
                        first = Some(socket.clone());
                        fyke::connect(server.endpoint().unwrap()).unwrap().resume();
                        return;
                    };
                    let (server, other, elsewhere) =
                        (server.clone(), other.clone(), elsewhere.clone());
                    let mut closes = 0;
                    socket.on_close(move |socket, _| {
                        assert_eq!(server.connections(), 1);
                        closes += 1;
                        if closes == 1 {
                            return socket.connect_then(&elsewhere, |socket| _ = socket.destroy()).unwrap();
                        }
                        stays.destroy();
                        server.close();
                        other.close();
                    });
                    socket.destroy();
                });
                server.listen_then(tcp, |server| {
                    fyke::connect(server.endpoint().unwrap()).unwrap().resume();
                }).unwrap();
            });
        });
    }
}
