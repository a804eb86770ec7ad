//! Reading on demand: `readable`, `read`, `unshift`.

mod support;

use std::cell::RefCell;
use std::rc::Rc;

use fyke::{ErrorCode, Server, Socket, SocketOptions, timer};
use support::{Log, pattern, settled, when};

fn text(bytes: Option<Vec<u8>>) -> String {
    bytes.map_or_else(|| String::from("none"), |bytes| String::from_utf8(bytes).unwrap())
}

on_every_driver! {
    fn rd_12_readable_is_emitted_for_data_and_once_more_at_the_end(net) {
        for endpoint in net.endpoints() {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| net.pair(
                endpoint,
                |socket| _ = socket.end_with("hello"),
                move |client| {
                    log.watch("", client);
                    client.on_readable(move |client| {
                        assert_eq!(client.readable_flowing(), Some(false));
                        while let Some(bytes) = client.read() {
                            log.add(text(Some(bytes)));
                        }
                        log.add("none");
                    });
                },
            ));
            let entries = seen.take();
            let (ends, reads): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| {
                ["connect", "ready", "end", "finish", "close false"].contains(&entry.as_str())
            });
            assert_eq!(ends, ["connect", "ready", "end", "finish", "close false"]);
            let words: String = reads.iter().filter(|entry| *entry != "none").cloned().collect();
            assert_eq!(words, "hello");
            assert_eq!(reads.last().map(String::as_str), Some("none"));
        }
    }

    fn rd_10_read_n_returns_exactly_n_bytes_or_none_and_after_the_end_the_rest(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| _ = socket.end_with("four more is 1"),
            move |client| {
                client.on_readable(move |client| {
                    while let Some(bytes) = client.read_n(4).unwrap() {
                        log.add(text(Some(bytes)));
                    }
                });
            },
        ));
        assert_eq!(seen.take().concat(), "four more is 1");
    }

    fn rd_10_more_than_the_mark_raises_the_mark(net) {
        let whole: Rc<RefCell<Vec<u8>>> = Rc::default();
        let taken = whole.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| _ = socket.end_with(pattern(200_000)),
            move |client| {
                client.on_readable(move |client| {
                    if let Some(bytes) = client.read_n(150_000).unwrap() {
                        taken.borrow_mut().extend(bytes);
                    }
                });
            },
        ));
        assert!(*whole.borrow() == pattern(200_000), "150,000 first, then the rest");
    }

    // The mark could be raised to 1 GiB.
    fn rd_10_more_than_64_mib_in_one_piece_is_refused_unless_the_mark_is_higher(net) {
        const MAX: usize = 64 << 20;
        let refused = |socket: &Socket, count| {
            let result = socket.read_n(count);
            result.is_err_and(|error| error.code() == ErrorCode::ERR_OUT_OF_RANGE)
        };
        net.run(|| {
            let socket = Socket::new();
            assert!(!refused(&socket, MAX) && refused(&socket, MAX + 1));
            let roomy = SocketOptions::new().high_water_mark(2 * MAX).build();
            assert!(!refused(&roomy, 2 * MAX) && refused(&roomy, 2 * MAX + 1));
        });
        net.node_exact().run(|| {
            let socket = Socket::new();
            assert!(!refused(&socket, 1 << 30) && refused(&socket, (1 << 30) + 1));
        });
    }

    fn rd_11_without_listeners_read_returns_chunk_by_chunk(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| _ = socket.write("abc"),
            move |client| {
                let client = client.clone();
                assert_eq!(client.read(), None);
                let (socket, wait) = (client.clone(), std::time::Duration::from_millis(20));
                timer::set_timeout(wait, move || {
                    let mut all = Vec::new();
                    while let Some(bytes) = socket.read() {
                        all.extend(bytes);
                    }
                    log.add(text(Some(all)));
                    assert_eq!((socket.read(), socket.read_queue_len()), (None, 0));
                    socket.destroy();
                }).unwrap();
            },
        ));
        assert_eq!(seen.take(), ["abc"]);
    }

    fn rd_14_unshifted_bytes_are_delivered_first(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| _ = socket.end_with("header:body"),
            move |client| {
                let mut header = Vec::new();
                let body = log.clone();
                let rest = move |client: &Socket| {
                    let body = body.clone();
                    client.on_data(move |_, data| body.add(format!("body {}", String::from_utf8_lossy(data))));
                };
                let id: Rc<RefCell<Option<fyke::ListenerId>>> = Rc::default();
                let own = id.clone();
                *id.borrow_mut() = Some(client.on_data(move |client, data| {
                    header.extend_from_slice(data);
                    let Some(end) = header.iter().position(|byte| *byte == b':') else { return };
                    client.pause();
                    client.unshift(&header[end + 1..]);
                    log.add(format!("header {}", String::from_utf8_lossy(&header[..end])));
                    client.off(own.take().unwrap());
                    rest(client);
                    client.resume();
                }));
            },
        ));
        let entries = seen.take();
        let body: String = entries[1..].iter().map(|entry| entry.strip_prefix("body ").unwrap()).collect();
        assert_eq!((entries[0].as_str(), body.as_str()), ("header header", "body"));
    }

    fn rd_14_rd_18_end_is_emitted_after_unshifted_bytes_are_read(net) {
        for listens in [false, true] {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| net.pair(
                net.tcp(),
                |socket| _ = socket.end_with("headerbody"),
                move |client| {
                    let read = log.clone();
                    let take = move |client: &Socket, data: &[u8]| {
                        client.pause();
                        client.unshift(&data[data.len().min(6)..]);
                        read.add("header");
                        let client = client.clone();
                        let wait = std::time::Duration::from_millis(30);
                        timer::set_timeout(wait, move || {
                            assert_eq!(text(client.read()), "body");
                            client.resume();
                        }).unwrap();
                    };
                    client.on_end(move |_| log.add("end"));
                    let wait = std::time::Duration::from_millis(30);
                    let client = client.clone();
                    if listens {
                        let mut take = Some(take);
                        client.on_data(move |client, data| if let Some(take) = take.take() { take(client, data) });
                    } else {
                        client.pause();
                        client.on_ready(move |client| {
                            // Requests bytes although paused, and reads them when they have arrived.
                            assert_eq!(client.read(), None);
                            let (client, take) = (client.clone(), take.clone());
                            timer::set_timeout(wait, move || {
                                let mut all = Vec::new();
                                while let Some(bytes) = client.read() { all.extend(bytes); }
                                take(&client, &all);
                            }).unwrap();
                        });
                    }
                },
            ));
            assert_eq!(seen.take(), ["header", "end"]);
        }
    }

    fn rd_14_unshift_after_end_is_an_error(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| _ = socket.end(),
            move |client| {
                client.resume();
                let error = log.clone();
                client.on_error(move |_, found| error.add(found.code()));
                client.on_end(|client| assert!(!client.unshift("x")));
            },
        ));
        assert_eq!(seen.take(), ["ERR_STREAM_UNSHIFT_AFTER_END_EVENT"]);
    }

    fn rd_23_read_buffer_delivers_pieces_of_at_most_its_size_and_end_is_emitted_automatically(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| _ = socket.end_with("hello world"),
            move |client| {
                log.watch("", client);
                let pieces = log.clone();
                let total = std::cell::Cell::new(0);
                client.read_buffer(8, move |client, piece| {
                    total.set(total.get() + piece.len() as u64);
                    assert_eq!(client.bytes_read(), total.get());
                    assert!(piece.len() <= 8 && client.read_queue_len() == 0);
                    pieces.add(format!("[{}]", String::from_utf8_lossy(piece)));
                    true
                });
            },
        ));
        let entries = seen.take();
        let words: String = entries.iter().filter_map(|entry| entry.strip_prefix('[')).collect();
        assert_eq!(words.replace(']', ""), "hello world");
        assert_eq!(entries[entries.len() - 3..], ["end", "finish", "close false"]);
    }

    fn rd_24_read_buffer_stops_exactly_after_false_or_pause_and_continues_with_resume(net) {
        for pauses in [false, true] {
            let pieces: Rc<RefCell<Vec<u8>>> = Rc::default();
            let taken = pieces.clone();
            net.run(|| net.pair(
                net.tcp(),
                |socket| _ = socket.end_with(pattern(1000)),
                move |client| {
                    client.read_buffer(7, move |client, piece| {
                        taken.borrow_mut().extend_from_slice(piece);
                        let before = taken.borrow().len();
                        let (client, taken) = (client.clone(), taken.clone());
                        if pauses {
                            client.pause();
                        }
                        let wait = std::time::Duration::from_millis(1);
                        timer::set_timeout(wait, move || {
                            assert_eq!(taken.borrow().len(), before, "not a piece more");
                            client.resume();
                        }).unwrap();
                        pauses
                    });
                },
            ));
            assert!(*pieces.borrow() == pattern(1000));
        }
    }

    fn rd_12_when_the_last_readable_listener_is_removed_data_flows_again(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| _ = socket.end_with("flow"),
            move |client| {
                let id = client.on_readable(|_| {});
                client.on_data(move |_, data| log.add(String::from_utf8_lossy(data)));
                client.on_ready(move |client| {
                    let client = client.clone();
                    let wait = std::time::Duration::from_millis(20);
                    timer::set_timeout(wait, move || client.off(id)).unwrap();
                });
            },
        ));
        assert_eq!(seen.take().concat(), "flow");
    }

    /// Regression: after exactly the last bytes were read, the end of the peer was not checked.
    fn rd_18_end_is_emitted_on_resume_even_if_exactly_the_last_bytes_were_read(net) {
        for endpoint in net.endpoints() {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| net.pair(
                endpoint,
                |socket| { socket.end_with("last"); },
                move |client| {
                    log.watch("", client);
                    client.on_data(|_, _| {});
                    client.on_ready(|client| {
                        client.pause();
                        let (client, waiting) = (client.clone(), client.clone());
                        when(move || waiting.read_queue_len() == 4, move || settled(move || {
                            assert_eq!(client.read_n(4).unwrap().as_deref(), Some(&b"last"[..]));
                            client.resume();
                        }));
                    });
                },
            ));
            assert_eq!(seen.take(), ["connect", "ready", "end", "finish", "close false"]);
        }
    }

    fn con_16_a_readable_listener_is_also_called_for_the_next_connection(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = Server::new();
            server.on_connection(|_, socket| { socket.end_with("x"); });
            let stop = server.clone();
            net.listen(&server, net.tcp(), move |endpoint| {
                let client = Socket::new();
                let again = endpoint.clone();
                let mut rounds = 0;
                client.on_readable(|socket| while socket.read().is_some() {});
                client.on_end(move |_| log.add("end"));
                client.on_close(move |client, _| {
                    rounds += 1;
                    match rounds {
                        3 => _ = stop.close(),
                        _ => client.connect(&again).unwrap(),
                    }
                });
                client.connect(endpoint).unwrap();
            });
        });
        assert_eq!(seen.take(), ["end"; 3]);
    }

    /// Regression: bytes that were read are emitted on the tick, and were overtaken by bytes that had
    /// been unshifted before, and by `end`.
    fn rd_10_bytes_that_were_read_reach_data_before_later_bytes(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.end_with("abcdef"); },
            move |client| {
                let (data, end) = (log.clone(), log.clone());
                client.on_data(move |_, data_| data.add(String::from_utf8_lossy(data_)));
                client.on_end(move |_| end.add("end"));
                client.on_ready(move |client| {
                    client.pause();
                    let (client, waiting) = (client.clone(), client.clone());
                    when(move || waiting.read_queue_len() == 6, move || settled(move || {
                        client.resume();
                        assert_eq!(text(client.read_n(2).unwrap()), "ab");
                        let client = client.clone();
                        timer::next_tick(move || {
                            client.pause();
                            client.unshift("uvwxyz");
                            assert_eq!(text(client.read_n(9).unwrap()), "uvwxyz");
                        })
                        .unwrap();
                    }));
                });
            },
        ));
        assert_eq!(seen.take(), ["ab", "cdef", "uvwxyz", "end"]);
    }

    fn rd_21_bytes_that_were_read_do_not_reach_data_after_destroy(net) {
        net.run(|| net.pair(
            net.tcp(),
            |socket| {
                socket.on_error(|_, _| {});
                socket.resume();
                let _ = socket.write("x");
            },
            |client| {
                client.on_data(|_, _| panic!("it is destroyed"));
                client.on_ready(|client| {
                    client.pause();
                    let (client, waiting) = (client.clone(), client.clone());
                    when(move || waiting.read_queue_len() == 1, move || {
                        assert_eq!(text(client.read()), "x");
                        client.destroy();
                    });
                });
                client.on_close(|_, _| {});
            },
        ));
    }
}
