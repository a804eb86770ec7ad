//! An accepted socket without a handle ends in fewer steps. The peer, the server and the listeners see
//! the same events as with a handle.

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use fyke::{Endpoint, Server, Socket};
use support::{Log, Net, collect};

/// More than the kernel accepts at once.
const STUCK_BYTES: usize = 8 << 20;

/// Reports when the captured values of a listener are dropped, and whether the connection still counts
/// then.
struct Captured(Log, Server);

impl Drop for Captured {
    fn drop(&mut self) {
        self.0.add(format!("let go, {} connections", self.1.connections()));
    }
}

/// Reports at the end of the turn whether the connection still counts.
fn count_later(log: &Log, server: &Server) -> impl FnMut(&Socket, &[u8]) + use<> {
    let (log, server) = (log.clone(), server.clone());
    move |_, _| {
        let (log, server) = (log.clone(), server.clone());
        let count = move || log.add(format!("immediate, {} connections", server.connections()));
        fyke::timer::set_immediate(count).unwrap();
    }
}

/// Both sides of one conversation: the client sends "hello" and ends.
fn conversation(
    net: &Net,
    endpoint: Endpoint,
    serve: fn(&Socket),
    kept: bool,
) -> (Vec<String>, Vec<String>, usize) {
    let [at_server, at_client] = [Log::new(), Log::new()];
    let (log, client_log) = (at_server.clone(), at_client.clone());
    let keep: Rc<RefCell<Option<Socket>>> = Rc::default();
    let received: Rc<RefCell<Vec<u8>>> = Rc::default();
    let sink = received.clone();
    net.run(move || {
        let server = Server::new();
        let server_log = log.clone();
        server.on_close(move |_| server_log.add("server close"));
        server.on_connection(move |server, socket| {
            server.close();
            let captured = Captured(log.clone(), server.clone());
            socket.on_data(move |_, bytes| captured.0.add(format!("data {}", bytes.len())));
            serve(socket);
            socket.on_data(count_later(&log, server));
            if kept {
                keep.replace(Some(socket.clone()));
            }
        });
        net.listen(&server, endpoint, move |endpoint| {
            let client = Socket::new();
            client_log.watch("", &client);
            client.on_data(move |_, bytes| sink.borrow_mut().extend_from_slice(bytes));
            client.connect_then(endpoint, |client| _ = client.end_with("hello")).unwrap();
        });
    });
    let count = received.borrow().len();
    (at_server.take(), at_client.take(), count)
}

on_every_driver! {
    fn end_13_and_dst_01_sockets_with_and_without_a_handle_end_alike(net) {
        let servers: [fn(&Socket); 8] = [
            |_| {},
            |socket| _ = socket.on_data(|socket, bytes| _ = socket.write(bytes)),
            |socket| _ = socket.on_data(|socket, bytes| _ = socket.end_with(bytes)),
            |socket| _ = socket.on_data(|socket, _| _ = socket.write(vec![7; STUCK_BYTES])),
            |socket| _ = socket.write(vec![7; STUCK_BYTES]),
            |socket| _ = socket.end(),
            |socket| _ = socket.cork(),
            |socket| socket.set_idle_timeout(Some(Duration::from_secs(60))),
        ];
        for serve in servers {
            for endpoint in net.endpoints() {
                let [kept, unknown] =
                    [true, false].map(|kept| conversation(net, endpoint.clone(), serve, kept));
                assert_eq!(kept, unknown);
                let in_order = kept.0.iter().filter(|entry| !entry.starts_with("immediate"));
                let in_order: Vec<&String> = in_order.collect();
                assert_eq!(in_order, ["data 5", "server close", "let go, 0 connections"]);
                assert_eq!(kept.1.last().map(String::as_str), Some("close false"));
            }
        }
    }

    fn end_13_each_event_of_the_end_reaches_a_single_listener(net) {
        let events: [(&str, fn(&Socket, Log)); 5] = [
            ("end", |socket, log| _ = socket.on_end(move |_| log.add("end"))),
            ("prefinish", |socket, log| _ = socket.on_prefinish(move |_| log.add("prefinish"))),
            ("finish", |socket, log| _ = socket.on_finish(move |_| log.add("finish"))),
            ("close", |socket, log| _ = socket.on_close(move |_, _| log.add("close"))),
            ("text", |socket, log| _ = socket.on_text(move |_, text| log.add(text))),
        ];
        for (event, listen) in events {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| net.pair(
                net.tcp(),
                move |socket| {
                    socket.on_data(|_, _| {});
                    listen(socket, log);
                },
                |client| _ = client.on_connect(|client| _ = client.end_with("text")),
            ));
            assert_eq!(seen.take(), [event]);
        }
    }

    fn end_11_a_half_open_socket_without_a_handle_stays_open_after_the_end_of_the_peer(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| {
                socket.set_allow_half_open(true);
                socket.on_data(|socket, _| {
                    let socket = socket.clone();
                    // Dropped before the end arrives, and so is the only handle.
                    fyke::timer::next_tick(move || drop(socket)).unwrap();
                });
                socket.set_idle_timeout_then(Duration::from_millis(50), |socket| {
                    socket.end_with("later");
                });
            },
            move |client| {
                let bytes = collect(client);
                client.on_connect(|client| _ = client.end_with("hello"));
                client.on_end(move |_| log.add(String::from_utf8_lossy(&bytes.borrow())));
            },
        ));
        assert_eq!(seen.take(), ["later"]);
    }

    fn end_14_stored_bytes_keep_a_socket_open_that_has_no_handle(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            move |socket| {
                socket.on_data(move |socket, bytes| {
                    log.add(String::from_utf8_lossy(bytes));
                    if bytes == b"hello" {
                        let _ = socket.pause().write("go on");
                    }
                });
                // Every occurrence counts: on a busy machine, also before anything was received.
                socket.set_idle_timeout(Some(Duration::from_millis(50)));
                socket.on_idle_timeout(|socket| _ = socket.resume());
            },
            |client| {
                client.on_connect(|client| _ = client.write("hello"));
                client.on_data(|client, _| _ = client.end_with("world"));
            },
        ));
        assert_eq!(seen.take(), ["hello", "world"]);
    }

    fn prop_08_a_kept_handle_still_returns_the_addresses_after_close(net) {
        let kept: Rc<RefCell<Option<Socket>>> = Rc::default();
        let keep = kept.clone();
        net.run(|| net.pair(
            net.tcp(),
            move |socket| {
                socket.on_data(|_, _| {});
                keep.replace(Some(socket.clone()));
            },
            |client| _ = client.on_connect(|client| _ = client.end()),
        ));
        let kept = kept.take().unwrap();
        assert!(kept.remote_address().is_some() && kept.local_address().is_some());
        assert!(kept.is_destroyed() && kept.is_writable_finished() && kept.is_readable_ended());
    }
}
