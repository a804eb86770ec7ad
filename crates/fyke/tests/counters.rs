//! The numbers of bytes that a socket has read and written.

mod support;

use std::cell::Cell;
use std::rc::Rc;

use fyke::Socket;
use support::{Log, pattern};

on_every_driver! {
    fn prop_03_bytes_written_increases_with_each_write_while_connecting(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(|socket| {
                socket.resume();
                socket.server().unwrap().close();
            });
            net.listen(&server, net.tcp(), move |endpoint| {
                let client = fyke::connect(endpoint).unwrap();
                client.cork();
                let _ = client.write("one");
                let _ = client.write("twø");
                client.uncork();
                assert_eq!(client.bytes_written(), 7, "encoded bytes");
                let _ = client.write("!");
                assert_eq!(client.bytes_written(), 8);
                client.cork();
                let _ = client.write("corked");
                assert_eq!(client.bytes_written(), 14);
                let [connect, end] = [log.clone(), log.clone()];
                client.on_connect(move |client| connect.add(client.bytes_written()));
                client.resume().on_end(move |client| end.add(client.bytes_written()));
                client.end();
            });
        });
        assert_eq!(seen.take(), ["14", "14"], "nothing is counted twice");
    }

    fn prop_04_bytes_written_of_a_large_and_of_a_corked_write(net) {
        const LEN: u64 = 10_000_000;
        for corked in [false, true] {
            let total = if corked { 2 * LEN } else { LEN };
            let read = Rc::new(Cell::new(0));
            let seen = read.clone();
            net.run(|| net.pair(
                net.tcp(),
                move |socket| {
                    socket.resume().on_close(move |socket, _| read.set(socket.bytes_read()));
                },
                move |client| _ = client.resume().on_connect(move |client| {
                    if corked {
                        client.cork();
                        let _ = client.write("a".repeat(LEN as usize));
                        assert_eq!(client.bytes_written(), LEN);
                    }
                    client.end_with_then(pattern(LEN as usize), move |client, result| {
                        result.unwrap();
                        assert_eq!(client.bytes_written(), total);
                    });
                    assert_eq!(client.bytes_written(), total);
                }),
            ));
            assert_eq!(seen.get(), total);
        }
    }

    fn prop_06_bytes_read_includes_the_chunk_and_stored_bytes_and_stays_after_close(net) {
        let len = 1_000_000;
        let kept = Rc::new(Cell::new(0));
        let seen = kept.clone();
        net.run(|| net.pair(
            net.tcp(),
            move |socket| { socket.end_with(pattern(len)); },
            move |client| {
                let (mut before, mut delivered) = (0, 0);
                client.on_data(move |client, data| {
                    delivered += data.len() as u64;
                    let read = client.bytes_read();
                    assert!(read > before && read >= delivered);
                    assert!(read - delivered >= client.read_queue_len() as u64);
                    before = read;
                });
                client.on_end(move |client| assert_eq!(client.bytes_read(), len as u64));
                client.on_close(move |client, _| kept.set(client.bytes_read()));
            },
        ));
        assert_eq!(seen.get(), len as u64);
    }

    fn prop_06_stored_bytes_count_as_read(net) {
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.end_with("kept"); },
            |client| {
                client.on_readable(|client| {
                    if client.read_queue_len() == 4 {
                        assert_eq!(client.bytes_read(), 4);
                        client.destroy();
                        assert_eq!(client.bytes_read(), 4, "after destroy too");
                    }
                });
            },
        ));
    }

    fn prop_07_prop_10_counters_and_addresses_belong_to_one_connection(net) {
        let sums = Rc::new(Cell::new((0, 0)));
        let seen = sums.clone();
        let log = Log::new();
        let [ports, all] = [log.clone(), log.clone()];
        net.run(|| {
            let at_server = sums.clone();
            let server = fyke::create_server(move |socket| {
                ports.add(socket.remote_address().unwrap().port());
                let sums = at_server.clone();
                socket.resume().on_close(move |socket, _| {
                    sums.set((sums.get().0, sums.get().1 + socket.bytes_read()));
                });
            });
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let client = Socket::new();
                client.resume().on_finish(move |client| {
                    assert_eq!(client.bytes_written(), 6);
                    sums.set((sums.get().0 + client.bytes_written(), sums.get().1));
                });
                let (again, rounds) = (endpoint.clone(), Cell::new(0));
                client.on_close(move |client, _| {
                    rounds.set(rounds.get() + 1);
                    log.add(client.local_address().unwrap().port());
                    if rounds.get() == 2 {
                        server.close();
                        return;
                    }
                    assert_eq!(client.bytes_written(), 6, "unchanged until the next connect (PROP-05)");
                    client.connect(&again).unwrap();
                    assert_eq!((client.bytes_written(), client.remote_address()), (0, None));
                    client.end_with("second");
                });
                client.connect(endpoint).unwrap();
                client.end_with("first!");
            });
        });
        assert_eq!(seen.get(), (12, 12));
        // For each connection, the server's side and the client's, in either order.
        let mut ports = all.take();
        ports.sort();
        assert!(ports.len() == 4 && ports[0] == ports[1] && ports[2] == ports[3], "{ports:?}");
    }
}
