//! Named pipes of Windows, which take the place of Unix sockets there.

#![cfg(windows)]

mod support;

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use fyke::{
    Address, BoundSocket, ConnectOptions, Endpoint, ErrorCode, ListenOptions, Server, Socket, timer,
};
use support::{DEADLINE, Log, Net, child, collect, pattern};

const MS: Duration = Duration::from_millis(1);

/// A server that sends back what it receives, and closes when it has had `count` connections.
fn echo(count: usize) -> Server {
    let left = Cell::new(count);
    fyke::create_server(move |socket| {
        left.set(left.get() - 1);
        if left.get() == 0 {
            socket.server().unwrap().close();
        }
        socket.on_data(|socket, data| _ = socket.write(data));
        socket.on_error(|_, error| panic!("the server: {error}"));
    })
}

/// Connects, sends, expects the same back, destroys the connection, and calls `then`.
fn ask(path: &Path, then: impl FnOnce() + 'static) {
    let client = fyke::connect(path).unwrap();
    let _ = client.write("question");
    let (answer, mut then) = (collect(&client), Some(then));
    client.on_data(move |client, _| {
        if *answer.borrow() == b"question" {
            client.destroy();
            if let Some(then) = then.take() {
                then();
            }
        }
    });
}

fn code_of_listening(net: &Net, path: &Path) -> ErrorCode {
    let listened = net.try_run(|| Server::new().listen_then(path, |server| _ = server.close()));
    listened.unwrap_err().code()
}

fn code_of_connecting(net: &Net, path: &Path) -> ErrorCode {
    net.try_run(|| fyke::connect(path).map(drop)).unwrap_err().code()
}

#[test]
fn both_forms_of_a_name_are_one_pipe() {
    let net = Net::ready();
    let path = net.path();
    let other = PathBuf::from(path.to_str().unwrap().replacen(r"\\.\", r"\\?\", 1));
    assert_ne!(path, other);
    for (listens, connects) in [(&path, &other), (&other, &path)] {
        net.run(|| {
            let connects = connects.clone();
            echo(1)
                .listen_then(listens.as_path(), move |server| {
                    ask(&connects, || ());
                    assert!(server.is_listening());
                })
                .unwrap();
        });
    }
}

#[test]
fn text_of_a_pipe_is_an_endpoint_and_the_address_of_its_server() {
    let net = Net::ready();
    let path = net.path();
    let endpoint: Endpoint = path.to_str().unwrap().parse().unwrap();
    assert_eq!(endpoint, Endpoint::Path(path.clone()));
    net.run(|| {
        Server::new()
            .listen_then(endpoint, move |server| {
                assert_eq!(server.address(), Some(Address::Path(path)));
                server.close();
            })
            .unwrap();
    });
}

#[test]
fn a_second_server_is_refused_until_the_first_one_has_closed() {
    let net = Net::ready();
    let path = net.path();
    net.run(|| {
        let name = path.clone();
        Server::new()
            .listen_then(path.as_path(), move |server| {
                assert_eq!(code_of_listening(&Net::ready(), &name), ErrorCode::EADDRINUSE);
                server.close();
            })
            .unwrap();
    });
    net.run(|| Server::new().listen_then(path.as_path(), |server| _ = server.close()).unwrap());
}

/// Node crashes here (nodejs/node#65057).
#[test]
fn of_servers_that_listen_at_the_same_moment_those_that_lose_get_eaddrinuse() {
    const SERVERS: usize = 4;
    for _ in 0..20 {
        let net = Net::ready();
        let path = net.path();
        let (start, stop) = (Arc::new(Barrier::new(SERVERS)), Arc::new(Barrier::new(SERVERS)));
        let threads = (0..SERVERS).map(|_| {
            let (path, start, stop) = (path.clone(), Arc::clone(&start), Arc::clone(&stop));
            std::thread::spawn(move || {
                let net = Net::ready();
                start.wait();
                let listened = net.try_run(|| {
                    let server = Server::new();
                    let listened = server.listen(path.as_path());
                    stop.wait();
                    listened.map(|()| _ = server.close())
                });
                listened.map_err(|error| assert_eq!(error.code(), ErrorCode::EADDRINUSE)).is_ok()
            })
        });
        let threads: Vec<_> = threads.collect();
        let won = threads.into_iter().filter_map(|thread| thread.join().unwrap().then_some(()));
        // One on Windows. Wine 8 ignores that the first instance is to be exclusive.
        assert!(won.count() >= 1);
    }
}

#[test]
fn a_client_that_finds_all_instances_busy_waits_for_one() {
    let net = Net::ready();
    let (log, path) = (Log::new(), net.path());
    let seen = log.clone();
    net.run(|| {
        // It has one instance, which the first client takes.
        let bound = BoundSocket::bind(path.as_path()).unwrap();
        let connects = |name: &'static str| {
            let (log, client) = (log.clone(), Socket::new());
            client
                .connect_then(path.as_path(), move |client| {
                    log.add(name);
                    client.end();
                })
                .unwrap();
            client.resume();
        };
        connects("first");
        connects("second");
        let log = log.clone();
        timer::set_timeout(50 * MS, move || {
            assert_eq!(log.entries(), ["first"]);
            let left = Cell::new(2);
            let server = fyke::create_server(move |socket| {
                left.set(left.get() - 1);
                if left.get() == 0 {
                    socket.server().unwrap().close();
                }
                socket.resume().end();
            });
            server.listen_bound(bound).unwrap();
        })
        .unwrap();
    });
    assert_eq!(seen.take(), ["first", "second"]);
}

#[test]
fn a_client_waits_no_longer_than_its_connect_timeout() {
    let net = Net::ready();
    let path = net.path();
    net.run(|| {
        let bound = BoundSocket::bind(path.as_path()).unwrap();
        let first = fyke::connect(path.as_path()).unwrap();
        let options = ConnectOptions::new(path.as_path()).connect_timeout(60 * MS);
        let began = Instant::now();
        let second = options.connect().unwrap();
        second.on_error(move |_, error| {
            assert_eq!(error.code(), ErrorCode::ETIMEDOUT);
            assert!(began.elapsed() >= 60 * MS);
            first.destroy();
            let _ = &bound;
        });
    });
}

#[test]
fn a_thousand_connections_follow_each_other() {
    const COUNT: usize = 1000;
    fn next(path: PathBuf, left: usize) {
        let name = path.clone();
        ask(&path, move || {
            if left > 1 {
                next(name, left - 1);
            }
        });
    }
    let net = Net::ready();
    let path = net.path();
    net.run(|| {
        let name = path.clone();
        echo(COUNT).listen_then(path.as_path(), move |_| next(name, COUNT)).unwrap();
    });
}

#[test]
fn a_hundred_connections_are_made_at_once() {
    const COUNT: usize = 100;
    let net = Net::ready();
    let (path, answered) = (net.path(), Rc::new(Cell::new(0)));
    net.run(|| {
        let (name, answered) = (path.clone(), Rc::clone(&answered));
        echo(COUNT)
            .listen_then(path.as_path(), move |_| {
                for _ in 0..COUNT {
                    let answered = Rc::clone(&answered);
                    ask(&name, move || answered.set(answered.get() + 1));
                }
            })
            .unwrap();
    });
    assert_eq!(answered.get(), COUNT);
}

#[test]
fn an_answer_to_an_ended_client_arrives_if_it_comes_at_once() {
    let net = Net::ready();
    let log = Log::new();
    let seen = log.clone();
    net.run(|| {
        net.pair(
            net.path().into(),
            |socket| _ = socket.on_data(|socket, _| _ = socket.write("answer")),
            move |client| {
                log.watch("", client);
                let log = log.clone();
                client.on_data(move |_, data| log.add(String::from_utf8_lossy(data)));
                client.on_connect(|client| _ = client.end_with("question"));
            },
        );
    });
    // The client may get the answer before it knows that the server has read the question.
    let mut entries = seen.take();
    entries[2..4].sort();
    assert_eq!(entries, ["connect", "ready", "answer", "finish", "end", "close false"]);
}

#[test]
fn a_pipe_whose_peer_is_silent_is_closed_by_the_side_that_has_ended() {
    let net = Net::ready();
    let log = Log::new();
    let seen = log.clone();
    let began = Instant::now();
    net.run(|| {
        let of_server = log.clone();
        net.pair(
            net.path().into(),
            move |socket| {
                socket.set_allow_half_open(true);
                of_server.watch("server ", socket);
                socket.on_end(|socket| _ = socket.end());
                socket.resume();
            },
            move |client| {
                log.watch("client ", client);
                client.on_connect(|client| _ = client.resume().end());
            },
        );
    });
    assert!(began.elapsed() >= 50 * MS);
    let entries = seen.take();
    let of_client: Vec<_> = entries.iter().filter(|entry| entry.starts_with("client")).collect();
    assert_eq!(
        of_client,
        ["client connect", "client ready", "client finish", "client end", "client close false"]
    );
    assert!(entries.contains(&"server end".to_owned()), "{entries:?}");
}

#[test]
fn everything_written_before_the_end_reaches_a_peer_that_reads_late() {
    let net = Net::ready();
    let bytes = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&bytes);
    net.run(|| {
        net.pair(
            net.path().into(),
            |socket| _ = socket.end_with(pattern(1_000_000)),
            move |client| {
                client.on_data(move |_, data| sink.borrow_mut().extend_from_slice(data));
                client.pause();
                let client = client.clone();
                timer::set_timeout(200 * MS, move || _ = client.resume()).unwrap();
            },
        );
    });
    assert!(*bytes.borrow() == pattern(1_000_000));
}

/// Node crashes here (nodejs/node#42496).
#[test]
fn a_socket_may_be_destroyed_while_it_reads() {
    let net = Net::ready();
    for round in 0..100 {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let of_server = log.clone();
            net.pair(
                net.path().into(),
                move |socket| {
                    socket.on_error(|_, error| assert_eq!(error.code().as_str(), "EPIPE"));
                    socket.on_close(move |_, _| of_server.add("server"));
                    socket.resume();
                    let _ = socket.write(pattern(300_000));
                },
                move |client| {
                    client.on_close(move |_, _| log.add("client"));
                    client.on_data(move |client, _| {
                        let client = client.clone();
                        match round % 2 {
                            0 => _ = client.destroy(),
                            _ => timer::next_tick(move || _ = client.destroy()).unwrap(),
                        }
                    });
                },
            );
        });
        let mut entries = seen.take();
        entries.sort();
        assert_eq!(entries, ["client", "server"], "round {round}");
    }
}

/// Node locks up here (nodejs/node#58135).
#[test]
fn reading_that_is_paused_and_resumed_while_both_sides_write_does_not_lock_up() {
    const BYTES: usize = 2_000_000;
    let net = Net::ready();
    let done = Rc::new(Cell::new(0));
    let began = Instant::now();
    net.run(|| {
        let talk = |done: Rc<Cell<usize>>| {
            move |socket: &Socket| {
                let bytes = collect(socket);
                socket.on_data(move |socket, _| {
                    socket.pause();
                    let again = socket.clone();
                    timer::set_immediate(move || _ = again.resume()).unwrap();
                    if bytes.borrow().len() == BYTES {
                        assert!(*bytes.borrow() == pattern(BYTES));
                        done.set(done.get() + 1);
                        socket.end();
                    }
                });
            }
        };
        let (server_side, client_side) = (talk(Rc::clone(&done)), talk(Rc::clone(&done)));
        net.pair(
            net.path().into(),
            move |socket| {
                server_side(socket);
                let _ = socket.write(pattern(BYTES));
            },
            move |client| {
                client_side(client);
                client.on_connect(|client| _ = client.write(pattern(BYTES)));
            },
        );
    });
    assert_eq!(done.get(), 2);
    assert!(began.elapsed() < DEADLINE);
}

#[test]
fn paths_that_name_no_pipe_are_errors() {
    let net = Net::ready();
    let file = std::env::temp_dir().join(format!("fyke-no-pipe-{}", std::process::id()));
    std::fs::write(&file, "a file").unwrap();
    assert_eq!(code_of_listening(&net, &file), ErrorCode::EACCES);
    assert_eq!(code_of_listening(&net, Path::new("x.sock")), ErrorCode::EACCES);
    assert_eq!(code_of_listening(&net, Path::new(r"\\.\pipe\")), ErrorCode::EACCES);
    assert_eq!(code_of_listening(&net, Path::new("\\\\.\\pipe\\a\0b")), ErrorCode::EINVAL);
    assert_eq!(code_of_connecting(&net, &file).as_str(), "ENOTSOCK");
    assert_eq!(code_of_connecting(&net, &net.path()), ErrorCode::ENOENT);
    assert_eq!(code_of_connecting(&net, Path::new("x.sock")), ErrorCode::ENOENT);
    assert_eq!(code_of_connecting(&net, Path::new("\\\\.\\pipe\\a\0b")), ErrorCode::EINVAL);
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_pipe_may_be_opened_to_everybody_and_has_no_other_mode() {
    let net = Net::ready();
    for (readable, writable) in [(true, false), (false, true), (true, true)] {
        let path = net.path();
        net.run(|| {
            let options = ListenOptions::new(path.as_path());
            let options = options.readable_all(readable).writable_all(writable);
            let name = path.clone();
            options.listen_then(&echo(1), move |_| ask(&name, || ())).unwrap();
        });
    }
    let path = net.path();
    let listened =
        net.try_run(|| ListenOptions::new(path.as_path()).mode(0o640).listen(&Server::new()));
    let error = listened.unwrap_err();
    assert_eq!((error.code(), error.syscall()), (ErrorCode::ENOTSUP, Some("chmod")));
}

const KILLED: &str = "a_child_that_is_killed";

#[test]
fn a_killed_peer_process_ends_the_connection() {
    let net = Net::ready();
    let (log, path) = (Log::new(), net.path());
    let seen = log.clone();
    net.run(|| {
        let process = Rc::new(RefCell::new(None));
        let killed = Rc::clone(&process);
        let server = fyke::create_server(move |socket| {
            socket.server().unwrap().close();
            log.watch("", socket);
            let killed = Rc::clone(&killed);
            socket.on_data(move |_, _| {
                let mut process: std::process::Child = killed.take().unwrap();
                process.kill().unwrap();
                process.wait().unwrap();
            });
        });
        let name = path.clone();
        server
            .listen_then(path.as_path(), move |_| {
                let mut child = child::to_run(KILLED);
                *process.borrow_mut() = Some(child.env("FYKE_TEST_PIPE", &name).spawn().unwrap());
            })
            .unwrap();
    });
    assert_eq!(seen.take(), ["end", "finish", "close false"]);
}

#[test]
#[ignore = "run by a_killed_peer_process_ends_the_connection, which kills it"]
fn a_child_that_is_killed() {
    if !child::is_for(KILLED) {
        return;
    }
    let path = PathBuf::from(std::env::var_os("FYKE_TEST_PIPE").unwrap());
    fyke::run(|| -> fyke::Result<()> {
        let client = fyke::connect(path)?;
        let _ = client.write("kill me");
        client.on_data(|_, _| ());
        Ok(())
    })
    .unwrap();
}
