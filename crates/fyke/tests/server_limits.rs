//! What fyke's servers have beside Node's: a limit per address, an end with a deadline.

mod support;

use std::rc::Rc;
use std::time::Duration;

use fyke::{BlockList, ErrorCode, Server, ServerOptions, Socket, timer};
use support::Log;

on_every_driver! {
    fn cls_15_cls_16_a_blocked_client_is_closed_without_a_word_and_after_the_limit(net) {
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
            server.listen(0, move |server| {
                let server = server.clone();
                let port = server.address().unwrap().port().unwrap();
                let client = fyke::connect(("127.0.0.1", port), |_| {}).unwrap();
                log.watch("", &client);
                client.resume();
                client.on_close(move |_, _| {
                    assert_eq!(server.connections(), 0);
                    server.set_max_connections(Some(0));
                    let second = fyke::connect(("127.0.0.1", port), |_| {}).unwrap();
                    second.resume();
                    let server = server.clone();
                    second.on_close(move |_, _| _ = server.close());
                });
            }).unwrap();
        });
        assert_eq!(seen.take(), ["connect", "ready", "end", "finish", "close false", "drop"]);
    }

    fn max_connections_per_ip_counts_each_address_by_itself(net) {
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
                    let options = fyke::ConnectOptions::new(&endpoint).unwrap();
                    let client = options.local_address(from.parse().unwrap()).connect(|_| {}).unwrap();
                    client.resume();
                    client
                };
                let first = connect("127.0.0.1");
                let other = connect("127.0.0.2");
                let again = connect("127.0.0.1");
                again.on_close(move |_, _| {
                    assert_eq!(server.connections(), 2);
                    // A place is free again when the first is gone.
                    let (server, other, connect) = (server.clone(), other.clone(), connect.clone());
                    let log = log.clone();
                    first.on_close(move |_, _| {
                        let third = connect("127.0.0.1");
                        let (server, other, log) = (server.clone(), other.clone(), log.clone());
                        timer::set_timeout(Duration::from_millis(30), move || {
                            log.add(third.destroyed());
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

    /// Also where an address is not known any more that nobody has asked for.
    fn on_an_exact_loop_a_place_of_an_address_is_free_again_too(net) {
        net.node_exact().run(|| {
            let server = ServerOptions::new().max_connections_per_ip(1).create_server(|socket| {
                socket.resume();
            });
            server.on_drop(|_, _| panic!("the one before is gone"));
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let first = fyke::connect(&endpoint, |client| _ = client.end()).unwrap();
                first.resume();
                first.on_close(move |_, _| {
                    let second = fyke::connect(&endpoint, |client| _ = client.end()).unwrap();
                    second.resume();
                    let server = server.clone();
                    second.on_close(move |_, _| _ = server.close());
                });
            });
        });
    }

    fn a_connection_counts_once_though_its_socket_connects_again(net) {
        net.run(|| {
            let other = fyke::create_server(|socket| _ = socket.end());
            let (server, tcp) = (Server::new(), net.tcp());
            net.listen(&other.clone(), net.tcp(), move |elsewhere| {
                let mut first = None;
                server.on_connection(move |server, socket| {
                    let Some(stays) = first.clone() else {
                        first = Some(socket.clone());
                        fyke::connect(server.endpoint().unwrap(), |_| {}).unwrap().resume();
                        return;
                    };
                    let (server, other, elsewhere) =
                        (server.clone(), other.clone(), elsewhere.clone());
                    let mut closes = 0;
                    socket.on_close(move |socket, _| {
                        assert_eq!(server.connections(), 1);
                        closes += 1;
                        if closes == 1 {
                            return socket.connect(&elsewhere, |socket| _ = socket.destroy()).unwrap();
                        }
                        stays.destroy();
                        server.close();
                        other.close();
                    });
                    socket.destroy();
                });
                server.listen(tcp, |server| {
                    fyke::connect(server.endpoint().unwrap(), |_| {}).unwrap().resume();
                }).unwrap();
            });
        });
    }

    fn shutdown_ends_idle_connections_and_waits_for_busy_ones(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let count = Rc::new(std::cell::Cell::new(0));
            let server = fyke::create_server({
                let log = log.clone();
                move |socket| {
                    socket.resume();
                    count.set(count.get() + 1);
                    if count.get() < 2 {
                        return;
                    }
                    // The first is idle, this one has much to send.
                    socket.write(vec![1; 8 << 20]);
                    let log = log.clone();
                    let server = socket.server().unwrap();
                    let done = move |_: &Server, how| log.add(format!("{how:?}"));
                    server.shutdown(Duration::from_secs(60), done).unwrap();
                    assert!(!server.listening());
                }
            });
            net.listen(&server, net.tcp(), move |endpoint| {
                for name in ["idle", "busy"] {
                    let client = fyke::connect(&endpoint, |_| {}).unwrap();
                    let (log, bytes) = (log.clone(), support::collect(&client));
                    client.on_end(move |_| log.add(format!("{name} {}", bytes.borrow().len())));
                }
            });
        });
        let mut entries = seen.take();
        assert_eq!(entries.pop().as_deref(), Some("Drained"));
        entries.sort();
        assert_eq!(entries, ["busy 8388608", "idle 0"]);
    }

    fn shutdown_cuts_off_at_the_deadline_what_does_not_end(net) {
        for endpoint in net.endpoints() {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let server = fyke::create_server(move |socket| {
                    let server = socket.server().unwrap();
                    socket.write(vec![1; 32 << 20]);
                    let log = log.clone();
                    let done = move |_: &Server, how| log.add(format!("{how:?}"));
                    server.shutdown(Duration::from_millis(60), done).unwrap();
                });
                net.listen(&server, endpoint, |endpoint| {
                    let client = fyke::connect(endpoint, |_| {}).unwrap();
                    client.on_error(|_, _| {});
                    // Never reads.
                    client.pause();
                });
            });
            assert_eq!(seen.take(), ["TimedOut { left: 1 }"]);
        }
    }

    fn shutdown_leaves_alone_what_is_accepted_when_the_server_listens_again(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let accepted = Rc::new(std::cell::Cell::new(0));
            let again = net.tcp();
            let server = fyke::create_server(move |socket| {
                accepted.set(accepted.get() + 1);
                if accepted.get() == 2 {
                    socket.resume();
                    return;
                }
                let server = socket.server().unwrap();
                // Never read, so it goes at the deadline.
                socket.write(vec![1; 32 << 20]);
                let (done, cut) = (log.clone(), log.clone());
                let done = move |_: &Server, how| done.add(format!("{how:?}"));
                server.shutdown(Duration::from_millis(300), done).unwrap();
                let late = Rc::new(std::cell::RefCell::new(None));
                let kept = Rc::clone(&late);
                server.listen(again.clone(), move |server| {
                    let client = fyke::connect(server.endpoint().unwrap(), |_| {}).unwrap();
                    client.resume();
                    *kept.borrow_mut() = Some(client);
                }).unwrap();
                socket.on_close(move |_, _| {
                    let client: Socket = late.take().unwrap();
                    cut.add(format!("cut off, the other destroyed: {}", client.destroyed()));
                    client.end();
                    server.close();
                });
            });
            net.listen(&server, net.tcp(), |endpoint| {
                let client = fyke::connect(endpoint, |_| {}).unwrap();
                client.on_error(|_, _| {});
                client.pause();
            });
        });
        assert_eq!(seen.take(), ["cut off, the other destroyed: false", "TimedOut { left: 1 }"]);
    }

    fn shutdown_of_a_server_that_does_not_listen_is_an_err(net) {
        net.run(|| {
            let code = Server::new().shutdown(Duration::ZERO, |_, _| {}).unwrap_err().code();
            assert_eq!(code, ErrorCode::ERR_SERVER_NOT_RUNNING);
        });
    }
}
