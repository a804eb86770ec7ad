//! Destroying and resetting: what changes immediately, what is emitted later, and what each side sees.

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use fyke::{Error, ErrorCode, ReadyState, Server, Socket, pipeline, timer};
use support::{Log, drive, settled, when, word};

/// Larger than all buffers of the system between two TCP sockets.
const STUCK_BYTES: usize = 32 << 20;

fn mine() -> Error {
    Error::new(ErrorCode::from_static("MINE"), "mine")
}

/// Logs the result of a write or an end.
fn log_result(log: &Log, name: &'static str) -> impl FnOnce(&Socket, fyke::Result<()>) + 'static {
    let log = log.clone();
    move |_, result| log.add(format!("{name} {}", word(&result)))
}

on_every_driver! {
    fn dst_01_destroy_changes_the_state_inside_the_call(net) {
        for error in [None, Some(mine())] {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| net.pair(
                net.tcp(),
                move |socket| {
                    socket.resume();
                    socket.on_idle_timeout(|_| panic!("the timer is off"));
                    socket.on_error(|_, _| {});
                    let reported = log.clone();
                    socket.on_data(move |socket, _| {
                        let server = socket.server().unwrap();
                        assert_eq!(server.connections(), 1);
                        socket.set_idle_timeout(Some(Duration::from_millis(1)));
                        match &error {
                            Some(error) => socket.destroy_with(error.clone()),
                            None => socket.destroy(),
                        };
                        assert!(*socket.destroy() == *socket, "again, and nothing happens");
                        assert!(socket.is_destroyed() && socket.is_closed() && socket.is_pending());
                        assert!(!socket.is_connecting() && !socket.is_readable() && !socket.is_writable());
                        assert_eq!(socket.ready_state(), ReadyState::Closed);
                        let code = error.as_ref().map(Error::code);
                        assert_eq!(socket.error().map(|error| error.code()), code);
                        assert_eq!(server.connections(), 0);
                        assert!(socket.local_address().is_some() && socket.remote_address().is_some());
                        assert!(reported.entries().is_empty(), "nothing is emitted inside the call (C1)");
                        // Longer than the disabled timeout.
                        timer::set_timeout(Duration::from_millis(5), || {}).unwrap();
                    });
                    socket.on_close(move |_, _| log.add("close"));
                },
                |client| {
                    client.on_connect(|client| _ = client.write("x"));
                    client.resume();
                },
            ));
            assert_eq!(seen.take(), ["close"]);
        }
    }

    fn dst_05_a_socket_destroyed_during_the_handshake_only_closes(net) {
        for error in [None, Some(mine())] {
            let log = Log::new();
            let seen = log.clone();
            let fails = error.is_some();
            net.run(|| {
                let server = fyke::create_server(|socket| {
                    socket.on_error(|_, _| {});
                    socket.resume();
                });
                net.listen(&server.clone(), net.tcp(), move |endpoint| {
                    let client = fyke::connect_then(endpoint, |_| panic!("destroyed before")).unwrap();
                    log.watch("", &client);
                    client.on_connection_attempt_failed(|_, _, _| panic!("it did not fail"));
                    client.on_connection_attempt(move |client, _| {
                        let (client, error) = (client.clone(), error.clone());
                        // The attempt has begun when this runs, and its result is not read yet.
                        timer::next_tick(move || _ = match error {
                            Some(error) => client.destroy_with(error),
                            None => client.destroy(),
                        }).unwrap();
                    });
                    client.on_close(move |_, _| _ = server.close());
                });
            });
            let wanted: &[&str] =
                if fails { &["error MINE", "close true"] } else { &["close false"] };
            assert_eq!(seen.take(), wanted);
        }
    }

    fn dst_06_the_first_error_wins_and_error_and_close_are_emitted_once(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.on_error(|_, _| {}); socket.resume(); },
            move |client| {
                client.on_ready(move |client| {
                    log.watch("", client);
                    client.on_error(|client, error| {
                        client.destroy().destroy_with(Error::new(ErrorCode::EPIPE, "later"));
                        client.reset_and_destroy().unwrap();
                        assert_eq!(error.code(), client.error().unwrap().code());
                    });
                    client.destroy_with(mine());
                    client.destroy_with(Error::new(ErrorCode::EINVAL, "second"));
                    client.reset_and_destroy().unwrap();
                });
            },
        ));
        assert_eq!(seen.take(), ["error MINE", "close true"]);
    }

    fn dst_07_an_error_without_a_listener_is_kept_and_close_is_emitted(net) {
        let event_loop = net.event_loop();
        let log = Log::new();
        let seen = log.clone();
        event_loop.enter(|| net.pair(
            net.tcp(),
            {
                let log = log.clone();
                move |socket| {
                    socket.on_data(|socket, _| _ = socket.destroy_with(mine()));
                    socket.on_close(move |socket, had_error| {
                        let code = socket.error().unwrap().code();
                        log.add(format!("accepted {code} {had_error}"));
                    });
                }
            },
            move |client| {
                client.on_ready(|client| _ = client.write("x"));
                client.on_end(|client| _ = client.destroy_with(mine()));
                client.on_close(move |client, had_error| {
                    let code = client.error().unwrap().code();
                    log.add(format!("outgoing {code} {had_error}"));
                });
            },
        ));
        // No panic. The error of the outgoing connection is returned here (C5), and the loop can
        // continue.
        let error = drive(&event_loop, || false).unwrap_err();
        assert_eq!(error.code(), mine().code());
        drive(&event_loop, || false).unwrap();
        assert_eq!(seen.take(), ["accepted MINE true", "outgoing MINE true"]);
    }

    fn dst_09_a_read_error_drops_undelivered_data(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| {
                let _ = socket.write("unread");
                socket.on_data(|socket, _| socket.reset_and_destroy().unwrap());
            },
            move |client| {
                client.on_data(|_, _| panic!("paused"));
                client.on_ready(move |client| {
                    log.watch("", client);
                    client.pause();
                    client.on_error(|_, error| {
                        assert_eq!(error.to_string(), "read ECONNRESET");
                        assert_eq!((error.syscall(), error.address()), (Some("read"), None));
                        assert!(error.port().is_none() && error.host().is_none());
                    });
                    let (kept, client) = (client.clone(), client.clone());
                    when(move || kept.read_queue_len() > 0, move || _ = client.write("reset me"));
                });
            },
        ));
        assert_eq!(seen.take(), ["error ECONNRESET", "close true"]);
    }

    fn dst_10_a_reset_by_the_peer_fails_all_queued_writes(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            move |socket| {
                log.watch("", socket);
                for _ in 0..10 {
                    socket.write_then(vec![1; 2 << 20], log_result(&log, "write"));
                }
                socket.end_then(log_result(&log, "end"));
            },
            |client| {
                client.on_error(|_, _| {});
                client.on_data(|client, _| {
                    client.pause();
                    let client = client.clone();
                    settled(move || _ = client.destroy());
                });
            },
        ));
        let entries = seen.take();
        let reported = |word: &str| entries.iter().filter(|entry| entry.starts_with(word)).count();
        assert_eq!((reported("write "), reported("end "), reported("error "), reported("close ")), (10, 1, 1, 1));
        assert_eq!(entries.last().map(String::as_str), Some("close true"));
        assert_eq!((reported("finish"), reported("end ok")), (0, 0));
        // First the finished writes, then those in flight, then the queued ones, if any: a driver may
        // submit all of them.
        let error = entries.iter().find_map(|entry| entry.strip_prefix("error ")).unwrap();
        let kinds = ["write ok", "write ECANCELED", &format!("write {error}")]
            .map(|kind| entries.iter().rposition(|entry| entry == kind));
        assert!(kinds.iter().flatten().is_sorted(), "{entries:?}");
        assert_eq!(reported("write ok") + reported("write ECANCELED") + reported(&format!("write {error}")), 10);
        assert_eq!(reported(&format!("end {error}")), 1, "{entries:?}");
    }

    fn dst_15_a_reset_also_works_during_and_after_end(net) {
        for after_finish in [false, true] {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| net.pair(
                net.tcp(),
                {
                    let log = log.clone();
                    move |socket| {
                        socket.set_allow_half_open(true);
                        socket.resume();
                        socket.on_error(move |_, error| log.add(format!("peer {}", error.code())));
                        // The socket must still be open to be reset.
                        let _ = socket.write("x");
                    }
                },
                move |client| {
                    client.on_ready(move |client| {
                        log.watch("", client);
                        client.end_then(log_result(&log, "callback"));
                        match after_finish {
                            true => _ = client.on_finish(|client| client.reset_and_destroy().unwrap()),
                            false => client.reset_and_destroy().unwrap(),
                        }
                    });
                },
            ));
            let mut entries = seen.take();
            entries.retain(|entry| entry != "peer ECONNRESET");
            let wanted: &[&str] = match after_finish {
                true => &["callback ok", "finish", "close false"],
                false => &["callback ERR_STREAM_DESTROYED", "close false"],
            };
            assert_eq!(entries, wanted);
        }
    }

    fn dst_16_a_server_can_close_and_reset_all_connections(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let sockets: Rc<RefCell<Vec<Socket>>> = Rc::default();
            let server = Server::new();
            let closed = log.clone();
            server.on_close(move |_| closed.add("server closed"));
            let all = log.clone();
            server.on_connection(move |server, socket| {
                socket.resume();
                let log = all.clone();
                socket.on_close(move |_, had_error| log.add(format!("socket {had_error}")));
                sockets.borrow_mut().push(socket.clone());
                if sockets.borrow().len() == 2 {
                    server.close();
                    for socket in sockets.take() {
                        socket.reset_and_destroy().unwrap();
                    }
                }
            });
            net.listen(&server, net.tcp(), move |endpoint| {
                for _ in 0..2 {
                    let client = fyke::connect(&endpoint).unwrap();
                    client.resume();
                    let log = log.clone();
                    client.on_error(move |_, error| log.add(format!("client {}", error.code())));
                }
            });
        });
        let mut entries = seen.take();
        entries.sort();
        let client = "client ECONNRESET";
        assert_eq!(entries, [client, client, "server closed", "socket false", "socket false"]);
    }

    fn dst_17_after_several_destroys_a_write_only_fails_its_callback(net) {
        for reset in [false, true] {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| net.pair(
                net.tcp(),
                |socket| { socket.on_error(|_, _| {}); socket.resume(); },
                move |client| {
                    client.on_ready(move |client| {
                        log.watch("", client);
                        if reset {
                            client.reset_and_destroy().unwrap();
                        }
                        assert!(*client.destroy().destroy() == *client);
                        assert!(!client.write_then("x", log_result(&log, "write")));
                    });
                },
            ));
            assert_eq!(seen.take(), ["write ERR_STREAM_DESTROYED", "close false"]);
        }
    }

    fn dst_20_the_error_of_destroy_reaches_every_listener_unchanged(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.on_error(|_, _| {}); socket.resume(); },
            move |client| {
                client.on_ready(move |client| {
                    let add = |name: &'static str| {
                        let log = log.clone();
                        move |error: &Error| log.add(format!("{name} {error}"))
                    };
                    let [error, write, end, finished, piped] =
                        ["error", "write", "end", "finished", "pipeline"].map(add);
                    client.on_error(move |client, failure| {
                        error(failure);
                        assert_eq!(client.error().unwrap().to_string(), failure.to_string());
                    });
                    let _ = client.write(vec![0; STUCK_BYTES]);
                    client.write_then("queued", move |_, result| write(&result.unwrap_err()));
                    client.end_then(move |_, result| end(&result.unwrap_err()));
                    client.finished(move |_, result| finished(&result.unwrap_err()));
                    pipeline(&Socket::new(), client, move |result| piped(&result.unwrap_err()));
                    client.destroy_with(mine());
                });
            },
        ));
        let mut entries = seen.take();
        entries.sort();
        let text = mine().to_string();
        let wanted = ["end", "error", "finished", "pipeline", "write"];
        assert_eq!(entries, wanted.map(|name| format!("{name} {text}")));
    }
}

/// A child that holds the other end of a connection is killed. The result depends on whether it leaves
/// bytes unread.
#[test]
#[cfg(unix)]
fn dst_22_a_killed_peer_process_ends_or_resets_the_connection() {
    use std::net::TcpStream;
    use std::os::fd::OwnedFd;
    use std::process::{Command, Stdio};

    use fyke::Endpoint;
    use support::Net;

    for unread in [false, true] {
        let net = Net::ready();
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let child = Rc::new(RefCell::new(None));
            let killed = Rc::clone(&child);
            let server = fyke::create_server(move |socket| {
                socket.server().unwrap().close();
                log.watch("", socket);
                let killed = Rc::clone(&killed);
                let kill = move || {
                    let mut child: std::process::Child = killed.take().unwrap();
                    child.kill().unwrap();
                    child.wait().unwrap();
                };
                match unread {
                    true => _ = socket.write_then("never read", move |_, _| kill()),
                    false => when(|| true, kill),
                }
            });
            net.listen(&server, net.tcp(), move |endpoint| {
                let Endpoint::Ip(address) = endpoint else { panic!("it listens on TCP") };
                let stream: OwnedFd = TcpStream::connect(address).unwrap().into();
                let mut sleep = Command::new("sleep");
                let sleep = sleep.arg("1000").stdin(Stdio::from(stream)).spawn();
                *child.borrow_mut() = Some(sleep.unwrap());
            });
        });
        let entries = seen.take();
        match unread {
            true => assert_eq!(entries, ["error ECONNRESET", "close true"]),
            false => assert_eq!(entries, ["end", "finish", "close false"]),
        }
    }
}
