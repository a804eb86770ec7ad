//! Writing: backpressure, callbacks, cork, and that no data is lost.

mod support;

use std::cell::Cell;
use std::rc::Rc;

use fyke::{ErrorCode, Socket, SocketOptions};
use support::{Log, collect, pattern};

/// Larger than all buffers of the system between two TCP sockets.
const STUCK_BYTES: usize = 32 << 20;

fn code(result: fyke::Result<()>) -> String {
    result.map_or_else(|error| error.code().to_string(), |()| String::from("ok"))
}

/// Writes a chunk, and another one when the kernel has accepted it, until `stop` is set.
fn write_on(socket: &Socket, written: Rc<Cell<u32>>, stop: Rc<Cell<bool>>) {
    socket.write_then(vec![1; 65_536], move |socket, result| {
        result.unwrap();
        written.set(written.get() + 1);
        if stop.get() {
            socket.end();
        } else {
            write_on(socket, written, stop);
        }
    });
}

on_every_driver! {
    fn c6_a_writer_that_continues_in_its_callback_leaves_time_for_others(net) {
        let [written, before] = [Rc::new(Cell::new(0)), Rc::new(Cell::new(0))];
        let seen = before.clone();
        net.run(|| net.pair(
            net.tcp(),
            move |socket| {
                let stop = Rc::new(Cell::new(false));
                write_on(socket, written.clone(), stop.clone());
                fyke::timer::set_immediate(move || {
                    before.set(written.get());
                    stop.set(true);
                }).unwrap();
            },
            |client| { client.resume(); },
        ));
        // The kernel accepts more than that at once.
        assert!(seen.get() <= 2, "{} chunks before anything else ran", seen.get());
    }

    fn c2_a_write_callback_deferred_to_the_next_turn_runs_before_close(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            move |socket| {
                log.watch("", socket);
                let log = log.clone();
                socket.write_then(vec![1; 65_536], move |socket, _| {
                    let reported = log.clone();
                    socket.write_then(vec![1; 65_536], move |_, result| reported.add(code(result)));
                    socket.destroy();
                });
            },
            |client| { client.resume(); },
        ));
        let seen = seen.take();
        assert_eq!((seen.len(), seen[1].as_str()), (2, "close false"), "{seen:?}");
    }

    fn c8_large_writes_arrive_complete_both_ways(net) {
        for endpoint in net.endpoints() {
            let len = 5 << 20;
            let whole = Rc::new(Cell::new(0));
            let [at_server, at_client] = [whole.clone(), whole.clone()];
            let check = move |whole: Rc<Cell<u32>>, socket: &Socket| {
                let bytes = collect(socket);
                socket.on_end(move |socket| {
                    assert!(*bytes.borrow() == pattern(len));
                    assert_eq!(socket.bytes_read(), len as u64);
                    whole.set(whole.get() + 1);
                });
            };
            net.run(|| net.pair(
                endpoint,
                move |socket| {
                    check(at_server, socket);
                    socket.set_allow_half_open(true);
                    socket.end_with(pattern(len));
                },
                move |client| {
                    check(at_client, client);
                    client.set_allow_half_open(true);
                    client.on_connect(move |client| {
                        // Small pieces, borrowed: many writes in one batch.
                        for piece in pattern(len).chunks(1000) {
                            let _ = client.write(piece);
                        }
                        client.end();
                        assert_eq!(client.bytes_written(), len as u64);
                    });
                },
            ));
            assert_eq!(whole.get(), 2);
        }
    }

    fn wr_01_wr_05_write_returns_false_at_the_mark_and_drain_is_emitted_once(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.pause(); socket.on_data(|_, _| {}); socket.set_idle_timeout_then(std::time::Duration::from_millis(50), |socket| { socket.resume(); }); },
            move |client| client.on_ready({
                let log = log.clone();
                move |client| {
                    log.watch("", client);
                    assert!(client.write("small"));
                    assert!(!client.write(vec![0; STUCK_BYTES]));
                    assert!(!client.write("more"), "still accepted");
                    assert!(client.needs_drain());
                    let drained = log.clone();
                    client.on_drain(move |client| {
                        assert_eq!(client.write_queue_len(), 0);
                        drained.add("empty");
                        client.end();
                    });
                }
            }).map_unit(),
        ));
        let entries = seen.take();
        assert_eq!(entries, ["drain", "empty", "finish", "end", "close false"]);
    }

    fn wr_03_the_mark_can_be_set_and_applies_while_connecting(net) {
        net.run(|| {
            let server = fyke::create_server(|socket| { socket.resume(); socket.server().unwrap().close(); });
            net.listen(&server, net.tcp(), |endpoint| {
                let client = SocketOptions::new().high_water_mark(10).build();
                client.connect(endpoint).unwrap();
                assert!(client.write([0; 5].as_slice()));
                assert!(client.write([0; 4].as_slice()));
                assert!(!client.write([0; 1].as_slice()));
                assert_eq!((client.write_queue_len(), client.bytes_written()), (10, 10));
                client.end();
            });
        });
    }

    fn wr_08_callbacks_run_once_in_order_and_never_inside_write(net) {
        for endpoint in net.endpoints() {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| net.pair(
                endpoint,
                |socket| { socket.resume(); },
                move |client| {
                    let log = log.clone();
                    client.on_connect(move |client| {
                        for index in 0..3 {
                            let log = log.clone();
                            client.write_then("x", move |_, result| {
                                log.add(format!("{index} {}", code(result)));
                            });
                        }
                        let empty = log.clone();
                        client.write_then("", move |_, result| empty.add(code(result)));
                        assert!(log.entries().is_empty());
                        let ended = log.clone();
                        client.end_then(move |_, result| ended.add(format!("end {}", code(result))));
                    });
                },
            ));
            assert_eq!(seen.take(), ["0 ok", "1 ok", "2 ok", "ok", "end ok"]);
        }
    }

    fn wr_09_data_written_while_connecting_is_sent_first_and_in_order(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            move |socket| {
                let bytes = collect(socket);
                socket.on_end(move |_| log.add(String::from_utf8_lossy(&bytes.borrow())));
            },
            |client| {
                client.on_connect(|client| { client.end_with(" after"); });
                let client = client.clone();
                fyke::timer::next_tick(move || { let _ = client.write("before"); let _ = client.write(" and"); }).unwrap();
            },
        ));
        assert_eq!(seen.take(), ["before and after"]);
    }

    fn wr_14_a_write_on_a_socket_that_was_never_connected_fails(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let socket = Socket::new();
            log.watch("", &socket);
            let reported = log.clone();
            assert!(!socket.write_then("x", move |_, result| reported.add(code(result))));
        });
        assert_eq!(seen.take(), ["ERR_SOCKET_CLOSED", "error ERR_SOCKET_CLOSED", "close true"]);
    }

    fn wr_15_wr_16_a_write_after_end_or_destroy_has_a_code(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.resume(); },
            move |client| {
                let log = log.clone();
                client.on_ready(move |client| {
                    log.watch("", client);
                    client.end();
                    let reported = log.clone();
                    assert!(!client.write_then("x", move |_, result| reported.add(code(result))));
                    assert!(client.is_destroyed());
                    let reported = log.clone();
                    assert!(!client.write_then("x", move |_, result| reported.add(code(result))));
                });
            },
        ));
        let after_end = "ERR_STREAM_WRITE_AFTER_END";
        let error = format!("error {after_end}");
        assert_eq!(seen.take(), [after_end, &error, after_end, "close true"]);
    }

    fn wr_19_destroy_runs_every_callback_once_before_close(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.pause(); socket.on_error(|_, _| {}); },
            move |client| {
                let log = log.clone();
                client.on_ready(move |client| {
                    log.watch("", client);
                    for index in 0..2 {
                        let reported = log.clone();
                        client.write_then(vec![0; STUCK_BYTES], move |_, result| {
                            reported.add(format!("{index} {}", code(result)));
                        });
                    }
                    let reported = log.clone();
                    client.end_then(move |_, result| reported.add(format!("end {}", code(result))));
                    client.destroy();
                });
            },
        ));
        let entries = seen.take();
        assert_eq!(entries, ["0 ECANCELED", "1 ECANCELED", "end ECANCELED", "close false"]);
    }

    fn wr_20_data_accepted_by_the_kernel_before_destroy_arrives(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            {
                let log = log.clone();
                move |socket| {
                    let bytes = collect(socket);
                    socket.on_end(move |_| log.add(String::from_utf8_lossy(&bytes.borrow())));
                }
            },
            move |client| {
                client.on_connect(move |client| {
                    let log = log.clone();
                    client.write_then("abc", move |_, result| log.add(code(result)));
                    client.destroy();
                });
            },
        ));
        assert_eq!(seen.take(), ["ok", "abc"]);
    }

    fn wr_21_wr_22_corked_writes_are_sent_together_and_end_uncorks(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            move |socket| {
                let bytes = collect(socket);
                socket.on_end(move |_| log.add(String::from_utf8_lossy(&bytes.borrow())));
            },
            |client| {
                client.on_ready(|client| {
                    client.cork().cork();
                    let _ = client.write("pi");
                    let _ = client.write(String::from("n"));
                    client.uncork();
                    assert_eq!((client.cork_count(), client.write_queue_len()), (1, 3));
                    client.end_with(b"g");
                    assert_eq!(client.cork_count(), 0);
                });
            },
        ));
        assert_eq!(seen.take(), ["ping"]);
    }

    fn wr_24_an_empty_write_sends_nothing_and_ends_nothing(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            move |socket| {
                socket.on_data(move |_, data| log.add(data.len()));
            },
            |client| {
                client.on_connect(|client| {
                    assert!(client.write(""));
                    assert!(client.write(Vec::new()));
                    client.write_then("", |client, result| {
                        result.unwrap();
                        client.end_with("x");
                    });
                });
            },
        ));
        assert_eq!(seen.take(), ["1"]);
    }

    fn wr_13_queued_writes_get_the_error_of_the_connect(net) {
        let log = Log::new();
        let seen = log.clone();
        let path = net.path();
        net.run(|| {
            let client = fyke::connect(path.as_path()).unwrap();
            log.watch("", &client);
            let reported = log.clone();
            client.write_then("x", move |_, result| reported.add(code(result)));
            let reported = log.clone();
            client.end_then(move |_, result| reported.add(code(result)));
        });
        assert_eq!(seen.take(), ["error ENOENT", "ENOENT", "ENOENT", "close true"]);
    }

    fn wr_12_a_socket_destroyed_before_the_connection_fails_every_callback(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let client = fyke::connect(("127.0.0.1", 9)).unwrap();
            log.watch("", &client);
            let reported = log.clone();
            client.write_then("x", move |_, result| reported.add(code(result)));
            client.destroy();
            assert_eq!(client.ready_state(), fyke::ReadyState::Closed);
        });
        let code = ErrorCode::ERR_SOCKET_CLOSED_BEFORE_CONNECTION.as_str();
        assert_eq!(seen.take(), [code, "close false"]);
    }

    fn end_10_a_write_after_the_peer_and_we_have_ended_is_epipe(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.end(); socket.resume(); },
            move |client| {
                let log = log.clone();
                client.on_end(move |client| {
                    let log = log.clone();
                    client.end();
                    log.watch("", client);
                    let reported = log.clone();
                    assert!(!client.write_then("x", move |_, result| reported.add(code(result))));
                });
            },
        ));
        assert_eq!(seen.take(), ["EPIPE", "error EPIPE", "close true"]);
    }
}

/// `on_*` return an id, which closures here do not need.
trait MapUnit {
    fn map_unit(self);
}

impl MapUnit for fyke::ListenerId {
    fn map_unit(self) {}
}
