//! The loop itself: phases, what keeps it alive, host loops, other threads.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fyke::{ErrorCode, EventLoop, Server, Socket, timer};
use support::{Log, drive};

const MS: Duration = Duration::from_millis(1);

on_every_driver! {
    fn ticks_run_in_order_and_before_timers_and_immediates(net) {
        let log = Log::new();
        let add = |what: &'static str| {
            let log = log.clone();
            move || log.add(what)
        };
        net.run(|| {
            timer::set_immediate(add("immediate")).unwrap();
            timer::set_timeout(Duration::ZERO, add("timer")).unwrap();
            let inner = add("tick in a tick");
            let tick = add("tick 1");
            timer::next_tick(move || { tick(); timer::next_tick(inner).unwrap(); }).unwrap();
            timer::next_tick(add("tick 2")).unwrap();
        });
        let wanted = ["tick 1", "tick 2", "tick in a tick", "timer", "immediate"];
        assert_eq!(log.take(), wanted);
    }

    fn timers_run_in_order_and_can_be_cancelled(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let add = |what: u32| { let log = log.clone(); move || log.add(what) };
            timer::set_timeout(20 * MS, add(3)).unwrap();
            timer::set_timeout(10 * MS, add(1)).unwrap();
            timer::set_timeout(10 * MS, add(2)).unwrap();
            let never = timer::set_timeout(15 * MS, add(9)).unwrap();
            timer::set_timeout(5 * MS, move || { never.cancel(); assert!(!never.is_active()); }).unwrap();
            let ticks = Rc::new(Cell::new(0));
            let interval: Rc<RefCell<Option<timer::Timer>>> = Rc::default();
            let (log, own) = (log.clone(), interval.clone());
            let set = timer::set_interval(30 * MS, move || {
                ticks.set(ticks.get() + 1);
                log.add(format!("interval {}", ticks.get()));
                if ticks.get() == 3 {
                    own.take().unwrap().cancel();
                }
            });
            *interval.borrow_mut() = set.ok();
        });
        assert_eq!(seen.take(), ["1", "2", "3", "interval 1", "interval 2", "interval 3"]);
    }

    fn proc_01_tmo_05_new_sockets_idle_timeouts_and_unreferenced_objects_do_not_keep_the_loop_alive(net) {
        net.run(|| {
            let socket = Socket::new();
            socket.set_idle_timeout_then(3600 * 1000 * MS, |_| panic!("the loop ended before"));
            timer::set_timeout(3600 * 1000 * MS, || panic!("unref'ed")).unwrap().unref_loop();
            let server = Server::new();
            server.listen(0).unwrap();
            server.unref_loop();
        });
    }

    fn proc_02_a_connection_paused_before_reading_does_not_keep_the_loop_alive(net) {
        let connected = Rc::new(Cell::new(false));
        let seen = connected.clone();
        net.run(|| {
            let server = fyke::create_server(|socket| { socket.unref_loop(); socket.server().unwrap().unref_loop(); });
            net.listen(&server, net.tcp(), move |endpoint| {
                let client = fyke::connect_then(endpoint, move |_| connected.set(true)).unwrap();
                client.pause();
            });
        });
        assert!(seen.get());
    }

    fn proc_05_unref_does_not_abandon_a_write_in_progress(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.unref_loop(); socket.resume(); },
            move |client| {
                client.unref_loop();
                client.on_connect(move |client| {
                    let log = log.clone();
                    client.write_then(vec![0; 20 << 20], move |_, result| log.add(result.is_ok()));
                });
            },
        ));
        assert_eq!(seen.take(), ["true"]);
    }

    fn a_turn_inside_a_turn_fails(net) {
        let event_loop = Rc::new(net.event_loop());
        let code = Rc::new(Cell::new(None));
        let (inner, seen) = (Rc::downgrade(&event_loop), code.clone());
        event_loop.enter(|| timer::next_tick(move || {
            let inner = inner.upgrade().unwrap();
            seen.set(Some(inner.turn(None).unwrap_err().code()));
        })).unwrap();
        event_loop.run().unwrap();
        assert_eq!(code.get(), Some(ErrorCode::ERR_EVENT_LOOP_BUSY));
    }

    fn a_loop_that_ended_with_an_error_can_continue(net) {
        let event_loop = net.event_loop();
        let closed = Rc::new(Cell::new(false));
        let seen = closed.clone();
        event_loop.enter(|| {
            let client = fyke::connect(("127.0.0.1", 1)).unwrap();
            client.on_close(move |_, had_error| closed.set(had_error));
        });
        let error = drive(&event_loop, || false).unwrap_err();
        assert_eq!(error.code(), ErrorCode::ECONNREFUSED);
        drive(&event_loop, || false).unwrap();
        assert!(seen.get(), "close is emitted, with or without an error listener");
    }

    fn posted_work_runs_in_order_on_the_loops_thread(net) {
        let log = Arc::new(Mutex::new(Vec::new()));
        let thread = std::thread::current().id();
        net.run(|| {
            let handle = fyke::LoopHandle::current().unwrap();
            let alive = handle.keep_alive();
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                for index in 0..100 {
                    let log = Arc::clone(&log);
                    handle.post(move || {
                        assert_eq!(std::thread::current().id(), thread);
                        log.lock().unwrap().push(index);
                    }).unwrap();
                }
                drop(alive);
            });
        });
        assert_eq!(*log.lock().unwrap(), (0..100).collect::<Vec<_>>());
    }

    fn a_handle_of_a_dropped_loop_returns_an_error(net) {
        let event_loop = net.event_loop();
        let handle = event_loop.handle();
        let alive = handle.keep_alive();
        drop(event_loop);
        assert_eq!(handle.post(|| {}).unwrap_err().code(), ErrorCode::ERR_EVENT_LOOP_CLOSED);
        handle.wake();
        drop(alive);
    }

    fn tmo_01_the_idle_timeout_emits_an_event_and_closes_nothing(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.resume(); },
            move |client| {
                client.resume();
                client.on_ready(move |client| {
                    log.watch("", client);
                    client.set_idle_timeout_then(20 * MS, |client| {
                        assert!(!client.is_destroyed());
                        client.end();
                    });
                });
            },
        ));
        assert_eq!(seen.take()[..2], ["timeout", "finish"]);
    }

    fn tmo_02_received_data_postpones_the_idle_timeout(net) {
        let count = Rc::new(Cell::new(0));
        let seen = count.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| {
                let socket = socket.clone();
                let sent = Cell::new(0);
                let own: Rc<RefCell<Option<timer::Timer>>> = Rc::default();
                let held = own.clone();
                let set = timer::set_interval(100 * MS, move || {
                    sent.set(sent.get() + 1);
                    let _ = socket.write("x");
                    if sent.get() == 5 {
                        held.take().unwrap().cancel();
                        socket.end();
                    }
                });
                *own.borrow_mut() = set.ok();
            },
            move |client| {
                client.on_data(move |_, _| count.set(count.get() + 1));
                client.set_idle_timeout(Some(10_000 * MS));
                client.on_idle_timeout(|_| panic!("there was activity"));
            },
        ));
        assert_eq!(seen.get(), 5);
    }
}

#[test]
fn c12_every_call_outside_of_a_loop_fails_with_a_code() {
    let code = |error: Option<fyke::Error>| error.unwrap().code();
    let none = ErrorCode::ERR_NO_EVENT_LOOP;
    assert_eq!(code(timer::set_timeout(MS, || {}).err()), none);
    assert_eq!(code(timer::next_tick(|| {}).err()), none);
    assert_eq!(code(fyke::LoopHandle::current().err()), none);
    assert_eq!(code(fyke::connect(1).err()), none);
    assert_eq!(code(Server::new().listen(0).err()), none);
    let socket = Socket::new();
    assert!(!socket.write("x"));
    socket.pause().resume().end().destroy();
    assert_eq!(code(fyke::connect("no endpoint").err()), ErrorCode::ERR_INVALID_ARG_VALUE);
    assert_eq!(code(fyke::connect("host:70000").err()), ErrorCode::ERR_SOCKET_BAD_PORT);
    assert_eq!(code(fyke::connect(("a\0b", 1)).err()), ErrorCode::ERR_INVALID_ARG_VALUE);
}

on_every_system! {
    fn objects_made_outside_of_a_loop_work_in_the_one_where_they_are_used(net) {
        let (server, client) = (Server::new(), Socket::new());
        server.on_connection(|server, socket| {
            server.close();
            socket.end();
        });
        net.run(|| {
            server
                .listen_then(0, move |server| {
                    client.resume();
                    client.connect(server.endpoint().unwrap()).unwrap();
                })
                .unwrap();
        });
    }
}

#[test]
#[cfg(unix)]
fn a_host_drives_the_loop_by_its_descriptor_and_its_deadline() {
    use std::time::Instant;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use support::{DEADLINE, Net};

    for net in Net::of_the_system() {
        let event_loop = net.event_loop();
        let done = Rc::new(Cell::new(0));
        let (at_timer, at_close) = (done.clone(), done.clone());
        event_loop.enter(|| {
            let server = fyke::create_server(|socket| {
                socket.end_with("hi");
                socket.server().unwrap().close();
            });
            server
                .listen_then(0, move |server| {
                    let client = fyke::connect(server.endpoint().unwrap()).unwrap();
                    client.resume();
                    client.on_close(move |_, _| at_close.set(at_close.get() + 1));
                })
                .unwrap();
            timer::set_timeout(30 * MS, move || at_timer.set(at_timer.get() + 1)).unwrap();
        });
        let end = Instant::now() + DEADLINE;
        while event_loop.turn(Some(Duration::ZERO)).unwrap() {
            assert!(Instant::now() < end);
            let fd = event_loop.as_fd().unwrap();
            let wait =
                event_loop.next_deadline().unwrap_or(end).saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(wait).unwrap();
            poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout)).unwrap();
        }
        assert_eq!(done.get(), 2);
    }
}

#[test]
fn the_environment_variable_names_the_driver() {
    // Each in a separate process, because the environment is shared by all threads.
    for (value, works) in
        [("ready", true), ("uring", true), ("auto", true), ("", true), ("nonsense", false)]
    {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_makes_a_loop", "--ignored"])
            .env("FYKE_DRIVER", value)
            .output()
            .unwrap()
            .status;
        assert_eq!(status.success(), works, "{value:?}");
    }
}

#[test]
#[ignore = "run by the_environment_variable_names_the_driver, which sets the environment"]
fn child_makes_a_loop() {
    EventLoop::new().unwrap();
}
