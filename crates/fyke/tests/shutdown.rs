//! `Server::shutdown`: the application declares which connections are busy, and the reported outcome is
//! true.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use fyke::{ErrorCode, Server, ShutdownOutcome, Socket, timer};
use support::{DEADLINE, Log, collect, drive};

/// The outcome of a shutdown: its counts, and whether time was left.
fn reported(log: &Log) -> impl FnOnce(&Server, ShutdownOutcome) + 'static {
    let log = log.clone();
    move |_, outcome| {
        let ShutdownOutcome { ended, failed, reset, remaining, .. } = outcome;
        let rest = if remaining.is_zero() { "late" } else { "in time" };
        log.add(format!("{ended} ended, {failed} failed, {reset} reset, {rest}"));
    }
}

/// Connects to the server at this endpoint, and logs received text, the end and errors.
fn client(log: &Log, name: &'static str, endpoint: &fyke::Endpoint) -> Socket {
    let client = fyke::connect(endpoint).unwrap();
    let [text, ended, failed] = [(); 3].map(|()| log.clone());
    client.on_text(move |_, came| text.add(format!("{name} got {came}")));
    client.on_end(move |_| ended.add(format!("{name} end")));
    client.on_error(move |_, error| failed.add(format!("{name} {}", error.code())));
    client
}

on_every_driver! {
    // Regression: the answer was lost, because a connection with empty queues counted as idle.
    fn an_answer_that_is_due_later_is_not_lost(net) {
        for endpoint in net.endpoints() {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let shut = log.clone();
                let server = fyke::create_server(move |socket| {
                    let shut = shut.clone();
                    socket.on_data(move |socket, _| {
                        let late = socket.clone();
                        let answer = move || {
                            assert!(late.is_shutting_down());
                            assert!(late.write("the answer"), "it is still usable");
                            late.set_busy(false);
                        };
                        timer::set_timeout(Duration::from_millis(100), answer).unwrap();
                        let server = socket.server().unwrap();
                        server.shutdown_then(DEADLINE, reported(&shut)).unwrap();
                        assert!(!server.is_listening());
                    });
                });
                net.listen(&server, endpoint, move |endpoint| {
                    let _ = client(&log, "client", &endpoint).write("a question");
                });
            });
            let expected =
                ["client got the answer", "client end", "1 ended, 0 failed, 0 reset, in time"];
            assert_eq!(seen.take(), expected);
        }
    }

    fn connections_that_are_not_busy_end_immediately_and_others_when_they_are_declared_not_busy(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let accepted = Rc::new(RefCell::new(Vec::<Socket>::new()));
            let shut = log.clone();
            let server = fyke::create_server(move |socket| {
                socket.resume();
                let mut accepted = accepted.borrow_mut();
                accepted.push(socket.clone());
                if accepted.len() < 3 {
                    return;
                }
                accepted[0].set_busy(false);
                accepted[1].set_busy(false).set_busy(true);
                let [busy, undeclared] = [accepted[1].clone(), accepted[2].clone()];
                accepted[0].on_close(move |_, _| {
                    assert!(busy.is_writable() && undeclared.is_writable());
                    busy.set_busy(false);
                    let undeclared = undeclared.clone();
                    busy.on_close(move |_, _| _ = undeclared.end());
                });
                socket.server().unwrap().shutdown_then(DEADLINE, reported(&shut)).unwrap();
            });
            net.listen(&server, net.tcp(), move |endpoint| {
                // Connected one after the other, so that their order is known.
                let (endpoint, log) = (endpoint.clone(), log.clone());
                let next = endpoint.clone();
                let first = client(&log, "idle", &endpoint);
                first.on_connect(move |_| {
                    let (last, other) = (next.clone(), log.clone());
                    let busy = client(&log, "busy", &next);
                    busy.on_connect(move |_| _ = client(&other, "undeclared", &last));
                });
            });
        });
        let expected =
            ["idle end", "busy end", "undeclared end", "3 ended, 0 failed, 0 reset, in time"];
        assert_eq!(seen.take(), expected);
    }

    fn a_connection_that_is_not_busy_is_ended_after_its_written_data(net) {
        let log = Log::new();
        let bytes = Rc::new(Cell::new(0));
        let (seen, counted) = (log.clone(), bytes.clone());
        net.run(|| {
            let server = fyke::create_server(move |socket| {
                let _ = socket.resume().write(vec![1; 8 << 20]);
                socket.set_busy(false);
                socket.server().unwrap().shutdown_then(DEADLINE, reported(&log)).unwrap();
            });
            net.listen(&server, net.tcp(), move |endpoint| {
                let client = fyke::connect(endpoint).unwrap();
                client.on_data(move |_, data| bytes.set(bytes.get() + data.len()));
            });
        });
        assert_eq!(counted.get(), 8 << 20);
        assert_eq!(seen.take(), ["1 ended, 0 failed, 0 reset, in time"]);
    }

    fn received_data_makes_a_socket_busy_and_is_answered(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let shut = log.clone();
            let server = fyke::create_server(move |socket| {
                socket.set_busy(false);
                let questions = Cell::new(0);
                let shut = shut.clone();
                socket.on_data(move |socket, _| {
                    assert!(socket.is_busy());
                    questions.set(questions.get() + 1);
                    if questions.get() == 1 {
                        let _ = socket.write("first");
                        socket.set_busy(false);
                        return;
                    }
                    // It has not answered yet.
                    let late = socket.clone();
                    let answer = move || {
                        let _ = late.write("second");
                        late.set_busy(false);
                    };
                    timer::set_timeout(Duration::from_millis(20), answer).unwrap();
                    socket.server().unwrap().shutdown_then(DEADLINE, reported(&shut)).unwrap();
                });
            });
            net.listen(&server, net.tcp(), move |endpoint| {
                let client = client(&log, "client", &endpoint);
                let _ = client.write("one");
                let asked = Cell::new(false);
                client.on_data(move |client, _| {
                    if !asked.replace(true) {
                        let _ = client.write("two");
                    }
                });
            });
        });
        let expected = [
            "client got first",
            "client got second",
            "client end",
            "1 ended, 0 failed, 0 reset, in time",
        ];
        assert_eq!(seen.take(), expected);
    }

    fn unread_bytes_keep_a_socket_busy(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let shut = log.clone();
            let server = fyke::create_server(move |socket| {
                let shut = shut.clone();
                socket.on_readable(move |socket| {
                    if socket.is_shutting_down() || socket.read_queue_len() == 0 {
                        socket.read();
                        return;
                    }
                    socket.set_busy(false);
                    socket.server().unwrap().shutdown_then(DEADLINE, reported(&shut)).unwrap();
                    let socket = socket.clone();
                    support::settled(move || {
                        assert!(socket.is_writable(), "it was ended over a question");
                        assert_eq!(socket.read().unwrap(), b"question");
                        assert!(socket.is_busy(), "taking them makes it busy");
                        let _ = socket.write("answer");
                        socket.set_busy(false);
                    });
                });
            });
            net.listen(&server, net.tcp(), move |endpoint| {
                let _ = client(&log, "client", &endpoint).write("question");
            });
        });
        let expected =
            ["client got answer", "client end", "1 ended, 0 failed, 0 reset, in time"];
        assert_eq!(seen.take(), expected);
    }

    fn every_connection_gets_the_shutdown_event_once_and_not_inside_the_call(net) {
        for endpoint in net.endpoints() {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let server = fyke::create_server(move |socket| {
                    socket.resume();
                    assert!(!socket.is_shutting_down());
                    let heard = log.clone();
                    socket.on_shutdown(move |socket| {
                        heard.add(format!("shutdown {}", socket.is_shutting_down()));
                        socket.end_with("bye");
                        // Called again from the event: it joins the first shutdown.
                        let server = socket.server().unwrap();
                        server.shutdown_then(DEADLINE, reported(&heard)).unwrap();
                    });
                    let heard = log.clone();
                    let closed = log.clone();
                    socket.on_close(move |socket, _| {
                        closed.add(format!("close {}", socket.is_shutting_down()));
                    });
                    socket.server().unwrap().shutdown_then(DEADLINE, reported(&heard)).unwrap();
                    log.add("called");
                });
                let closed = seen.clone();
                server.on_close(move |_| closed.add("server close"));
                net.listen(&server, endpoint, move |endpoint| {
                    fyke::connect(endpoint).unwrap().resume();
                });
            });
            let outcome = "1 ended, 0 failed, 0 reset, in time";
            let expected =
                ["called", "shutdown true", "server close", outcome, outcome, "close false"];
            let mut entries = seen.take();
            // The close of the socket and that of the server have no defined order.
            let at = entries.iter().position(|entry| entry == "close false").unwrap();
            let close = entries.remove(at);
            entries.push(close);
            assert_eq!(entries, expected);
        }
    }

    fn connections_open_at_the_deadline_are_reset(net) {
        for endpoint in net.endpoints() {
            let log = Log::new();
            let seen = log.clone();
            let unix = endpoint.is_unix();
            net.run(|| {
                let shut = log.clone();
                let accepted = Rc::new(RefCell::new(Vec::<Socket>::new()));
                let server = fyke::create_server(move |socket| {
                    let mut accepted = accepted.borrow_mut();
                    accepted.push(socket.clone());
                    socket.resume();
                    if accepted.len() == 3 {
                        // One has no work, and one cannot send its bytes although it is idle.
                        let _ = accepted[1].write(vec![1; 32 << 20]);
                        accepted[1].set_busy(false);
                        accepted[2].end();
                        let server = socket.server().unwrap();
                        server.shutdown_then(DEADLINE, reported(&shut)).unwrap();
                        // When the first has ended, the others get a moment more.
                        socket.on_close(move |_, _| {
                            server.shutdown(Duration::from_millis(1)).unwrap();
                        });
                    }
                });
                net.listen(&server, endpoint, move |endpoint| {
                    let quiet = fyke::connect(&endpoint).unwrap();
                    let failed = log.clone();
                    quiet.resume().on_error(move |_, error| failed.add(error.code()));
                    let next = endpoint.clone();
                    quiet.on_connect(move |_| {
                        let deaf = fyke::connect(&next).unwrap();
                        deaf.pause().on_error(|_, _| {});
                        let next = next.clone();
                        deaf.on_connect(move |_| _ = fyke::connect(&next).unwrap().resume());
                    });
                });
            });
            let mut entries = seen.take();
            entries.sort();
            let outcome = "1 ended, 0 failed, 2 reset, late";
            assert_eq!(entries.first().map(String::as_str), Some(outcome));
            assert_eq!(entries.get(1).map(String::as_str), (!unix).then_some("ECONNRESET"));
        }
    }

    fn a_deadline_of_zero_resets_everything_after_the_event(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(move |socket| {
                let heard = log.clone();
                socket.on_shutdown(move |_| heard.add("shutdown"));
                let server = socket.set_busy(false).server().unwrap();
                server.shutdown_then(Duration::ZERO, reported(&log)).unwrap();
                assert!(!socket.is_destroyed(), "not inside the call");
            });
            net.listen(&server, net.tcp(), move |endpoint| {
                let client = fyke::connect(endpoint).unwrap();
                client.on_error(|_, _| {});
            });
        });
        assert_eq!(seen.take(), ["shutdown", "0 ended, 0 failed, 1 reset, late"]);
    }

    fn a_deadline_of_the_maximum_duration_is_never_reached(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(move |socket| {
                let late = socket.resume().clone();
                timer::set_timeout(Duration::from_millis(20), move || _ = late.end()).unwrap();
                socket.server().unwrap().shutdown_then(Duration::MAX, reported(&log)).unwrap();
            });
            net.listen(&server, net.tcp(), move |endpoint| {
                fyke::connect(endpoint).unwrap().resume();
            });
        });
        assert_eq!(seen.take(), ["1 ended, 0 failed, 0 reset, in time"]);
    }

    fn a_socket_may_be_destroyed_in_its_shutdown_event_and_emits_only_close(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(move |socket| {
                socket.set_busy(false);
                socket.on_shutdown(|socket| {
                    socket.destroy();
                    assert!(!socket.is_shutting_down() && !socket.set_busy(true).is_busy());
                });
                socket.on_shutdown(|_| unreachable!("it is destroyed"));
                socket.server().unwrap().shutdown_then(DEADLINE, reported(&log)).unwrap();
            });
            net.listen(&server, net.tcp(), |endpoint| {
                fyke::connect(endpoint).unwrap().resume();
            });
        });
        assert_eq!(seen.take(), ["1 ended, 0 failed, 0 reset, in time"]);
    }

    fn a_connection_that_fails_meanwhile_counts_as_failed_and_one_that_the_application_resets_as_reset(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let accepted = Rc::new(RefCell::new(Vec::<Socket>::new()));
            let server = fyke::create_server(move |socket| {
                let mut accepted = accepted.borrow_mut();
                accepted.push(socket.clone());
                socket.on_error(|_, _| {});
                if accepted.len() == 2 {
                    let failure = fyke::Error::new(ErrorCode::ETIMEDOUT, "on purpose");
                    accepted[0].on_shutdown(move |socket| _ = socket.destroy_with(failure.clone()));
                    accepted[1].on_shutdown(|socket| socket.reset_and_destroy().unwrap());
                    socket.server().unwrap().shutdown_then(DEADLINE, reported(&log)).unwrap();
                }
            });
            net.listen(&server, net.tcp(), |endpoint| {
                for _ in 0..2 {
                    fyke::connect(&endpoint).unwrap().resume().on_error(|_, _| {});
                }
            });
        });
        assert_eq!(seen.take(), ["0 ended, 1 failed, 1 reset, in time"]);
    }

    fn a_panic_in_the_shutdown_event_destroys_its_socket_and_the_shutdown_continues(net) {
        let log = Log::new();
        let event_loop = net.event_loop();
        let shut = log.clone();
        event_loop.enter(|| {
            let accepted = Cell::new(0);
            let server = fyke::create_server(move |socket| {
                socket.resume();
                let number = accepted.replace(accepted.get() + 1);
                let heard = shut.clone();
                socket.on_shutdown(move |socket| {
                    assert!(number != 0, "on purpose");
                    heard.add("second");
                    socket.end();
                });
                if number == 1 {
                    socket.server().unwrap().shutdown_then(DEADLINE, reported(&shut)).unwrap();
                }
            });
            net.listen(&server, net.tcp(), |endpoint| {
                for _ in 0..2 {
                    fyke::connect(&endpoint).unwrap().resume();
                }
            });
        });
        let run = std::panic::AssertUnwindSafe(|| drive(&event_loop, || false));
        assert!(std::panic::catch_unwind(run).is_err(), "the panic passes through");
        drive(&event_loop, || false).unwrap();
        assert_eq!(log.take(), ["second", "2 ended, 0 failed, 0 reset, in time"]);
    }

    fn set_idle_without_a_shutdown_changes_nothing(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(net.tcp(), |socket| {
            assert!(socket.is_busy() && !socket.set_busy(false).is_busy());
            let socket = socket.clone();
            support::settled(move || _ = socket.end_with("still here"));
        }, move |client| {
            let bytes = collect(client);
            client.on_end(move |_| log.add(String::from_utf8_lossy(&bytes.borrow())));
        }));
        assert_eq!(seen.take(), ["still here"]);
    }
}
