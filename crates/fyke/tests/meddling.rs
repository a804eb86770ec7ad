//! User values whose `Drop` calls fyke, in every place that can hold one: nothing is borrowed when they
//! are dropped, and each is dropped once. Plain examples are in `teardown.rs`.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use fyke::{
    AbortController, Bytes, ConnectOptions, Endpoint, EventLoop, LoopHandle, Server, Socket, timer,
};
use support::{Net, drive};

/// The objects that a meddler can use.
struct World {
    socket: Socket,
    peer: Socket,
    fresh: Socket,
    server: Server,
    endpoint: Endpoint,
    handle: LoopHandle,
    controller: AbortController,
    alarm: timer::Timer,
    listener: fyke::ListenerId,
}

type Act = fn(&World);

/// Every call that a value may make when it is dropped.
const ACTS: [(&str, Act); 20] = [
    ("write", |world| _ = world.socket.write("more")),
    ("write bytes", |world| _ = world.socket.write(Bytes::from_owner(vec![1; 5000]))),
    ("write_then", |world| _ = world.socket.write_then("more", |_, _| {})),
    ("end", |world| _ = world.socket.end_with("last")),
    ("destroy", |world| _ = world.socket.destroy()),
    ("reset", |world| _ = world.socket.reset_and_destroy()),
    ("destroy all", |world| {
        world.peer.destroy();
        world.fresh.destroy();
        world.socket.destroy();
    }),
    ("listen for data", |world| {
        world.socket.on_data(|_, _| {});
        world.socket.on_readable(|_| {});
    }),
    ("off", |world| world.socket.off(world.listener)),
    ("read", |world| {
        world.socket.pause().resume().read();
        world.socket.unshift("back");
    }),
    ("read_buffer", |world| _ = world.socket.read_buffer(8, |_, _| true)),
    ("pipe", |world| {
        world.socket.pipe(&world.peer);
        world.socket.unpipe(&world.peer);
        world.socket.finished(|_, _| {});
    }),
    ("cork", |world| {
        let _ = world.socket.cork().write("held back");
        world.socket.uncork();
    }),
    ("options", |world| {
        world.socket.set_no_delay(true).ok();
        world.socket.set_encoding(fyke::Encoding::Utf8);
        world.socket.set_busy(false).unref_loop().ref_loop();
        _ = format!("{:?} {:?}", world.socket, world.server);
    }),
    ("timeout", |world| {
        world.socket.set_idle_timeout(Some(Duration::from_millis(1)));
        world.socket.set_idle_timeout_then(Duration::from_secs(1), |_| {});
        world.alarm.cancel();
    }),
    ("timers", |world| {
        // On a dropped loop, each call returns an `Err`.
        _ = timer::set_timeout(Duration::ZERO, || {});
        _ = timer::set_immediate(|| {});
        _ = timer::next_tick(|| {});
        _ = world.handle.post(|| {});
        drop(world.handle.keep_alive());
    }),
    ("connect", |world| {
        for socket in [&world.fresh, &world.socket, &Socket::new()] {
            socket.on_error(|_, _| {});
            _ = socket.connect_then(&world.endpoint, |socket| _ = socket.end());
        }
    }),
    ("close", |world| {
        world.server.close_then(|_, _| {}).unref_loop();
        _ = Server::new().listen_then(&world.endpoint, |server| _ = server.close());
    }),
    ("shutdown", |world| _ = world.server.shutdown(Duration::ZERO)),
    ("abort", |world| world.controller.abort()),
];

/// Acts when it is dropped, once.
struct Meddler {
    world: Rc<World>,
    act: Act,
    dropped: Rc<Cell<usize>>,
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.dropped.set(self.dropped.get() + 1);
        (self.act)(&self.world);
    }
}

thread_local! {
    /// The meddlers of values that must be `Send`. Each has its number here.
    static PARKED: RefCell<Vec<Option<Meddler>>> = const { RefCell::new(Vec::new()) };
}

/// A meddler in bytes, or in posted work.
struct Owner {
    number: usize,
    bytes: Vec<u8>,
}

impl Owner {
    fn new(meddler: Meddler, bytes: usize) -> Self {
        let number = PARKED.with_borrow_mut(|parked| {
            parked.push(Some(meddler));
            parked.len() - 1
        });
        Self { number, bytes: vec![7; bytes] }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let meddler = PARKED.with_borrow_mut(|parked| parked[self.number].take());
        drop(meddler);
    }
}

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn bytes(meddler: Meddler, len: usize) -> Bytes {
    Bytes::from_owner(Owner::new(meddler, len))
}

/// Also acts when its bytes are requested.
struct Meddling(Meddler);

impl AsRef<[u8]> for Meddling {
    fn as_ref(&self) -> &[u8] {
        (self.0.act)(&self.0.world);
        b"put back"
    }
}

type Place = fn(&World, Meddler);

/// All places that can hold a user value.
const PLACES: [(&str, Place); 44] = [
    ("small bytes", |world, meddler| _ = world.socket.write(bytes(meddler, 5))),
    ("no bytes", |world, meddler| _ = world.socket.write(bytes(meddler, 0))),
    ("large bytes", |world, meddler| _ = world.socket.write(bytes(meddler, 9000))),
    ("very large bytes", |world, meddler| _ = world.socket.write(bytes(meddler, 8 << 20))),
    ("small bytes with a callback", |world, meddler| {
        world.socket.write_then(bytes(meddler, 5), |_, _| {});
    }),
    ("large bytes with a callback", |world, meddler| {
        world.socket.write_then(bytes(meddler, 9000), |_, _| {});
    }),
    ("corked bytes", |world, meddler| {
        let _ = world.socket.cork().write(bytes(meddler, 9000));
        let _ = world.socket.write("behind");
    }),
    ("last bytes", |world, meddler| _ = world.socket.end_with(bytes(meddler, 5))),
    ("last bytes with a callback", |world, meddler| {
        world.socket.end_with_then(bytes(meddler, 9000), |_, _| {});
    }),
    ("bytes that are refused", |world, meddler| {
        let _ = world.socket.end().write(bytes(meddler, 5));
    }),
    ("bytes without a connection", |world, meddler| {
        let _ = world.fresh.write(bytes(meddler, 9000));
    }),
    ("bytes before the connection", |world, meddler| {
        _ = world.fresh.connect(&world.endpoint);
        let _ = world.fresh.write(bytes(meddler, 9000));
    }),
    ("write_then", |world, meddler| {
        world.socket.write_then("x", move |_, _| drop(meddler));
    }),
    ("corked write_then", |world, meddler| {
        world.socket.cork().write_then("x", move |_, _| drop(meddler));
    }),
    ("write_then of much", |world, meddler| {
        world.socket.write_then(vec![1; 8 << 20], move |_, _| drop(meddler));
    }),
    ("end_then", |world, meddler| _ = world.socket.end_then(move |_, _| drop(meddler))),
    ("on_data", |world, meddler| {
        world.socket.on_data(move |_, _| _ = &meddler);
    }),
    ("on_text", |world, meddler| {
        world.socket.on_text(move |_, _| _ = &meddler);
    }),
    ("on_readable", |world, meddler| {
        world.socket.on_readable(move |socket| _ = (&meddler, socket.read()));
    }),
    ("on_end", |world, meddler| {
        world.socket.on_end(move |_| _ = &meddler);
    }),
    ("on_close", |world, meddler| {
        world.socket.on_close(move |_, _| _ = &meddler);
    }),
    ("on_shutdown", |world, meddler| {
        world.socket.on_shutdown(move |_| _ = &meddler);
    }),
    ("a removed listener", |world, meddler| {
        let id = world.socket.on_data(move |_, _| _ = &meddler);
        world.socket.off(id);
    }),
    ("a listener that removes itself", |world, meddler| {
        let id = Rc::new(Cell::new(None));
        let own = Rc::clone(&id);
        id.set(Some(world.socket.on_end(move |socket| {
            _ = &meddler;
            socket.off(own.get().unwrap());
        })));
    }),
    ("read_buffer", |world, meddler| {
        world.socket.read_buffer(4, move |_, _| {
            _ = &meddler;
            true
        });
    }),
    ("read_buffer that is replaced", |world, meddler| {
        world.socket.read_buffer(4, move |_, _| {
            _ = &meddler;
            true
        });
        world.socket.read_buffer(4, |_, _| true);
    }),
    ("read_buffers", |world, meddler| {
        let next = move || {
            _ = &meddler;
            vec![0; 4]
        };
        world.socket.read_buffers(next, |_, _| true);
    }),
    ("set_timeout_then", |world, meddler| {
        world.socket.set_idle_timeout_then(Duration::from_secs(9), move |_| drop(meddler));
    }),
    ("what is put back", |world, meddler| {
        world.socket.pause().unshift(Meddling(meddler));
    }),
    ("finished", |world, meddler| {
        world.socket.finished(move |_, _| drop(meddler));
    }),
    ("pipeline", |world, meddler| {
        fyke::pipeline(&world.socket, &world.peer, move |_| drop(meddler));
    }),
    ("connect", |world, meddler| {
        _ = world.fresh.connect_then(&world.endpoint, move |_| drop(meddler));
    }),
    ("connect that is refused", |world, meddler| {
        _ = world.socket.connect_then(&world.endpoint, move |_| drop(meddler));
    }),
    ("connect again after a cancelled write", |world, meddler| {
        world.fresh.connect(&world.endpoint).unwrap();
        world.fresh.cork().write_then("x", move |_, _| drop(meddler));
        world.fresh.destroy();
        _ = world.fresh.connect(&world.endpoint);
    }),
    ("lookup", |world, meddler| {
        let options = ConnectOptions::new(("a.test", 1));
        let hook = move |_, reply| {
            _ = &meddler;
            drop(reply);
        };
        _ = world.fresh.connect_with(options.lookup(hook));
    }),
    ("timer", |_, meddler| {
        let timer = timer::set_timeout(Duration::from_millis(1), move || drop(meddler));
        timer.unwrap();
    }),
    ("timer that is cancelled", |_, meddler| {
        let timer = timer::set_interval(Duration::from_secs(9), move || _ = &meddler);
        timer.unwrap().cancel();
    }),
    ("unreferred interval", |_, meddler| {
        let timer = timer::set_interval(Duration::from_secs(9), move || _ = &meddler);
        timer.unwrap().unref_loop();
    }),
    ("immediate", |_, meddler| timer::set_immediate(move || drop(meddler)).unwrap()),
    ("tick", |_, meddler| timer::next_tick(move || drop(meddler)).unwrap()),
    ("posted", |world, meddler| {
        let owner = Owner::new(meddler, 0);
        world.handle.post(move || drop(owner)).unwrap();
    }),
    ("server", |world, meddler| {
        let [first, second, third] = [(); 3].map(|()| Rc::new(Cell::new(None)));
        first.set(Some(meddler));
        let held = [first.clone(), second.clone(), third.clone()];
        world.server.on_connection(move |_, _| _ = &held);
        world.server.on_close(move |_| _ = (first.take(), second.take(), third.take()));
    }),
    ("close_then", |world, meddler| {
        world.server.close_then(move |_, _| drop(meddler));
    }),
    ("shutdown", |world, meddler| {
        _ = world.server.shutdown_then(Duration::from_millis(1), move |_, _| drop(meddler));
    }),
];

/// What happens to the socket after a value was stored.
const FATES: [(&str, Act); 4] = [
    ("goes on", |_| {}),
    ("is destroyed", |world| _ = world.socket.destroy()),
    ("fails", |world| {
        let code = fyke::ErrorCode::ETIMEDOUT;
        world.socket.destroy_with(fyke::Error::new(code, "on purpose"));
    }),
    ("is reset by the peer", |world| _ = world.peer.reset_and_destroy()),
];

/// A connection between two sockets of one loop, and other objects.
fn world(net: &Net, event_loop: &EventLoop) -> Rc<World> {
    let accepted: Rc<RefCell<Option<Socket>>> = Rc::default();
    let (server, peer) = event_loop.enter(|| {
        let server = Server::new();
        let place = Rc::clone(&accepted);
        server.on_error(|_, _| {});
        server.on_connection(move |_, socket| {
            socket.on_error(|_, _| {});
            place.borrow_mut().get_or_insert_with(|| socket.clone());
        });
        let peer = Socket::new();
        peer.on_error(|_, _| {});
        let client = peer.clone();
        net.listen(&server, net.tcp(), move |endpoint| client.connect(endpoint).unwrap());
        (server, peer)
    });
    drive(event_loop, || accepted.borrow().is_some() && !peer.is_pending()).unwrap();
    let socket = accepted.take().unwrap();
    event_loop.enter(|| {
        let fresh = Socket::new();
        fresh.on_error(|_, _| {});
        let controller = AbortController::new();
        let alarm = timer::set_timeout(Duration::from_secs(9), || {}).unwrap();
        alarm.unref_loop();
        peer.end_with("some bytes");
        Rc::new(World {
            endpoint: server.endpoint().unwrap(),
            listener: socket.on_drain(|_| {}),
            handle: event_loop.handle(),
            socket,
            peer,
            fresh,
            server,
            controller,
            alarm,
        })
    })
}

/// Stores a meddler in a place, performs an action on the socket, and drops the loop: immediately, or
/// when no work is left.
fn play(net: &Net, place: Place, fate: Act, act: Act, is_cut: bool) {
    let event_loop = net.event_loop();
    let world = world(net, &event_loop);
    let dropped = Rc::new(Cell::new(0));
    let meddler = Meddler { world: Rc::clone(&world), act, dropped: Rc::clone(&dropped) };
    event_loop.enter(|| {
        place(&world, meddler);
        fate(&world);
    });
    for _ in 0..if is_cut { 1 } else { 12 } {
        // An error without a listener ends a turn, and nothing else.
        _ = event_loop.turn(Some(Duration::ZERO));
    }
    drop(event_loop);
    drop(world);
    assert_eq!(dropped.get(), 1, "each value is dropped once, and with its loop at the latest");
}

/// Every place, fate and act, half of them on a loop that is dropped immediately.
fn play_all(net: &Net) {
    for (number, (place_name, place)) in PLACES.iter().enumerate() {
        for (moment, (fate_name, fate)) in FATES.iter().enumerate() {
            for (turn, (act_name, act)) in ACTS.iter().enumerate() {
                println!("{place_name}, the socket {fate_name}, {act_name}");
                play(net, *place, *fate, *act, (number + moment + turn) % 2 == 0);
            }
        }
    }
}

on_every_driver! {
    fn values_that_call_the_library_when_dropped_find_nothing_borrowed(net) {
        play_all(net);
    }

    fn values_that_call_the_library_when_dropped_find_nothing_borrowed_in_exact_loops(net) {
        play_all(net.node_exact());
    }
}
