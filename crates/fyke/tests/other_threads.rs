//! What other threads may do with a loop, its sockets and its servers.

mod support;

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use fyke::{
    ConnectOptions, Error, ErrorCode, LookupReply, Server, ServerRef, Socket, SocketRef, timer,
};
use support::{Log, Net};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Records lookups, errors and `close`.
fn watch(log: &Log, client: &Socket) {
    let lookups = log.clone();
    client.on_lookup(move |_, event| match &event.address {
        Ok(address) => lookups.add(format!("lookup {} {address}", event.host)),
        Err(error) => lookups.add(format!("lookup {} {}", event.host, error.code())),
    });
    log.watch("", client);
}

on_every_driver! {
    /// Regression: a reply could not be sent to another thread.
    fn he_04_hook_may_answer_from_another_thread(net) {
        for exact in [false, true] {
            let log = Log::new();
            let event_loop = net.event_loop_that_is(exact);
            let alive = event_loop.handle().keep_alive();
            let reported = log.clone();
            let setup = move || {
                let alive = RefCell::new(Some(alive));
                let options = ConnectOptions::new(("some.test", 1)).lookup(move |request, reply| {
                    let alive = alive.take();
                    std::thread::spawn(move || {
                        assert_eq!(request.host, "some.test");
                        reply.answer(Ok(vec![ip("127.0.0.1")]));
                        drop(alive);
                    });
                });
                let client = options.connect_then(|_| panic!("there is no server")).unwrap();
                watch(&reported, &client);
            };
            event_loop.enter(setup);
            support::drive(&event_loop, || false).unwrap();
            let reported = ["lookup some.test 127.0.0.1", "error ECONNREFUSED", "close true"];
            assert_eq!(log.take(), reported, "{exact}");
        }
    }

    fn reply_dropped_by_another_thread_fails_the_connect_and_after_the_loop_it_does_nothing(net) {
        let log = Log::new();
        let reported = log.clone();
        net.run(|| {
            let options = ConnectOptions::new(("some.test", 1));
            let options = options.lookup(|_, reply| _ = std::thread::spawn(move || drop(reply)));
            watch(&reported, &options.connect().unwrap());
        });
        assert_eq!(log.take(), ["lookup some.test EAI_FAIL", "error EAI_FAIL", "close true"]);

        let event_loop = net.event_loop();
        let kept: Rc<RefCell<Option<LookupReply>>> = Rc::default();
        let keep = Rc::clone(&kept);
        let client = event_loop.enter(|| {
            let options = ConnectOptions::new(("some.test", 1));
            let options = options.lookup(move |_, reply| _ = keep.replace(Some(reply)));
            options.connect().unwrap()
        });
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        drop(event_loop);
        let reply = kept.take().unwrap();
        std::thread::spawn(|| reply.answer(Ok(vec![ip("127.0.0.1")]))).join().unwrap();
        assert_eq!(client.remote_address(), None);
    }

    fn proc_18_other_thread_posts_to_a_socket_and_the_peer_gets_what_it_writes(net) {
        for endpoint in net.endpoints() {
            net.run(|| net.pair(
                endpoint,
                |served| {
                    served.on_data(|served, data| {
                        let (reference, question) = (served.to_ref(), data.to_vec());
                        std::thread::spawn(move || {
                            reference.post(|socket| { let _ = socket.write("an"); }).unwrap();
                            reference.post(move |socket| {
                                let _ = socket.write("swer to ");
                                socket.end_with(question);
                            })
                        });
                    });
                },
                |client| {
                    client.on_connect(|client| _ = client.write("life"));
                    let got = support::collect(client);
                    client.on_close(move |_, _| assert_eq!(got.take(), b"answer to life"));
                },
            ));
        }
    }

    fn posted_work_runs_in_a_later_turn_even_if_the_loop_itself_posts_it(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let socket = Socket::new();
            log.add("before");
            let (reference, kept) = (socket.to_ref(), socket.clone());
            let other = net.event_loop().handle();
            assert_eq!(other.post(|| {}).unwrap_err().code(), ErrorCode::ERR_EVENT_LOOP_CLOSED);
            reference.post(|socket| { socket.destroy(); }).unwrap();
            socket.on_close(move |_, _| log.add("close"));
            assert!(!kept.is_destroyed());
            timer::set_immediate(move || drop(kept)).unwrap();
        });
        assert_eq!(seen.take(), ["before", "close"]);
    }

    fn reference_to_a_closed_socket_returns_an_error_even_if_a_handle_is_kept(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let add = log.clone();
            net.pair(net.tcp(), |served| { served.end(); }, move |client| {
                // The socket may connect again, so it exists as long as this handle.
                let kept = client.clone();
                let of_client = client.to_ref();
                client.on_close(move |_, _| {
                    add.add(format!("client {}", gone(&of_client)));
                    let (kept, of_client, add) = (kept.clone(), of_client.clone(), add.clone());
                    timer::set_immediate(move || {
                        add.add(format!("closed client {}", gone(&of_client)));
                        kept.on_close(|_, _| {});
                    })
                    .unwrap();
                });
            });
            let server = Server::new();
            let add = log.clone();
            let kept: Rc<RefCell<Vec<Socket>>> = Rc::default();
            server.on_connection(move |server, socket| {
                server.close();
                kept.borrow_mut().push(socket.clone());
                let (reference, add) = (socket.to_ref(), add.clone());
                assert!(!reference.is_gone());
                let kept = Rc::clone(&kept);
                socket.on_close(move |_, _| {
                    let (reference, add, kept) = (reference.clone(), add.clone(), Rc::clone(&kept));
                    timer::set_immediate(move || {
                        add.add(format!("served {} {}", kept.borrow().len(), gone(&reference)));
                    })
                    .unwrap();
                });
            });
            net.listen(&server, net.tcp(), |endpoint| {
                fyke::connect_then(endpoint, |client| { client.destroy(); }).unwrap();
            });
        });
        let mut entries = seen.take();
        entries.sort();
        let wanted = ["client here", "closed client here", "served 1 ERR_SOCKET_CLOSED"];
        assert_eq!(entries, wanted);
    }

    fn work_posted_too_late_is_dropped_with_its_captured_values(net) {
        struct DropNotice(std::sync::mpsc::Sender<&'static str>);
        impl Drop for DropNotice {
            fn drop(&mut self) {
                self.0.send("dropped").unwrap();
            }
        }
        let (sender, reported) = std::sync::mpsc::channel();
        net.run(|| {
            let socket = Socket::new();
            let (reference, notice) = (socket.to_ref(), DropNotice(sender.clone()));
            reference.post(move |_| notice.0.send("ran").unwrap()).unwrap();
            drop(socket);
            assert!(reference.is_gone());
            let notice = DropNotice(sender.clone());
            let refused = reference.post(move |_| notice.0.send("ran").unwrap());
            assert_eq!(refused.unwrap_err().code(), ErrorCode::ERR_SOCKET_CLOSED);
        });
        assert_eq!(reported.try_iter().collect::<Vec<_>>(), ["dropped", "dropped"]);
    }

    fn other_thread_closes_a_server_that_it_has_a_reference_to(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = Server::new();
            let reference = server.to_ref();
            assert_eq!(reference, server.clone().to_ref());
            server.on_close(move |_| log.add("close"));
            net.listen(&server, net.tcp(), move |_| {
                std::thread::spawn(move || reference.post(|server| { server.close(); }));
            });
        });
        assert_eq!(seen.take(), ["close"]);
        let event_loop = net.event_loop();
        let (server, socket) = event_loop.enter(|| (Server::new(), Socket::new()));
        let (of_server, of_socket) = (server.to_ref(), socket.to_ref());
        drop(event_loop);
        let closed = Some(ErrorCode::ERR_EVENT_LOOP_CLOSED);
        assert_eq!(code(of_server.post(|_| {})), closed);
        assert_eq!(code(of_socket.post(|_| {})), closed);
        drop(server);
        assert_eq!(code(of_server.post(|_| {})), Some(ErrorCode::ERR_SERVER_NOT_RUNNING));
    }

    /// The slot of a socket is soon reused by another one.
    fn reference_to_a_closed_socket_never_reaches_another_one(net) {
        net.run(|| {
            let first = Socket::new();
            let old = first.to_ref();
            old.post(|_| panic!("the socket no longer exists")).unwrap();
            drop(first);
            for _ in 0..100 {
                let next = Socket::new();
                assert_ne!(next.to_ref(), old);
                assert!(old.is_gone() && !next.to_ref().is_gone());
            }
        });
    }

    fn panic_in_posted_work_destroys_its_socket(net) {
        let event_loop = net.event_loop();
        let socket = event_loop.enter(Socket::new);
        socket.to_ref().post(|_| panic!("on purpose")).unwrap();
        let turn = || event_loop.turn(Some(Duration::ZERO));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(turn));
        assert!(panicked.is_err() && socket.is_destroyed());
    }
}

fn code(result: fyke::Result<()>) -> Option<ErrorCode> {
    result.err().as_ref().map(Error::code)
}

fn gone(reference: &SocketRef) -> String {
    code(reference.post(|_| {})).map_or_else(|| String::from("here"), |code| code.to_string())
}

#[test]
#[expect(clippy::mutable_key_type, reason = "equal and hashed by identity, which does not change")]
fn references_cross_threads_are_shared_and_are_keys_of_a_map() {
    fn is_one<T: Send + Sync + Clone + Eq + std::hash::Hash + std::fmt::Debug + 'static>() {}
    is_one::<SocketRef>();
    is_one::<ServerRef>();
    assert_eq!(size_of::<SocketRef>(), size_of::<usize>());
    Net::sim().run(|| {
        let (first, second) = (Socket::new(), Socket::new());
        let mut map = std::collections::HashMap::from([(first.to_ref(), 1), (second.to_ref(), 2)]);
        assert_eq!(map.insert(first.to_ref(), 3), Some(1));
        assert_eq!(map.remove(&second.to_ref()), Some(2));
    });
}

#[test]
fn reference_made_outside_of_any_loop_returns_an_error() {
    let (server, socket) = (Server::new(), Socket::new());
    assert_eq!(code(socket.to_ref().post(|_| {})), Some(ErrorCode::ERR_NO_EVENT_LOOP));
    assert_eq!(code(server.to_ref().post(|_| {})), Some(ErrorCode::ERR_NO_EVENT_LOOP));
}
