//! `pipeline` and `finished` report the outcome once.

mod support;

use std::cell::RefCell;
use std::rc::Rc;

use fyke::{Error, ErrorCode, Socket, pipeline};
use support::{Log, Net, collect, pattern, when, word};

const EARLY: &str = "ERR_STREAM_PREMATURE_CLOSE";

fn mine() -> Error {
    Error::new(ErrorCode::EINVAL, "mine")
}

/// A sender, a source and a destination with a pipeline between them, and a receiver. The log has the
/// events of the two in the middle and the outcome of the pipeline.
fn play(
    net: &Net,
    sender: impl FnOnce(&Socket) + 'static,
    middle: impl FnOnce(&Socket, &Socket) + 'static,
    receiver: impl FnOnce(&Socket) + 'static,
) -> Vec<String> {
    let log = Log::new();
    let seen = log.clone();
    net.run(|| {
        let source: Rc<RefCell<Option<Socket>>> = Rc::default();
        let arrived = Rc::clone(&source);
        net.pair(net.tcp(), move |socket| *arrived.borrow_mut() = Some(socket.clone()), sender);
        let both = move |destination: &Socket| {
            let destination = destination.clone();
            let waiting = Rc::clone(&source);
            when(
                move || waiting.borrow().is_some(),
                move || {
                    let source = source.take().unwrap();
                    log.watch("source ", &source);
                    log.watch("destination ", &destination);
                    let reported = log.clone();
                    pipeline(&source, &destination, move |result| reported.add(word(&result)));
                    assert!(log.entries().is_empty(), "never inside the call (C1)");
                    middle(&source, &destination);
                },
            );
        };
        net.pair(net.tcp(), both, receiver);
    });
    let mut entries = seen.take();
    // This depends on the buffers of the system.
    entries.retain(|entry| !entry.ends_with("drain"));
    entries
}

/// A peer that accepts everything and tolerates every ending.
fn takes_all(client: &Socket) {
    client.resume();
    client.on_error(|_, _| {});
}

fn of(side: &str, entries: &[String]) -> Vec<String> {
    entries.iter().filter_map(|entry| entry.strip_prefix(side).map(str::to_owned)).collect()
}

fn position(entry: &str, entries: &[String]) -> usize {
    let position = entries.iter().position(|other| other == entry);
    position.unwrap_or_else(|| panic!("no {entry} in {entries:?}"))
}

on_every_driver! {
    fn str_07_a_successful_pipeline_is_reported_when_the_destination_has_finished(net) {
        let whole = Log::new();
        let seen = whole.clone();
        let entries = play(
            net,
            |client| _ = client.on_connect(|client| _ = client.end_with(pattern(2_000_000))),
            |_, _| {},
            move |client| {
                let bytes = collect(client);
                client.on_end(move |_| {
                    assert!(*bytes.borrow() == pattern(2_000_000));
                    whole.add("whole");
                });
            },
        );
        assert_eq!(seen.take(), ["whole"]);
        assert_eq!(of("source ", &entries), ["end", "finish", "close false"]);
        assert_eq!(of("destination ", &entries), ["finish", "end", "close false"]);
        let reported = position("ok", &entries);
        assert!(position("source end", &entries) < reported);
        assert_eq!(position("destination finish", &entries) + 1, reported);
        assert_eq!(entries.iter().filter(|entry| *entry == "ok").count(), 1);
    }

    fn str_07_a_source_that_fails_destroys_the_destination_with_its_error(net) {
        let entries = play(
            net,
            |client| {
                client.on_connect(|client| _ = client.write("x"));
                client.on_data(|client, _| client.reset_and_destroy().unwrap());
            },
            |source, _| { let _ = source.write("reset me"); },
            takes_all,
        );
        assert_eq!(of("source ", &entries), ["error ECONNRESET", "close true"]);
        assert_eq!(of("destination ", &entries), ["error ECONNRESET", "close true"]);
        let reported = position("ECONNRESET", &entries);
        assert!(position("destination error ECONNRESET", &entries) < reported);
    }

    fn str_07_a_destination_that_fails_destroys_the_source_with_its_error(net) {
        let entries = play(
            net,
            takes_all,
            |_, destination| _ = destination.destroy_with(mine()),
            takes_all,
        );
        assert_eq!(of("source ", &entries), ["error EINVAL", "close true"]);
        assert_eq!(of("destination ", &entries), ["error EINVAL", "close true"]);
        assert_eq!(entries.iter().filter(|entry| *entry == "EINVAL").count(), 1);
    }

    fn str_07_destroying_a_socket_of_a_pipeline_early_is_a_premature_close(net) {
        let error = format!("error {EARLY}");
        let cases: [(&str, &str, fn(&Socket, &Socket)); 2] = [
            ("source ", "destination ", |source, _| _ = source.destroy()),
            ("destination ", "source ", |_, destination| _ = destination.destroy()),
        ];
        for (destroyed, other, destroy) in cases {
            let entries = play(net, takes_all, destroy, takes_all);
            assert_eq!(of(destroyed, &entries), ["close false"]);
            assert_eq!(of(other, &entries), [error.as_str(), "close true"]);
            assert_eq!(entries.iter().filter(|entry| *entry == EARLY).count(), 1);
        }
    }

    fn str_07_a_destination_that_its_peer_ends_early_is_a_premature_close(net) {
        let entries = play(net, takes_all, |_, _| {}, |client| {
            takes_all(client);
            client.on_connect(|client| _ = client.end());
        });
        let error = format!("error {EARLY}");
        assert_eq!(of("destination ", &entries), ["end", "finish", "close false"]);
        assert_eq!(of("source ", &entries), [error.as_str(), "close true"]);
        assert_eq!(entries.iter().filter(|entry| *entry == EARLY).count(), 1);
    }

    fn str_07_a_source_whose_peer_has_ended_outlives_the_failure(net) {
        let entries = play(
            net,
            |client| {
                client.set_allow_half_open(true);
                client.on_connect(|client| _ = client.end_with("x"));
                client.resume();
            },
            |source, destination| {
                source.set_allow_half_open(true);
                destination.cork();
                let destination = destination.clone();
                source.on_end(move |_| _ = destination.destroy_with(mine()));
                source.on_end(|source| {
                    let source = source.clone();
                    let closing = source.clone();
                    when(move || source.is_readable_ended(), move || {
                        assert!(!closing.is_destroyed());
                        closing.end();
                    });
                });
            },
            takes_all,
        );
        assert_eq!(of("source ", &entries), ["end", "finish", "close false"]);
        assert_eq!(of("destination ", &entries), ["error EINVAL", "close true"]);
        position("EINVAL", &entries);
    }

    fn str_07_a_pipeline_out_of_or_into_a_closed_socket_fails_on_the_tick(net) {
        for (source_is_closed, log) in [(true, Log::new()), (false, Log::new())] {
            let seen = log.clone();
            net.run(|| net.pair(net.tcp(), takes_all, move |client| {
                client.on_ready(move |client| {
                    log.watch("", client);
                    let closed = Socket::new();
                    closed.destroy();
                    let (client, log) = (client.clone(), log.clone());
                    closed.on_close(move |closed, _| {
                        let (closed, log, client) = (closed.clone(), log.clone(), client.clone());
                        fyke::timer::set_immediate(move || {
                            let reported = log.clone();
                            let log_outcome = move |result| reported.add(word(&result));
                            match source_is_closed {
                                true => pipeline(&closed, &client, log_outcome),
                                false => pipeline(&client, &closed, log_outcome),
                            }
                            assert!(log.entries().is_empty());
                        }).unwrap();
                    });
                });
            }));
            let error = format!("error {EARLY}");
            assert_eq!(seen.take(), [&error, EARLY, "close true"]);
        }
    }

    fn str_07_the_errors_of_a_pipeline_count_as_handled(net) {
        let log = Log::new();
        let seen = log.clone();
        // Outgoing connections without `on_error`: `run` would return an unhandled error.
        net.run(|| {
            let [source, destination] = [Socket::new(), Socket::new()];
            let failing = source.clone();
            destination.on_ready(move |_| _ = failing.destroy_with(mine()));
            pipeline(&source, &destination, move |result| log.add(word(&result)));
            for socket in [source, destination] {
                let server = fyke::create_server(|client| {
                    client.server().unwrap().close();
                    takes_all(client);
                });
                net.listen(&server, net.tcp(), move |endpoint| {
                    socket.connect(endpoint).unwrap();
                });
            }
        });
        assert_eq!(seen.take(), ["EINVAL"]);
    }

    fn str_08_finished_runs_when_both_directions_are_done(net) {
        for half_open in [false, true] {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| net.pair(
                net.tcp(),
                |socket| _ = socket.end_with("bye"),
                move |client| {
                    client.set_allow_half_open(half_open);
                    log.watch("", client);
                    let reported = log.clone();
                    client.resume().finished(move |_, result| reported.add(word(&result)));
                    client.on_end(move |client| if half_open {
                        let client = client.clone();
                        fyke::timer::set_immediate(move || _ = client.end()).unwrap();
                    });
                },
            ));
            let wanted = ["connect", "ready", "end", "finish", "ok", "close false"];
            assert_eq!(seen.take(), wanted);
        }
    }

    fn str_08_finished_gets_the_error_or_a_premature_close(net) {
        let cases: [(fn(&Socket), &str); 3] = [
            (|client| _ = client.destroy(), EARLY),
            (|client| _ = client.destroy_with(mine()), "EINVAL"),
            (|client| _ = client.write("reset me"), "ECONNRESET"),
        ];
        for (act, code) in cases {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| net.pair(
                net.tcp(),
                |socket| {
                    socket.on_error(|_, _| {});
                    socket.on_data(|socket, _| socket.reset_and_destroy().unwrap());
                },
                move |client| {
                    // Without `on_error`: `run` would return an unhandled error.
                    let reported = log.clone();
                    client.finished(move |_, result| reported.add(word(&result)));
                    client.on_ready(act);
                    client.on_close(move |_, had_error| log.add(format!("close {had_error}")));
                },
            ));
            let mut entries = seen.take();
            entries.sort();
            assert_eq!(entries, [code, &format!("close {}", code != EARLY)]);
        }
    }

    fn str_08_finished_on_a_closed_socket_runs_on_the_tick(net) {
        let cases: [(fn(&Socket), &str); 3] = [
            (|client| _ = client.destroy(), EARLY),
            (|client| _ = client.destroy_with(mine()), "EINVAL"),
            (|client| _ = client.end(), "ok"),
        ];
        for (act, code) in cases {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| net.pair(
                net.tcp(),
                |socket| _ = socket.resume(),
                move |client| {
                    client.resume();
                    client.on_error(|_, _| {});
                    client.on_ready(act);
                    client.on_close(move |client, _| {
                        let (client, log) = (client.clone(), log.clone());
                        fyke::timer::set_immediate(move || {
                            let [reported, tick] = [log.clone(), log.clone()];
                            client.finished(move |_, result| reported.add(word(&result)));
                            assert!(log.entries().is_empty(), "never inside the call (C1)");
                            fyke::timer::next_tick(move || tick.add("next tick")).unwrap();
                        }).unwrap();
                    });
                },
            ));
            assert_eq!(seen.take(), [code, "next tick"]);
        }
    }

    fn str_08_a_pending_error_counts_as_handled(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let socket = Socket::new();
            socket.destroy_with(mine());
            socket.finished(move |_, result| log.add(word(&result)));
        });
        assert_eq!(seen.take(), ["EINVAL"]);
    }
}
