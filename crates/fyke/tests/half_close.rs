//! Ending one direction and the other: the order of events, and that no data is lost.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fyke::{Endpoint, Error, ErrorCode, ReadyState, ServerOptions, Socket, timer};
use support::{Log, Net, collect, settled, when, word};

/// Larger than all buffers of the system between two TCP sockets.
const STUCK_BYTES: usize = 32 << 20;

/// Logs the result of a write or an end.
fn log_result(log: &Log, name: &'static str) -> impl FnOnce(&Socket, fyke::Result<()>) + 'static {
    let log = log.clone();
    move |_, result| log.add(format!("{name} {}", word(&result)))
}

/// Records all events, including `prefinish`.
fn watch(log: &Log, socket: &Socket) {
    log.watch("", socket);
    let log = log.clone();
    socket.on_prefinish(move |_| log.add("prefinish"));
}

/// The number of messages each way, of four bytes each, over one connection.
fn ping_pong(net: &Net, endpoint: Endpoint, rounds: usize) {
    let log = Log::new();
    let seen = log.clone();
    let whole = !net.is_sim();
    // The simulated network splits them at random.
    let count = move |socket: &Socket, data: &[u8], left: &Cell<usize>| {
        assert!(!whole || data.len() == 4, "one chunk for one message");
        assert!(socket.buffer_size().is_some_and(|bytes| bytes <= 4));
        left.set(left.get() - data.len());
        left.get() % 4 == 0
    };
    net.run(|| {
        let at_server = log.clone();
        let server = ServerOptions::new().allow_half_open(true).create_server(move |socket| {
            socket.server().unwrap().close();
            let left = Cell::new(4 * rounds);
            socket.on_data(move |socket, data| {
                if count(socket, data, &left) {
                    assert!(socket.write("PONG"));
                }
            });
            socket.on_end(|socket| {
                assert!(socket.is_writable());
                socket.end();
            });
            let log = at_server.clone();
            socket.on_close(move |socket, had_error| {
                assert!(!had_error && !socket.is_readable() && !socket.is_writable());
                log.add("close");
            });
        });
        net.listen(&server, endpoint, move |endpoint| {
            let client = fyke::connect_then(endpoint, |client| _ = client.write("PING")).unwrap();
            let left = Cell::new(4 * rounds);
            client.on_data(move |client, data| match count(client, data, &left) {
                true if left.get() == 0 => _ = client.end(),
                true => assert!(client.write("PING")),
                false => {}
            });
            client.on_close(move |client, had_error| {
                assert!(!had_error && !client.is_readable() && !client.is_writable());
                assert_eq!(client.bytes_written(), client.bytes_read());
                log.add(client.bytes_read());
            });
        });
    });
    let mut entries = seen.take();
    entries.sort();
    assert_eq!(entries, [(4 * rounds).to_string().as_str(), "close"]);
}

on_every_driver! {
    fn end_01_end_stops_writing_immediately_and_does_not_affect_reading(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| {
                socket.set_allow_half_open(true);
                let bytes = collect(socket);
                socket.on_end(move |socket| {
                    assert_eq!(bytes.borrow().as_slice(), b"onelast");
                    socket.end_with("answer");
                });
            },
            move |client| {
                watch(&log, client);
                client.on_connect({
                    let log = log.clone();
                    move |client| {
                        client.write_then("one", log_result(&log, "write"));
                        assert!(*client.end_with_then("last", log_result(&log, "end")) == *client);
                        assert!(!client.is_writable() && client.is_writable_ended());
                        assert!(client.is_readable() && !client.is_writable_finished());
                        assert_eq!(client.ready_state(), ReadyState::ReadOnly);
                    }
                });
                let data = log.clone();
                client.on_data(move |_, bytes| data.add(bytes.len()));
                client.on_finish(|client| assert!(client.is_writable_finished() && !client.is_destroyed()));
            },
        ));
        let mut entries = seen.take();
        // Before or after the callback of the write, and with the bytes in one chunk or several.
        entries.retain(|entry| entry != "ready" && entry.parse::<usize>().is_err());
        let wanted =
            ["connect", "write ok", "prefinish", "end ok", "finish", "end", "close false"];
        assert_eq!(entries, wanted);
    }

    fn end_02_every_callback_of_end_runs_once_in_order_just_before_finish(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.resume(); },
            move |client| {
                client.on_ready(move |client| {
                    watch(&log, client);
                    client.end_with_then("12345", |client, result| {
                        result.unwrap();
                        assert_eq!((client.bytes_written(), client.write_queue_len()), (5, 0));
                    });
                    client.end_then(log_result(&log, "one")).end_then(log_result(&log, "two"));
                });
            },
        ));
        let wanted = ["prefinish", "one ok", "two ok", "finish", "end", "close false"];
        assert_eq!(seen.take(), wanted);
    }

    fn end_02_when_the_connection_fails_the_callback_of_end_gets_the_error(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.resume(); },
            move |client| {
                client.on_ready(move |client| {
                    log.watch("", client);
                    let _ = client.write(vec![0; STUCK_BYTES]);
                    client.end_then(log_result(&log, "end"));
                    client.destroy_with(Error::new(ErrorCode::EINVAL, "mine"));
                });
            },
        ));
        assert_eq!(seen.take(), ["error EINVAL", "end EINVAL", "close true"]);
    }

    fn end_03_a_repeated_end_is_ignored_and_one_after_finish_gets_an_error(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.resume(); },
            move |client| {
                client.on_ready(move |client| {
                    log.watch("", client);
                    client.end().end().end();
                    let finished = log.clone();
                    client.on_finish(move |client| {
                        client.end();
                        client.end_then(log_result(&finished, "again"));
                    });
                    let closed = log.clone();
                    client.on_close(move |client, _| {
                        client.end();
                        client.end_then(log_result(&closed, "closed"));
                    });
                });
            },
        ));
        let already = "ERR_STREAM_ALREADY_FINISHED";
        let (again, closed) = (format!("again {already}"), format!("closed {already}"));
        let wanted = ["finish", again.as_str(), "end", "close false", &closed];
        assert_eq!(seen.take(), wanted);
    }

    fn end_03_a_second_end_with_data_is_a_write_after_end(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.resume(); },
            move |client| {
                client.on_ready(move |client| {
                    log.watch("", client);
                    client.end().end_with("x");
                    assert!(client.is_destroyed());
                });
            },
        ));
        assert_eq!(seen.take(), ["error ERR_STREAM_WRITE_AFTER_END", "close true"]);
    }

    fn end_05_a_socket_that_was_never_connected_finishes_too(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let socket = Socket::new();
            watch(&log, &socket);
            socket.end_then(log_result(&log, "end"));
            assert_eq!((socket.ready_state(), socket.is_pending()), (ReadyState::ReadOnly, true));
            assert!(log.entries().is_empty() && !socket.is_writable());
        });
        assert_eq!(seen.take(), ["prefinish", "end ok", "finish"]);
    }

    fn end_07_our_end_first_then_the_peers(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.resume(); },
            move |client| {
                client.on_ready(move |client| {
                    watch(&log, client);
                    client.end_then(log_result(&log, "callback"));
                    client.on_finish(|client| {
                        assert_eq!(client.ready_state(), ReadyState::ReadOnly);
                        assert!(!client.is_destroyed());
                    });
                    client.on_end(|client| {
                        assert_eq!(client.ready_state(), ReadyState::Closed);
                        assert!(!client.is_destroyed());
                        let client = client.clone();
                        timer::next_tick(move || assert!(client.is_destroyed())).unwrap();
                    });
                });
            },
        ));
        assert_eq!(seen.take(), ["prefinish", "callback ok", "finish", "end", "close false"]);
    }

    fn end_09_the_automatic_end_loses_nothing(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            {
                let log = log.clone();
                move |socket| {
                    let _ = socket.write(vec![1; STUCK_BYTES / 2]);
                    socket.on_end(|socket| _ = socket.write(vec![2; STUCK_BYTES / 2]));
                    socket.on_close(move |_, had_error| log.add(format!("close {had_error}")));
                    socket.resume();
                }
            },
            move |client| {
                let bytes = collect(client);
                client.on_connect(|client| _ = client.end());
                client.on_end(move |_| {
                    let bytes = bytes.borrow();
                    let (first, second) = bytes.split_at(STUCK_BYTES / 2);
                    assert!(first.iter().all(|byte| *byte == 1) && second.len() == STUCK_BYTES / 2);
                    assert!(second.iter().all(|byte| *byte == 2));
                    log.add("whole");
                });
            },
        ));
        let mut entries = seen.take();
        entries.sort();
        assert_eq!(entries, ["close false", "whole"]);
    }

    fn end_12_a_write_after_our_own_end_on_a_half_open_socket_is_not_epipe(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.end(); socket.resume(); },
            move |client| {
                client.set_allow_half_open(true);
                client.resume();
                client.on_end(move |client| {
                    log.watch("", client);
                    client.end();
                    assert!(!client.write_then("x", log_result(&log, "write")));
                });
            },
        ));
        let code = "ERR_STREAM_WRITE_AFTER_END";
        let (write, error) = (format!("write {code}"), format!("error {code}"));
        assert_eq!(seen.take(), [write.as_str(), &error, "close true"]);
    }

    fn end_13_neither_direction_alone_destroys_and_both_do_in_any_order(net) {
        for ends_first in [true, false] {
            let log = Log::new();
            let seen = log.clone();
            let other: Rc<RefCell<Option<Socket>>> = Rc::default();
            let server = other.clone();
            net.run(|| net.pair(
                net.tcp(),
                move |socket| {
                    socket.set_allow_half_open(true);
                    socket.resume();
                    *server.borrow_mut() = Some(socket.clone());
                },
                move |client| {
                    client.set_allow_half_open(true);
                    client.resume();
                    client.on_ready(move |client| {
                        log.watch("", client);
                        let (client, other) = (client.clone(), other.clone());
                        let (log, server) = (log.clone(), other.clone());
                        when(move || server.borrow().is_some(), move || {
                            let server = other.take().unwrap();
                            let (first, second) = match ends_first {
                                true => (client.clone(), server),
                                false => (server, client.clone()),
                            };
                            first.end();
                            settled(move || {
                                assert_eq!(log.entries().len(), 1);
                                assert!(!client.is_destroyed());
                                second.end();
                            });
                        });
                    });
                },
            ));
            let mut wanted = ["finish", "end", "close false"];
            if !ends_first {
                wanted.swap(0, 1);
            }
            assert_eq!(seen.take(), wanted);
        }
    }

    fn end_15_when_both_end_at_once_each_finishes_then_ends(net) {
        let [at_server, at_client] = [Log::new(), Log::new()];
        let (server, client) = (at_server.clone(), at_client.clone());
        net.run(|| net.pair(
            net.tcp(),
            move |socket| {
                watch(&server, socket);
                socket.end();
                socket.resume();
            },
            move |socket| {
                socket.resume();
                socket.on_ready(move |socket| {
                    watch(&client, socket);
                    socket.end();
                });
            },
        ));
        for log in [at_server, at_client] {
            let mut entries = log.take();
            // The end of the peer may arrive before ours is reported.
            entries[..3].sort();
            assert_eq!(entries, ["end", "finish", "prefinish", "close false"]);
        }
    }

    fn end_15_the_server_needs_no_code_for_a_client_that_ends_or_is_destroyed(net) {
        let leaves: [fn(&Socket); 2] = [|client| _ = client.end(), |client| _ = client.destroy()];
        for leave in leaves {
            let log = Log::new();
            let seen = log.clone();
            // The listeners of the server do nothing.
            net.run(|| net.pair(net.tcp(), move |socket| log.watch("", socket), move |client| {
                client.on_ready(leave);
            }));
            assert_eq!(seen.take(), ["end", "finish", "close false"]);
        }
    }

    fn end_16_a_shutdown_of_a_connection_that_is_already_gone_counts_as_done(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.on_data(|socket, _| socket.reset_and_destroy().unwrap()); },
            move |client| {
                // Paused from the beginning, so it does not detect the reset.
                client.pause();
                client.on_ready(move |client| {
                    log.watch("", client);
                    let _ = client.write("x");
                    let (client, log) = (client.clone(), log.clone());
                    settled(move || {
                        client.end_then(log_result(&log, "end"));
                        client.on_finish(|client| _ = client.destroy());
                    });
                });
            },
        ));
        assert_eq!(seen.take(), ["end ok", "finish", "close false"]);
    }

    fn end_18_close_reports_whether_the_socket_was_destroyed_with_an_error(net) {
        for fails in [false, true] {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let socket = Socket::new();
                log.watch("", &socket);
                match fails {
                    true => socket.destroy_with(Error::new(ErrorCode::EINVAL, "mine")),
                    false => socket.destroy(),
                };
            });
            match fails {
                true => assert_eq!(seen.take(), ["error EINVAL", "close true"]),
                false => assert_eq!(seen.take(), ["close false"]),
            }
        }
    }

    fn end_18_close_reports_no_error_in_51_orderly_endings(net) {
        let rounds = Rc::new(Cell::new(0));
        let count = rounds.clone();
        net.run(|| {
            let server = fyke::create_server(|socket| {
                socket.on_close(|_, had_error| assert!(!had_error));
                socket.end_with("hello");
                socket.resume();
            });
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let client = Socket::new();
                client.resume();
                let again = endpoint.clone();
                client.on_close(move |client, had_error| {
                    assert!(!had_error);
                    count.set(count.get() + 1);
                    match count.get() {
                        51 => _ = server.close(),
                        _ => client.connect(&again).unwrap(),
                    }
                });
                client.connect(endpoint).unwrap();
            });
        });
        assert_eq!(rounds.get(), 51);
    }

    fn end_19_a_long_ping_pong_ends_normally(net) {
        for endpoint in [net.path().into(), ("0.0.0.0", 0).into(), ("::1", 0).into()] {
            ping_pong(net, endpoint, 1001);
        }
    }

    fn end_20_half_open_may_be_decided_as_late_as_in_the_end_listener(net) {
        for late in [false, true] {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| net.pair(
                net.tcp(),
                move |socket| {
                    socket.resume();
                    if !late {
                        socket.set_allow_half_open(true);
                    }
                    socket.on_end(move |socket| {
                        socket.set_allow_half_open(true);
                        let socket = socket.clone();
                        settled(move || {
                            assert!(socket.is_writable(), "it did not end itself");
                            socket.end_with("late");
                        });
                    });
                },
                move |client| {
                    client.on_connect(|client| _ = client.end());
                    client.on_data(move |_, data| log.add(String::from_utf8_lossy(data)));
                },
            ));
            assert_eq!(seen.take().concat(), "late");
        }
    }
}
