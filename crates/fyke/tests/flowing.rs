//! When a socket reads, and when it does not: the flow, `pause` and `resume`, and whether the end and
//! resets of the peer are detected meanwhile.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fyke::{Socket, SocketOptions};
use support::{Log, collect, drive, pattern, settled, when};

/// The high-water mark, and the largest chunk.
const MARK_BYTES: usize = 65_536;

/// Larger than all buffers of the system between two TCP sockets.
const STUCK_BYTES: usize = 32 << 20;

/// A cell for the socket of the other side of a pair.
fn place() -> Rc<RefCell<Option<Socket>>> {
    Rc::default()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

on_every_driver! {
    fn rd_01_reading_starts_automatically_and_stops_at_the_mark(net) {
        for endpoint in net.endpoints() {
            let reached = Rc::new(Cell::new(false));
            let seen = reached.clone();
            net.run(|| net.pair(
                endpoint,
                |socket| { socket.on_error(|_, _| {}); let _ = socket.write(vec![0; STUCK_BYTES]); },
                move |client| {
                    let (full, client) = (client.clone(), client.clone());
                    when(move || full.read_queue_len() >= MARK_BYTES, move || {
                        let before = client.read_queue_len();
                        settled(move || {
                            assert_eq!(client.read_queue_len(), before, "the peer has to wait");
                            assert_eq!(client.bytes_read(), before as u64);
                            assert!(before < 2 * MARK_BYTES);
                            assert_eq!(client.readable_flowing(), None);
                            reached.set(true);
                            client.destroy();
                        });
                    });
                },
            ));
            assert!(seen.get());
        }
    }

    fn rd_02_chunks_have_1_to_65536_bytes_and_not_the_boundaries_of_the_writes(net) {
        for endpoint in net.endpoints() {
            let bytes: Rc<RefCell<Vec<u8>>> = Rc::default();
            let sink = bytes.clone();
            let chunks = Rc::new(Cell::new(0));
            let count = chunks.clone();
            net.run(|| net.pair(
                endpoint,
                |socket| {
                    // Many small writes in one batch, including an empty one, and a large one.
                    for piece in pattern(10_000).chunks(1) {
                        let _ = socket.write(piece);
                    }
                    let _ = socket.write("");
                    socket.end_with(pattern(1_000_000));
                },
                move |client| {
                    client.on_data(move |_, data| {
                        assert!((1..=MARK_BYTES).contains(&data.len()));
                        sink.borrow_mut().extend_from_slice(data);
                        count.set(count.get() + 1);
                    });
                },
            ));
            assert!(*bytes.borrow() == [pattern(10_000), pattern(1_000_000)].concat());
            assert!(chunks.get() < 10_000);
        }
    }

    fn rd_06_a_paused_socket_receives_up_to_the_mark_and_resume_delivers_everything(net) {
        let whole = Rc::new(Cell::new(false));
        let seen = whole.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| _ = socket.end_with(pattern(1_000_000)),
            move |client| {
                let bytes: Rc<RefCell<Vec<u8>>> = Rc::default();
                let sink = bytes.clone();
                client.on_data(move |client, data| {
                    assert!(!client.is_paused());
                    sink.borrow_mut().extend_from_slice(data);
                    if sink.borrow().len() > data.len() {
                        return;
                    }
                    client.pause();
                    let first = data.len();
                    let (full, client) = (client.clone(), client.clone());
                    when(move || full.read_queue_len() >= MARK_BYTES, move || settled(move || {
                        assert!(client.read_queue_len() < 2 * MARK_BYTES);
                        assert_eq!(client.bytes_read(), (first + client.read_queue_len()) as u64);
                        client.resume();
                    }));
                });
                client.on_end(move |_| whole.set(*bytes.borrow() == pattern(1_000_000)));
            },
        ));
        assert!(seen.get());
    }

    fn rd_07_of_pause_and_resume_while_connecting_the_last_counts(net) {
        let cases: [(&str, bool); 5] =
            [("r", true), ("pr", true), ("p", false), ("rpr", true), ("rrp", false)];
        for (calls, flows) in cases {
            let log = Log::new();
            let seen = log.clone();
            let sent = Rc::new(Cell::new(false));
            let sends = sent.clone();
            net.run(|| net.pair(
                net.tcp(),
                move |socket| {
                    socket.write_then("data", move |_, result| { result.unwrap(); sends.set(true); });
                    socket.end();
                },
                move |client| {
                    let data = log.clone();
                    client.on_data(move |client, bytes| {
                        assert!(!client.is_paused());
                        data.add(text(bytes));
                    });
                    let client = client.clone();
                    fyke::timer::next_tick(move || {
                        assert!(client.is_connecting());
                        for call in calls.chars() {
                            match call {
                                'p' => client.pause(),
                                _ => client.resume(),
                            };
                        }
                        when(move || sent.get(), move || settled(move || {
                            assert_eq!(log.entries().is_empty(), !flows, "{calls}");
                            client.resume();
                        }));
                    }).unwrap();
                },
            ));
            assert_eq!(seen.take().concat(), "data", "{calls}");
        }
    }

    fn rd_08_a_socket_paused_before_it_connects_does_not_read_at_all_before_resume(net) {
        let event_loop = net.event_loop();
        let log = Log::new();
        let client = event_loop.enter(|| {
            let client = Socket::new();
            let connects = client.clone();
            log.watch("", &client);
            let data = log.clone();
            client.on_data(move |_, bytes| data.add(text(bytes)));
            let server = fyke::create_server(|socket| {
                socket.server().unwrap().close();
                // Nothing is unread here, so the peer gets an end.
                let _ = socket.write("data");
                socket.destroy_soon();
            });
            net.listen(&server, net.tcp(), move |endpoint| {
                connects.pause().connect(endpoint).unwrap();
            });
            client
        });
        // This does not keep the loop alive (PROC-02).
        drive(&event_loop, || false).unwrap();
        assert_eq!((client.bytes_read(), client.read_queue_len()), (0, 0));
        assert!(!client.is_destroyed() && !client.is_readable_ended());
        assert_eq!(log.take(), ["connect", "ready"]);
        event_loop.enter(|| _ = client.resume());
        drive(&event_loop, || false).unwrap();
        let entries = log.take();
        assert_eq!(entries[entries.len() - 3..], ["end", "finish", "close false"]);
        assert_eq!(entries[..entries.len() - 3].concat(), "data");
    }

    fn rd_19_an_end_is_detected_without_a_reader(net) {
        for paused in [false, true] {
            let log = Log::new();
            let seen = log.clone();
            let go = place();
            let goes = go.clone();
            net.run(|| net.pair(
                net.tcp(),
                move |socket| *go.borrow_mut() = Some(socket.clone()),
                move |client| {
                    log.watch("", client);
                    client.on_ready(move |client| {
                        let (client, goes) = (client.clone(), goes.clone());
                        let server = goes.clone();
                        // A later pause than this one would prevent the start of reading (RD-08).
                        when(move || server.borrow().is_some(), move || {
                            if paused {
                                client.pause();
                            }
                            goes.borrow().as_ref().unwrap().end();
                        });
                    });
                },
            ));
            assert_eq!(seen.take(), ["connect", "ready", "end", "finish", "close false"]);
        }
    }

    fn rd_20_while_reading_is_stopped_neither_end_nor_reset_is_detected(net) {
        for reset in [false, true] {
            let log = Log::new();
            let seen = log.clone();
            let other = place();
            let server = other.clone();
            let close: fn(&Socket) = match reset {
                true => |socket| socket.reset_and_destroy().unwrap(),
                false => |socket| _ = socket.destroy(),
            };
            net.run(|| {
                let server = fyke::create_server(move |socket| {
                    socket.server().unwrap().close();
                    let _ = socket.write(pattern(10).as_slice());
                    *server.borrow_mut() = Some(socket.clone());
                });
                net.listen(&server, net.tcp(), move |endpoint| {
                    let client = SocketOptions::new().high_water_mark(10).build();
                    log.watch("", &client);
                    client.connect(endpoint).unwrap();
                    let full = client.clone();
                    when(move || full.read_queue_len() >= 10, move || {
                        let server = other.take().unwrap();
                        server.write_then(pattern(20).as_slice(), move |server, _| close(server));
                        // The bytes wait in the kernel, before the end or the reset.
                        let gone = server.clone();
                        when(move || gone.is_destroyed(), move || settled(move || {
                            assert!(!client.is_destroyed() && !client.is_readable_ended());
                            assert_eq!(client.bytes_read(), 10);
                            let bytes = collect(&client);
                            client.on_close(move |_, _| log.add(bytes.borrow().len()));
                        }));
                    });
                });
            });
            let wanted: &[&str] = match reset {
                true => &["connect", "ready", "error ECONNRESET", "close true", "30"],
                false => &["connect", "ready", "end", "finish", "close false", "30"],
            };
            assert_eq!(seen.take(), wanted);
        }
    }

    fn rd_20_a_paused_socket_with_room_detects_a_reset_immediately(net) {
        let log = Log::new();
        let seen = log.clone();
        let other = place();
        let server = other.clone();
        net.run(|| net.pair(
            net.tcp(),
            move |socket| { let _ = socket.write("abc"); *server.borrow_mut() = Some(socket.clone()); },
            move |client| {
                log.watch("", client);
                client.on_ready(|client| _ = client.pause());
                client.on_data(|_, _| panic!("paused"));
                let kept = client.clone();
                when(move || kept.read_queue_len() == 3, move || {
                    other.take().unwrap().reset_and_destroy().unwrap();
                });
                client.on_close(move |client, _| log.add(client.read_queue_len()));
            },
        ));
        assert_eq!(seen.take(), ["connect", "ready", "error ECONNRESET", "close true", "3"]);
    }

    fn rd_22_reading_continues_after_our_own_end(net) {
        for endpoint in net.endpoints() {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| net.pair(
                endpoint,
                |socket| _ = socket.end_with(pattern(1 << 20)),
                move |client| {
                    log.watch("", client);
                    let bytes = collect(client);
                    client.on_connect(|client| _ = client.end());
                    client.on_end(move |_| assert!(*bytes.borrow() == pattern(1 << 20)));
                },
            ));
            assert_eq!(seen.take(), ["connect", "ready", "finish", "end", "close false"]);
        }
    }

    fn rd_25_read_buffers_fills_the_given_buffers(net) {
        for empty in [false, true] {
            let log = Log::new();
            let seen = log.clone();
            // The locations of the given buffers, and the number of received pieces.
            let given: Rc<RefCell<Vec<*const u8>>> = Rc::default();
            let [gives, took] = [given.clone(), given.clone()];
            let pieces = Rc::new(Cell::new(0));
            let count = pieces.clone();
            net.run(|| net.pair(
                net.tcp(),
                |socket| _ = socket.end_with("hello world"),
                move |client| {
                    client.read_buffers(
                        move || {
                            // An empty buffer is replaced by another one of the same size.
                            let first = gives.borrow().is_empty();
                            let buffer = if empty && !first { Vec::new() } else { vec![0; 2] };
                            gives.borrow_mut().push(buffer.as_ptr());
                            buffer
                        },
                        move |client, piece| {
                            assert!((1..=2).contains(&piece.len()) && client.read_queue_len() == 0);
                            assert!(empty || took.borrow().last() == Some(&piece.as_ptr()));
                            count.set(count.get() + 1);
                            log.add(text(&piece));
                            true
                        },
                    );
                    assert_eq!(given.borrow().len(), 1, "called immediately");
                    client.on_close(move |_, _| assert_eq!(given.borrow().len(), pieces.get() + 1));
                },
            ));
            assert_eq!(seen.take().concat(), "hello world");
        }
    }
}
