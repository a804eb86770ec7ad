//! Sockets as streams: reading and writing with futures.

mod support;

use std::cell::{Cell, RefCell};
use std::io::IoSlice;
use std::rc::Rc;
use std::time::Duration;

use fyke::{ErrorCode, ServerOptions, Socket, spawn_local, timer};
use support::futures::{listening, sockets, streams};
use support::{Log, pattern};

const BIG: usize = 3 << 20;

on_every_driver! {
    fn bytes_go_both_ways(net) {
        for endpoint in net.endpoints() {
            net.block_on(async {
                let (mut client, mut server) = streams(endpoint).await;
                client.write_all(b"question").await.unwrap();
                let mut buffer = [0; 8];
                server.read_exact(&mut buffer).await.unwrap();
                assert_eq!(&buffer, b"question");
                server.write_all(b"answer").await.unwrap();
                server.end().await.unwrap();
                assert_eq!(client.read_to_end().await.unwrap(), b"answer");
            });
        }
    }

    fn large_data_is_written_at_the_pace_of_the_reader(net) {
        for endpoint in net.endpoints() {
            net.block_on(async {
                let (mut client, mut server) = streams(endpoint).await;
                let bytes = pattern(BIG);
                let expected = bytes.clone();
                let writer = spawn_local(async move {
                    client.write_all(&bytes).await.unwrap();
                    assert_eq!(client.socket().write_queue_len(), 0);
                    client.end().await.unwrap();
                    client
                }).unwrap();
                assert_eq!(server.read_to_end().await.unwrap(), expected);
                assert_eq!(server.socket().bytes_read(), BIG as u64);
                let client = writer.await.unwrap();
                assert_eq!(client.socket().bytes_written(), BIG as u64);
            });
        }
    }

    fn the_end_of_the_peer_leaves_our_side_open(net) {
        for endpoint in net.endpoints() {
            net.block_on(async {
                let (mut client, mut server) = streams(endpoint).await;
                client.end().await.unwrap();
                let mut buffer = [0; 1];
                assert_eq!(server.read(&mut buffer).await.unwrap(), 0);
                assert_eq!(server.read(&mut buffer).await.unwrap(), 0);
                timer::sleep(Duration::from_millis(2)).unwrap().await;
                server.write_all(b"late answer").await.unwrap();
                server.end().await.unwrap();
                assert_eq!(client.read_to_end().await.unwrap(), b"late answer");
                client.socket().closed().await.unwrap();
            });
        }
    }

    fn writing_after_end_is_an_error(net) {
        net.block_on(async {
            let (mut client, _server) = streams(net.tcp()).await;
            client.end().await.unwrap();
            client.end().await.unwrap();
            let error = client.write(b"x").await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::ERR_STREAM_WRITE_AFTER_END);
        });
    }

    fn a_reset_is_the_error_of_a_read_that_waits(net) {
        net.block_on(async {
            let (mut client, server) = streams(net.tcp()).await;
            let reader = spawn_local(async move { client.read(&mut [0; 9]).await }).unwrap();
            timer::sleep(Duration::from_millis(1)).unwrap().await;
            server.socket().reset_and_destroy().unwrap();
            let error = reader.await.unwrap().unwrap_err();
            assert_eq!(error.code(), ErrorCode::ECONNRESET);
        });
    }

    fn a_reset_is_the_error_of_a_write_that_waits(net) {
        net.block_on(async {
            let (mut client, server) = streams(net.tcp()).await;
            let writer = spawn_local(async move {
                loop {
                    if let Err(error) = client.write(&[7; 65_536]).await {
                        return error;
                    }
                }
            }).unwrap();
            timer::sleep(Duration::from_millis(2)).unwrap().await;
            server.socket().reset_and_destroy().unwrap();
            let error = writer.await.unwrap();
            assert!(matches!(error.code(), ErrorCode::ECONNRESET | ErrorCode::EPIPE), "{error}");
        });
    }

    fn destroying_the_socket_wakes_reader_and_writer(net) {
        net.block_on(async {
            let (client, _server) = streams(net.tcp()).await;
            let socket = client.socket().clone();
            let (mut reading, mut writing) = client.split();
            let reader = spawn_local(async move { reading.read(&mut [0; 1]).await }).unwrap();
            let writer = spawn_local(async move {
                loop {
                    if let Err(error) = writing.write(&[7; 65_536]).await {
                        return error;
                    }
                }
            }).unwrap();
            timer::sleep(Duration::from_millis(2)).unwrap().await;
            socket.destroy();
            let error = reader.await.unwrap().unwrap_err();
            assert_eq!(error.code(), ErrorCode::ERR_STREAM_DESTROYED);
            assert_eq!(writer.await.unwrap().code(), ErrorCode::ERR_STREAM_DESTROYED);
        });
    }

    fn dropping_a_stream_closes_the_connection_and_what_was_written_arrives(net) {
        for endpoint in net.endpoints() {
            net.block_on(async {
                let (mut client, mut server) = streams(endpoint).await;
                client.write_all(b"last words").await.unwrap();
                let socket = client.socket().clone();
                drop(client);
                assert!(socket.is_destroyed());
                assert_eq!(server.read_to_end().await.unwrap(), b"last words");
            });
        }
    }

    fn dropping_the_writing_half_ends_our_side_only(net) {
        net.block_on(async {
            let (client, mut server) = streams(net.tcp()).await;
            let (mut reading, writing) = client.split();
            drop(writing);
            assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
            server.write_all(b"still here").await.unwrap();
            let mut buffer = [0; 10];
            reading.read_exact(&mut buffer).await.unwrap();
            assert_eq!(&buffer, b"still here");
        });
    }

    fn lent_bytes_come_again_until_they_are_consumed(net) {
        net.block_on(async {
            let (mut client, mut server) = streams(net.tcp()).await;
            client.write_all(b"abcdef").await.unwrap();
            client.end().await.unwrap();
            let mut seen = Vec::new();
            loop {
                let (first, again) = {
                    let first = server.fill_buf().await.unwrap().to_vec();
                    (first, server.fill_buf().await.unwrap().to_vec())
                };
                assert_eq!(first, again);
                let Some(byte) = first.first() else { break };
                seen.push(*byte);
                server.consume(1);
                // The other ways to read go on after the consumed bytes.
                let mut next = [0; 1];
                if server.peek(&mut next).await.unwrap() == 1 {
                    assert_eq!(server.read(&mut next).await.unwrap(), 1);
                    seen.push(next[0]);
                }
            }
            assert_eq!(seen, b"abcdef");
        });
    }

    fn peeking_takes_nothing(net) {
        net.block_on(async {
            let (mut client, mut server) = streams(net.tcp()).await;
            client.write_all(b"x").await.unwrap();
            let mut buffer = [0; 4];
            for _ in 0..3 {
                assert_eq!(server.peek(&mut buffer).await.unwrap(), 1);
            }
            assert_eq!(server.read(&mut buffer).await.unwrap(), 1);
            client.end().await.unwrap();
            assert_eq!(server.peek(&mut buffer).await.unwrap(), 0);
            assert_eq!(server.read(&mut buffer).await.unwrap(), 0);
        });
    }

    fn chunks_are_owned(net) {
        net.block_on(async {
            let (mut client, mut server) = streams(net.tcp()).await;
            let bytes = pattern(300_000);
            let sent = bytes.clone();
            spawn_local(async move {
                client.write_all(&sent).await.unwrap();
                client.end().await.unwrap();
                client.socket().closed().await.unwrap();
            }).unwrap();
            let mut chunks = Vec::new();
            while let Some(chunk) = server.next_chunk().await.unwrap() {
                chunks.push(chunk);
            }
            assert_eq!(chunks.concat(), bytes);
            server.end().await.unwrap();
        });
    }

    fn vectored_writes_are_sent_in_order(net) {
        for endpoint in net.endpoints() {
            net.block_on(async {
                let (mut client, mut server) = streams(endpoint).await;
                let parts: [&[u8]; 4] = [b"", b"one ", b"two ", b"three"];
                let slices = parts.map(IoSlice::new);
                let count = client.write_vectored(&slices).await.unwrap();
                let all = parts.concat();
                client.write_all(&all[count..]).await.unwrap();
                assert_eq!(client.write_vectored(&[]).await.unwrap(), 0);
                client.end().await.unwrap();
                assert_eq!(server.read_to_end().await.unwrap(), all);
            });
        }
    }

    fn a_listener_for_data_and_a_stream_exclude_each_other(net) {
        net.block_on(async {
            let (client, server) = sockets(net.tcp()).await;
            let listener = server.on_data(|_, _| {});
            assert_eq!(server.stream().unwrap_err().code(), ErrorCode::ERR_HAS_CONSUMER);
            server.off(listener);
            let mut stream = server.stream().unwrap();
            assert_eq!(server.stream().unwrap_err().code(), ErrorCode::ERR_HAS_CONSUMER);
            let listener = server.on_text(|_, _| {});
            let error = stream.read(&mut [0; 1]).await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::ERR_HAS_CONSUMER);
            server.off(listener);
            client.end_with("x");
            assert_eq!(stream.read_to_end().await.unwrap(), b"x");
        });
    }

    fn a_socket_that_is_piped_cannot_be_a_stream(net) {
        net.block_on(async {
            let (client, server) = sockets(net.tcp()).await;
            server.pipe(&server);
            assert_eq!(server.stream().unwrap_err().code(), ErrorCode::ERR_HAS_CONSUMER);
            client.destroy();
        });
    }

    fn a_stream_goes_on_where_callbacks_have_stopped_and_the_reverse(net) {
        for endpoint in net.endpoints() {
            net.block_on(async {
                let (client, server) = sockets(endpoint).await;
                let bytes = pattern(200_000);
                client.end_with(bytes.clone());
                // Paused, the socket receives up to its mark. The rest is with the driver and the kernel.
                let seen: Rc<RefCell<Vec<u8>>> = Rc::default();
                let sink = Rc::clone(&seen);
                let (done, listener) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(None)));
                let first = Rc::clone(&done);
                let own = Rc::clone(&listener);
                listener.set(Some(server.on_data(move |socket, data| {
                    sink.borrow_mut().extend_from_slice(data);
                    socket.pause();
                    socket.off(own.take().unwrap());
                    first.set(true);
                })));
                while !done.get() {
                    timer::sleep(Duration::from_millis(1)).unwrap().await;
                }
                timer::sleep(Duration::from_millis(5)).unwrap().await;
                let mut stream = server.stream().unwrap();
                let mut buffer = [0; 1000];
                for _ in 0..20 {
                    stream.read_exact(&mut buffer).await.unwrap();
                    seen.borrow_mut().extend_from_slice(&buffer);
                }
                stream.fill_buf().await.unwrap();
                let socket = stream.into_socket();
                let sink = Rc::clone(&seen);
                socket.on_data(move |_, data| sink.borrow_mut().extend_from_slice(data));
                socket.on_end(|socket| { socket.end(); });
                socket.resume();
                socket.closed().await.unwrap();
                assert!(*seen.borrow() == bytes, "{} of {} bytes", seen.borrow().len(), bytes.len());
            });
        }
    }

    fn the_events_of_a_socket_go_on_beside_its_stream(net) {
        let log = Log::new();
        net.block_on(async {
            let (mut client, mut server) = streams(net.tcp()).await;
            log.watch("", server.socket());
            client.write_all(b"x").await.unwrap();
            client.end().await.unwrap();
            assert_eq!(server.read_to_end().await.unwrap(), b"x");
            server.end().await.unwrap();
            server.socket().closed().await.unwrap();
        });
        assert_eq!(log.take(), ["end", "finish", "close false"]);
    }

    fn the_idle_timeout_counts_what_a_stream_does(net) {
        let log = Log::new();
        net.block_on(async {
            let (mut client, mut server) = streams(net.tcp()).await;
            let quiet = Duration::from_millis(200);
            let events = log.clone();
            server.socket().set_idle_timeout(Some(quiet));
            server.socket().on_idle_timeout(move |socket| {
                events.add("timeout");
                socket.destroy();
            });
            for _ in 0..3 {
                client.write_all(b"x").await.unwrap();
                server.read(&mut [0; 1]).await.unwrap();
            }
            let error = server.read(&mut [0; 1]).await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::ERR_STREAM_DESTROYED);
        });
        assert_eq!(log.take(), ["timeout"]);
    }

    fn a_write_that_makes_no_progress_fails_after_its_limit(net) {
        net.block_on(async {
            let server = ServerOptions::new().write_stall_timeout(Duration::from_millis(50)).create();
            server.listen(net.tcp()).unwrap();
            server.listening().await.unwrap();
            let client = fyke::connect(server.endpoint().unwrap()).unwrap();
            client.pause();
            let mut stream = server.accept().await.unwrap().stream().unwrap();
            let error = loop {
                if let Err(error) = stream.write(&[7; 65_536]).await {
                    break error;
                }
            };
            assert_eq!(error.code(), ErrorCode::ERR_WRITE_STALLED);
        });
    }

    fn callbacks_of_the_socket_and_writes_of_its_stream_keep_their_order(net) {
        net.block_on(async {
            let (mut client, mut server) = streams(net.tcp()).await;
            let _ = client.socket().write("first ");
            client.write_all(b"second ").await.unwrap();
            client.socket().cork();
            client.write_all(b"third ").await.unwrap();
            let _ = client.socket().write("fourth");
            client.socket().uncork();
            client.flush().await.unwrap();
            client.end().await.unwrap();
            assert_eq!(server.read_to_end().await.unwrap(), b"first second third fourth");
        });
    }

    fn flushing_ends_when_a_corked_queue_is_sent_and_when_our_side_has_ended(net) {
        net.block_on(async {
            let (mut client, mut server) = streams(net.tcp()).await;
            let socket = client.socket().clone();
            socket.cork();
            let _ = socket.write("held back");
            let flushing = spawn_local(async move {
                client.flush().await.unwrap();
                client
            }).unwrap();
            timer::sleep(Duration::from_millis(1)).unwrap().await;
            assert!(!flushing.is_finished());
            socket.uncork();
            let mut client = flushing.await.unwrap();
            let _ = socket.write(vec![7; BIG]);
            socket.end();
            let reading = spawn_local(async move { server.read_to_end().await.unwrap().len() });
            client.flush().await.unwrap();
            assert_eq!(socket.write_queue_len(), 0);
            assert_eq!(reading.unwrap().await.unwrap(), BIG + "held back".len());
        });
    }

    fn a_half_of_an_earlier_stream_leaves_a_later_one_alone(net) {
        net.block_on(async {
            let server = listening(net.tcp()).await;
            let endpoint = server.endpoint().unwrap();
            let client = fyke::connect(endpoint.clone()).unwrap();
            let earlier = client.stream().unwrap();
            client.connected().await.unwrap();
            drop(server.accept().await.unwrap().stream().unwrap());
            client.destroy();
            client.closed().await.unwrap();
            client.connect(endpoint).unwrap();
            client.connected().await.unwrap();
            let (mut reader, writer) = client.stream().unwrap().split();
            drop(earlier);
            let mut accepted = server.accept().await.unwrap().stream().unwrap();
            drop(writer);
            assert_eq!(accepted.read_to_end().await.unwrap(), b"");
            accepted.write_all(b"still here").await.unwrap();
            accepted.end().await.unwrap();
            assert_eq!(reader.read_to_end().await.unwrap(), b"still here");
        });
    }

    fn a_connection_that_is_refused_is_the_error_of_connect(net) {
        net.block_on(async {
            let server = listening(net.tcp()).await;
            let endpoint = server.endpoint().unwrap();
            server.close();
            let error = fyke::SocketStream::connect(endpoint).await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::ECONNREFUSED);
        });
    }

    fn a_stream_waits_for_its_connection(net) {
        net.block_on(async {
            let server = listening(net.tcp()).await;
            let mut client = fyke::connect(server.endpoint().unwrap()).unwrap().stream().unwrap();
            assert!(client.socket().is_connecting());
            client.write_all(b"early").await.unwrap();
            client.end().await.unwrap();
            let mut accepted = server.accept().await.unwrap().stream().unwrap();
            assert_eq!(accepted.read_to_end().await.unwrap(), b"early");
        });
    }

    fn a_stream_of_a_socket_that_never_connects_has_an_error(net) {
        net.block_on(async {
            let mut stream = Socket::new().stream().unwrap();
            let error = stream.read(&mut [0; 1]).await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::ERR_SOCKET_CLOSED);
            assert!(stream.write(b"x").await.is_err());
        });
    }

    fn a_peer_that_floods_does_not_stop_the_loop(net) {
        net.block_on(async {
            let (mut client, mut server) = streams(net.tcp()).await;
            spawn_local(async move { while client.write_all(&[7; 65_536]).await.is_ok() {} }).unwrap();
            let reader = spawn_local(async move {
                let mut buffer = vec![0; 65_536];
                while server.read(&mut buffer).await.unwrap() > 0 {}
            }).unwrap();
            for _ in 0..3 {
                timer::sleep(Duration::from_millis(5)).unwrap().await;
            }
            assert!(!reader.is_finished());
        });
    }

    fn a_loop_that_is_dropped_ends_its_streams(net) {
        let event_loop = net.event_loop();
        let (mut client, server) = net.block_on_loop(&event_loop, streams(net.tcp()));
        drop(event_loop);
        let other = net.event_loop();
        let error = other.block_on(async { client.read(&mut [0; 1]).await }).unwrap().unwrap_err();
        assert_eq!(error.code(), ErrorCode::ERR_EVENT_LOOP_CLOSED);
        drop(server);
    }
}
