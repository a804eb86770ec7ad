//! One socket object that connects repeatedly: what is reset and what is kept (CON-16).

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use fyke::{Encoding, Socket, SocketOptions, timer};
use support::Log;

const MS: Duration = Duration::from_millis(1);

/// The properties of a socket when a new connect has begun.
fn assert_begins_anew(client: &Socket) {
    assert!(client.is_connecting() && client.is_pending());
    assert!(!client.is_destroyed() && !client.is_closed() && client.error().is_none());
    assert!(client.is_readable() && client.is_writable());
    assert!(
        !client.is_readable_ended() && !client.is_readable_aborted() && !client.has_delivered()
    );
    assert!(
        !client.is_writable_ended()
            && !client.is_writable_finished()
            && !client.is_writable_aborted()
    );
    assert_eq!((client.bytes_read(), client.bytes_written()), (0, 0));
    assert_eq!((client.remote_address(), client.local_address()), (None, None));
}

on_every_driver! {
    fn con_16_every_connection_of_a_socket_has_its_own_events_bytes_and_flags(net) {
        for (endpoint, rounds) in net.endpoints().into_iter().zip([51, 21]) {
            let log = Log::new();
            let seen = log.clone();
            let callbacks = Rc::new(Cell::new(0));
            let called = Rc::clone(&callbacks);
            net.run(|| {
                let server = fyke::create_server(|socket| {
                    socket.end_with("h\u{e9}");
                    socket.resume();
                });
                net.listen(&server.clone(), endpoint, move |endpoint| {
                    let client = Socket::new();
                    client.set_encoding(Encoding::Latin1);
                    client.set_no_delay(true).unwrap();
                    log.watch("", &client);
                    let text: Rc<RefCell<String>> = Rc::default();
                    let sink = Rc::clone(&text);
                    client.on_text(move |_, piece| sink.borrow_mut().push_str(piece));
                    client.on_ready(|client| {
                        assert!(client.write("to the server"), "the guard after an end was removed");
                    });
                    let (again, mut round) = (endpoint.clone(), 0);
                    client.on_close(move |client, _| {
                        assert_eq!(text.take(), "h\u{c3}\u{a9}", "the encoding is unchanged");
                        assert!(client.no_delay(), "options are kept");
                        assert_eq!((client.bytes_read(), client.bytes_written()), (3, 13));
                        assert!(client.is_destroyed());
                        round += 1;
                        if round == rounds {
                            server.close();
                            return;
                        }
                        client.connect(&again).unwrap();
                        assert_begins_anew(client);
                    });
                    client.connect_then(endpoint, move |_| called.set(called.get() + 1)).unwrap();
                    assert_begins_anew(&client);
                });
            });
            let round = ["connect", "ready", "end", "finish", "close false"];
            assert_eq!(seen.take(), round.repeat(rounds));
            assert_eq!(callbacks.get(), 1, "a callback is of one connect");
        }
    }

    fn con_16_a_socket_may_connect_again_after_an_error_and_after_its_close_listener(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let client = Socket::new();
            client.on_connection_attempt({
                let log = log.clone();
                move |_, _| log.add("attempt")
            });
            log.watch("", &client);
            let mut rounds = 0;
            client.on_close(move |client, _| {
                assert!(client.error().is_some());
                rounds += 1;
                let client = client.clone();
                let again = move || {
                    client.connect_then(("127.0.0.1", 1), |_| panic!("there is no server")).unwrap();
                    assert_begins_anew(&client);
                };
                match rounds {
                    21 => {}
                    // In the listener, or any time later.
                    round if round % 2 == 0 => again(),
                    _ => timer::set_immediate(again).unwrap(),
                }
            });
            client.connect_then(("127.0.0.1", 1), |_| panic!("there is no server")).unwrap();
        });
        assert_eq!(seen.take(), ["attempt", "error ECONNREFUSED", "close true"].repeat(21));
    }

    fn con_16_the_idle_timer_stops_at_close_but_its_value_is_kept(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(|socket| {
                socket.on_error(|_, _| {});
                socket.resume();
            });
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let client = Socket::new();
                log.watch("", &client);
                let (again, mut rounds) = (endpoint.clone(), 0);
                client.on_idle_timeout(|client| _ = client.destroy());
                client.on_close(move |client, _| {
                    rounds += 1;
                    assert_eq!(client.idle_timeout(), Some(20 * MS));
                    match rounds {
                        1 => {
                            client.connect(&again).unwrap();
                            let (client, log) = (client.clone(), log.clone());
                            // Five times as long, and no timeout is emitted until it is set again.
                            timer::set_timeout(100 * MS, move || {
                                log.add("set again");
                                client.set_idle_timeout(Some(20 * MS));
                            }).unwrap();
                        }
                        _ => _ = server.close(),
                    }
                });
                client.connect_then(endpoint, |client| client.set_idle_timeout(Some(20 * MS))).unwrap();
            });
        });
        let wanted = [
            "connect", "ready", "timeout", "close false", "connect", "ready", "set again",
            "timeout", "close false",
        ];
        assert_eq!(seen.take(), wanted);
    }

    /// Regression: it was removed with the pipes of the closed connection.
    fn con_16_a_pipe_created_when_the_socket_connects_again_stays(net) {
        for from_client in [true, false] {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let server = fyke::create_server(move |socket| {
                    let log = log.clone();
                    socket.on_data(move |_, data| log.add(String::from_utf8_lossy(data)));
                    socket.end_with("echo");
                });
                net.listen(&server.clone(), net.tcp(), move |endpoint| {
                    let client = SocketOptions::new().allow_half_open(true).build();
                    client.resume();
                    let again = endpoint.clone();
                    let mut rounds = 0;
                    client.on_close(move |client, _| {
                        rounds += 1;
                        if rounds == 2 {
                            server.close();
                            return;
                        }
                        client.connect(&again).unwrap();
                        // From the socket, and into it.
                        if from_client {
                            client.pipe(client);
                        } else {
                            let source = Socket::new();
                            source.connect(&again).unwrap();
                            source.pipe(client);
                        }
                    });
                    client.connect_then(endpoint, |client| _ = client.end()).unwrap();
                });
            });
            assert_eq!(seen.take(), ["echo"]);
        }
    }
}
