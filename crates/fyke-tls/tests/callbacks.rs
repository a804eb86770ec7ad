//! Callbacks that destroy their socket or panic, and what is freed.

mod support;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use fyke::Socket;
use fyke_tls::{Tls, connect, create_server};
use support::peer::{Then, Towards, relay};
use support::{Log, Net, contexts, settled, with_client};

/// Where the user's code of a connection runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Hello,
    ServerKeys,
    ServerSecure,
    ServerData,
    ServerEnd,
    ServerError,
    ClientConnect,
    ClientKeys,
    ClientSecure,
    ClientSession,
    ClientData,
    ClientEnd,
}

const PLACES: [Place; 12] = [
    Place::Hello,
    Place::ServerKeys,
    Place::ServerSecure,
    Place::ServerData,
    Place::ServerEnd,
    Place::ServerError,
    Place::ClientConnect,
    Place::ClientKeys,
    Place::ClientSecure,
    Place::ClientSession,
    Place::ClientData,
    Place::ClientEnd,
];

/// A conversation in which `act` runs at every place. Both sides must close.
fn conversation(log: &Log, act: &Rc<dyn Fn(Place, &Socket)>, breaks: bool) {
    let (context, client) = contexts();
    let at = |place: Place| {
        let act = Rc::clone(act);
        move |socket: &Socket| act(place, socket)
    };
    let (secure, data, end) =
        (at(Place::ServerSecure), at(Place::ServerData), at(Place::ServerEnd));
    let (data, end) = (Rc::new(data), Rc::new(end));
    let server = create_server(&context, move |socket| {
        secure(socket);
        let data = Rc::clone(&data);
        socket.on_data(move |socket, bytes| {
            let _ = socket.write(bytes);
            data(socket);
        });
        let end = Rc::clone(&end);
        socket.on_end(move |socket| end(socket));
        socket.on_error(|_, _| {});
    });
    let accepted = Rc::new(RefCell::new(None));
    let of_hello = Rc::clone(&accepted);
    let hello = at(Place::Hello);
    server.on_client_hello(move |_, reply| {
        let socket: Option<Socket> = of_hello.take();
        hello(&socket.unwrap());
        reply.use_default();
    });
    let keys = at(Place::ServerKeys);
    server.on_key_log(move |socket, _| keys(socket));
    let error = at(Place::ServerError);
    server.on_tls_client_error(move |socket, _| error(socket));
    let closed = log.clone();
    server.on_connection(move |server, socket| {
        server.close();
        accepted.replace(Some(socket.clone()));
        let closed = closed.clone();
        socket.on_close(move |_, _| closed.add("server"));
    });
    let (connected, secure) = (at(Place::ClientConnect), at(Place::ClientSecure));
    let (keys, session) = (at(Place::ClientKeys), at(Place::ClientSession));
    let (data, end) = (at(Place::ClientData), at(Place::ClientEnd));
    let closed = log.clone();
    let handshakes = server.clone();
    server
        .listen_then(("127.0.0.1", 0), move |server| {
            let change = move |towards, bytes: &[u8]| match breaks && towards == Towards::Server {
                true => (b"GET / HTTP/1.1\r\n".to_vec(), Then::Continue),
                false => (bytes.to_vec(), Then::Continue),
            };
            relay(server.endpoint().unwrap(), change, move |endpoint| {
                let client = connect(endpoint, &client).unwrap();
                client.on_error(|_, _| {});
                client.on_close(move |_, _| {
                    closed.add("client");
                    let handshakes = handshakes.clone();
                    settled(move || assert_eq!(handshakes.handshakes(), 0));
                });
                client.on_connect(connected);
                let tls = Tls::of(&client).unwrap();
                tls.on_key_log(move |client, _| keys(client));
                tls.on_secure_connect(secure);
                tls.on_session(move |client, _| session(client));
                client.on_data(move |client, _| {
                    data(client);
                    client.end();
                });
                client.on_end(end);
                let _ = client.write("a question");
            });
        })
        .unwrap();
}

/// Adds listeners that hold the handle of the session that they are in.
fn listen_with_its_own_handle(tls: &Tls, held: &Rc<()>) {
    let (own, held) = (tls.clone(), Rc::clone(held));
    let hold = move || _ = (&own, &held);
    let (in_key_log, in_session) = (hold.clone(), hold.clone());
    tls.on_secure_connect(move |_| hold());
    tls.on_key_log(move |_, _| in_key_log());
    tls.on_session(move |_, _| in_session());
}

fn both_close(net: &Net, act: impl Fn(Place, &Socket) + 'static, breaks: bool) {
    let log = Log::new();
    let act: Rc<dyn Fn(Place, &Socket)> = Rc::new(act);
    net.run_through_panics(|| conversation(&log, &act, breaks));
    let mut closed = log.take();
    closed.sort();
    assert_eq!(closed, ["client", "server"]);
    assert_eq!(Rc::strong_count(&act), 1, "everything is freed");
}

on_every_driver! {
    fn a_socket_can_be_destroyed_in_every_callback(net) {
        for place in PLACES {
            let reached = Rc::new(Cell::new(false));
            let seen = Rc::clone(&reached);
            let act = move |at: Place, socket: &Socket| {
                if at == place {
                    seen.set(true);
                    socket.destroy();
                }
            };
            both_close(net, act, place == Place::ServerError);
            assert!(reached.get(), "{place:?}");
        }
    }

    fn a_panic_in_a_callback_closes_the_connection(net) {
        for place in PLACES {
            let reached = Rc::new(Cell::new(false));
            let seen = Rc::clone(&reached);
            let act = move |at: Place, _: &Socket| {
                assert!(at != place || seen.replace(true), "on purpose");
            };
            both_close(net, act, place == Place::ServerError);
            assert!(reached.get(), "{place:?}");
        }
    }

    fn a_handle_in_a_listener_of_its_own_session_is_freed_with_the_connection(net) {
        let (_, client) = contexts();
        let held = Rc::new(());
        let captured = Rc::clone(&held);
        net.run(|| {
            let server = fyke::create_server(|socket| {
                socket.server().unwrap().close();
                socket.on_error(|_, _| {});
                socket.destroy();
            });
            server.listen_then(("127.0.0.1", 0), move |server| {
                let socket = connect(server.endpoint().unwrap(), &client).unwrap();
                let tls = Tls::of(&socket).unwrap();
                listen_with_its_own_handle(&tls, &captured);
                socket.on_error(|_, _| {});
                socket.resume();
            }).unwrap();
        });
        assert_eq!(Rc::strong_count(&held), 1);
    }

    fn a_handle_in_a_listener_of_its_own_session_is_freed_with_the_loop(net) {
        let (_, client) = contexts();
        let held = Rc::new(());
        let event_loop = net.event_loop();
        event_loop.enter(|| {
            let socket = connect(("127.0.0.1", 9), &client).unwrap();
            let tls = Tls::of(&socket).unwrap();
            listen_with_its_own_handle(&tls, &held);
        });
        drop(event_loop);
        assert_eq!(Rc::strong_count(&held), 1);
    }

    fn the_deadline_of_a_handshake_does_not_end_the_next_connection_of_its_socket(net) {
        let authority = support::Authority::new();
        let client = fyke_tls::ClientOptions::new().authorities_pem(authority.pem());
        let client = client.handshake_timeout(Some(Duration::from_millis(30))).build().unwrap();
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let first = Cell::new(true);
            let server = fyke::create_server(move |socket| {
                socket.on_error(|_, _| {});
                match first.replace(false) {
                    true => _ = socket.destroy(),
                    false => {
                        socket.server().unwrap().close();
                        _ = socket.pipe(socket);
                    }
                }
            });
            server.listen_then(("127.0.0.1", 0), move |server| {
                let endpoint = server.endpoint().unwrap();
                let socket = connect(endpoint.clone(), &client).unwrap();
                let tls = Tls::of(&socket).unwrap();
                socket.on_error(move |_, error| seen.add(error.code()));
                socket.once_close(move |socket, _| {
                    socket.connect(endpoint).unwrap();
                    let socket = socket.clone();
                    fyke::timer::set_timeout(Duration::from_millis(60), move || {
                        // Only a handle that is kept keeps the first session.
                        assert!(!tls.is_secure());
                        socket.end();
                    }).unwrap();
                });
                socket.resume();
            }).unwrap();
        });
        assert_eq!(log.take().len(), 1, "only the first connection fails");
    }

    fn a_socket_that_is_paused_for_ever_can_be_destroyed(net) {
        let (server, client) = contexts();
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = create_server(&server, |socket| {
                socket.on_error(|_, _| {});
                socket.end_with("never read");
                socket.resume();
            });
            with_client(&server, &client, move |client| {
                client.pause();
                let log = seen.clone();
                Tls::of(client).unwrap().on_secure_connect(move |client| {
                    log.add("secure");
                    let client = client.clone();
                    settled(move || _ = client.destroy());
                });
                client.on_data(|_, _| unreachable!("it is paused"));
                client.pause();
                client.on_close(move |_, had_error| seen.add(format!("close {had_error}")));
            });
        });
        assert_eq!(log.take(), ["secure", "close false"]);
    }

    fn a_loop_that_is_dropped_at_any_time_frees_everything(net) {
        for turns in 0..40 {
            let act: Rc<dyn Fn(Place, &Socket)> = Rc::new(|_, _| {});
            let event_loop = net.event_loop();
            event_loop.enter(|| conversation(&Log::new(), &act, false));
            for _ in 0..turns {
                event_loop.turn(Some(Duration::ZERO)).unwrap();
            }
            drop(event_loop);
            assert_eq!(Rc::strong_count(&act), 1, "after {turns} turns");
        }
    }
}

impl Net {
    /// Runs a loop as [`run`](Self::run) does, and continues after panics.
    fn run_through_panics(&self, setup: impl FnOnce()) {
        let event_loop = self.event_loop();
        event_loop.enter(setup);
        let end = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            let turn = || event_loop.turn(Some(Duration::from_secs(1))).unwrap();
            if matches!(catch_unwind(AssertUnwindSafe(turn)), Ok(false)) {
                return;
            }
            assert!(std::time::Instant::now() < end, "the loop does not end");
        }
    }
}
