//! A `tracing` subscriber is user code. It may write its log through a socket of fyke, and make any
//! call to fyke, at every event and on every driver.
#![cfg(feature = "tracing")]

mod support;

use std::cell::{Cell, RefCell};
use std::fmt::{Debug, Write};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fyke::{
    BoundSocket, ConnectOptions, Endpoint, KeepAliveProbes, Server, ServerOptions, Socket,
    SocketOptions,
};
use support::steps::with_subscriber;
use support::{Net, drive};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

thread_local! {
    /// The objects that the subscriber uses.
    static LOG: RefCell<Option<Socket>> = const { RefCell::new(None) };
    static SOCKETS: RefCell<Vec<Socket>> = const { RefCell::new(Vec::new()) };
    static SERVERS: RefCell<Vec<Server>> = const { RefCell::new(Vec::new()) };
    static DROPPING: Cell<bool> = const { Cell::new(false) };
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Ends everything at one event, and does nothing at others.
struct Drastic {
    /// The number of events until then.
    after: AtomicUsize,
}

impl Subscriber for Drastic {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn event(&self, _: &Event<'_>) {
        if self.after.fetch_sub(1, Ordering::Relaxed) == 1 {
            for socket in SOCKETS.with_borrow(Clone::clone) {
                socket.destroy();
            }
            for server in SERVERS.with_borrow(Clone::clone) {
                server.close();
            }
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// A server and a client, which end by themselves unless something else ends them.
fn converse(net: &Net, target: Endpoint) {
    net.run(|| {
        let server = options().create_server(|socket| {
            watch(socket);
            tune(socket);
            socket.pipe(socket);
            socket.server().unwrap().close();
        });
        SERVERS.with_borrow_mut(|servers| servers.push(server.clone()));
        let client = SocketOptions::new().no_delay(true).send_buffer_size_bytes(9_999).build();
        watch(&client);
        client.on_error(|_, _| {});
        server.on_error(|_, _| {});
        let end = server.clone();
        client.on_close(move |_, _| _ = end.close());
        let started = server.listen_then(target, move |server| {
            let connected = |client: &Socket| {
                tune(client);
                client.on_data(|client, _| _ = client.end());
                let _ = client.write("hello");
            };
            if let Some(endpoint) = server.endpoint() {
                client.connect_then(endpoint, connected).unwrap();
            }
        });
        started.unwrap();
    });
    SOCKETS.take();
    SERVERS.take();
}

/// Writes each event through a socket, and reads every property of all objects.
struct Nosy;

impl Subscriber for Nosy {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        look_around();
        true
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().target().to_owned());
        event.record(&mut line);
        if let Some(log) = LOG.with_borrow(Clone::clone) {
            let _ = log.write(format!("{}\n", line.0));
        }
        LINES.with_borrow_mut(|lines| lines.push(line.0));
        look_around();
        make_things();
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

/// Every getter, and calls that change nothing.
fn look_around() {
    for socket in SOCKETS.with_borrow(Clone::clone) {
        let addresses = (socket.remote_address(), socket.local_address(), socket.address());
        let state = (socket.ready_state(), socket.is_pending(), socket.is_destroyed());
        let options = (socket.no_delay(), socket.keep_alive(), socket.type_of_service());
        let sizes = (socket.send_buffer_size_bytes(), socket.write_queue_len());
        drop(format!("{socket:?} {addresses:?} {state:?} {options:?} {sizes:?}"));
        socket.cork().uncork();
        socket.unref_loop().ref_loop();
        socket.off(socket.on_data(|_, _| {}));
    }
    for server in SERVERS.with_borrow(Clone::clone) {
        drop(format!("{server:?} {:?} {:?}", server.endpoint(), server.max_connections()));
        server.unref_loop().ref_loop();
        server.off(server.on_close(|_| {}));
    }
}

/// Calls that open and close objects. Inside an event they cause no further events. A loop that is
/// being dropped refuses them.
fn make_things() {
    let make = || -> fyke::Result<()> {
        fyke::timer::set_immediate(|| {})?;
        let server = fyke::create_server(|_| {});
        server
            .listen_bound(BoundSocket::bind(("127.0.0.1", 0))?)
            .map_err(|refused| refused.error)?;
        let client = Socket::new();
        client.on_error(|_, _| {});
        client.connect(server.endpoint().unwrap())?;
        let _ = client.write("x");
        client.destroy();
        server.close();
        Ok(())
    };
    let made = make();
    assert!(made.is_ok() || std::thread::panicking() || DROPPING.get(), "{made:?}");
}

fn watch(socket: &Socket) {
    SOCKETS.with_borrow_mut(|sockets| sockets.push(socket.clone()));
}

fn tune(socket: &Socket) {
    // A Unix socket has fewer options.
    let _ = socket.set_no_delay(true);
    let _ = socket.set_keep_alive(true, Duration::from_secs(7));
    let _ = socket.set_keep_alive_probes(KeepAliveProbes::new(Duration::from_secs(8)));
    let _ = socket.set_type_of_service(8);
    let _ = socket.set_send_buffer_size_bytes(10_000);
    let _ = socket.set_receive_buffer_size_bytes(10_000);
    let _ = socket.set_user_timeout(Some(Duration::from_secs(9)));
}

fn options() -> ServerOptions {
    ServerOptions::new()
        .no_delay(true)
        .keep_alive(Duration::from_secs(5))
        .receive_buffer_size_bytes(8_000)
}

/// A conversation that causes every event, until all of it has ended.
fn play(net: &Net, target: Endpoint) {
    let event_loop = net.event_loop();
    let ended = Rc::new(Cell::new(0));
    event_loop.enter(|| {
        let log_server = fyke::create_server(|socket| {
            socket.server().unwrap().close();
            socket.resume();
        });
        net.listen(&log_server, net.path().into(), |endpoint| {
            let log = Socket::new();
            log.connect_then(endpoint, |log| LOG.set(Some(log.clone()))).unwrap();
        });
    });
    drive(&event_loop, || LOG.with_borrow(Option::is_some)).unwrap();
    event_loop.enter(|| {
        let server = options().create_server(|_| {});
        SERVERS.with_borrow_mut(|servers| servers.push(server.clone()));
        let count = Rc::clone(&ended);
        server.on_connection(move |_, socket| {
            watch(socket);
            tune(socket);
            socket.pipe(socket);
            let count = Rc::clone(&count);
            socket.on_close(move |_, _| count.set(count.get() + 1));
        });
        net.listen(&server, target, |endpoint| {
            for how in 0..4 {
                let client =
                    SocketOptions::new().no_delay(true).send_buffer_size_bytes(9_999).build();
                watch(&client);
                client.on_error(|_, _| {});
                let then = move |client: &Socket| {
                    tune(client);
                    client.on_data(move |client, _| match how {
                        0 => _ = client.end(),
                        1 => _ = client.destroy(),
                        // On TCP, the error of the other end has no listener.
                        2 => drop(client.reset_and_destroy().map_err(|_| client.destroy())),
                        _ => _ = client.destroy_soon(),
                    });
                    let _ = client.write("hello");
                };
                client.connect_with_then(ConnectOptions::new(endpoint.clone()), then).unwrap();
            }
        });
    });
    drive(&event_loop, || ended.get() == 4).unwrap();
    event_loop.enter(|| {
        let refused = Socket::new();
        refused.on_error(|_, _| {});
        refused.connect(net.path()).unwrap();
        for server in SERVERS.take() {
            server.close();
        }
        hand_over(net);
    });
    event_loop.enter(|| _ = LOG.take().unwrap().end());
    drive(&event_loop, || false).unwrap();
    SOCKETS.take();
    DROPPING.set(true);
    drop(event_loop);
    DROPPING.set(false);
}

#[cfg(unix)]
fn hand_over(net: &Net) {
    if net.is_sim() {
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = options().create_server(|_| {});
    SERVERS.with_borrow_mut(|servers| servers.push(server.clone()));
    server.listen_fd(listener.into()).unwrap();
    let other = options().create_server(|_| {});
    other.listen_fd(server.duplicate_fd().unwrap()).unwrap();
    drop(server.take_fd().unwrap());
    other.close();
    let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let socket = SocketOptions::new().pause_on_create(true).build_from_fd(ours.into()).unwrap();
    watch(&socket);
    drop(socket.take_fd().unwrap());
    let bound = BoundSocket::bind(("127.0.0.1", 0)).unwrap();
    drop(bound.into_fd().unwrap());
    SERVERS.take();
}

#[cfg(not(unix))]
fn hand_over(_: &Net) {}

on_every_driver! {
    fn subscriber_may_write_through_a_socket_and_call_everything(net) {
        for node_exact in [false, true] {
            if node_exact {
                net.node_exact();
            }
            for target in net.endpoints() {
                let tcp = !matches!(target, Endpoint::Path(_));
                with_subscriber(Nosy, || play(net, target));
                let lines = LINES.take();
                let mut calls = vec!["socket", "bind", "listen", "accept", "connect", "shutdown"];
                calls.push("close");
                if tcp || net.is_sim() || cfg!(not(windows)) {
                    calls.push("setsockopt");
                }
                if !net.is_sim() && cfg!(unix) {
                    calls.extend(["adopt", "detach"]);
                }
                for call in calls {
                    let named = |line: &String| line.contains(&format!("call=\"{call}\""));
                    assert!(lines.iter().any(named), "{call}: {lines:?}");
                }
                let unhandled = |line: &String| line.contains("without an on_error listener failed");
                assert_eq!(lines.iter().any(unhandled), tcp, "{lines:?}");
            }
        }
    }

    fn subscriber_may_end_everything_at_any_event(net) {
        for target in net.endpoints() {
            for after in 1..40 {
                let target = if matches!(target, Endpoint::Path(_)) { net.path().into() } else { target.clone() };
                let drastic = Drastic { after: AtomicUsize::new(after) };
                with_subscriber(drastic, || converse(net, target));
            }
        }
    }
}
