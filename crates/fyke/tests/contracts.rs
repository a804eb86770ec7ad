//! The contracts of `docs/DESIGN.md` that are not tested elsewhere: C3 is in `ending.rs` and
//! `teardown.rs`, C4 in `teardown.rs`, C5 in `server.rs`, C6 in `hostile.rs`, C8 in `writing.rs`, C12
//! in `event_loop.rs`; C10 is `on_every_driver!`.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use fyke::{Server, Socket, timer};
use support::{Log, Net, drive};

/// Fails when a callback runs while another one does, or inside a call to the API.
#[derive(Clone, Default)]
struct Alone(Rc<Cell<bool>>);

impl Alone {
    fn run(&self, f: impl FnOnce()) {
        assert!(!self.0.replace(true), "a callback ran inside another, or inside a call");
        f();
        self.0.set(false);
    }
}

/// Every method of a socket, in an order in which each has an effect.
fn call_everything(socket: &Socket, alone: &Alone) {
    let in_callback = |alone: &Alone| {
        let alone = alone.clone();
        move |_: &Socket, _: fyke::Result<()>| alone.run(|| {})
    };
    socket.pause().resume().cork();
    let _ = socket.write("x");
    socket.write_then(vec![1; 200_000], in_callback(alone));
    socket.uncork();
    socket.set_no_delay(true).unwrap();
    socket.set_keep_alive(true, Duration::from_secs(1)).unwrap();
    socket.set_idle_timeout(Some(Duration::from_secs(1)));
    let id = {
        let alone = alone.clone();
        socket.on_data(move |_, _| alone.run(|| {}))
    };
    socket.off(id);
    socket.ref_loop().unref_loop().ref_loop();
    // On a closed socket this would start a new connection.
    if !socket.is_destroyed() {
        socket.connect(1).unwrap_err();
    }
    socket.end_then(in_callback(alone));
    socket.destroy_soon();
    let error = fyke::Error::new(fyke::ErrorCode::EPIPE, "on purpose");
    socket.destroy_with(error);
    let _ = socket.reset_and_destroy();
    socket.destroy();
    socket.write_then("x", in_callback(alone));
}

fn listen_everywhere(socket: &Socket, alone: &Alone, all: bool) {
    let run = |event: &'static str| {
        let alone = alone.clone();
        move |socket: &Socket| {
            alone.run(|| {
                if all || event == "end" {
                    call_everything(socket, &alone);
                }
            });
        }
    };
    socket.on_connect(run("connect"));
    socket.on_ready(run("ready"));
    socket.on_end(run("end"));
    socket.on_finish(run("finish"));
    socket.on_drain(run("drain"));
    let data = run("data");
    socket.on_data(move |socket, _| data(socket));
    let error = run("error");
    socket.on_error(move |socket, _| error(socket));
    let close = run("close");
    socket.on_close(move |socket, _| close(socket));
}

on_every_driver! {
    fn c1_no_callback_runs_inside_another_or_inside_a_call(net) {
        for all in [false, true] {
            let alone = Alone::default();
            net.run(|| {
                let server = fyke::create_server({
                    let alone = alone.clone();
                    move |socket| alone.clone().run(|| {
                        socket.server().unwrap().close();
                        listen_everywhere(socket, &alone, false);
                        socket.end_with("hello");
                    })
                });
                let client_alone = alone.clone();
                net.listen(&server, net.tcp(), move |endpoint| {
                    let client = Socket::new();
                    listen_everywhere(&client, &client_alone, all);
                    client.connect(endpoint).unwrap();
                });
            });
        }
    }

    fn c2_end_and_error_are_emitted_at_most_once_and_close_once_and_last(net) {
        let endings: [fn(&Socket); 5] = [
            |socket| { socket.end(); },
            |socket| { socket.destroy(); },
            |socket| { socket.destroy_soon(); },
            |socket| {
                // Refused on Unix sockets.
                if socket.reset_and_destroy().is_err() {
                    socket.destroy();
                }
            },
            |socket| { let _ = socket.write(vec![0; 1 << 20]); socket.end(); },
        ];
        for endpoint in 0..2 {
            for one in endings {
                for other in endings {
                    let endpoint = net.endpoints()[endpoint].clone();
                    let logs = [Log::new(), Log::new()];
                    let [server_log, client_log] = logs.clone();
                    net.run(|| net.pair(
                        endpoint,
                        move |socket| {
                            server_log.watch("", socket);
                            socket.resume();
                            one(socket);
                        },
                        move |client| {
                            client_log.watch("", client);
                            client.resume();
                            client.on_ready(other);
                        },
                    ));
                    for log in logs {
                        let entries = log.take();
                        let count = |event: &str| entries.iter().filter(|entry| entry.starts_with(event)).count();
                        assert!(count("end") <= 1 && count("error") <= 1 && count("finish") <= 1);
                        assert_eq!(count("close"), 1, "{entries:?}");
                        assert!(entries.last().unwrap().starts_with("close"), "{entries:?}");
                    }
                }
            }
        }
    }

    fn c9_data_written_by_a_callback_reaches_the_kernel_before_the_next_callback(net) {
        let seen = Rc::new(Cell::new(false));
        let checked = seen.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.resume(); },
            move |client| {
                client.on_ready(move |client| {
                    let _ = client.write("small");
                    assert_eq!(client.write_queue_len(), 5, "not inside write");
                    let (client, checked) = (client.clone(), checked.clone());
                    timer::set_immediate(move || {
                        assert_eq!(client.write_queue_len(), 0);
                        checked.set(true);
                        client.end();
                    }).unwrap();
                });
            },
        ));
        assert!(seen.get());
    }

    fn dropping_every_handle_closes_nothing(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            // Neither the server nor a socket has a handle here.
            let server = Server::new();
            server.on_connection(move |server, socket| {
                server.close();
                let log = log.clone();
                socket.on_data(move |socket, data| {
                    log.add(String::from_utf8_lossy(data));
                    socket.end();
                });
            });
            net.listen(&server, net.tcp(), |endpoint| {
                fyke::connect_then(endpoint, |client| {
                    client.resume();
                    let client = client.clone();
                    timer::set_timeout(Duration::from_millis(20), move || { let _ = client.write("later"); }).unwrap();
                }).unwrap();
            });
        });
        assert_eq!(seen.take(), ["later"]);
    }

    fn sockets_that_captured_each_other_are_freed_after_close(net) {
        let token = Rc::new(());
        let event_loop = net.event_loop();
        let pair: Rc<RefCell<Vec<Socket>>> = Rc::default();
        event_loop.enter(|| {
            let (held, accepted) = (Rc::clone(&token), Rc::clone(&pair));
            let server = fyke::create_server(move |socket| {
                socket.server().unwrap().close();
                accepted.borrow_mut().push(socket.clone());
                let _ = &held;
            });
            let (held, connected) = (Rc::clone(&token), Rc::clone(&pair));
            net.listen(&server, net.tcp(), move |endpoint| {
                let client = fyke::connect(endpoint).unwrap();
                connected.borrow_mut().push(client.clone());
                client.on_ready(move |client| {
                    let client = client.clone();
                    let (pair, held) = (Rc::clone(&connected), Rc::clone(&held));
                    timer::set_timeout(Duration::from_millis(5), move || {
                        let sockets = pair.take();
                        for socket in &sockets {
                            let (all, held) = (sockets.clone(), Rc::clone(&held));
                            socket.on_data(move |_, _| drop((all.clone(), Rc::clone(&held))));
                        }
                        client.end();
                    }).unwrap();
                });
            });
        });
        drive(&event_loop, || false).unwrap();
        // Captured by the listener of the server, which the loop frees.
        drop(event_loop);
        assert_eq!(Rc::strong_count(&token), 1);
    }
}

#[test]
fn c11_threads_are_started_only_for_host_lookups() {
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    // Other tests run concurrently, so this part runs in a separate process.
    if std::env::var_os("FYKE_TEST_ALONE").is_none() {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "c11_threads_are_started_only_for_host_lookups", "--test-threads=1"])
            .env("FYKE_TEST_ALONE", "1")
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    for net in Net::of_the_system() {
        let before = threads();
        net.run(|| {
            net.pair(
                net.tcp(),
                |socket| {
                    socket.end();
                },
                |client| {
                    client.resume();
                },
            );
        });
        assert_eq!(threads(), before);
    }
    // Not in the same round, because lookup threads may outlive their loop for a moment.
    for net in Net::of_the_system() {
        let before = threads();
        let event_loop = net.event_loop();
        event_loop.enter(|| {
            for _ in 0..100 {
                let client = fyke::connect(("localhost", 1)).unwrap();
                client.on_error(|_, _| {});
            }
        });
        drive(&event_loop, || false).unwrap();
        assert!(threads() <= before + 4, "{} threads", threads());
    }
}
