//! Ending, half-open, destroying, resetting: the events of each side, in order.

mod support;

use std::cell::RefCell;
use std::rc::Rc;

use fyke::{ErrorCode, ReadyState, Socket};
use support::{Log, collect};

on_every_driver! {
    fn end_06_the_end_of_the_peer_ends_our_side(net) {
        for endpoint in net.endpoints() {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| net.pair(
                endpoint,
                |socket| { socket.end_with("bye"); },
                move |client| {
                    log.watch("", client);
                    let log = log.clone();
                    client.on_end(move |client| {
                        log.add(format!("{:?} {}", client.ready_state(), client.is_destroyed()));
                    });
                    client.on_data(|_, _| {});
                },
            ));
            let wanted =
                ["connect", "ready", "end", "WriteOnly false", "finish", "close false"];
            assert_eq!(seen.take(), wanted);
        }
    }

    fn end_08_data_written_in_the_end_listener_is_sent(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            move |socket| {
                let bytes = collect(socket);
                socket.on_end(move |_| log.add(String::from_utf8_lossy(&bytes.borrow())));
                socket.end();
            },
            |client| {
                client.resume();
                client.on_end(|client| {
                    assert!(client.write("in end"));
                    let client = client.clone();
                    fyke::timer::next_tick(move || assert!(client.write(", and a tick later")))
                        .unwrap();
                });
            },
        ));
        assert_eq!(seen.take(), ["in end, and a tick later"]);
    }

    fn end_11_a_half_open_socket_writes_after_the_peers_end(net) {
        for endpoint in net.endpoints() {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| net.pair(
                endpoint,
                |socket| {
                    socket.set_allow_half_open(true);
                    let bytes = collect(socket);
                    socket.on_end(move |socket| {
                        assert_eq!(socket.ready_state(), ReadyState::WriteOnly);
                        let socket = socket.clone();
                        let answer = bytes.take().to_ascii_uppercase();
                        let wait = std::time::Duration::from_millis(5);
                        fyke::timer::set_timeout(wait, move || { socket.end_with(answer); }).unwrap();
                    });
                },
                move |client| {
                    let bytes = collect(client);
                    client.on_end(move |_| log.add(String::from_utf8_lossy(&bytes.borrow())));
                    client.on_connect(|client| { client.end_with("question"); });
                },
            ));
            assert_eq!(seen.take(), ["QUESTION"]);
        }
    }

    fn end_14_unread_data_holds_the_socket_open(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.resume(); socket.end_with("unread"); },
            move |client| {
                log.watch("", client);
                client.on_ready(|client| { client.end(); });
                let data = log.clone();
                let listen = client.clone();
                client.on_finish(move |_| {
                    let (socket, data) = (listen.clone(), data.clone());
                    let wait = std::time::Duration::from_millis(20);
                    fyke::timer::set_timeout(wait, move || {
                        assert!(!socket.is_destroyed());
                        socket.on_data(move |_, bytes| data.add(String::from_utf8_lossy(bytes)));
                    }).unwrap();
                });
            },
        ));
        assert_eq!(seen.take(), ["connect", "ready", "finish", "unread", "end", "close false"]);
    }

    fn end_04_an_end_before_the_connection_waits_for_it(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.resume(); },
            move |client| {
                log.watch("", client);
                let client = client.clone();
                fyke::timer::next_tick(move || {
                    client.end_with("early");
                    assert!(!client.is_writable());
                    assert_eq!(client.ready_state(), ReadyState::Opening);
                }).unwrap();
            },
        ));
        assert_eq!(seen.take(), ["connect", "ready", "finish", "end", "close false"]);
    }

    fn end_05_end_on_a_socket_that_was_never_connected_finishes(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let socket = Socket::new();
            log.watch("", &socket);
            let reported = log.clone();
            socket.end_then(move |_, result| reported.add(format!("{result:?}")));
            assert!(!socket.is_destroyed());
        });
        assert_eq!(seen.take(), ["Ok(())", "finish"]);
    }

    fn end_17_destroy_soon_sends_everything_and_does_not_wait_for_the_peer(net) {
        let log = Log::new();
        let seen = log.clone();
        let len = 3 << 20;
        net.run(|| net.pair(
            net.tcp(),
            move |socket| {
                socket.set_allow_half_open(true);
                let bytes = collect(socket);
                socket.on_end(move |socket| {
                    assert_eq!(bytes.borrow().len(), len);
                    socket.destroy();
                });
            },
            move |client| {
                log.watch("", client);
                client.on_connect(move |client| {
                    let _ = client.write(vec![1; len]);
                    client.destroy_soon();
                });
            },
        ));
        let mut entries = seen.take();
        // `drain` depends on how much the system buffers.
        entries.retain(|entry| entry != "drain");
        assert_eq!(entries, ["connect", "ready", "finish", "close false"]);
    }

    fn dst_02_error_is_emitted_on_the_tick_and_close_after_the_immediates(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.resume(); },
            move |client| {
                client.on_ready(move |client| {
                    log.watch("", client);
                    let [tick, immediate] = [log.clone(), log.clone()];
                    fyke::timer::set_immediate(move || immediate.add("immediate")).unwrap();
                    client.destroy_with(fyke::Error::new(ErrorCode::EPIPE, "mine"));
                    assert!(client.is_destroyed() && !client.is_readable() && !client.is_writable());
                    client.destroy_with(fyke::Error::new(ErrorCode::EINVAL, "too late"));
                    fyke::timer::next_tick(move || tick.add("tick")).unwrap();
                });
            },
        ));
        assert_eq!(seen.take(), ["error EPIPE", "tick", "immediate", "close true"]);
    }

    fn dst_03_a_fresh_socket_closes_on_the_tick(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let socket = Socket::new();
            log.watch("", &socket);
            socket.destroy();
            socket.destroy();
        });
        assert_eq!(seen.take(), ["close false"]);
    }

    fn dst_04_a_socket_destroyed_in_the_turn_of_connect_sends_nothing(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(|_| panic!("no client connects"));
            net.listen(&server, net.tcp(), {
                let server = server.clone();
                move |endpoint| {
                    let client = fyke::connect(endpoint).unwrap();
                    log.watch("", &client);
                    client.on_connection_attempt(|_, _| panic!("destroyed before"));
                    client.destroy();
                    client.on_close(move |_, _| { server.close(); });
                }
            });
        });
        assert_eq!(seen.take(), ["close false"]);
    }

    fn dst_11_reset_and_destroy_is_econnreset_at_the_peer(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.on_data(|socket, _| socket.reset_and_destroy().unwrap()); },
            move |client| {
                log.watch("", client);
                client.on_connect(|client| { let _ = client.write("x"); });
                client.on_error(|_, error| assert_eq!(error.to_string(), "read ECONNRESET"));
            },
        ));
        assert_eq!(seen.take(), ["connect", "ready", "error ECONNRESET", "close true"]);
    }

    fn dst_12_reset_while_connecting_waits_for_the_connection(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.resume(); socket.on_error(|_, error| assert_eq!(error.code(), ErrorCode::ECONNRESET)); },
            move |client| {
                log.watch("", client);
                let client = client.clone();
                fyke::timer::next_tick(move || {
                    client.reset_and_destroy().unwrap();
                    assert!(client.is_connecting() && !client.is_destroyed());
                }).unwrap();
            },
        ));
        assert_eq!(seen.take(), ["connect", "close false"]);
    }

    fn dst_13_dst_14_reset_without_a_tcp_connection_is_an_error(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let socket = Socket::new();
            log.watch("fresh ", &socket);
            socket.reset_and_destroy().unwrap();
            net.pair(
                net.path().into(),
                |socket| { socket.resume(); },
                |client| {
                    client.on_ready(|client| {
                        let code = client.reset_and_destroy().unwrap_err().code();
                        assert_eq!(code, ErrorCode::ERR_INVALID_HANDLE_TYPE);
                        assert!(client.write("still works"));
                        client.end();
                    });
                },
            );
        });
        assert_eq!(seen.take(), ["fresh error ERR_SOCKET_CLOSED", "fresh close true"]);
    }

    fn dst_08_closing_with_unread_data_resets_the_peer(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| {
                // This side never reads: it is paused before reading begins, and destroyed when the
                // data has arrived.
                socket.pause();
                let socket = socket.clone();
                let wait = std::time::Duration::from_millis(50);
                fyke::timer::set_timeout(wait, move || { socket.destroy(); }).unwrap();
            },
            move |client| {
                log.watch("", client);
                client.on_connect(|client| { let _ = client.write(vec![0; 200_000]); });
            },
        ));
        let entries = seen.take();
        let reset = entries.iter().any(|entry| entry == "error ECONNRESET");
        assert!(reset && entries.last().is_some_and(|last| last == "close true"), "{entries:?}");
    }

    fn dst_18_dst_19_a_closed_socket_is_safe_to_touch(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.end(); socket.resume(); },
            move |client| {
                client.resume();
                let log = log.clone();
                client.on_close(move |client, _| {
                    let client = client.clone();
                    let log = log.clone();
                    fyke::timer::set_immediate(move || {
                        let remote = client.remote_address();
                        assert!(remote.is_some(), "unchanged after close (PROP-09)");
                        assert!(client.local_address().is_some());
                        client.pause().resume().cork().uncork().ref_loop().unref_loop().end().destroy();
                        client.set_idle_timeout(Some(std::time::Duration::from_millis(1)));
                        client.set_no_delay(true).unwrap();
                        client.set_keep_alive(true, std::time::Duration::from_secs(9)).unwrap();
                        client.reset_and_destroy().unwrap();
                        let reported = log.clone();
                        assert!(!client.write_then("x", move |_, r| reported.add(r.unwrap_err().code())));
                        let reported = log.clone();
                        client.end_then(move |_, r| reported.add(r.unwrap_err().code()));
                    }).unwrap();
                });
            },
        ));
        // The peer had ended: END-10.
        let after = ["EPIPE", "ERR_STREAM_ALREADY_FINISHED"];
        assert_eq!(seen.take(), after);
    }

    fn rd_05_data_received_while_paused_is_delivered_in_order_after_resume(net) {
        for endpoint in net.endpoints() {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| net.pair(
                endpoint,
                |socket| { socket.end_with(support::pattern(300_000)); },
                move |client| {
                    let bytes = Rc::new(RefCell::new(Vec::new()));
                    let sink = bytes.clone();
                    client.on_data(move |client, data| {
                        assert!(!client.is_paused(), "nothing is delivered while paused");
                        sink.borrow_mut().extend_from_slice(data);
                        client.pause();
                        let client = client.clone();
                        let wait = std::time::Duration::from_millis(1);
                        fyke::timer::set_timeout(wait, move || { client.resume(); }).unwrap();
                    });
                    client.on_end(move |_| {
                        assert!(*bytes.borrow() == support::pattern(300_000));
                        log.add("whole");
                    });
                },
            ));
            assert_eq!(seen.take(), ["whole"]);
        }
    }

    fn rd_21_nothing_is_delivered_after_destroy(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.on_error(|_, _| {}); socket.end_with(vec![1; 500_000]); },
            move |client| {
                log.watch("", client);
                let first = log.clone();
                client.on_data(move |client, _| {
                    first.add("data");
                    client.destroy();
                });
                client.on_data(|_, _| panic!("destroyed by the first listener"));
            },
        ));
        assert_eq!(seen.take(), ["connect", "ready", "data", "close false"]);
    }

    fn str_01_str_02_a_piped_socket_echoes_and_ends_with_its_source(net) {
        for endpoint in net.endpoints() {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| net.pair(
                endpoint,
                |socket| { socket.pipe(socket); },
                move |client| {
                    let bytes = collect(client);
                    client.on_connect(|client| { client.end_with(support::pattern(2_000_000)); });
                    client.on_end(move |_| {
                        assert!(*bytes.borrow() == support::pattern(2_000_000));
                        log.add("whole");
                    });
                },
            ));
            assert_eq!(seen.take(), ["whole"]);
        }
    }
}
