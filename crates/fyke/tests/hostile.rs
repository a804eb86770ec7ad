//! Peers that misbehave: the server continues, and releases everything that they used. `returns.rs`
//! counts memory and descriptors.

mod support;

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use fyke::{Endpoint, Server, Socket, timer};
use rustix::net::SendFlags;
use support::{DEADLINE, Log, Net, collect};

/// Urgent data is not part of the stream (RFC 9293, 3.8.5).
const URGENT_BETWEEN: [(&[u8; 1], SendFlags); 3] =
    [(b"A", SendFlags::empty()), (b"!", SendFlags::OOB), (b"B", SendFlags::empty())];

/// Connects once more and expects to be served, which proves that the server continues.
fn expect_echo(endpoint: &Endpoint, then: impl FnOnce() + 'static) {
    let client = fyke::connect_then(endpoint, |client| {
        client.end_with("still there?");
    })
    .unwrap();
    let answer = collect(&client);
    let mut then = Some(then);
    client.on_close(move |_, had_error| {
        assert!(!had_error);
        assert_eq!(answer.borrow().as_slice(), b"still there?");
        then.take().unwrap()();
    });
}

/// An echo server for the hostile client, which must serve another client afterwards.
fn withstands(net: &Net, hostile: impl FnOnce(Endpoint, Box<dyn FnOnce()>) + 'static) {
    let served = Rc::new(Cell::new(false));
    let seen = Rc::clone(&served);
    net.run(|| {
        let server = fyke::create_server(|socket| {
            socket.pipe(socket);
        });
        net.listen(&server.clone(), net.tcp(), move |endpoint| {
            let again = endpoint.clone();
            let finally = Box::new(move || {
                expect_echo(&again, move || {
                    served.set(true);
                    server.close();
                });
            });
            hostile(endpoint, finally);
        });
    });
    assert!(seen.get());
}

on_every_driver! {
    fn a_client_that_resets_in_the_middle_does_not_affect_others(net) {
        withstands(net, |endpoint, then| {
            let client = fyke::connect_then(endpoint, |client| {
                let _ = client.write(vec![1; 4 << 20]);
            }).unwrap();
            client.on_data(|client, _| client.reset_and_destroy().unwrap());
            let mut then = Some(then);
            client.on_close(move |_, _| then.take().unwrap()());
        });
    }

    fn a_client_that_writes_much_and_never_reads_does_not_affect_others(net) {
        withstands(net, |endpoint, then| {
            let client = fyke::connect(endpoint).unwrap();
            client.on_error(|_, _| {});
            // Paused before the connection, so it never reads.
            client.pause();
            let _ = client.write(vec![1; 32 << 20]);
            let mut then = Some(then);
            let ended = client.clone();
            timer::set_timeout(Duration::from_millis(100), move || {
                // The echo is blocked: the server has stopped reading, and holds a bounded queue.
                assert!(ended.write_queue_len() > 0);
                ended.destroy();
                then.take().unwrap()();
            }).unwrap();
        });
    }

    fn a_client_that_connects_and_sends_nothing_is_closed_by_an_idle_timeout(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(|socket| {
                socket.server().unwrap().close();
                socket.set_idle_timeout_then(Duration::from_millis(30), |socket| { socket.destroy(); });
            });
            net.listen(&server, net.tcp(), move |endpoint| {
                let client = fyke::connect(endpoint).unwrap();
                log.watch("", &client);
                client.resume();
            });
        });
        assert_eq!(seen.take(), ["connect", "ready", "end", "finish", "close false"]);
    }

    fn rd_02_c6_a_flooding_client_does_not_delay_timers_and_other_sockets(net) {
        let ticks = Rc::new(Cell::new(0));
        let seen = Rc::clone(&ticks);
        withstands(net, move |endpoint, then| {
            let flood = fyke::connect(&endpoint).unwrap();
            flood.resume();
            fn pour(flood: &Socket) {
                while !flood.is_destroyed() && flood.write([0; 60_000].as_slice()) {}
            }
            flood.on_connect(pour);
            flood.on_drain(pour);
            let mut then = Some(then);
            let interval = Rc::new(std::cell::RefCell::new(None));
            let own = Rc::clone(&interval);
            let set = timer::set_interval(Duration::from_millis(5), move || {
                ticks.set(ticks.get() + 1);
                if ticks.get() == 10 {
                    let interval: timer::Timer = own.take().unwrap();
                    interval.cancel();
                    let flood = flood.clone();
                    let then = then.take().unwrap();
                    // Served while the flood goes on.
                    expect_echo(&endpoint, move || { flood.destroy(); then(); });
                }
            });
            *interval.borrow_mut() = set.ok();
        });
        assert_eq!(seen.get(), 10);
    }

    fn a_writer_that_ignores_backpressure_fails_alone(net) {
        withstands(net, |endpoint, then| {
            let client = fyke::connect_then(&endpoint, |client| {
                for _ in 0..1000 {
                    let _ = client.write(vec![7; 10_000]);
                }
                client.end();
            }).unwrap();
            let bytes = Rc::new(Cell::new(0));
            let count = Rc::clone(&bytes);
            client.on_data(move |_, data| count.set(count.get() + data.len()));
            let mut then = Some(then);
            client.on_close(move |_, _| {
                assert_eq!(bytes.get(), 10_000_000);
                then.take().unwrap()();
            });
        });
    }
}

on_every_system! {
    fn bytes_after_an_urgent_byte_are_received_even_if_a_read_ends_before_it(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(move |socket| {
                socket.server().unwrap().close();
                let (bytes, log) = (collect(socket), log.clone());
                socket.on_data(move |socket, _| {
                    if bytes.borrow().len() == 2 {
                        log.add(String::from_utf8_lossy(&bytes.borrow()));
                        socket.destroy();
                    }
                });
            });
            let listening = |server: &Server| {
                let peer = TcpStream::connect(server.address().unwrap().ip().unwrap()).unwrap();
                for (byte, flags) in URGENT_BETWEEN {
                    rustix::net::send(&peer, byte, flags).unwrap();
                }
                // Stays open, and sends nothing more.
                timer::set_timeout(DEADLINE * 2, move || drop(peer)).unwrap().unref_loop();
            };
            server.listen_then(net.tcp(), listening).unwrap();
        });
        assert_eq!(seen.take(), ["AB"]);
    }

    fn bytes_after_an_urgent_byte_are_received_even_from_a_bulk_sender(net) {
        const BULK_BYTES: usize = 8 << 20;
        let (ask, asked) = std::sync::mpsc::channel();
        let (answer, answered) = std::sync::mpsc::channel();
        let (log, thread) = (Log::new(), Rc::new(Cell::new(None)));
        let (seen, started) = (log.clone(), thread.clone());
        net.run(|| {
            let mut once = Some((ask, answered));
            let server = fyke::create_server(move |socket| {
                socket.server().unwrap().close();
                let (log, mut once, mut count) = (log.clone(), once.take(), 0);
                socket.on_data(move |socket, bytes| {
                    count += bytes.len();
                    if count == BULK_BYTES {
                        let (ask, answered) = once.take().unwrap();
                        // Between two turns, so that all of it has arrived when the next turn reads.
                        let wait = move || {
                            ask.send(()).unwrap();
                            answered.recv_timeout(DEADLINE).unwrap();
                        };
                        timer::set_immediate(wait).unwrap();
                    } else if count > BULK_BYTES {
                        log.add(String::from_utf8_lossy(bytes));
                    }
                    if count == BULK_BYTES + 2 {
                        socket.destroy();
                    }
                });
            });
            let listening = move |server: &Server| {
                let address = server.address().unwrap().ip().unwrap();
                started.set(Some(std::thread::spawn(move || {
                    let mut peer = TcpStream::connect(address).unwrap();
                    peer.write_all(&vec![0; BULK_BYTES]).unwrap();
                    asked.recv_timeout(DEADLINE).unwrap();
                    for (byte, flags) in URGENT_BETWEEN {
                        rustix::net::send(&peer, byte, flags).unwrap();
                    }
                    answer.send(()).unwrap();
                    // Sends nothing more, and stays until the server closes.
                    let _ = peer.read(&mut [0]);
                })));
            };
            server.listen_then(net.tcp(), listening).unwrap();
        });
        thread.take().unwrap().join().unwrap();
        assert_eq!(seen.take(), ["A", "B"]);
    }
}
