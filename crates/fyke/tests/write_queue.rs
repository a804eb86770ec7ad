//! The queue of writes: its visible length, that it owns its bytes, and that it survives an early end
//! or close by the caller.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use fyke::Socket;
use support::{Log, collect, pattern};

/// Larger than all buffers of the system between two TCP sockets.
const STUCK_BYTES: usize = 32 << 20;

on_every_driver! {
    fn wr_26_the_queue_owns_its_bytes(net) {
        // The written data: the number of pieces of each byte, in order.
        let expected: Rc<RefCell<Vec<u8>>> = Rc::default();
        let whole = Rc::new(Cell::new(false));
        let (wrote, seen) = (expected.clone(), whole.clone());
        const PIECE_BYTES: usize = 100_000;
        net.run(|| net.pair(
            net.tcp(),
            move |socket| {
                let bytes = collect(socket);
                socket.on_end(move |_| {
                    let expected = expected.borrow();
                    let bytes = bytes.borrow();
                    let mut pieces = bytes.chunks(PIECE_BYTES).zip(expected.iter());
                    let same = pieces.all(|(piece, byte)| *piece == vec![*byte; PIECE_BYTES]);
                    seen.set(same && bytes.len() == expected.len() * PIECE_BYTES);
                });
            },
            move |client| {
                let mut buffer = vec![0; PIECE_BYTES];
                let mut rounds = 0;
                let mut fill = move |client: &Socket| {
                    rounds += 1;
                    if rounds > 20 {
                        client.end();
                        return;
                    }
                    loop {
                        buffer.fill(rounds);
                        wrote.borrow_mut().push(rounds);
                        let room = match rounds % 2 {
                            0 => client.write(&*buffer),
                            _ => client.write(buffer.clone()),
                        };
                        // The written data does not belong to the caller any more.
                        buffer.fill(0xFF);
                        if !room {
                            return;
                        }
                    }
                };
                let fill: Rc<RefCell<dyn FnMut(&Socket)>> = Rc::new(RefCell::new(move |client: &Socket| fill(client)));
                let drain = fill.clone();
                client.on_connect(move |client| fill.borrow_mut()(client));
                client.on_drain(move |client| drain.borrow_mut()(client));
            },
        ));
        assert!(whole.get());
    }

    fn wr_27_the_length_of_the_queue_can_be_read(net) {
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.resume(); },
            |client| {
                assert_eq!((client.buffer_size(), client.write_queue_len()), (None, 0));
                assert_eq!(client.high_water_mark(), 65_536);
                let connecting = client.clone();
                fyke::timer::next_tick(move || {
                    for written in 1..=5 {
                        let _ = connecting.write("x");
                        assert_eq!(connecting.buffer_size(), Some(written));
                        assert_eq!(connecting.write_queue_len(), written);
                    }
                }).unwrap();
                client.on_ready(|client| {
                    client.cork().cork();
                    assert_eq!(client.cork_count(), 2);
                    client.uncork().uncork();
                    assert!(!client.needs_drain() && client.cork_count() == 0);
                    assert!(!client.write(vec![0; STUCK_BYTES]));
                    assert!(client.needs_drain());
                    assert_eq!(client.buffer_size(), Some(client.write_queue_len()));
                    assert!(client.write_queue_len() > 0);
                });
                client.on_drain(|client| {
                    assert!(!client.needs_drain());
                    assert!(!client.write(vec![0; STUCK_BYTES]) && client.needs_drain());
                    client.end();
                    assert!(!client.needs_drain(), "none is emitted after it has ended");
                });
                client.on_finish(|client| assert_eq!(client.buffer_size(), Some(0)));
                client.on_close(|client, _| {
                    assert_eq!((client.buffer_size(), client.write_queue_len()), (None, 0));
                });
            },
        ));
    }

    fn wr_28_a_slow_reader_gets_everything_from_a_writer_that_has_ended(net) {
        let log = Log::new();
        let seen = log.clone();
        let callbacks = Rc::new(Cell::new(0));
        let count = callbacks.clone();
        net.run(|| net.pair(
            net.tcp(),
            {
                let log = log.clone();
                move |socket| {
                    socket.set_idle_timeout_then(Duration::from_millis(9999), move |_| log.add("timeout"));
                    for _ in 0..10 {
                        let count = count.clone();
                        socket.write_then(pattern(200_000), move |_, result| {
                            result.unwrap();
                            count.set(count.get() + 1);
                        });
                    }
                    socket.end();
                }
            },
            move |client| {
                let bytes: Rc<RefCell<Vec<u8>>> = Rc::default();
                let sink = bytes.clone();
                client.on_data(move |client, data| {
                    sink.borrow_mut().extend_from_slice(data);
                    client.pause();
                    let client = client.clone();
                    fyke::timer::set_timeout(Duration::from_millis(1), move || _ = client.resume()).unwrap();
                });
                client.on_end(move |_| {
                    assert!(*bytes.borrow() == pattern(200_000).repeat(10));
                    log.add("end");
                });
            },
        ));
        assert_eq!((seen.take(), callbacks.get()), (vec![String::from("end")], 10));
    }

    fn wr_29_a_busy_loop_loses_nothing_before_destroy_soon(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            move |socket| {
                log.watch("", socket);
                let bytes = collect(socket);
                socket.on_end(move |_| log.add(bytes.borrow().len()));
            },
            |client| {
                client.on_connect(|client| {
                    for _ in 0..100 {
                        let _ = client.write([1; 1024].as_slice());
                    }
                    let busy_until = Instant::now() + Duration::from_millis(50);
                    while Instant::now() < busy_until {
                        std::hint::spin_loop();
                    }
                    let _ = client.write("x");
                    client.destroy_soon();
                });
            },
        ));
        assert_eq!(seen.take(), ["end", "102401", "finish", "close false"]);
    }
}
