//! `Server::shutdown` of servers in every state: closed, listening again, shut down twice.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use fyke::{ErrorCode, Server, ShutdownOutcome, Socket, timer};
use support::{DEADLINE, Log, drive};

/// The outcome of a shutdown: its counts, and whether time was left.
fn reported(log: &Log) -> impl FnOnce(&Server, ShutdownOutcome) + 'static {
    let log = log.clone();
    move |_, outcome| {
        let ShutdownOutcome { ended, failed, reset, remaining, .. } = outcome;
        let rest = if remaining.is_zero() { "late" } else { "in time" };
        log.add(format!("{ended} ended, {failed} failed, {reset} reset, {rest}"));
    }
}

on_every_driver! {
    fn a_second_shutdown_joins_the_first_and_can_only_shorten_the_deadline(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(move |socket| {
                let server = socket.server().unwrap();
                server.shutdown_then(DEADLINE, reported(&log)).unwrap();
                let log = log.clone();
                let again = move || {
                    server.shutdown_then(Duration::ZERO, reported(&log)).unwrap();
                    server.shutdown_then(DEADLINE, reported(&log)).unwrap();
                };
                timer::set_timeout(Duration::from_millis(1), again).unwrap();
            });
            net.listen(&server, net.tcp(), |endpoint| {
                fyke::connect(endpoint).unwrap().on_error(|_, _| {});
            });
        });
        assert_eq!(seen.take(), ["0 ended, 0 failed, 1 reset, late"; 3]);
    }

    fn a_shutdown_without_connections_ends_after_close(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(|_| {});
            let closed = log.clone();
            server.on_close(move |_| closed.add("close"));
            server.listen_then(net.tcp(), move |server| {
                server.shutdown_then(DEADLINE, reported(&log)).unwrap();
                // A close in addition changes nothing.
                server.close();
                log.add("called");
            }).unwrap();
        });
        assert_eq!(seen.take(), ["called", "close", "0 ended, 0 failed, 0 reset, in time"]);
    }

    fn a_server_that_was_closed_can_still_be_shut_down_while_connections_are_left(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(move |socket| {
                let server = socket.resume().set_busy(false).server().unwrap();
                server.close();
                server.shutdown_then(DEADLINE, reported(&log)).unwrap();
                server.close();
            });
            net.listen(&server, net.tcp(), |endpoint| {
                fyke::connect(endpoint).unwrap().resume();
            });
        });
        assert_eq!(seen.take(), ["1 ended, 0 failed, 0 reset, in time"]);
    }

    fn shutting_down_a_server_that_neither_listens_nor_closes_fails(net) {
        let event_loop = net.event_loop();
        let server = event_loop.enter(|| {
            let server = Server::new();
            let code = server.shutdown(Duration::ZERO).unwrap_err().code();
            assert_eq!(code, ErrorCode::ERR_SERVER_NOT_RUNNING);
            server.listen_then(net.tcp(), |server| _ = server.close()).unwrap();
            server
        });
        drive(&event_loop, || false).unwrap();
        let shutdown = || server.shutdown(Duration::ZERO).unwrap_err().code();
        assert_eq!(event_loop.enter(shutdown), ErrorCode::ERR_SERVER_NOT_RUNNING);
        drop(event_loop);
        assert_eq!(shutdown(), ErrorCode::ERR_SERVER_NOT_RUNNING);
    }

    fn connections_accepted_after_the_server_listens_again_are_not_affected(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let accepted = Rc::new(Cell::new(0));
            let again = net.tcp();
            let server = fyke::create_server(move |socket| {
                accepted.set(accepted.get() + 1);
                socket.on_shutdown(|_| {});
                if accepted.get() == 2 {
                    socket.resume();
                    return;
                }
                let server = socket.server().unwrap();
                server.shutdown_then(Duration::from_millis(300), reported(&log)).unwrap();
                let late = Rc::new(RefCell::new(None));
                let kept = Rc::clone(&late);
                server.listen_then(again.clone(), move |server| {
                    let client = fyke::connect(server.endpoint().unwrap()).unwrap();
                    client.resume().on_error(|_, _| {});
                    *kept.borrow_mut() = Some(client);
                }).unwrap();
                let cut = log.clone();
                socket.on_close(move |_, _| {
                    let client: Socket = late.take().unwrap();
                    cut.add(format!("reset, the other destroyed: {}", client.is_destroyed()));
                    client.end();
                    server.close();
                });
            });
            net.listen(&server, net.tcp(), |endpoint| {
                fyke::connect(endpoint).unwrap().on_error(|_, _| {});
            });
        });
        let mut entries = seen.take();
        entries.sort();
        let expected =
            ["0 ended, 0 failed, 1 reset, late", "reset, the other destroyed: false"];
        assert_eq!(entries, expected);
    }

    fn an_accepted_socket_that_has_become_a_client_is_not_affected(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let other = fyke::create_server(|socket| _ = socket.resume());
            let shut = log.clone();
            let server = Server::new();
            net.listen(&other, net.tcp(), {
                let (server, other) = (server.clone(), other.clone());
                let tcp = net.tcp();
                move |there| {
                    server.on_connection(move |server, socket| {
                        let (server, there, shut) = (server.clone(), there.clone(), shut.clone());
                        let (other, again) = (other.clone(), Cell::new(false));
                        socket.on_close(move |socket, _| {
                            if again.replace(true) {
                                return;
                            }
                            let (server, shut) = (server.clone(), shut.clone());
                            let other = other.clone();
                            let connected = move |socket: &Socket| {
                                server.shutdown_then(Duration::ZERO, reported(&shut)).unwrap();
                                let socket = socket.clone();
                                support::settled(move || {
                                    assert!(!socket.is_destroyed() && !socket.is_shutting_down());
                                    socket.end();
                                    other.close();
                                });
                            };
                            socket.connect_then(&there, connected).unwrap();
                        });
                        socket.destroy();
                    });
                    server.listen_then(tcp, |server| {
                        fyke::connect(server.endpoint().unwrap()).unwrap().resume();
                    }).unwrap();
                }
            });
        });
        assert_eq!(seen.take(), ["0 ended, 0 failed, 0 reset, late"]);
    }
}
