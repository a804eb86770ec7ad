//! One-shot listeners, removed listeners, and too many listeners.

mod support;

use std::cell::Cell;
use std::rc::Rc;

use fyke::{Server, Socket, timer};
use support::Log;

/// Adds one-shot listeners for each event, which log it.
fn listen_once(log: &Log, socket: &Socket) {
    let add = |event: &'static str| {
        let log = log.clone();
        move || log.add(event)
    };
    let plain = |event| {
        let add = add(event);
        move |_: &Socket| add()
    };
    socket.once_connect(plain("connect"));
    socket.once_ready(plain("ready"));
    socket.once_end(plain("end"));
    socket.once_drain(plain("drain"));
    socket.once_prefinish(plain("prefinish"));
    socket.once_finish(plain("finish"));
    socket.once_idle_timeout(plain("timeout"));
    let (attempt, data, error) = (add("attempt"), add("data"), add("error"));
    socket.once_connection_attempt(move |_, _| attempt());
    socket.once_data(move |_, _| data());
    socket.once_error(move |_, _| error());
    let failed = add("attempt failed");
    socket.once_connection_attempt_failed(move |_, _, _| failed());
    let close = log.clone();
    socket.once_close(move |_, had_error| close.add(format!("close {had_error}")));
}

on_every_driver! {
    fn each_one_shot_listener_runs_for_the_first_event_only(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = Server::new();
            server.on_connection(|_, socket| {
                socket.on_data(|socket, data| _ = socket.write(data));
            });
            let target = server.clone();
            net.listen(&server, net.tcp(), move |endpoint| {
                let client = Socket::new();
                listen_once(&log, &client);
                let rounds = Cell::new(0);
                client.on_connect(|client| _ = client.write("1"));
                let again = endpoint.clone();
                client.on_data(move |client, _| {
                    // Each connection gets two bytes, which cannot be split.
                    match rounds.replace(rounds.get() + 1) % 2 {
                        0 => _ = client.write("2"),
                        _ => _ = client.end(),
                    }
                });
                let times = Cell::new(0);
                client.on_close(move |client, _| {
                    match times.replace(times.get() + 1) {
                        0 => client.connect(again.clone()).unwrap(),
                        _ => _ = target.close(),
                    }
                });
                client.connect(endpoint).unwrap();
            });
        });
        let connected = ["attempt", "connect", "ready", "data"];
        let ended = ["prefinish", "finish", "end", "close false"];
        assert_eq!(seen.take(), [&connected[..], &ended[..]].concat());
    }

    fn listener_for_one_connect_stays_when_a_connect_fails_and_the_callback_of_the_call_does_not(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = Server::new();
            server.on_connection(|server, socket| {
                server.close();
                socket.end();
            });
            net.listen(&server, net.tcp(), move |endpoint| {
                let client = Socket::new();
                let (once, first) = (log.clone(), log.clone());
                client.once_connect(move |_| once.add("once"));
                client.once_error(|_, _| {});
                client.connect_then(("127.0.0.1", 1), move |_| first.add("first")).unwrap();
                client.once_close(move |client, _| {
                    client.connect_then(endpoint, move |client| {
                        log.add("second");
                        client.resume().end();
                    }).unwrap();
                });
            });
        });
        assert_eq!(seen.take(), ["once", "second"]);
    }

    fn rd_14_data_flows_to_its_listeners_when_the_listener_for_one_readable_has_run(net) {
        net.run(|| net.pair(
            net.tcp(),
            |served| { served.end_with("length and data"); },
            |client| {
                // As in Node, data listeners also receive what `read` returns, but after the call.
                let got = support::collect(client);
                let head = Rc::clone(&got);
                client.once_readable(move |client| {
                    let byte = client.read_n(1).unwrap();
                    assert_eq!(byte.as_deref(), Some(&b"l"[..]));
                    head.borrow_mut().push(b'|');
                });
                client.on_close(move |_, _| assert_eq!(got.take(), b"|length and data"));
            },
        ));
    }

    fn text_for_one_listener_is_decoded_and_later_text_is_for_others(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let (once, always) = (log.clone(), log.clone());
            net.pair(
                net.tcp(),
                |served| {
                    let _ = served.write("é");
                    served.on_data(|served, _| _ = served.end_with("ü"));
                },
                move |client| {
                    client.once_text(move |_, text| once.add(format!("once {text}")));
                    client.on_text(move |client, text| {
                        always.add(text);
                        if text == "é" {
                            client.end_with("more");
                        }
                    });
                },
            );
        });
        assert_eq!(seen.take(), ["once é", "é", "ü"]);
    }

    fn listener_for_one_connection_is_not_called_for_the_second(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = Server::new();
            let (once, always, closed) = (log.clone(), log.clone(), log.clone());
            server.once_listening(|_| {});
            server.once_connection(move |_, _| once.add("once"));
            server.on_connection(move |server, socket| {
                always.add("always");
                socket.end();
                if always.entries().len() == 3 {
                    server.close();
                }
            });
            server.once_close(move |_| closed.add("close"));
            net.listen(&server, net.tcp(), |endpoint| {
                let next = endpoint.clone();
                let client = fyke::connect(endpoint).unwrap();
                client.resume().on_close(move |_, _| {
                    fyke::connect(next.clone()).unwrap().resume();
                });
            });
        });
        assert_eq!(seen.take(), ["once", "always", "always", "close"]);
    }

    fn error_has_no_listener_after_its_one_shot_listener_has_run(net) {
        let connect = |client: &Socket| client.connect(("127.0.0.1", 1)).unwrap();
        let result = net.try_run(|| {
            let client = Socket::new();
            client.once_error(|_, _| {});
            client.once_close(move |client, _| connect(client));
            connect(&client);
            Ok(())
        });
        assert_eq!(result.unwrap_err().code().as_str(), "ECONNREFUSED");
    }

    fn id_of_one_object_removes_no_listener_of_another(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let (socket, other, server) = (Socket::new(), Socket::new(), Server::new());
            let of_server = server.on_close(|_| {});
            let of_other = other.on_close(|_, _| {});
            socket.on_close(move |_, _| log.add("close"));
            socket.off(of_other);
            socket.off(of_server);
            // Also when the other object is gone, and its slot is reused.
            drop(other);
            for _ in 0..100 {
                Socket::new().off(of_other);
                socket.off(of_other);
            }
            socket.destroy();
        });
        assert_eq!(seen.take(), ["close"]);
    }

    fn one_shot_listener_can_be_removed_before_it_runs(net) {
        net.run(|| {
            let socket = Socket::new();
            let id = socket.once_close(|_, _| panic!("removed"));
            socket.off(id);
            socket.destroy();
            timer::set_immediate(move || socket.off(id)).unwrap();
        });
    }
}
