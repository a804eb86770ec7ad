//! Limits on what a program may accumulate without noticing: callbacks of writes, of ends, and of
//! failed connects. Timeouts that are due together do not delay other sockets.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use fyke::{Server, Socket, SocketOptions, timer};
use support::{Log, Net, drive, word};

/// The number of bytes that a pending callback counts as.
const CALLBACK_BYTES: usize = 64;

/// A socket whose writes wait because it is corked, and whose queue may hold ten callbacks.
fn with_room_for_ten(net: &Net, then: impl FnOnce(&Socket) + 'static) {
    let server = fyke::create_server(|socket| _ = socket.resume());
    net.listen(&server.clone(), net.tcp(), move |endpoint| {
        let options = SocketOptions::new().write_queue_bytes_max(10 * CALLBACK_BYTES);
        let client = options.build();
        client.on_close(move |_, _| _ = server.close());
        let connected = move |client: &Socket| then(client.resume().cork());
        client.connect_then(endpoint, connected).unwrap();
    });
}

/// Connects three times to a port without a listener, then once to a server, and returns which of the
/// callbacks ran.
fn connect_until_it_succeeds(net: &Net) -> Vec<String> {
    let log = Log::new();
    let seen = log.clone();
    let path = net.path();
    let exact = net.is_node_exact();
    net.run(|| {
        // The values that the callbacks captured.
        let captured: Rc<RefCell<Vec<Weak<()>>>> = Rc::default();
        let server = fyke::create_server(|socket| {
            socket.end();
            socket.server().unwrap().close();
        });
        let (tried, place) = (captured.clone(), path.clone());
        let connect = Rc::new(move |client: &Socket| {
            let own = Rc::new(());
            tried.borrow_mut().push(Rc::downgrade(&own));
            let (log, number) = (log.clone(), tried.borrow().len());
            let connected = move |client: &Socket| {
                _ = &own;
                log.add(format!("connected {number}"));
                client.resume();
            };
            client.connect_then(place.clone(), connected).unwrap();
        });
        let client = Socket::new();
        client.on_error(|_, _| {});
        connect(&client);
        client.on_close(move |client, had_error| {
            let tries = captured.borrow().len();
            match tries {
                _ if !had_error => {}
                1 | 2 => connect(client),
                _ => {
                    let (client, connect, captured) =
                        (client.clone(), connect.clone(), captured.clone());
                    let (server, path) = (server.clone(), path.clone());
                    // After `close`, when the socket has released what it no longer needs.
                    let again = move || {
                        let kept =
                            captured.borrow().iter().filter(|own| own.strong_count() > 0).count();
                        assert_eq!(kept, if exact { 3 } else { 0 });
                        server.listen_then(path, move |_| connect(&client)).unwrap();
                    };
                    timer::set_immediate(again).unwrap();
                }
            }
        });
    });
    seen.take()
}

on_every_driver! {
    // Regression: empty writes had no limit, because their callbacks were not counted.
    fn callbacks_of_writes_count_toward_the_limit_of_the_queue(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| with_room_for_ten(net, move |client| {
            let failed = log.clone();
            client.on_error(move |_, error| failed.add(format!("error {}", error.code())));
            for number in 1..=11 {
                let log = log.clone();
                let reported = move |_: &Socket, result| log.add(format!("{number} {}", word(&result)));
                assert!(client.write_then("", reported), "{number} is not past the limit");
            }
            assert_eq!(client.write_queue_len(), 0, "the length is that of the bytes");
            let log = log.clone();
            let past = move |_: &Socket, result| log.add(format!("12 {}", word(&result)));
            assert!(!client.write_then("", past));
            assert!(client.is_destroyed());
        }));
        let entries = seen.take();
        assert_eq!(entries.len(), 13);
        assert!(entries.contains(&"12 ERR_WRITE_QUEUE_FULL".into()));
        assert!(entries.contains(&"error ERR_WRITE_QUEUE_FULL".into()));
        assert!(!entries.iter().any(|entry| entry.ends_with("ok")));
    }

    fn callbacks_of_finished_writes_do_not_count(net) {
        let reported = Rc::new(Cell::new(0));
        let seen = reported.clone();
        net.run(|| with_room_for_ten(net, move |client| {
            client.uncork();
            fn next(client: &Socket, reported: Rc<Cell<u32>>) {
                reported.set(reported.get() + 1);
                if reported.get() == 100 {
                    client.end();
                    return;
                }
                client.write_then("", move |client, result| {
                    result.unwrap();
                    next(client, reported);
                });
            }
            next(client, reported);
        }));
        assert_eq!(seen.get(), 100);
    }

    fn a_write_that_crosses_the_limit_with_its_callback_is_accepted(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| with_room_for_ten(net, move |client| {
            let reported = move |_: &Socket, result| log.add(word(&result));
            client.write_then(vec![1; 100_000], reported);
            client.uncork().end();
        }));
        assert_eq!(seen.take(), ["ok"]);
    }

    fn callbacks_of_ends_have_a_limit_too(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| with_room_for_ten(net, move |client| {
            client.on_error(|_, _| {});
            // The end cannot be sent before these writes.
            let _ = client.uncork().write(vec![1; 32 << 20]);
            for number in 1..=12 {
                let log = log.clone();
                client.end_then(move |_, result| log.add(format!("{number} {}", word(&result))));
                assert_eq!(client.is_destroyed(), number == 12, "{number}");
            }
        }));
        let entries = seen.take();
        assert_eq!(entries.len(), 12);
        assert!(entries.iter().all(|entry| entry.ends_with("ERR_WRITE_QUEUE_FULL")), "{entries:?}");
    }

    fn on_an_exact_loop_callbacks_do_not_count(net) {
        let log = Log::new();
        let seen = log.clone();
        net.node_exact().run(|| with_room_for_ten(net, move |client| {
            let reported = Rc::new(Cell::new(0));
            for _ in 0..1000 {
                let reported = reported.clone();
                client.write_then("", move |_, _| reported.set(reported.get() + 1));
            }
            client.uncork().end_then(move |_, _| log.add(reported.get()));
        }));
        assert_eq!(seen.take(), ["1000"]);
    }

    // Regression: the callback of a program that retried until a server listened ran once for each
    // attempt.
    fn the_callback_of_a_connect_that_failed_does_not_run_when_a_later_one_succeeds(net) {
        assert_eq!(connect_until_it_succeeds(net), ["connected 4"]);
    }

    fn on_an_exact_loop_the_callbacks_of_connects_that_failed_run_with_the_next(net) {
        let all = ["connected 1", "connected 2", "connected 3", "connected 4"];
        assert_eq!(connect_until_it_succeeds(net.node_exact()), all);
    }

    // Regression: all timeouts were emitted in one turn, and no other socket was served meanwhile.
    fn timeouts_that_are_due_together_are_spread_over_turns(net) {
        const CLIENTS: usize = 200;
        const PER_TURN_MAX: usize = 64;
        let event_loop = net.event_loop();
        let reported = Rc::new(Cell::new(0));
        let accepted = event_loop.enter(|| {
            let server = Server::new();
            let accepted: Rc<RefCell<Vec<Socket>>> = Rc::default();
            let held = accepted.clone();
            server.on_connection(move |_, socket| held.borrow_mut().push(socket.clone()));
            net.listen(&server, net.tcp(), |endpoint| {
                for _ in 0..CLIENTS {
                    fyke::connect(&endpoint).unwrap().on_error(|_, _| {});
                }
            });
            accepted
        });
        drive(&event_loop, || accepted.borrow().len() == CLIENTS).unwrap();
        event_loop.enter(|| {
            for socket in accepted.borrow().iter() {
                let reported = reported.clone();
                socket.set_idle_timeout_then(Duration::from_millis(5), move |_| reported.set(reported.get() + 1));
            }
        });
        let mut turns = 0;
        while reported.get() < CLIENTS {
            let before = reported.get();
            event_loop.turn(Some(Duration::from_secs(1))).unwrap();
            assert!(reported.get() - before <= PER_TURN_MAX, "{} in one turn", reported.get() - before);
            turns += usize::from(reported.get() > before);
        }
        assert!(turns >= CLIENTS.div_ceil(PER_TURN_MAX));
    }
}
