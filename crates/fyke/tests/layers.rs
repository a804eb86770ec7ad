//! A layer between a socket and its connection: everything above works as without it.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use fyke::{ErrorCode, Result, Socket, spawn_local};
use support::frames::{Frames, HELLO, layered_pair, pair};
use support::{Log, collect, pattern, settled, word};

on_every_driver! {
    fn an_echo_through_a_layer_returns_every_byte_and_ends_in_order(net) {
        let sent = pattern(1 << 20);
        let (log, expected) = (Log::new(), sent.clone());
        let (events, received) = (log.clone(), Rc::new(RefCell::default()));
        let bytes = Rc::clone(&received);
        net.run(|| {
            layered_pair(net, |socket| _ = socket.pipe(socket), move |client| {
                events.watch("", client);
                let sink = collect(client);
                client.on_close(move |_, _| *bytes.borrow_mut() = sink.take());
                client.end_with(&sent);
                let len = sent.len() as u64;
                client.on_close(move |client, _| {
                    assert_eq!((client.bytes_written(), client.bytes_read()), (len, len));
                });
            });
        });
        assert!(*received.borrow() == expected);
        assert_eq!(log.take(), ["connect", "ready", "finish", "end", "close false"]);
    }

    fn callbacks_and_drain_report_plain_bytes_that_were_accepted(net) {
        let log = Log::new();
        let events = log.clone();
        net.run(|| {
            layered_pair(net, |socket| _ = socket.resume(), move |client| {
                let log = events;
                assert!(client.write_then("a", {
                    let log = log.clone();
                    move |client, result| {
                        log.add(format!("written {} {}", word(&result), client.write_queue_len()));
                    }
                }));
                let full = vec![7; 100_000];
                assert!(!client.write_then(&full, {
                    let log = log.clone();
                    move |_, result| log.add(format!("all {}", word(&result)))
                }));
                client.once_drain(move |client| {
                    log.add(format!("drain {}", client.write_queue_len()));
                    client.end();
                });
            });
        });
        assert_eq!(log.take(), ["drain 0", "written ok 0", "all ok"]);
    }

    fn small_writes_to_a_peer_that_reads_late_arrive_in_order(net) {
        const PIECES: usize = 40_000;
        let sent = Rc::new(RefCell::new(Vec::new()));
        let received = Rc::new(RefCell::new(Vec::new()));
        let called = Rc::new(Cell::new(0));
        let (expected, sink, count) = (Rc::clone(&sent), Rc::clone(&received), Rc::clone(&called));
        net.run(|| {
            layered_pair(net, move |socket| {
                socket.on_data(move |_, data| sink.borrow_mut().extend_from_slice(data));
                socket.pause();
                let socket = socket.clone();
                settled(move || _ = socket.resume());
            }, move |client| {
                fn next(client: &Socket, number: usize, sent: Rc<RefCell<Vec<u8>>>, count: Rc<Cell<usize>>) {
                    if number == PIECES {
                        client.end();
                        return;
                    }
                    let piece = vec![number as u8; 1 + number % 200];
                    sent.borrow_mut().extend_from_slice(&piece);
                    let again = Rc::clone(&count);
                    let written = move |_: &Socket, result: Result<()>| {
                        assert_eq!((word(&result).as_str(), again.get()), ("ok", number));
                        again.set(number + 1);
                    };
                    let _ = client.write_then(&piece, written);
                    let client = client.clone();
                    fyke::timer::set_immediate(move || next(&client, number + 1, sent, count)).unwrap();
                }
                next(client, 0, sent, count);
                client.resume();
            });
        });
        assert_eq!(called.get(), PIECES);
        assert!(*received.borrow() == *expected.borrow());
    }

    fn one_side_of_a_layer_ends_before_the_other(net) {
        let log = Log::new();
        let (of_server, of_client) = (log.clone(), log.clone());
        net.run(|| {
            pair(net, move |socket| {
                socket.set_allow_half_open(true);
                socket.add_layer(Frames::second()).unwrap();
                let data = collect(socket);
                let log = of_server.clone();
                socket.on_end(move |socket| {
                    log.add(String::from_utf8(data.take()).unwrap());
                    assert!(socket.is_writable());
                    socket.end_with("an answer after the end");
                });
            }, move |client| {
                client.add_layer(Frames::new()).unwrap();
                let data = collect(client);
                client.on_end(move |_| of_client.add(String::from_utf8(data.take()).unwrap()));
                client.end_with("a question");
            });
        });
        assert_eq!(log.take(), ["a question", "an answer after the end"]);
    }

    fn a_connection_that_ends_without_the_end_of_its_layer_is_an_error(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            pair(net, |socket| {
                // Without a layer: a greeting, a frame, and the end of the connection.
                let mut bytes = HELLO.to_vec();
                bytes.extend_from_slice(&[2, 0, !b'h', !b'i']);
                socket.end_with(&bytes);
                socket.resume();
            }, move |client| {
                client.add_layer(Frames::new()).unwrap();
                let data = collect(client);
                let log = seen.clone();
                client.on_close(move |_, _| log.add(String::from_utf8(data.take()).unwrap()));
                seen.watch("", client);
            });
        });
        assert_eq!(log.take(), ["connect", "ready", "error E_CUT", "hi", "close true"]);
    }

    fn an_error_of_the_layer_is_told_to_the_peer_and_destroys_the_socket(net) {
        let log = Log::new();
        let (seen, told) = (log.clone(), log.clone());
        net.run(|| {
            pair(net, move |socket| {
                let data = collect(socket);
                socket.on_error(|_, _| {});
                socket.on_close(move |_, _| {
                    let data = String::from_utf8(data.take()).unwrap();
                    told.add(data.trim_start_matches("hello of the layer"));
                });
                let _ = socket.write("this is no greeting, but plain text");
            }, move |client| {
                client.add_layer(Frames::new()).unwrap();
                client.write_then("never sent", {
                    let log = seen.clone();
                    move |_, result| log.add(format!("write {}", word(&result)))
                });
                client.on_error(move |_, error| seen.add(error.code()));
            });
        });
        let mut entries = log.take();
        entries.sort();
        assert_eq!(entries, ["E_FRAME", "not a greeting", "write ECANCELED"]);
    }

    fn a_layer_in_the_middle_of_a_connection_loses_nothing(net) {
        let log = Log::new();
        let (at_server, at_client) = (log.clone(), log.clone());
        net.run(|| {
            pair(net, move |socket| {
                let log = at_server;
                socket.on_readable(move |socket| {
                    while socket.layer::<Frames>().is_none() {
                        let Ok(Some(request)) = socket.read_n(8) else { return };
                        assert_eq!(request, b"starttls");
                        // What follows is for the layer, and stays stored.
                        let _ = socket.write("go on");
                        socket.add_layer(Frames::second()).unwrap();
                    }
                    while let Some(data) = socket.read() {
                        log.add(String::from_utf8(data).unwrap());
                        socket.end_with("secret answer");
                    }
                });
            }, move |client| {
                let plain = Rc::new(RefCell::new(Vec::new()));
                let data = Rc::clone(&plain);
                client.on_data(move |client, bytes| {
                    data.borrow_mut().extend_from_slice(bytes);
                    let mut all = data.borrow_mut();
                    if client.layer::<Frames>().is_none() && all.len() >= 5 {
                        let rest = all.split_off(5);
                        client.add_layer_after(Frames::new(), &rest).unwrap();
                        let _ = client.write("secret");
                    }
                });
                client.on_end(move |_| at_client.add(String::from_utf8(plain.take()).unwrap()));
                let _ = client.write("starttls");
            });
        });
        assert_eq!(log.take(), ["secret", "go onsecret answer"]);
    }

    fn what_is_written_while_connecting_goes_through_a_layer_that_is_added_later(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            pair(net, move |socket| {
                socket.add_layer(Frames::second()).unwrap();
                socket.on_data(move |socket, data| {
                    seen.add(String::from_utf8_lossy(data));
                    socket.end();
                });
            }, |client| {
                let _ = client.write("early");
                client.add_layer(Frames::new()).unwrap();
                client.resume();
            });
        });
        assert_eq!(log.take(), ["early"]);
    }

    fn a_paused_socket_with_a_layer_delivers_when_it_is_resumed(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            layered_pair(net, |socket| _ = socket.end_with("early"), move |client| {
                client.pause();
                let log = seen.clone();
                client.on_data(move |_, data| log.add(String::from_utf8_lossy(data)));
                let log = seen.clone();
                client.on_end(move |_| log.add("end"));
                client.pause();
                let (client, log) = (client.clone(), seen.clone());
                settled(move || {
                    log.add("resumed");
                    client.resume();
                });
            });
        });
        assert_eq!(log.take(), ["resumed", "early", "end"]);
    }

    fn a_layer_that_waits_continues_when_it_is_woken(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            pair(net, move |socket| {
                let layer = Frames::second();
                layer.hesitates.set(true);
                socket.add_layer(Rc::clone(&layer)).unwrap();
                socket.pipe(socket);
                let socket = socket.clone();
                let log = seen.clone();
                settled(move || {
                    log.add(format!("open {}", layer.greeted.get()));
                    socket.wake_layer();
                });
            }, {
                let log = log.clone();
                move |client| {
                    client.add_layer(Frames::new()).unwrap();
                    client.on_data(move |_, data| log.add(String::from_utf8_lossy(data)));
                    client.end_with("after the wait");
                }
            });
        });
        assert_eq!(log.take(), ["open false", "after the wait"]);
    }

    fn a_layer_is_told_once_that_it_was_removed(net) {
        let layers = [Frames::second(), Frames::new()];
        let [of_server, of_client] = layers.clone();
        net.run(|| {
            pair(net, move |socket| {
                socket.add_layer(of_server).unwrap();
                socket.resume();
                socket.end();
            }, move |client| {
                client.add_layer(of_client).unwrap();
                client.resume();
            });
        });
        for layer in layers {
            let events = layer.events.take();
            assert_eq!(events.iter().filter(|event| **event == "removed").count(), 1);
            assert_eq!(events.last(), Some(&"removed"));
        }
    }

    fn a_peer_cannot_fill_the_memory_of_a_layer_that_waits(net) {
        let accepted = Rc::new(Cell::new(usize::MAX));
        let seen = Rc::clone(&accepted);
        net.run(|| {
            let waiting = Rc::new(RefCell::new(None));
            let woken = Rc::clone(&waiting);
            pair(net, move |socket| {
                let layer = Frames::second();
                layer.hesitates.set(true);
                socket.add_layer(layer).unwrap();
                socket.on_error(|_, _| {});
                socket.resume();
                waiting.replace(Some(socket.clone()));
            }, move |client| {
                let len = 1 << 25;
                let _ = client.write([HELLO, &vec![b'x'; len]].concat());
                client.on_error(|_, _| {});
                client.resume();
                let client = client.clone();
                settled(move || {
                    seen.set(len.saturating_sub(client.write_queue_len()));
                    client.destroy();
                    woken.take().unwrap().wake_layer();
                });
            });
        });
        assert!(accepted.get() < 1 << 24, "{} bytes were accepted", accepted.get());
    }

    fn a_stream_reads_and_writes_through_a_layer(net) {
        let sent = pattern(300_000);
        let expected = sent.clone();
        let done = Rc::new(Cell::new(false));
        let seen = Rc::clone(&done);
        net.run(|| {
            layered_pair(net, |socket| {
                let mut stream = socket.stream().unwrap();
                let echo = async move {
                    let mut buffer = [0; 5000];
                    loop {
                        match stream.read(&mut buffer).await.unwrap() {
                            0 => break,
                            count => stream.write_all(&buffer[..count]).await.unwrap(),
                        }
                    }
                    stream.end().await.unwrap();
                };
                drop(spawn_local(echo).unwrap());
            }, move |client| {
                let (mut reader, mut writer) = client.stream().unwrap().split();
                let write = async move {
                    writer.write_all(&sent).await.unwrap();
                    writer.end().await.unwrap();
                };
                drop(spawn_local(write).unwrap());
                let read = async move {
                    let mut all = Vec::new();
                    let mut buffer = vec![0; 70_000];
                    loop {
                        match reader.read(&mut buffer).await.unwrap() {
                            0 => break,
                            count => all.extend_from_slice(&buffer[..count]),
                        }
                    }
                    assert!(all == expected);
                    seen.set(true);
                };
                drop(spawn_local(read).unwrap());
            });
        });
        assert!(done.get());
    }

    fn a_socket_has_at_most_one_layer_and_none_after_its_end(net) {
        net.run(|| {
            layered_pair(net, |socket| {
                let error = socket.add_layer(Frames::new()).unwrap_err();
                assert_eq!(error.code(), ErrorCode::ERR_HAS_LAYER);
                socket.resume();
                socket.end();
            }, |client| {
                client.resume();
                client.on_close(|client, _| {
                    assert!(client.layer::<Frames>().is_none(), "it left with the connection");
                    let error = client.add_layer(Frames::new()).unwrap_err();
                    assert_eq!(error.code(), ErrorCode::ERR_SOCKET_CLOSED);
                });
            });
        });
    }

    fn an_idle_timeout_works_above_a_layer(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            layered_pair(net, |socket| _ = socket.resume(), move |client| {
                client.set_idle_timeout(Some(Duration::from_millis(20)));
                client.on_idle_timeout(move |client| {
                    seen.add("timeout");
                    client.end();
                });
                client.resume();
            });
        });
        assert_eq!(log.take(), ["timeout"]);
    }

    fn many_layers_that_open_at_once_leave_turns_for_others(net) {
        let opened = Rc::new(Cell::new(0));
        let count = Rc::clone(&opened);
        net.run(|| {
            let server = fyke::create_server(move |socket| {
                socket.add_layer(Frames::second()).unwrap();
                let count = Rc::clone(&count);
                socket.on_data(move |socket, _| {
                    count.set(count.get() + 1);
                    socket.end();
                    if count.get() == 50 {
                        socket.server().unwrap().close();
                    }
                });
            });
            net.listen(&server, net.tcp(), |endpoint| {
                for _ in 0..50 {
                    let client = Socket::new();
                    client.add_layer(Frames::new()).unwrap();
                    client.connect(endpoint.clone()).unwrap();
                    let _ = client.write("x");
                    client.resume();
                }
            });
        });
        assert_eq!(opened.get(), 50);
    }
}
