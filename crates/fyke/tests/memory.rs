//! The memory of an idle connection, in every common configuration. Memory is counted for the whole
//! process, so one test runs at a time. On the real drivers only, because the simulated network stores
//! both ends of a connection and the data in transit.
//!
//! The measured value is the heap of the process, including tables that grow by doubling, divided by
//! the number of connections. Each connection was used before it became idle.

// The limits are those of Unix systems, where the driver's table holds all state of a socket.
#![cfg(unix)]

mod support;

use std::alloc::System;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fyke::{BlockList, EventLoop, Server, ServerOptions, Socket, spawn_local};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use support::{Net, drive};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How many connections there are, unless the system allows fewer.
const CONNECTIONS_MAX: usize = 10_000;

/// The number for each of the other configurations. It fills tables that double to the same part.
const CONNECTIONS_PER_ROW_MAX: usize = CONNECTIONS_MAX / 4;

/// The maximum for each, including tables that grow by doubling.
const BYTES_PER_CONNECTION_MAX: usize = 400;

const MESSAGE: [u8; 64] = [7; 64];
const OWNED_BYTES: usize = 8192;

fn one_at_a_time() -> MutexGuard<'static, ()> {
    static RUNNING: Mutex<()> = Mutex::new(());
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bytes_in_use() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Raises the limit of descriptors as far as allowed. Each connection needs two here.
fn connections(max: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let descriptors = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let pairs = descriptors.map_or(usize::MAX, |count| (count as usize).saturating_sub(50) / 2);
    pairs.min(max)
}

/// Sends a message and waits for `answer_bytes`.
fn exchange(event_loop: &EventLoop, peer: &mut TcpStream, answer_bytes: usize) {
    peer.write_all(&MESSAGE).unwrap();
    peer.set_nonblocking(true).unwrap();
    let mut answer = [0; OWNED_BYTES + MESSAGE.len()];
    let answer = &mut answer[..answer_bytes];
    let has_come =
        || peer.peek(&mut [0; OWNED_BYTES + MESSAGE.len()]).is_ok_and(|n| n >= answer_bytes);
    drive(event_loop, has_come).unwrap();
    peer.read_exact(answer).unwrap();
    assert!(answer.iter().all(|byte| *byte == MESSAGE[0]));
    // Closes by a reset, because otherwise thousands of ports would be in TIME_WAIT for a minute.
    rustix::net::sockopt::set_socket_linger(&peer, Some(Duration::ZERO)).unwrap();
}

/// Connects, has a message echoed, and becomes idle.
fn talk(event_loop: &EventLoop, server: &Server, address: SocketAddr, bytes: usize) -> TcpStream {
    let mut client = TcpStream::connect(address).unwrap();
    let before = server.connections();
    drive(event_loop, || server.connections() > before).unwrap();
    exchange(event_loop, &mut client, bytes);
    client
}

/// A server with `options` whose connections are served by `serve`, and `max` connections that have
/// received `answer_bytes`. Returns the bytes of each.
fn bytes_per_accepted(
    net: &Net,
    max: usize,
    options: ServerOptions,
    answer_bytes: usize,
    serve: impl Fn(&Socket) + 'static,
) -> usize {
    bytes_per_connection_of(net, max, answer_bytes, || options.create_server(serve))
}

/// The same for any server, which is made inside the loop.
fn bytes_per_connection_of(
    net: &Net,
    max: usize,
    answer_bytes: usize,
    make: impl FnOnce() -> Server,
) -> usize {
    let event_loop = net.event_loop();
    let server = event_loop.enter(|| {
        let server = make();
        server.listen(net.tcp()).unwrap();
        server
    });
    drive(&event_loop, || server.is_listening()).unwrap();
    let address = server.address().unwrap().ip().unwrap();
    let count = connections(max);
    let mut clients = Vec::with_capacity(count + 1);
    // Queues and buffers of the loop, which do not belong to a connection, exist after the first one.
    clients.push(talk(&event_loop, &server, address, answer_bytes));
    let before = bytes_in_use();
    clients.extend((0..count).map(|_| talk(&event_loop, &server, address, answer_bytes)));
    (bytes_in_use() - before) / count
}

/// The same for outgoing connections.
fn bytes_per_outgoing(net: &Net, max: usize) -> usize {
    let event_loop = net.event_loop();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let connect = || {
        let socket = event_loop.enter(|| fyke::connect(address)).unwrap();
        serve(&socket);
        drive(&event_loop, || !socket.is_connecting()).unwrap();
        let mut peer = listener.accept().unwrap().0;
        exchange(&event_loop, &mut peer, MESSAGE.len());
        peer
    };
    let count = connections(max);
    let mut peers = Vec::with_capacity(count + 1);
    peers.push(connect());
    let before = bytes_in_use();
    peers.extend((0..count).map(|_| connect()));
    (bytes_in_use() - before) / count
}

/// As in servers: an idle timeout and a data listener.
fn serve(socket: &Socket) {
    socket.set_idle_timeout(Some(Duration::from_secs(600)));
    socket.on_idle_timeout(|socket| _ = socket.destroy());
    socket.on_data(|socket, data| _ = socket.write(data));
}

/// The same with a task for each connection.
fn serve_with_tasks() -> Server {
    let server = Server::new();
    let mut incoming = server.incoming();
    drop(spawn_local(async move {
        while let Some(socket) = incoming.next().await {
            let socket = socket.unwrap();
            socket.set_idle_timeout(Some(Duration::from_secs(600)));
            socket.on_idle_timeout(|socket| _ = socket.destroy());
            drop(spawn_local(async move { _ = echo(&socket).await }).unwrap());
        }
    }));
    server
}

async fn echo(socket: &Socket) -> fyke::Result<()> {
    let (mut reader, mut writer) = socket.stream()?.split();
    loop {
        let bytes = reader.fill_buf().await?;
        let count = bytes.len();
        if count == 0 {
            return writer.end().await;
        }
        writer.write_all(bytes).await?;
        reader.consume(count);
    }
}

#[test]
fn c7_an_idle_connection_that_was_used_costs_at_most_400_bytes() {
    let _running = one_at_a_time();
    let options = ServerOptions::new();
    let bytes = bytes_per_accepted(&Net::ready(), CONNECTIONS_MAX, options, MESSAGE.len(), serve);
    println!("{bytes} bytes each");
    assert!(bytes <= BYTES_PER_CONNECTION_MAX, "{bytes} bytes each");
}

/// One configuration, and the maximum for a connection with readiness and with io_uring.
struct Row {
    name: &'static str,
    bytes_max: [usize; 2],
    measure: Box<dyn Fn(&Net) -> usize>,
}

fn row(
    name: &'static str,
    bytes_max: [usize; 2],
    measure: impl Fn(&Net) -> usize + 'static,
) -> Row {
    Row { name, bytes_max, measure: Box::new(measure) }
}

/// Options of the server only.
fn option(
    name: &'static str,
    bytes_max: [usize; 2],
    set: impl Fn(ServerOptions) -> ServerOptions + 'static,
) -> Row {
    row(name, bytes_max, move |net| {
        let options = set(ServerOptions::new());
        bytes_per_accepted(net, CONNECTIONS_PER_ROW_MAX, options, MESSAGE.len(), |socket| {
            serve(socket);
            socket.resume();
        })
    })
}

/// A call that is made on each connection when it is accepted.
fn done(
    name: &'static str,
    bytes_max: [usize; 2],
    answer_bytes: usize,
    serve: impl Fn(&Socket) + 'static,
) -> Row {
    let serve = Rc::new(serve);
    row(name, bytes_max, move |net| {
        let (serve, options) = (Rc::clone(&serve), ServerOptions::new());
        bytes_per_accepted(net, CONNECTIONS_PER_ROW_MAX, options, answer_bytes, move |socket| {
            serve(socket);
        })
    })
}

/// The maximum for an idle connection, with readiness and with io_uring, whatever was set or done
/// before.
const PLAIN: [usize; 2] = [351, 364];

/// Every option of a server, and common calls on a connection. The limits are today's values plus 1 %;
/// they may only be lowered.
fn rows() -> Vec<Row> {
    const MINUTE: Duration = Duration::from_secs(60);
    let message = MESSAGE.len();
    vec![
        option("nothing set", PLAIN, |options| options),
        option("allow_half_open", PLAIN, |options| options.allow_half_open(true)),
        option("pause_on_connect", PLAIN, |options| options.pause_on_connect(true)),
        option("no_delay", PLAIN, |options| options.no_delay(true)),
        option("keep_alive", PLAIN, |options| options.keep_alive(MINUTE)),
        option("send_buffer_size_bytes", PLAIN, |o| o.send_buffer_size_bytes(65536)),
        option("receive_buffer_size_bytes", PLAIN, |o| o.receive_buffer_size_bytes(65536)),
        option("high_water_mark", PLAIN, |options| options.high_water_mark(16384)),
        option("write_queue_bytes_max", PLAIN, |options| options.write_queue_bytes_max(1 << 20)),
        option("write_stall_timeout", PLAIN, |options| options.write_stall_timeout(MINUTE)),
        option("max_connections", PLAIN, |options| options.max_connections(1 << 20)),
        option("max_connections_per_ip", PLAIN, |o| o.max_connections_per_ip(1 << 20)),
        option("block_list", PLAIN, |options| options.block_list(&BlockList::new())),
        done("one owned write", PLAIN, OWNED_BYTES + message, |socket| {
            let _ = socket.write(vec![MESSAGE[0]; OWNED_BYTES]);
            serve(socket);
        }),
        done("timeout set and unset", PLAIN, message, |socket| {
            serve(socket);
            socket.set_idle_timeout(None);
        }),
        done("a callback on every write", PLAIN, message, |socket| {
            socket.set_idle_timeout(Some(Duration::from_secs(600)));
            socket.on_idle_timeout(|socket| _ = socket.destroy());
            socket.on_data(|socket, data| _ = socket.write_then(data, |_, _| {}));
        }),
        done("pipe", [378, 391], message, |socket| {
            socket.set_idle_timeout(Some(MINUTE));
            socket.on_idle_timeout(|socket| _ = socket.destroy());
            socket.pipe(socket);
        }),
        row("a task that waits", [588, 600], |net| {
            let answer_bytes = MESSAGE.len();
            bytes_per_connection_of(net, CONNECTIONS_PER_ROW_MAX, answer_bytes, serve_with_tasks)
        }),
        row("outgoing", [381, 394], |net| bytes_per_outgoing(net, CONNECTIONS_PER_ROW_MAX)),
    ]
}

#[test]
fn c7_idle_connection_costs_no_more_than_its_limit_in_each_configuration() {
    let _running = one_at_a_time();
    let mut exceeded = Vec::new();
    for (driver, net) in [Some(Net::ready()), Net::uring()].iter().enumerate() {
        let Some(net) = net else { continue };
        for row in rows() {
            let (bytes, max) = ((row.measure)(net), row.bytes_max[driver]);
            let line = format!(
                "{}, {}: {bytes} bytes each, at most {max}",
                ["readiness", "io_uring"][driver],
                row.name,
            );
            println!("{line}");
            if bytes > max {
                exceeded.push(line);
            }
        }
    }
    assert!(exceeded.is_empty(), "{}", exceeded.join("\n"));
}
