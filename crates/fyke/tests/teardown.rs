//! Destroying any object at any moment, dropping the loop with work in flight, panics in callbacks:
//! nothing hangs, nothing is emitted twice, and all captured values are freed. Also run under valgrind
//! (`.ci/run`).

mod support;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use fyke::{EventLoop, Server, Socket, timer};
use support::{Net, drive};

/// The moments at which the test intervenes.
const MOMENTS: [&str; 16] = [
    "connection",
    "server data",
    "server end",
    "server finish",
    "server close",
    "listening",
    "attempt",
    "connect",
    "ready",
    "client data",
    "client drain",
    "write callback",
    "end callback",
    "client end",
    "client finish",
    "client close",
];

/// What the callbacks of a scene can use, and whether values are still captured.
struct Scene {
    server: Server,
    sockets: RefCell<Vec<Socket>>,
    moment: &'static str,
    drastic: Box<dyn Fn(&Scene, Option<&Socket>)>,
    reached: Cell<bool>,
    /// Cloned into every callback. Its count shows whether all were freed.
    token: Rc<()>,
}

impl Scene {
    fn at(&self, moment: &str, socket: Option<&Socket>) {
        if moment == self.moment && !self.reached.replace(true) {
            (self.drastic)(self, socket);
        }
    }
}

/// A client and a server with a conversation that has every event. The test intervenes at one moment.
fn play(
    net: &Net,
    unix: bool,
    moment: &'static str,
    token: &Rc<()>,
    drastic: impl Fn(&Scene, Option<&Socket>) + 'static,
) -> EventLoop {
    let event_loop = net.event_loop();
    let endpoint = if unix { net.path().into() } else { net.tcp() };
    event_loop.enter(|| {
        let scene = Rc::new(Scene {
            server: Server::new(),
            sockets: RefCell::default(),
            moment,
            drastic: Box::new(drastic),
            reached: Cell::new(false),
            token: Rc::clone(token),
        });
        let server = scene.server.clone();
        server.on_error(|_, _| {});
        server.on_connection({
            let scene = Rc::clone(&scene);
            move |server, socket| {
                server.close();
                listen_to(&scene, socket, "server");
                socket.pipe(socket);
                scene.at("connection", Some(socket));
            }
        });
        let listening = Rc::clone(&scene);
        server
            .listen_then(endpoint, move |server| {
                let endpoint = server.endpoint().unwrap();
                listening.at("listening", None);
                let client = Socket::new();
                listen_to(&listening, &client, "client");
                // A client that was never accepted: nothing else closes it.
                let server = server.clone();
                client.on_close(move |_, _| {
                    server.close();
                });
                converse(&listening, &client);
                let scene = Rc::clone(&listening);
                client.on_connection_attempt(move |client, _| scene.at("attempt", Some(client)));
                client.connect(endpoint).unwrap();
            })
            .unwrap();
    });
    event_loop
}

fn listen_to(scene: &Rc<Scene>, socket: &Socket, side: &'static str) {
    scene.sockets.borrow_mut().push(socket.clone());
    let at = |event: &'static str| {
        let (scene, moment) = (Rc::clone(scene), format!("{side} {event}"));
        let token = Rc::clone(&scene.token);
        move |socket: &Socket| {
            let _held = &token;
            scene.at(&moment, Some(socket));
        }
    };
    let data = at("data");
    socket.on_data(move |socket, _| data(socket));
    socket.on_end(at("end"));
    socket.on_finish(at("finish"));
    socket.on_drain(at("drain"));
    socket.on_error(|_, _| {});
    let close = at("close");
    let closed = Cell::new(false);
    socket.on_close(move |socket, _| {
        assert!(!closed.replace(true), "close was emitted twice");
        close(socket);
    });
}

fn converse(scene: &Rc<Scene>, client: &Socket) {
    for event in ["connect", "ready"] {
        let scene = Rc::clone(scene);
        let listener = move |client: &Socket| {
            scene.at(event, Some(client));
            if event == "connect" {
                let written = Rc::clone(&scene);
                client.write_then(vec![1; 1 << 20], move |client, _| {
                    written.at("write callback", Some(client));
                });
                let ended = Rc::clone(&scene);
                client.end_then(move |client, _| ended.at("end callback", Some(client)));
            }
        };
        match event {
            "connect" => client.on_connect(listener),
            _ => client.on_ready(listener),
        };
    }
}

/// Plays every moment on both transports, and expects that everything ends and is freed.
fn at_every_moment(net: &Net, drastic: impl Fn(&Scene, Option<&Socket>) + Clone + 'static) {
    for unix in [false, true] {
        for moment in MOMENTS {
            let token = Rc::new(());
            let event_loop = play(net, unix, moment, &token, drastic.clone());
            drive(&event_loop, || false).unwrap();
            drop(event_loop);
            assert_eq!(Rc::strong_count(&token), 1, "{moment}: something was not freed");
        }
    }
}

on_every_driver! {
    fn the_scenario_reaches_every_callback_without_intervention(net) {
        for moment in MOMENTS.into_iter().filter(|moment| *moment != "client drain") {
            let reached = Rc::new(Cell::new(false));
            let seen = Rc::clone(&reached);
            let event_loop = play(net, false, moment, &Rc::new(()), move |_, _| seen.set(true));
            drive(&event_loop, || false).unwrap();
            assert!(reached.get(), "{moment}");
        }
    }

    fn a_socket_may_be_destroyed_in_any_callback(net) {
        at_every_moment(net, |_, socket| socket.map_or((), |socket| { socket.destroy(); }));
    }

    fn a_socket_may_be_reset_in_any_callback(net) {
        at_every_moment(net, |_, socket| {
            // Refused on Unix sockets.
            let _ = socket.map(Socket::reset_and_destroy);
        });
    }

    fn all_sockets_and_the_server_may_be_destroyed_in_any_callback(net) {
        at_every_moment(net, |scene, _| {
            scene.server.close();
            for socket in scene.sockets.borrow().iter() {
                socket.destroy();
            }
        });
    }

    fn a_destroyed_socket_may_still_be_used_in_the_same_callback(net) {
        at_every_moment(net, |_, socket| socket.map_or((), |socket| {
            socket.destroy();
            let _ = socket.write("x");
            socket.end_with("x").pause().resume().cork();
            socket.pipe(socket).unpipe(socket);
        }));
    }

    fn every_handle_may_be_dropped(net) {
        at_every_moment(net, |scene, _| {
            scene.server.close();
            drop(scene.sockets.take());
        });
    }

    fn after_a_panic_in_any_callback_the_loop_continues_and_frees_everything(net) {
        for moment in MOMENTS {
            let token = Rc::new(());
            let event_loop = play(net, false, moment, &token, |scene, _| {
                // Objects that continue without the lost callback end by themselves.
                scene.server.close();
                let sockets = scene.sockets.borrow().clone();
                timer::set_timeout(std::time::Duration::from_millis(50), move || {
                    for socket in &sockets {
                        socket.destroy();
                    }
                }).unwrap();
                std::panic::resume_unwind(Box::new("on purpose"));
            });
            let mut panics = 0;
            while let Err(panic) = catch_unwind(AssertUnwindSafe(|| drive(&event_loop, || false).unwrap())) {
                assert_eq!(panic.downcast_ref(), Some(&"on purpose"), "{moment}");
                panics += 1;
            }
            assert!(panics <= 1);
            drop(event_loop);
            assert_eq!(Rc::strong_count(&token), 1, "{moment}: something was not freed");
        }
    }

    fn a_panic_in_a_timer_a_tick_or_posted_work_loses_nothing_else(net) {
        let event_loop = net.event_loop();
        let count = Rc::new(Cell::new(0));
        let handle = event_loop.handle();
        event_loop.enter(|| {
            for index in 0..2 {
                let add = |count: &Rc<Cell<i32>>| {
                    let count = Rc::clone(count);
                    move || match index {
                        0 => std::panic::resume_unwind(Box::new("on purpose")),
                        _ => count.set(count.get() + 1),
                    }
                };
                timer::set_timeout(std::time::Duration::ZERO, add(&count)).unwrap();
                timer::set_immediate(add(&count)).unwrap();
                timer::next_tick(add(&count)).unwrap();
            }
        });
        let posted = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
        handle.post(|| std::panic::resume_unwind(Box::new("on purpose"))).unwrap();
        let counted = std::sync::Arc::clone(&posted);
        handle.post(move || { counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst); }).unwrap();
        while catch_unwind(AssertUnwindSafe(|| drive(&event_loop, || false).unwrap())).is_err() {}
        assert_eq!((count.get(), posted.load(std::sync::atomic::Ordering::SeqCst)), (3, 1));
    }

    fn the_loop_may_be_dropped_after_any_turn(net) {
        for unix in [false, true] {
            for turns in 0..60 {
                let token = Rc::new(());
                let event_loop = play(net, unix, "", &token, |_, _| {});
                for _ in 0..turns {
                    event_loop.turn(Some(std::time::Duration::from_millis(1))).unwrap();
                }
                drop(event_loop);
                assert_eq!(Rc::strong_count(&token), 1, "after {turns} turns: not freed");
            }
        }
    }

    fn handles_that_outlive_their_loop_answer_like_closed_ones(net) {
        let event_loop = net.event_loop();
        let kept: Rc<RefCell<Vec<Socket>>> = Rc::default();
        let sockets = Rc::clone(&kept);
        let server = event_loop.enter(|| {
            let server = fyke::create_server(move |socket| sockets.borrow_mut().push(socket.clone()));
            net.listen(&server, net.tcp(), |endpoint| {
                fyke::connect(endpoint).unwrap();
            });
            server
        });
        drive(&event_loop, || !kept.borrow().is_empty()).unwrap();
        drop(event_loop);
        let socket = kept.borrow()[0].clone();
        assert!(socket.is_destroyed() && !socket.write("x") && !server.is_listening());
        socket.end().destroy().pause().resume();
        server.close();
        let code = server.listen(0).unwrap_err().code();
        assert_eq!(code, fyke::ErrorCode::ERR_NO_EVENT_LOOP);
    }

    fn captured_values_may_call_the_library_when_they_are_dropped(net) {
        struct Last(Socket);
        impl Drop for Last {
            fn drop(&mut self) {
                let _ = self.0.write("last words");
                self.0.destroy();
                let _ = timer::next_tick(|| {});
            }
        }
        let event_loop = net.event_loop();
        event_loop.enter(|| {
            let server = fyke::create_server(|socket| {
                let last = Last(socket.clone());
                socket.on_data(move |_, _| { let _ = &last; });
            });
            net.listen(&server, net.tcp(), |endpoint| {
                let client = fyke::connect(endpoint).unwrap();
                let last = Last(client.clone());
                let id = client.on_data(move |_, _| { let _ = &last; });
                timer::next_tick(move || client.off(id)).unwrap();
            });
        });
        for _ in 0..20 {
            event_loop.turn(Some(std::time::Duration::from_millis(1))).unwrap();
        }
    }
}

/// Bytes whose owner calls the library when it is dropped.
mod owners {
    use super::*;
    use fyke::Bytes;

    thread_local! {
        static SOCKET: RefCell<Option<Socket>> = const { RefCell::new(None) };
    }

    struct Owner(Vec<u8>);

    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    impl Drop for Owner {
        fn drop(&mut self) {
            SOCKET.with(|socket| {
                if let Some(socket) = &*socket.borrow() {
                    let _ = (socket.write_queue_len(), socket.local_address());
                    let _ = socket.write("last words");
                }
            });
        }
    }

    on_every_driver! {
        fn bytes_may_call_the_library_when_they_are_sent_or_dropped(net) {
            for give_up in [false, true] {
                net.run(|| net.pair(
                    net.tcp(),
                    |socket| { socket.on_error(|_, _| {}); socket.resume(); },
                    move |client| {
                        client.on_error(|_, _| {});
                        client.on_ready(move |client| {
                            SOCKET.set(Some(client.clone()));
                            client.cork();
                            let _ = client.write(Bytes::from_owner(Owner(vec![1; 10_000])));
                            if give_up {
                                client.destroy();
                            } else {
                                client.uncork();
                                client.end();
                            }
                        });
                        client.on_close(|_, _| SOCKET.set(None));
                    },
                ));
            }
        }
    }
}

mod afterwards {
    use super::*;

    on_every_driver! {
        fn values_dropped_with_the_loop_can_start_nothing_and_are_freed(net) {
            struct Starts(Rc<()>);
            impl Drop for Starts {
                fn drop(&mut self) {
                    let held = Rc::clone(&self.0);
                    let code = timer::set_timeout(std::time::Duration::ZERO, move || drop(held));
                    assert_eq!(code.unwrap_err().code(), fyke::ErrorCode::ERR_EVENT_LOOP_CLOSED);
                    let held = Rc::clone(&self.0);
                    assert!(timer::set_immediate(move || drop(held)).is_err());
                }
            }
            let token = Rc::new(());
            let event_loop = net.event_loop();
            let server = event_loop.enter(|| {
                let starts = Starts(Rc::clone(&token));
                let server = fyke::create_server(move |_| { let _ = &starts; });
                net.listen(&server, net.tcp(), |endpoint| { fyke::connect(endpoint).unwrap(); });
                server
            });
            drive(&event_loop, || server.connections() == 1).unwrap();
            drop(event_loop);
            assert_eq!((Rc::strong_count(&token), server.connections()), (1, 0));
        }

        fn a_panic_of_the_connection_listener_affects_no_other_client(net) {
            let event_loop = net.event_loop();
            let served = Rc::new(Cell::new(0));
            let count = Rc::clone(&served);
            let server = event_loop.enter(|| {
                let server = fyke::create_server(move |socket| {
                    count.set(count.get() + 1);
                    socket.resume();
                    // More than is accepted in one turn, and less.
                    if [20, 70].contains(&count.get()) {
                        std::panic::resume_unwind(Box::new("on purpose"));
                    }
                });
                net.listen(&server.clone(), net.tcp(), |endpoint| {
                    for _ in 0..100 {
                        let client = fyke::connect(&endpoint).unwrap();
                        client.on_error(|_, _| {});
                        client.pause();
                    }
                });
                server
            });
            let mut panics = 0;
            while catch_unwind(AssertUnwindSafe(|| drive(&event_loop, || served.get() == 100).unwrap())).is_err() {
                panics += 1;
            }
            // The two sockets whose listener panicked are destroyed.
            assert_eq!((panics, served.get(), server.connections()), (2, 100, 98));
        }

        fn after_a_panic_another_socket_still_gets_the_end(net) {
            let event_loop = net.event_loop();
            let ended = Rc::new(Cell::new(0));
            let count = Rc::clone(&ended);
            event_loop.enter(|| {
                let server = fyke::create_server(|socket| { socket.end_with("hello"); });
                net.listen(&server.clone(), net.tcp(), move |endpoint| {
                    for index in 0..10 {
                        let client = fyke::connect(&endpoint).unwrap();
                        client.on_data(move |_, _| if index == 0 {
                            std::panic::resume_unwind(Box::new("on purpose"));
                        });
                        let (count, server) = (Rc::clone(&count), server.clone());
                        client.on_close(move |_, _| {
                            count.set(count.get() + 1);
                            if count.get() == 10 {
                                server.close();
                            }
                        });
                    }
                });
            });
            while catch_unwind(AssertUnwindSafe(|| drive(&event_loop, || false).unwrap())).is_err() {}
            assert_eq!(ended.get(), 10);
        }
    }
}

/// Regression: work that waited for a tick stayed in the socket, and kept it alive by its captured
/// values.
#[test]
fn callbacks_that_no_loop_can_call_are_dropped_immediately() {
    let marker = Rc::new(());
    let end = |marker: Rc<()>| {
        let socket = Socket::new();
        let same = socket.clone();
        socket.destroy();
        socket.end_then(move |_, _| drop((marker, same)));
    };
    end(marker.clone());
    assert_eq!(Rc::strong_count(&marker), 1, "there was no loop");
    let event_loop = EventLoop::builder().build().unwrap();
    event_loop.enter(|| end(marker.clone()));
    drop(event_loop);
    assert_eq!(Rc::strong_count(&marker), 1, "the loop was dropped");
}
