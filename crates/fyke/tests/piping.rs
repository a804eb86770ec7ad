//! Pipes between sockets: several of them, unpiping, and how a failure of one end affects the other.
//! `pipeline` is in `pipeline.rs`.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fyke::{Error, ErrorCode, Socket};
use support::{Log, Net, collect, pattern, when};

/// Larger than all buffers of the system between two TCP sockets.
const STUCK_BYTES: usize = 32 << 20;

/// COUNT bytes, generated quickly.
fn large() -> Vec<u8> {
    pattern(1 << 20).repeat(STUCK_BYTES >> 20)
}

/// Calls `then` with one accepted socket for each of the given peers, in their order.
fn accepted(
    net: &Net,
    peers: Vec<Box<dyn FnOnce(&Socket)>>,
    then: impl FnOnce(Vec<Socket>) + 'static,
) {
    let count = peers.len();
    let sockets: Rc<RefCell<Vec<Option<Socket>>>> = Rc::new(RefCell::new(vec![None; count]));
    let then = Rc::new(Cell::new(Some(then)));
    for (index, peer) in peers.into_iter().enumerate() {
        let (sockets, then) = (Rc::clone(&sockets), Rc::clone(&then));
        let arrived = move |socket: &Socket| {
            sockets.borrow_mut()[index] = Some(socket.clone());
            let all: Option<Vec<Socket>> = sockets.borrow().iter().cloned().collect();
            if let Some(all) = all {
                then.take().expect("each arrives once")(all);
            }
        };
        net.pair(net.tcp(), arrived, peer);
    }
}

fn peer(f: impl FnOnce(&Socket) + 'static) -> Box<dyn FnOnce(&Socket)> {
    Box::new(f)
}

/// Prints lines until its reader exits.
fn print(client: &Socket) {
    if !client.is_destroyed() {
        let _ = client.write("line\n");
        let client = client.clone();
        fyke::timer::set_immediate(move || print(&client)).unwrap();
    }
}

/// Logs when something is piped into the socket, or unpiped.
fn watch_pipes(log: &Log, name: &'static str, socket: &Socket) {
    let [piped, unpiped] = [log.clone(), log.clone()];
    socket.on_pipe(move |_, _| piped.add(format!("{name} pipe")));
    socket.on_unpipe(move |_, _| unpiped.add(format!("{name} unpipe")));
}

on_every_driver! {
    fn str_01_pipe_returns_the_destination_which_emits_pipe_on_the_tick(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| accepted(
            net,
            vec![peer(|client| _ = client.on_connect(|client| _ = client.end_with("through"))), peer({
                let log = log.clone();
                move |client| {
                    let bytes = collect(client);
                    client.on_end(move |_| log.add(String::from_utf8_lossy(&bytes.borrow())));
                }
            })],
            move |sockets| {
                let [source, destination] = [sockets[0].clone(), sockets[1].clone()];
                let (reported, from) = (log.clone(), source.clone());
                destination.on_pipe(move |_, source| {
                    assert!(*source == from);
                    reported.add("pipe");
                });
                assert!(*source.pipe(&destination) == destination);
                assert!(log.entries().is_empty(), "never inside the call (C1)");
            },
        ));
        assert_eq!(seen.take(), ["pipe", "through"]);
    }

    fn str_01_a_source_that_has_ended_ends_its_destination(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| accepted(
            net,
            vec![peer(|client| _ = client.on_connect(|client| _ = client.end())), peer(move |client| {
                client.resume();
                client.on_end(move |_| log.add("end"));
            })],
            |sockets| {
                let [source, destination] = [sockets[0].clone(), sockets[1].clone()];
                source.set_allow_half_open(true);
                source.on_end(move |source| {
                    let (source, destination) = (source.clone(), destination.clone());
                    fyke::timer::set_immediate(move || {
                        source.pipe(&destination);
                        source.end();
                    }).unwrap();
                });
            },
        ));
        assert_eq!(seen.take(), ["end"]);
    }

    fn str_01_pipe_without_end_leaves_the_destination_open(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| accepted(
            net,
            vec![peer(|client| _ = client.on_connect(|client| _ = client.end_with("one"))), peer(move |client| {
                let bytes = collect(client);
                client.on_end(move |_| log.add(String::from_utf8_lossy(&bytes.borrow())));
            })],
            |sockets| {
                let [source, destination] = [sockets[0].clone(), sockets[1].clone()];
                source.pipe_without_end(&destination);
                source.on_close(move |_, _| {
                    assert!(destination.is_writable());
                    destination.end_with(" and more");
                });
            },
        ));
        assert_eq!(seen.take(), ["one and more"]);
    }

    fn str_02_every_destination_receives_all_data_and_the_slowest_sets_the_pace(net) {
        let whole = Rc::new(Cell::new(0));
        let waited = Rc::new(Cell::new(false));
        let [fast, slow] = [whole.clone(), whole.clone()];
        let has_waited = waited.clone();
        let slow_peer = Rc::new(RefCell::new(None));
        let stuck = slow_peer.clone();
        let check = |client: &Socket, whole: Rc<Cell<u32>>| {
            let bytes = collect(client);
            client.on_end(move |_| {
                assert!(*bytes.borrow() == large());
                whole.set(whole.get() + 1);
            });
        };
        net.run(|| accepted(
            net,
            vec![
                peer(|client| _ = client.on_connect(|client| _ = client.end_with(large()))),
                peer(move |client| check(client, fast)),
                peer(move |client| {
                    check(client, slow);
                    client.pause();
                    *stuck.borrow_mut() = Some(client.clone());
                }),
            ],
            move |sockets| {
                let [source, fast, slow] = [0, 1, 2].map(|index| sockets[index].clone());
                source.pipe(&fast);
                source.pipe(&slow);
                // The slow destination stays full until its peer reads.
                let stuck = slow.clone();
                when(move || stuck.needs_drain() && !fast.needs_drain(), move || {
                    assert!(source.is_paused());
                    waited.set(true);
                    slow_peer.borrow().as_ref().unwrap().resume();
                });
            },
        ));
        assert_eq!((whole.get(), has_waited.get()), (2, true));
    }

    fn str_02_a_destination_that_is_already_full_pauses_the_source_from_the_beginning(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| accepted(
            net,
            vec![peer(|client| _ = client.on_connect(|client| _ = client.end_with("late"))), peer(move |client| {
                let bytes = collect(client);
                client.on_end(move |_| {
                    assert_eq!(bytes.borrow().len(), STUCK_BYTES + 4);
                    log.add(String::from_utf8_lossy(&bytes.borrow()[STUCK_BYTES..]));
                });
            })],
            |sockets| {
                assert!(!sockets[1].write(vec![0; STUCK_BYTES]));
                sockets[0].pipe(&sockets[1]);
                assert!(sockets[0].is_paused());
            },
        ));
        assert_eq!(seen.take(), ["late"]);
    }

    fn str_03_a_destination_that_finishes_fails_or_closes_is_unpiped_and_the_source_stores_later_data(net) {
        let cases: [(&str, fn(&Socket)); 3] = [
            ("finish", |socket| _ = socket.end()),
            ("error", |socket| _ = socket.destroy_with(Error::new(ErrorCode::EPIPE, "mine"))),
            ("close", |socket| _ = socket.destroy()),
        ];
        for (case, fail) in cases {
            let log = Log::new();
            let seen = log.clone();
            let sender = Rc::new(RefCell::new(None));
            let kept = sender.clone();
            net.run(|| accepted(
                net,
                vec![peer(move |client| {
                    client.on_connect(|client| _ = client.write("first"));
                    *sender.borrow_mut() = Some(client.clone());
                }), peer(move |client| {
                    // Half-open: a destination that only finishes stays.
                    client.set_allow_half_open(true);
                    client.on_end(|client| _ = client.end());
                    client.on_data(move |_, data| {
                        assert_eq!(data, b"first");
                    });
                })],
                move |sockets| {
                    let [source, destination] = [sockets[0].clone(), sockets[1].clone()];
                    watch_pipes(&log, "destination", &destination);
                    source.pipe(&destination);
                    when({
                        let source = source.clone();
                        move || source.bytes_read() == 5
                    }, {
                        let (source, destination) = (source.clone(), destination.clone());
                        move || { fail(&destination); assert!(!source.is_destroyed()); }
                    });
                    let unpiped = source.clone();
                    let later = source.clone();
                    when(move || unpiped.is_paused(), move || {
                        kept.borrow().as_ref().unwrap().end_with("later");
                        let source = later.clone();
                        when(move || later.read_queue_len() == 5, move || {
                            assert!(!source.is_destroyed() && source.readable_flowing() == Some(false));
                            source.on_data(move |_, data| log.add(String::from_utf8_lossy(data)));
                            source.resume();
                        });
                    });
                },
            ));
            let mut entries = seen.take();
            assert_eq!(entries.pop().as_deref(), Some("later"), "{case}");
            assert_eq!(entries, ["destination pipe", "destination unpipe"], "{case}");
        }
    }

    fn str_03_a_pipe_does_not_count_as_an_error_listener_of_its_destination(net) {
        let result = net.try_run(|| {
            net.pair(net.tcp(), |socket| _ = socket.resume(), |client| {
                let source = Socket::new();
                source.pipe(client);
                client.on_ready(|client| {
                    client.destroy_with(Error::new(ErrorCode::EPIPE, "mine"));
                });
            });
            Ok(())
        });
        assert_eq!(result.unwrap_err().code(), ErrorCode::EPIPE);
    }

    fn str_04_a_source_that_fails_neither_ends_nor_destroys_its_destination(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| accepted(
            net,
            vec![peer(|client| _ = client.resume()), peer({
                let log = log.clone();
                move |client| {
                    let bytes = collect(client);
                    client.on_end(move |_| log.add(String::from_utf8_lossy(&bytes.borrow())));
                }
            })],
            move |sockets| {
                let [source, destination] = [sockets[0].clone(), sockets[1].clone()];
                watch_pipes(&log, "destination", &destination);
                source.on_error(|_, _| {});
                source.pipe(&destination);
                source.destroy_with(Error::new(ErrorCode::EPIPE, "mine"));
                source.on_close(move |_, had_error| {
                    assert!(had_error && !destination.is_destroyed() && destination.is_writable());
                    // The same a moment later.
                    let destination = destination.clone();
                    fyke::timer::set_immediate(move || {
                        assert!(destination.write("alive"));
                        destination.end();
                    }).unwrap();
                });
            },
        ));
        assert_eq!(seen.take(), ["destination pipe", "alive"]);
    }

    fn str_05_the_last_unpipe_pauses_the_source_which_stores_later_data(net) {
        for all in [false, true] {
            let log = Log::new();
            let seen = log.clone();
            let sender = Rc::new(RefCell::new(None));
            let kept = sender.clone();
            net.run(|| accepted(
                net,
                vec![
                    peer(move |client| *sender.borrow_mut() = Some(client.clone())),
                    peer(|client| client.on_data(|_, _| panic!("unpiped")).forget()),
                    peer(|client| client.on_data(|_, _| panic!("unpiped")).forget()),
                ],
                move |sockets| {
                    let [source, one, other] = [0, 1, 2].map(|index| sockets[index].clone());
                    watch_pipes(&log, "one", &one);
                    watch_pipes(&log, "other", &other);
                    source.pipe(&one);
                    source.pipe(&other);
                    if all {
                        assert!(*source.unpipe_all() == source);
                    } else {
                        assert!(*source.unpipe(&one) == source);
                        assert_eq!(source.readable_flowing(), Some(true), "one pipe remains");
                        source.unpipe(&other);
                    }
                    assert_eq!(source.readable_flowing(), Some(false));
                    // Already unpiped: nothing happens.
                    source.unpipe(&one).unpipe_all();
                    kept.borrow().as_ref().unwrap().end_with("kept");
                    let waiting = source.clone();
                    when(move || waiting.read_queue_len() == 4, move || {
                        log.add("kept");
                        for socket in [source, one, other] {
                            socket.destroy();
                        }
                    });
                },
            ));
            let reported = ["one pipe", "other pipe", "one unpipe", "other unpipe", "kept"];
            assert_eq!(seen.take(), reported);
        }
    }

    fn str_12_a_consumer_that_exits_is_an_error_of_the_writer_and_never_a_signal(net) {
        let log = Log::new();
        let seen = log.clone();
        let gone = Rc::new(Cell::new(false));
        let goes = gone.clone();
        net.run(|| net.pair(
            net.path().into(),
            |socket| {
                socket.on_data(|socket, _| _ = socket.destroy());
                socket.on_close(move |_, _| goes.set(true));
            },
            move |client| {
                // Paused from the beginning, so only writing detects it.
                client.pause();
                client.on_error(move |_, error| {
                    log.add(format!("{} {}", error.syscall().unwrap_or_default(), error.code()));
                });
                client.on_ready(move |client| {
                    let _ = client.write("line\n");
                    let (client, gone) = (client.clone(), gone.clone());
                    when(move || gone.get(), move || print(&client));
                });
            },
        ));
        assert_eq!(seen.take(), ["write EPIPE"]);
    }
}

/// For listeners that stay.
trait Forget {
    fn forget(self);
}

impl Forget for fyke::ListenerId {
    fn forget(self) {}
}
