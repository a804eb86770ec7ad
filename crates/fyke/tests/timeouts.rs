//! The idle timeout: when it is emitted, what postpones it, what disables it. On the simulated network
//! in virtual time. On the real one with short times, and without upper limits.

mod support;

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fyke::sim::SimOptions;
use fyke::{ConnectOptions, DriverKind, LookupReply, LookupRequest, Socket, SocketOptions, timer};
use support::timeouts::{at_each_timeout, leave};
use support::{Log, Net};

const MS: Duration = Duration::from_millis(1);

on_every_driver! {
    fn tmo_01_the_timeout_is_emitted_once_per_idle_period_and_not_early(net) {
        let real = !net.is_sim();
        let count = Rc::new(Cell::new(0));
        let seen = count.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.resume(); },
            move |client| {
                assert_eq!(client.idle_timeout(), None);
                // Before the turn in which it is set, because a turn has a single time, that of its
                // beginning.
                let since = Instant::now();
                client.resume().on_connect(move |client| {
                    client.set_idle_timeout(Some(20 * MS));
                    let own = count.clone();
                    let counted = at_each_timeout(client, steps![
                        move |client: &Socket| {
                            assert!(!real || since.elapsed() >= 20 * MS);
                            assert!(!client.is_destroyed() && client.is_writable() && client.is_readable());
                            let client = client.clone();
                            // Five idle periods without a second event.
                            timer::set_timeout(100 * MS, move || {
                                assert_eq!(own.get(), 1);
                                let _ = client.write("x");
                            }).unwrap();
                        },
                        |client: &Socket| leave(client),
                    ]);
                    let count = count.clone();
                    client.on_idle_timeout(move |_| count.set(counted.get()));
                });
            },
        ));
        assert_eq!(seen.get(), 2);
    }

    // Regression: setting the timeout for each message accumulated callbacks without limit.
    fn tmo_03_the_callback_runs_once_and_each_call_replaces_the_previous_one(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.resume(); },
            move |client| _ = client.resume().on_connect(move |client| {
                for name in ["first", "second"] {
                    let log = log.clone();
                    client.set_idle_timeout_then(10 * MS, move |_| log.add(name));
                }
                let log = log.clone();
                at_each_timeout(client, steps![
                    |client: &Socket| { let _ = client.write("again"); },
                    move |client: &Socket| {
                        log.add("only the listener");
                        leave(client);
                    },
                ]);
            }),
        ));
        assert_eq!(seen.take(), ["second", "only the listener"]);
    }

    fn tmo_03_on_an_exact_loop_each_call_adds_one(net) {
        let log = Log::new();
        let seen = log.clone();
        net.node_exact().run(|| net.pair(
            net.tcp(),
            |socket| { socket.resume(); },
            move |client| _ = client.resume().on_connect(move |client| {
                for name in ["first", "second"] {
                    let log = log.clone();
                    client.set_idle_timeout_then(10 * MS, move |_| log.add(name));
                }
                client.on_idle_timeout(leave);
            }),
        ));
        assert_eq!(seen.take(), ["first", "second"]);
    }

    fn tmo_03_a_disabled_timeout_is_never_emitted_and_its_listeners_stay(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.resume(); },
            move |client| _ = client.resume().on_connect(move |client| {
                let kept = log.clone();
                client.set_idle_timeout_then(10 * MS, move |_| kept.add("kept"));
                let removed = client.on_idle_timeout(|_| panic!("removed"));
                client.set_idle_timeout(None);
                client.off(removed);
                let (client, log) = (client.clone(), log.clone());
                let rounds = Cell::new(0);
                let own: Rc<RefCell<Option<timer::Timer>>> = Rc::default();
                let held = own.clone();
                // Neither traffic nor pauses in it enable it again.
                *own.borrow_mut() = timer::set_interval(20 * MS, move || {
                    rounds.set(rounds.get() + 1);
                    assert!(log.entries().is_empty(), "turned off");
                    let _ = client.write("x");
                    if rounds.get() == 5 {
                        held.take().unwrap().cancel();
                        client.set_idle_timeout(Some(10 * MS));
                        client.on_idle_timeout(|client| { client.end(); });
                    }
                }).ok();
            }),
        ));
        assert_eq!(seen.take(), ["kept"]);
    }

    fn tmo_04_the_timeout_is_emitted_on_a_socket_that_was_never_connected(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let fresh = Socket::new();
            // Neither does the timeout keep the loop alive, nor the loop a socket without a connection.
            let held = fresh.clone();
            let timer = timer::set_timeout(Duration::from_secs(50), move || {
                panic!("no timeout: {held:?}");
            }).unwrap();
            fresh.set_idle_timeout_then(10 * MS, move |fresh| {
                assert!(!fresh.is_destroyed() && fresh.is_pending());
                log.add("timeout");
                timer.cancel();
            });
        });
        assert_eq!(seen.take(), ["timeout"]);
    }

    fn tmo_02_tmo_04_the_timeout_is_emitted_during_the_lookup_and_the_answer_is_activity(net) {
        let log = Log::new();
        let seen = log.clone();
        let asked: Rc<RefCell<Option<LookupReply>>> = Rc::default();
        let keep = asked.clone();
        net.run(|| net.pair_named(
            move |_, reply| *keep.borrow_mut() = Some(reply),
            |options| options.idle_timeout(100 * MS),
            move |client| {
                assert_eq!(client.idle_timeout(), Some(100 * MS), "the option is set_timeout before");
                let connected = log.clone();
                client.on_connect(move |_| connected.add("connected"));
                let [resolving, idle] = [log.clone(), log.clone()];
                at_each_timeout(client, steps![
                    move |client: &Socket| {
                        assert!(client.is_connecting());
                        resolving.add("resolving");
                        let localhost: IpAddr = "127.0.0.1".parse().unwrap();
                        asked.take().unwrap().answer(Ok(vec![localhost]));
                    },
                    move |client: &Socket| {
                        idle.add("idle");
                        leave(client);
                    },
                ]);
            },
        ));
        assert_eq!(seen.take(), ["resolving", "connected", "idle"]);
    }

    fn tmo_06_destroy_cancels_the_timeout_which_cannot_be_set_afterwards(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(|socket| { socket.resume(); });
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let client = Socket::new();
                client.set_idle_timeout_then(10 * MS, |_| panic!("cancelled"));
                client.destroy();
                client.set_idle_timeout(Some(20 * MS));
                client.set_idle_timeout_then(20 * MS, |_| panic!("not registered"));
                assert_eq!(client.idle_timeout(), Some(10 * MS), "unchanged");
                timer::set_timeout(50 * MS, || {}).unwrap();

                // A socket that connects again keeps its listeners, except those that were added after
                // its destruction.
                let again = Socket::new();
                again.resume();
                again.on_close(move |again, _| {
                    if again.bytes_written() == 0 {
                        again.set_idle_timeout_then(10 * MS, |_| panic!("not registered"));
                        let connected = |again: &Socket| { again.set_idle_timeout(Some(10 * MS)); };
                        again.connect_then(&endpoint, connected).unwrap();
                    } else {
                        server.close();
                    }
                });
                let log = log.clone();
                again.on_idle_timeout(move |again| {
                    log.add("timeout");
                    again.set_idle_timeout(None);
                    again.end_with("x");
                });
                again.destroy();
            });
        });
        assert_eq!(seen.take(), ["timeout"]);
    }

    fn tmo_08_the_timeout_is_the_last_value_that_was_set(net) {
        net.run(|| {
            let socket = SocketOptions::new().build();
            assert_eq!(socket.idle_timeout(), None);
            socket.set_idle_timeout(Some(1500 * MS));
            assert_eq!(socket.idle_timeout(), Some(1500 * MS));
            socket.set_idle_timeout(None);
            assert_eq!(socket.idle_timeout(), Some(Duration::ZERO), "turned off, not absent");
        });
    }

    fn tmo_07_a_timeout_beyond_nodes_maximum_is_reduced_and_a_fraction_is_kept(net) {
        net.run(|| {
            let socket = Socket::new();
            for (asked, kept) in [
                (0x7fff_ffff * MS, 0x7fff_ffff * MS),
                (0x7fff_ffff * MS + MS, 0x7fff_ffff * MS),
                (Duration::MAX, 0x7fff_ffff * MS),
                (MS / 3, MS / 3),
            ] {
                socket.set_idle_timeout(Some(asked));
                assert_eq!(socket.idle_timeout(), Some(kept));
            }
        });
    }
}

/// An address that never answers exists on the simulated network only.
#[test]
fn tmo_02_tmo_04_connect_and_the_lookup_answer_each_count_as_activity() {
    let silent: IpAddr = "192.0.2.1".parse().unwrap();
    let options = SimOptions { silent: [silent].into(), ..SimOptions::default() };
    let net = Net::new(DriverKind::Sim(options));
    let log = Log::new();
    let seen = log.clone();
    net.run(|| {
        let client = Socket::new();
        client.set_idle_timeout(Some(10 * MS));
        let own = client.clone();
        let held =
            timer::set_timeout(Duration::from_secs(50), move || panic!("no timeout: {own:?}"));
        let held = held.unwrap();
        let asked: Rc<RefCell<Option<LookupReply>>> = Rc::default();
        let keep = asked.clone();
        let [fresh, resolving, connecting] = [(); 3].map(|()| log.clone());
        at_each_timeout(
            &client,
            steps![
                move |client: &Socket| {
                    fresh.add("fresh");
                    held.cancel();
                    let options = ConnectOptions::new(("silent.test", 80));
                    let options = options.lookup(move |_, reply| *keep.borrow_mut() = Some(reply));
                    client.connect_with_then(options, |_| panic!("it never answers")).unwrap();
                },
                move |client: &Socket| {
                    assert!(client.is_connecting());
                    resolving.add("resolving");
                    asked.take().unwrap().answer(Ok(vec![silent]));
                },
                move |client: &Socket| {
                    assert!(client.is_connecting());
                    connecting.add("connecting");
                    client.destroy();
                },
            ],
        );
    });
    assert_eq!(seen.take(), ["fresh", "resolving", "connecting"]);
}

/// A long latency: the answer takes longer than the timeout.
#[test]
fn tmo_02_tmo_04_the_timeout_is_emitted_while_connecting_and_the_connection_is_activity() {
    let options = SimOptions { latency: 100 * MS, ..SimOptions::default() };
    let net = Net::new(DriverKind::Sim(options));
    let log = Log::new();
    let seen = log.clone();
    net.run(|| {
        net.pair(
            net.tcp(),
            |socket| _ = socket.resume(),
            move |client| {
                let [connected, connecting] = [log.clone(), log.clone()];
                client.resume().on_connect(move |_| connected.add("connected"));
                client.set_idle_timeout(Some(10 * MS));
                at_each_timeout(
                    client,
                    steps![
                        move |client: &Socket| {
                            assert!(client.is_connecting());
                            connecting.add("connecting");
                        },
                        move |client: &Socket| {
                            log.add("idle");
                            leave(client);
                        },
                    ],
                );
            },
        );
    });
    assert_eq!(seen.take(), ["connecting", "connected", "idle"]);
}

impl Net {
    /// A server, and a client that resolves the server's address by `hook`.
    fn pair_named(
        &self,
        hook: impl Fn(LookupRequest, LookupReply) + 'static,
        options: impl FnOnce(ConnectOptions) -> ConnectOptions + 'static,
        on_client: impl FnOnce(&Socket) + 'static,
    ) {
        let server = fyke::create_server(|socket| {
            socket.resume();
            socket.server().unwrap().close();
        });
        server
            .listen_then(("127.0.0.1", 0), |server| {
                let port = server.address().unwrap().port().unwrap();
                let named = ConnectOptions::new(("server.test", port));
                let client = options(named.lookup(hook)).connect().unwrap();
                client.resume();
                on_client(&client);
            })
            .unwrap();
    }
}
