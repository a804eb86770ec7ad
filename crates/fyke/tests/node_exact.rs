//! Loops that also copy Node's accidents (`EventLoopBuilder::node_exact`). The conformance run shows
//! that they do so everywhere. There is one test for each accident here.

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use fyke::{
    ConnectOptions, Endpoint, Error, ErrorCode, LookupReply, LookupRequest, Server, Socket, timer,
};
use support::Log;

fn code(result: fyke::Result<()>) -> String {
    result.map_or_else(|error| error.code().to_string(), |()| String::from("ok"))
}

/// Logs the result of a write or an end.
fn reported(log: &Log, label: &'static str) -> impl FnOnce(&Socket, fyke::Result<()>) + 'static {
    let log = log.clone();
    move |_, result| log.add(format!("{label} {}", code(result)))
}

on_every_driver! {
    fn wr_08_a_write_reaches_the_kernel_before_it_returns(net) {
        let log = Log::new();
        let seen = log.clone();
        net.node_exact().run(|| net.pair(
            net.tcp(),
            |socket| { socket.resume(); },
            move |client| {
                client.on_connect(move |client| {
                    assert!(client.write_then("a", reported(&log, "a")));
                    log.add(client.write_queue_len());
                    timer::next_tick({
                        let log = log.clone();
                        move || log.add("tick")
                    }).unwrap();
                    client.end();
                });
            },
        ));
        assert_eq!(seen.take(), ["0", "a ok", "tick"]);
    }

    fn wr_10_the_parked_write_is_sent_after_the_listeners_of_connect_and_before_ready(net) {
        let log = Log::new();
        let seen = log.clone();
        net.node_exact().run(|| net.pair(
            net.tcp(),
            |socket| { socket.resume(); },
            move |client| {
                log.watch("", client);
                let length = log.clone();
                client.on_connect(move |client| length.add(client.write_queue_len()));
                let client = client.clone();
                timer::next_tick(move || {
                    client.write_then("first", reported(&log, "first"));
                    client.write_then("second", reported(&log, "second"));
                    client.end();
                }).unwrap();
            },
        ));
        let seen = seen.take();
        assert_eq!(seen[..5], ["connect", "11", "first ok", "ready", "second ok"]);
    }

    fn wr_11_the_parked_write_fails_when_a_listener_of_connect_destroys_the_socket(net) {
        let log = Log::new();
        let seen = log.clone();
        net.node_exact().run(|| net.pair(
            net.tcp(),
            |socket| { socket.resume(); },
            move |client| {
                log.watch("", client);
                client.on_connect(|client| { client.destroy(); });
                let client = client.clone();
                timer::next_tick(move || {
                    client.write_then("first", reported(&log, "first"));
                    client.write_then("second", reported(&log, "second"));
                }).unwrap();
            },
        ));
        let failed = ["first ERR_SOCKET_CLOSED", "second ERR_SOCKET_CLOSED"];
        assert_eq!(seen.take(), ["connect", failed[0], failed[1], "ready", "close false"]);
    }

    fn wr_12_wr_13_a_parked_write_is_reported_after_close(net) {
        let log = Log::new();
        let seen = log.clone();
        let path = net.path();
        net.node_exact().run(|| {
            let client = fyke::connect(path.as_path()).unwrap();
            log.watch("", &client);
            client.write_then("first", reported(&log, "first"));
            client.write_then("second", reported(&log, "second"));
            client.end_then(reported(&log, "end"));
        });
        let first = "first ERR_SOCKET_CLOSED_BEFORE_CONNECTION";
        let expected = ["error ENOENT", "close true", first, "second ENOENT", "end ENOENT"];
        assert_eq!(seen.take(), expected);
    }

    fn con_04_the_attempt_of_a_path_is_emitted_inside_connect(net) {
        let log = Log::new();
        let seen = log.clone();
        let path = net.path();
        net.node_exact().run(|| {
            let client = Socket::new();
            let attempt = log.clone();
            client.on_connection_attempt(move |_, _| attempt.add("attempt"));
            client.on_error(|_, _| {});
            client.connect(path.as_path()).unwrap();
            log.add("connect returned");
        });
        assert_eq!(seen.take(), ["attempt", "connect returned"]);
    }

    fn he_04_an_immediate_answer_is_emitted_inside_connect(net) {
        let log = Log::new();
        let seen = log.clone();
        net.node_exact().run(|| {
            let client = Socket::new();
            let looked_up = log.clone();
            client.on_lookup(move |_, lookup| looked_up.add(lookup.address.is_err()));
            client.on_error({
                let log = log.clone();
                move |_, error| log.add(error.code())
            });
            let hook = |_: LookupRequest, reply: LookupReply| {
                reply.answer(Err(Error::new(ErrorCode::ENOTFOUND, "no such name")));
            };
            let options = ConnectOptions::new(("scripted.test", 80)).lookup(hook);
            client.connect_with(options).unwrap();
            log.add("connect returned");
        });
        assert_eq!(seen.take(), ["true", "connect returned", "ENOTFOUND"]);
    }

    fn he_04_a_hook_that_never_answers_does_not_keep_the_loop_alive(net) {
        let kept: Rc<RefCell<Vec<LookupReply>>> = Rc::default();
        for forgets in [false, true] {
            let log = Log::new();
            let replies = Rc::clone(&kept);
            let event_loop = net.node_exact().event_loop();
            let client = event_loop.enter(|| {
                let options = ConnectOptions::new(("scripted.test", 80));
                let options = options.lookup(move |_, reply| match forgets {
                    true => drop(reply),
                    false => replies.borrow_mut().push(reply),
                });
                let client = options.connect_then(|_| panic!("no address")).unwrap();
                log.watch("", &client);
                let log = log.clone();
                client.on_lookup(move |_, _| log.add("lookup"));
                client
            });
            support::drive(&event_loop, || false).unwrap();
            assert!(client.is_connecting() && log.take().is_empty());
            // The loop can be used again, and so can the reply.
            if let Some(reply) = kept.borrow_mut().pop() {
                event_loop.enter(|| reply.answer(Err(Error::new(ErrorCode::EAI_AGAIN, "late"))));
                support::drive(&event_loop, || false).unwrap();
                assert_eq!(log.take(), ["lookup", "error EAI_AGAIN", "close true"]);
            }
        }
    }

    fn he_04_a_connect_whose_hook_has_answered_keeps_the_loop_alive(net) {
        let log = Log::new();
        let seen = log.clone();
        net.node_exact().run(|| {
            let server = fyke::create_server(|socket| _ = socket.end());
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let Endpoint::Ip(address) = endpoint else { panic!("not an address") };
                let options = ConnectOptions::new(("scripted.test", address.port()));
                let options = options.lookup(move |_, reply| {
                    let address = address.ip();
                    // Only the timer keeps the loop alive meanwhile.
                    server.close();
                    let answer = move || reply.answer(Ok(vec![address]));
                    timer::set_timeout(Duration::from_millis(1), answer).unwrap();
                });
                log.watch("", &options.connect().unwrap());
            });
        });
        assert_eq!(seen.take(), ["error ECONNREFUSED", "close true"]);
    }

    fn con_05_ready_follows_connect_even_if_a_listener_destroyed_the_socket(net) {
        let log = Log::new();
        let seen = log.clone();
        net.node_exact().run(|| net.pair(
            net.tcp(),
            |socket| { socket.resume(); },
            move |client| {
                log.watch("", client);
                client.on_connect(|client| { client.destroy(); });
            },
        ));
        assert_eq!(seen.take(), ["connect", "ready", "close false"]);
    }

    fn con_17_connecting_before_the_old_close_starts_a_new_connection(net) {
        let log = Log::new();
        let seen = log.clone();
        net.node_exact().run(|| {
            let server = Server::new();
            let mut first = true;
            server.on_connection(move |server, socket| {
                if !std::mem::replace(&mut first, false) {
                    server.close();
                }
                socket.resume();
            });
            net.listen(&server, net.tcp(), move |endpoint| {
                let client = Socket::new();
                log.watch("", &client);
                client.resume();
                let to = endpoint.clone();
                client.connect_then(endpoint, move |client| {
                    client.destroy();
                    client.connect_then(to, |client| { client.destroy(); }).unwrap();
                }).unwrap();
            });
        });
        let round = ["connect", "ready", "close false"];
        assert_eq!(seen.take(), [round, round].concat());
    }

    fn con_18_a_second_connect_is_accepted_and_a_third_refused(net) {
        let log = Log::new();
        let seen = log.clone();
        net.node_exact().run(|| {
            let server = Server::new();
            server.on_connection(|server, socket| {
                server.close();
                socket.resume();
            });
            net.listen(&server, net.tcp(), move |endpoint| {
                let client = Socket::new();
                log.watch("", &client);
                let to = endpoint.clone();
                client.connect_then(endpoint, move |client| {
                    let again = to.clone();
                    let third = move |client: &Socket| client.connect(again).unwrap();
                    client.connect_then(to, third).unwrap();
                }).unwrap();
            });
        });
        let twice = ["connect", "ready", "connect", "ready"];
        let seen = seen.take();
        assert_eq!(seen[..4], twice);
        assert_eq!(seen[4..], ["error EISCONN", "close true"]);
    }

    fn con_18_a_connect_while_connecting_ends_both(net) {
        let log = Log::new();
        let seen = log.clone();
        net.node_exact().run(|| {
            let server = Server::new();
            server.on_connection(|_, socket| { socket.resume(); });
            let stop = server.clone();
            net.listen(&server, net.tcp(), move |endpoint| {
                let client = Socket::new();
                log.watch("", &client);
                client.on_close(move |_, _| { stop.close(); });
                client.connect(endpoint.clone()).unwrap();
                client.connect(endpoint).unwrap();
            });
        });
        assert_eq!(seen.take(), ["error EALREADY", "close true"]);
    }

    /// Regression: it was EALREADY, as on TCP. But a path is connected within the call.
    fn con_18_a_second_connect_to_a_path_finds_the_socket_connected(net) {
        for later in [false, true] {
            let log = Log::new();
            let seen = log.clone();
            let path: Endpoint = net.path().into();
            net.node_exact().run(|| {
                let server = fyke::create_server(|socket| _ = socket.resume());
                let stop = server.clone();
                net.listen(&server, path, move |path| {
                    let client = Socket::new();
                    log.watch("", &client);
                    let failed = log.clone();
                    client.on_connection_attempt_failed(move |client, _, error| {
                        assert!(!client.is_connecting());
                        failed.add(format!("failed {}", error.code()));
                    });
                    client.on_close(move |_, _| _ = stop.close());
                    client.connect_then(path.clone(), |_| panic!("refused")).unwrap();
                    let again = client.clone();
                    let connect = move || again.connect_then(path, |_| panic!("refused")).unwrap();
                    match later {
                        true => timer::next_tick(connect).unwrap(),
                        false => connect(),
                    }
                    log.add("called");
                });
            });
            assert_eq!(seen.take(), ["called", "failed EISCONN", "error EISCONN", "close true"]);
        }
    }

    fn con_18_a_second_connect_to_a_path_reports_the_failure_of_the_first_once(net) {
        let log = Log::new();
        let seen = log.clone();
        let path: Endpoint = net.path().into();
        net.node_exact().run(|| {
            let client = Socket::new();
            log.watch("", &client);
            client.connect_then(path.clone(), |_| panic!("there is no server")).unwrap();
            client.connect_then(path, |_| panic!("there is no server")).unwrap();
        });
        assert_eq!(seen.take(), ["error ENOENT", "close true"]);
    }

    fn prop_08_prop_09_addresses_are_unavailable_after_destroy_unless_requested_before(net) {
        let log = Log::new();
        let seen = log.clone();
        net.node_exact().run(|| net.pair(
            net.tcp(),
            move |socket| {
                assert!(socket.remote_address().is_some());
                socket.destroy();
                log.add(socket.remote_address().is_some());
                log.add(socket.local_address().is_some());
            },
            |client| {
                client.resume();
                client.on_close(|client, _| assert!(client.remote_address().is_none()));
            },
        ));
        assert_eq!(seen.take(), ["true", "false"]);
    }

    fn dst_18_the_callback_of_an_end_after_destroy_never_runs(net) {
        let log = Log::new();
        let seen = log.clone();
        net.node_exact().run(|| net.pair(
            net.tcp(),
            |socket| { socket.resume(); },
            move |client| {
                log.watch("", client);
                client.on_ready(move |client| {
                    client.destroy();
                    client.end_then(reported(&log, "end"));
                });
            },
        ));
        assert_eq!(seen.take(), ["connect", "ready", "close false"]);
    }

    fn end_18_a_socket_without_a_connection_closes_without_an_error(net) {
        let log = Log::new();
        let seen = log.clone();
        net.node_exact().run(|| {
            let socket = Socket::new();
            log.watch("", &socket);
            socket.destroy_with(Error::new(ErrorCode::EINVAL, "by the test"));
        });
        assert_eq!(seen.take(), ["error EINVAL", "close false"]);
    }

    fn cls_05_every_close_of_a_server_emits_an_event(net) {
        let log = Log::new();
        let seen = log.clone();
        net.node_exact().run(|| {
            let server = Server::new();
            server.on_close(move |_| log.add("close"));
            server.listen_then(0, |server| { server.close().close(); }).unwrap();
        });
        assert_eq!(seen.take(), ["close", "close"]);
    }

    fn captured_values_are_freed_with_the_loop_even_if_listeners_stay_after_close(net) {
        let kept = Rc::new(());
        let captured = Rc::downgrade(&kept);
        net.node_exact().run(|| net.pair(
            net.tcp(),
            {
                let kept = Rc::clone(&kept);
                move |socket| {
                    let itself = socket.clone();
                    socket.on_close(move |_, _| { let _ = (&itself, &kept); });
                    socket.end();
                }
            },
            move |client| {
                let itself = client.clone();
                client.on_close(move |_, _| { let _ = (&itself, &kept); });
                client.resume();
            },
        ));
        assert!(captured.upgrade().is_none());
    }
}

// On the simulated network a connect takes time, even to a path.
on_every_system! {
    fn con_19_a_path_whose_server_closes_in_the_turn_of_the_connect_resets_it(net) {
        let log = Log::new();
        let seen = log.clone();
        let path: Endpoint = net.path().into();
        net.node_exact().run(|| {
            let server = fyke::create_server(|_| panic!("closed before"));
            let stop = server.clone();
            net.listen(&server, path, move |path| {
                let client = Socket::new();
                log.watch("", &client);
                client.connect_then(path, |_| panic!("closed before")).unwrap();
                stop.close();
            });
        });
        assert_eq!(seen.take(), ["error ECONNRESET", "close true"]);
    }
}
