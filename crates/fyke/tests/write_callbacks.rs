//! What `write` returns and leaves in the queue, when its callbacks run, and what they get after a
//! failure.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fyke::{Socket, SocketOptions};
use support::{Log, collect, settled, when, word};

/// Larger than all buffers of the system between two TCP sockets.
const STUCK_BYTES: usize = 32 << 20;

/// Logs the result of a write.
fn log_result(log: &Log, name: &'static str) -> impl FnOnce(&Socket, fyke::Result<()>) + 'static {
    let log = log.clone();
    move |_, result| log.add(format!("{name} {}", word(&result)))
}

fn position(entry: &str, entries: &[String]) -> usize {
    let position = entries.iter().position(|other| other == entry);
    position.unwrap_or_else(|| panic!("no {entry} in {entries:?}"))
}

on_every_driver! {
    fn wr_02_only_bytes_that_the_kernel_refuses_count(net) {
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.resume(); },
            |client| {
                client.on_connect(|client| {
                    // Below the mark, data is sent when the batch ends, and counts until then.
                    assert!(client.write(vec![1; 60_000]));
                    assert_eq!(client.write_queue_len(), 60_000);
                    // At the mark, data is offered immediately, and fits.
                    assert!(client.write(vec![1; 60_000]));
                    assert_eq!(client.write_queue_len(), 0);
                    assert!(!client.write(vec![1; STUCK_BYTES]));
                    assert!(client.write_queue_len() > 0);
                    assert_eq!(client.bytes_written(), 120_000 + STUCK_BYTES as u64);
                    client.end();
                });
            },
        ));
    }

    fn wr_04_lengths_are_bytes_everywhere(net) {
        net.run(|| {
            let server = fyke::create_server(|socket| {
                socket.server().unwrap().close();
                socket.resume();
            });
            net.listen(&server, net.tcp(), |endpoint| {
                let client = SocketOptions::new().high_water_mark(10).build();
                client.connect_then(endpoint, |client| _ = client.end()).unwrap();
                assert!(client.write("éééé"));
                assert_eq!((client.write_queue_len(), client.bytes_written()), (8, 8));
                assert!(!client.write("é"));
                assert_eq!((client.write_queue_len(), client.bytes_written()), (10, 10));
            });
        });
    }

    fn wr_06_drain_precedes_the_callbacks_of_the_send_that_emptied_the_queue(net) {
        for endpoint in net.endpoints() {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| net.pair(
                endpoint,
                |socket| { socket.resume(); },
                move |client| {
                    client.on_ready(move |client| {
                        assert!(!client.write_then(vec![0; STUCK_BYTES], log_result(&log, "0")));
                        assert!(!client.write_then("b", log_result(&log, "1")));
                        assert!(!client.write_then("c", log_result(&log, "2")));
                        let log = log.clone();
                        client.on_drain(move |client| {
                            log.add("drain");
                            assert!(client.write_then("d", log_result(&log, "in drain")));
                            client.end();
                        });
                    });
                },
            ));
            let mut entries = seen.take();
            let drain = position("drain", &entries);
            assert!(drain < position("1 ok", &entries), "{entries:?}");
            entries.remove(drain);
            assert_eq!(entries, ["0 ok", "1 ok", "2 ok", "in drain ok"]);
        }
    }

    fn wr_07_data_written_after_false_is_kept_in_order(net) {
        let bytes: Rc<RefCell<Vec<u8>>> = Rc::default();
        let written: Rc<RefCell<Vec<u8>>> = Rc::default();
        let [came, wrote] = [bytes.clone(), written.clone()];
        net.run(|| net.pair(
            net.tcp(),
            move |socket| {
                socket.on_data(move |_, data| came.borrow_mut().extend_from_slice(data));
            },
            move |client| {
                client.on_connect(move |client| {
                    let write = |byte: u8| {
                        let piece = vec![byte; 300_000];
                        wrote.borrow_mut().extend_from_slice(&piece);
                        client.write(piece)
                    };
                    let mut count = 0;
                    while write(count) {
                        count += 1;
                    }
                    assert!(!write(100) && !write(101), "still accepted");
                    client.end();
                });
            },
        ));
        assert!(*bytes.borrow() == *written.borrow());
    }

    fn wr_10_the_queue_is_sent_after_the_listeners_of_connect(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.resume(); },
            move |client| {
                log.watch("", client);
                let full = |client: &Socket| assert_eq!(client.write_queue_len(), 6);
                client.on_connect(full);
                let client = client.clone();
                fyke::timer::next_tick(move || {
                    for (text, name) in [("one", "1"), ("two", "2")] {
                        let log_result = log_result(&log, name);
                        assert!(client.write_then(text, |client, result| {
                            assert!(!client.is_connecting() && !client.is_pending());
                            log_result(client, result);
                        }));
                    }
                    // Added after the writes; the first was added before them.
                    client.on_connect(full);
                    client.end();
                }).unwrap();
            },
        ));
        let mut entries = seen.take();
        // Before or after the callbacks.
        entries.remove(position("ready", &entries));
        assert_eq!(entries, ["connect", "1 ok", "2 ok", "finish", "end", "close false"]);
    }

    fn wr_11_writes_of_a_socket_destroyed_inside_connect_succeed_if_the_kernel_accepts_them(net) {
        for (bytes, reported) in [(3, "1 ok"), (STUCK_BYTES, "1 ECANCELED")] {
            let log = Log::new();
            let seen = log.clone();
            let came = Rc::new(Cell::new(0));
            let count = came.clone();
            net.run(|| net.pair(
                net.tcp(),
                move |socket| {
                    socket.on_error(|_, _| {});
                    socket.on_close(move |socket, _| count.set(socket.bytes_read()));
                    socket.resume();
                },
                move |client| {
                    log.watch("", client);
                    client.on_connect(|client| _ = client.destroy());
                    let client = client.clone();
                    fyke::timer::next_tick(move || {
                        client.write_then(vec![1; bytes], log_result(&log, "1"));
                    }).unwrap();
                },
            ));
            assert_eq!(seen.take(), ["connect", reported, "close false"]);
            assert!(came.get() > 0 && (bytes > 3 || came.get() == 3));
        }
    }

    /// Regression: in the callback of a large write, the completion of the next one is due a turn
    /// later. The end of the socket overtook it.
    fn wr_08_the_callback_of_the_last_write_runs_before_the_end(net) {
        for endpoint in net.endpoints() {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| net.pair(
                endpoint,
                move |socket| {
                    log.watch("", socket);
                    socket.resume();
                    socket.set_allow_half_open(true);
                    socket.on_end(move |socket| {
                        let log = log.clone();
                        let first = log_result(&log, "first");
                        socket.write_then(vec![0; 100_000], move |socket, result| {
                            first(socket, result);
                            socket.write_then("last", log_result(&log, "second"));
                            socket.end_then(log_result(&log, "end"));
                        });
                    });
                },
                |client| {
                    client.resume();
                    client.set_allow_half_open(true);
                    client.end();
                },
            ));
            let wanted = ["end", "first ok", "second ok", "end ok", "finish", "close false"];
            let mut entries = seen.take();
            // Whether there is a `drain` depends on whether the first write is accepted immediately.
            entries.retain(|entry| entry != "drain");
            assert_eq!(entries, wanted);
        }
    }

    fn wr_08_an_accepted_write_succeeds_even_if_the_next_one_fails(net) {
        let log = Log::new();
        let seen = log.clone();
        let peer: Rc<RefCell<Option<Socket>>> = Rc::default();
        let server_side = Rc::clone(&peer);
        net.run(|| net.pair(
            net.tcp(),
            move |socket| {
                socket.resume();
                socket.on_error(|_, _| {});
                server_side.replace(Some(socket.clone()));
            },
            move |client| {
                client.on_error(|_, _| {});
                let (client, writer) = (client.clone(), client.clone());
                let accepted = Rc::clone(&peer);
                when(move || accepted.borrow().is_some() && !client.is_pending(), {
                    move || _ = writer.write_then(vec![0; 100_000], move |client, _| {
                        client.write_then("taken", log_result(&log, "taken"));
                        // Submits the data. The completion is due a turn later.
                        client.cork();
                        client.uncork();
                        peer.take().unwrap().reset_and_destroy().unwrap();
                        client.write_then("refused", log_result(&log, "refused"));
                    })
                });
            },
        ));
        let entries = seen.take();
        // The reset may be in transit for a while, as in the simulated network.
        assert!(entries.len() == 2 && entries[0] == "taken ok", "{entries:?}");
    }

    fn wr_19_an_accepted_write_succeeds_even_if_the_next_one_is_cancelled(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| {
                socket.on_error(|_, _| {});
                socket.resume();
            },
            move |client| {
                client.on_ready(move |client| {
                    let log = log.clone();
                    client.write_then(vec![0; 100_000], move |client, _| {
                        client.write_then("taken", log_result(&log, "taken"));
                        client.cork();
                        client.uncork();
                        client.write_then(vec![0; STUCK_BYTES], log_result(&log, "cancelled"));
                        client.destroy();
                    });
                });
            },
        ));
        assert_eq!(seen.take(), ["taken ok", "cancelled ECANCELED"]);
    }

    fn wr_17_a_refused_write_fails_first_then_the_queued_ones_then_the_socket(net) {
        let log = Log::new();
        let seen = log.clone();
        let other: Rc<RefCell<Option<Socket>>> = Rc::default();
        let server = other.clone();
        net.run(|| net.pair(
            net.tcp(),
            move |socket| *server.borrow_mut() = Some(socket.clone()),
            move |client| {
                // Paused from the beginning, so only writing detects it.
                client.pause();
                client.on_ready(move |client| {
                    log.watch("", client);
                    client.on_error(|_, error| {
                        assert_eq!(error.to_string(), "write ECONNRESET");
                        assert_eq!((error.syscall(), error.address()), (Some("write"), None));
                    });
                    let (client, log, other) = (client.clone(), log.clone(), other.clone());
                    let server = other.clone();
                    when(move || server.borrow().is_some(), move || {
                        other.take().unwrap().reset_and_destroy().unwrap();
                        settled(move || {
                            // Detected when the batch is submitted, so both writes were accepted.
                            assert!(client.write_then("a", log_result(&log, "a")));
                            assert!(client.write_then("b", log_result(&log, "b")));
                            client.end_then(log_result(&log, "end"));
                            assert!(log.entries().is_empty() && !client.is_destroyed());
                        });
                    });
                });
            },
        ));
        let wanted =
            ["a ECONNRESET", "b ECONNRESET", "end ECONNRESET", "error ECONNRESET", "close true"];
        assert_eq!(seen.take(), wanted);
    }

    fn wr_18_the_first_write_to_a_peer_that_has_closed_succeeds_and_a_later_one_fails(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| _ = socket.destroy(),
            move |client| {
                client.set_allow_half_open(true);
                client.resume();
                let error = log.clone();
                client.on_error(move |_, failure| error.add(failure.code()));
                client.on_end(move |client| print(client, &log));
            },
        ));
        let entries = seen.take();
        assert_eq!(entries.first().map(String::as_str), Some("ok"));
        // A read may detect it before a write does.
        let last = entries.last().unwrap();
        assert!(last == "EPIPE" || last == "ECONNRESET", "{entries:?}");
        assert_eq!(entries.iter().filter(|entry| *entry != "ok").count(), 2, "{entries:?}");
    }

    fn wr_23_a_loop_of_cork_and_uncork_stays_writable(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            move |socket| {
                let bytes = collect(socket);
                socket.on_end(move |_| log.add(bytes.borrow().len()));
            },
            |client| {
                client.on_connect(|client| {
                    for _ in 0..100 {
                        client.cork();
                        let _ = client.write("ab");
                        assert!(client.write("cd"));
                        client.uncork();
                    }
                    client.end();
                });
            },
        ));
        assert_eq!(seen.take(), ["400"]);
    }

    fn wr_24_an_empty_write_detects_a_broken_connection(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.on_data(|socket, _| socket.reset_and_destroy().unwrap()); },
            move |client| {
                // Paused from the beginning, so only writing detects it.
                client.pause();
                client.on_ready(move |client| {
                    log.watch("", client);
                    let _ = client.write("x");
                    ask(client, &log);
                });
            },
        ));
        let mut entries = seen.take();
        entries.retain(|entry| entry != "ok");
        assert_eq!(entries, ["ECONNRESET", "error ECONNRESET", "close true"]);
    }
}

/// Writes repeatedly, until a write fails.
fn print(client: &Socket, log: &Log) {
    let log = log.clone();
    client.write_then("line\n", move |client, result| {
        log.add(word(&result));
        let client = client.clone();
        if result.is_ok() {
            fyke::timer::set_immediate(move || print(&client, &log)).unwrap();
        }
    });
}

/// Writes nothing repeatedly, until a write fails.
fn ask(client: &Socket, log: &Log) {
    let log = log.clone();
    client.write_then("", move |client, result| {
        log.add(word(&result));
        let client = client.clone();
        if result.is_ok() {
            fyke::timer::set_immediate(move || ask(&client, &log)).unwrap();
        }
    });
}
