//! `connect` from a listener, and before the old `close`, on loops that copy Node's accidents. On
//! these, events are emitted inside the call. Every listener receives every event, and every callback
//! runs.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fyke::{Endpoint, Error, ErrorCode, Server, Socket, timer};
use support::{Log, Net, settled, word};

/// Logs the result of a write or an end.
fn reported(log: &Log, label: &'static str) -> impl FnOnce(&Socket, fyke::Result<()>) + 'static {
    let log = log.clone();
    move |_, result| log.add(format!("{label} {}", word(&result)))
}

/// Connects a client that is watched. `act` runs in an immediate after that, with the endpoint for the
/// next connect. In the end, both sides are closed.
fn after_connecting(
    net: &Net,
    endpoint: Endpoint,
    act: impl FnOnce(&Socket, Endpoint, &Log) + 'static,
) -> Vec<String> {
    let log = Log::new();
    let seen = log.clone();
    net.node_exact().run(|| {
        let server = Server::new();
        server.on_connection(|_, socket| {
            socket.on_error(|_, _| {});
            socket.resume();
        });
        net.listen(&server.clone(), endpoint, move |endpoint| {
            let client = Socket::new();
            let again = endpoint.clone();
            client
                .connect_then(endpoint, move |client| {
                    let client = client.clone();
                    timer::set_immediate(move || {
                        log.watch("", &client);
                        act(&client, again, &log);
                        settled(move || {
                            log.add("settled");
                            client.destroy();
                            server.close();
                        });
                    })
                    .unwrap();
                })
                .unwrap();
        });
    });
    let mut seen = seen.take();
    if let Some(end) = seen.iter().position(|entry| entry == "settled") {
        seen.truncate(end);
    }
    seen
}

on_every_driver! {
    /// Regression: the attempt is emitted inside `connect`, and the end of that emission compacted the
    /// list of listeners while the outer emission still used it.
    fn con_18_all_listeners_of_connect_run_even_if_one_connects_again(net) {
        let log = Log::new();
        let seen = log.clone();
        net.node_exact().run(|| {
            let server = Server::new();
            server.on_connection(|server, socket| {
                server.close();
                socket.resume();
            });
            net.listen(&server, net.path().into(), move |endpoint| {
                let client = Socket::new();
                let add = |entry: &'static str| {
                    let log = log.clone();
                    move |_: &Socket| log.add(entry)
                };
                let attempt = log.clone();
                client.on_connection_attempt(move |_, _| attempt.add("attempt"));
                client.on_connect(add("first"));
                let again = endpoint.clone();
                let second = add("of the second connect");
                let callback = log.clone();
                client.connect_then(endpoint, move |client| {
                    callback.add("callback");
                    client.connect_then(again, second).unwrap();
                }).unwrap();
                client.on_connect(add("second"));
                client.on_connect(add("third"));
                log.watch("", &client);
            });
        });
        let wanted = [
            "attempt", "first", "callback", "attempt", "second", "third", "connect", "ready",
            "error EISCONN", "close true",
        ];
        assert_eq!(seen.take(), wanted);
    }

    /// A listener cannot run inside itself, so an attempt that it starts is emitted after it returns.
    fn con_18_all_attempt_listeners_are_called_for_an_attempt_that_a_listener_starts(net) {
        let log = Log::new();
        let seen = log.clone();
        net.node_exact().run(|| {
            let server = Server::new();
            server.on_connection(|_, socket| _ = socket.resume());
            let stop = server.clone();
            net.listen(&server, net.path().into(), move |endpoint| {
                let client = Socket::new();
                log.watch("", &client);
                client.on_close(move |_, _| _ = stop.close());
                let (again, first) = (endpoint.clone(), Cell::new(true));
                for name in ["a", "b"] {
                    let (log, again, first) = (log.clone(), again.clone(), first.clone());
                    client.on_connection_attempt(move |client, _| {
                        log.add(format!("attempt {name}"));
                        if name == "a" && first.replace(false) {
                            client.connect(&again).unwrap();
                        }
                    });
                }
                client.connect(endpoint).unwrap();
            });
        });
        let wanted = ["attempt a", "attempt b", "attempt a", "attempt b", "error EISCONN", "close true"];
        assert_eq!(seen.take(), wanted);
    }

    /// Regression: the first write failed, and the peer received the second one in its place.
    fn wr_10_a_write_waits_for_the_connect_that_a_listener_of_connect_starts(net) {
        let log = Log::new();
        let seen = log.clone();
        net.node_exact().run(|| {
            let server = Server::new();
            let received = log.clone();
            server.on_connection(move |_, socket| {
                let received = received.clone();
                socket.on_data(move |_, data| data.iter().for_each(|byte| received.add(byte.to_string())));
            });
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let client = Socket::new();
                let (again, first) = (endpoint.clone(), Cell::new(true));
                client.on_connect(move |client| {
                    if first.replace(false) {
                        client.connect(&again).unwrap();
                        client.end_with(vec![2]);
                    }
                });
                client.on_close(move |_, _| _ = server.close());
                client.connect(endpoint).unwrap();
                client.write_then(vec![1], reported(&log, "first"));
            });
        });
        assert_eq!(seen.take(), ["first ok", "1", "2"]);
    }

    /// Regression: the `close` of the old connection was taken for that of the new one, which then
    /// continued.
    fn con_17_a_callback_that_runs_before_close_may_connect_again(net) {
        let seen = after_connecting(net, net.tcp(), |client, again, log| {
            let log = log.clone();
            client.write_then(vec![0; 16 << 20], move |client, result| {
                log.add(format!("written {}", word(&result)));
                client.connect(&again).unwrap();
            });
            let client = client.clone();
            timer::set_immediate(move || _ = client.destroy()).unwrap();
        });
        assert_eq!(seen, ["written ECANCELED", "close false", "connect", "ready"]);
    }

    fn wr_19_corked_writes_are_reported_even_if_the_socket_connects_again(net) {
        let seen = after_connecting(net, net.tcp(), |client, again, log| {
            client.cork();
            client.write_then("a", reported(log, "a"));
            client.destroy();
            client.connect(again).unwrap();
        });
        assert_eq!(seen, ["a ERR_STREAM_DESTROYED", "close false", "connect", "ready"]);
    }

    fn wr_19_corked_writes_are_reported_before_the_error_of_destroy(net) {
        let seen = after_connecting(net, net.tcp(), |client, again, log| {
            client.cork();
            client.write_then("a", reported(log, "a"));
            client.destroy_with(Error::new(ErrorCode::EINVAL, "by the test"));
            client.connect(again).unwrap();
        });
        let wanted = ["a ERR_STREAM_DESTROYED", "error EINVAL", "close true", "connect", "ready"];
        assert_eq!(seen, wanted);
    }

    fn wr_08_accepted_writes_succeed_even_if_the_socket_connects_again(net) {
        let seen = after_connecting(net, net.tcp(), |client, again, log| {
            client.write_then("a", reported(log, "a"));
            client.cork();
            client.write_then("b", reported(log, "b"));
            client.destroy();
            client.connect(again).unwrap();
            let log = log.clone();
            timer::next_tick(move || log.add("tick")).unwrap();
        });
        let wanted = ["a ok", "b ERR_STREAM_DESTROYED", "tick", "close false", "connect", "ready"];
        assert_eq!(seen, wanted);
    }

    /// Regression: the old writes also had the numbers of the new ones.
    fn wr_08_a_write_of_the_new_connection_is_not_reported_with_one_of_the_old(net) {
        let seen = after_connecting(net, net.tcp(), |client, again, log| {
            client.write_then("a", reported(log, "a"));
            client.destroy();
            client.connect(again).unwrap();
            client.uncork();
            client.write_then("b", reported(log, "b"));
            let log = log.clone();
            timer::next_tick(move || log.add("tick")).unwrap();
        });
        assert_eq!(seen[..2], ["a ok", "tick"]);
        assert!(seen.contains(&String::from("b ok")), "{seen:?}");
    }

    fn wr_08_both_writes_of_a_batch_are_reported_even_if_the_first_callback_connects_again(net) {
        let seen = after_connecting(net, net.tcp(), |client, again, log| {
            client.cork();
            let first = reported(log, "a");
            client.write_then("a", move |client, result| {
                first(client, result);
                client.destroy();
                client.connect(again).unwrap();
            });
            client.write_then("b", reported(log, "b"));
            client.uncork();
        });
        assert_eq!(seen, ["a ok", "b ok", "close false", "connect", "ready"]);
    }

    fn wr_19_writes_in_flight_are_cancelled_even_if_the_socket_connects_again(net) {
        let seen = after_connecting(net, net.tcp(), |client, again, log| {
            client.write_then(vec![0; 32 << 20], reported(log, "a"));
            client.write_then("b", reported(log, "b"));
            client.destroy();
            client.connect(again).unwrap();
        });
        let wanted = ["a ECANCELED", "b ECANCELED", "error ECANCELED", "close false", "close true"];
        assert_eq!(seen, wanted);
    }

    fn con_17_each_of_several_connections_has_its_close(net) {
        let seen = after_connecting(net, net.tcp(), |client, again, _| {
            for _ in 0..3 {
                client.destroy();
                client.connect(&again).unwrap();
            }
        });
        let wanted = ["close false", "close false", "close false", "connect", "ready"];
        assert_eq!(seen, wanted);
    }

    /// Regression: the first `close` counted as that of the connection that was destroyed later.
    fn con_17_the_close_of_an_earlier_connection_does_not_close_a_later_destroyed_one(net) {
        let seen = after_connecting(net, net.tcp(), |client, again, _| {
            client.destroy();
            client.connect(&again).unwrap();
            // Another socket that is closed in the same phase, after the first.
            client.destroy();
            let mut first = true;
            client.on_close(move |client, _| {
                if std::mem::replace(&mut first, false) {
                    let (client, again) = (client.clone(), again.clone());
                    timer::next_tick(move || client.connect(again).unwrap()).unwrap();
                }
            });
        });
        assert_eq!(seen, ["close false", "close false", "connect", "ready"]);
    }

    fn every_callback_of_a_socket_that_connects_again_is_freed_with_the_loop(net) {
        let kept = Rc::new(RefCell::new(()));
        let weak = Rc::downgrade(&kept);
        after_connecting(net, net.tcp(), move |client, again, _| {
            client.cork();
            let captured = Rc::clone(&kept);
            client.write_then("a", move |_, _| drop(captured));
            client.end_then(move |_, _| drop(kept));
            client.destroy();
            client.connect(again).unwrap();
        });
        assert!(weak.upgrade().is_none());
    }
}
