//! The number of allocations in every common configuration. They are counted for the whole process, so
//! there is a single test. On the real drivers only, because the simulated network allocates itself.

mod support;

use std::alloc::System;
use std::cell::Cell;
use std::io::{IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use fyke::{BlockList, EventLoop, Server, ServerOptions, Socket, spawn_local, task, timer};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use support::{Net, drive};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CONNECTIONS: usize = 400;
const MINUTE: Duration = Duration::from_secs(60);
const OWNED_BYTES: usize = 8192;

/// Counts the bytes that the sockets of the loop received.
type Received = Rc<Cell<usize>>;

/// Configures the socket, and counts the bytes that it receives.
type Serve = Rc<dyn Fn(&Socket, &Received)>;

/// Growing counts too: a table that doubles counts each time.
fn allocations() -> usize {
    let stats = ALLOCATOR.stats();
    stats.allocations + stats.reallocations
}

/// The client does not use this library, so only the allocations of the server are counted.
fn exchange(event_loop: &EventLoop, client: &mut TcpStream, received: &Cell<usize>, bytes: &[u8]) {
    received.set(0);
    client.write_all(bytes).unwrap();
    drive(event_loop, || received.get() == bytes.len()).unwrap();
    let mut echo = [0; 1024];
    client.read_exact(&mut echo[..bytes.len()]).unwrap();
    assert_eq!(echo[..bytes.len()], *bytes);
}

/// Returns the allocations for COUNT messages, after the buffers that are kept for reuse have reached
/// their size.
fn by_messages(event_loop: &EventLoop, peer: &mut TcpStream, received: &Cell<usize>) -> usize {
    let mut round = || {
        for len in [1, 64, 1024] {
            exchange(event_loop, peer, received, &[7; 1024][..len]);
        }
    };
    (0..20).for_each(|_| round());
    let before = allocations();
    (0..MESSAGES / 3).for_each(|_| round());
    allocations() - before
}

const MESSAGES: usize = 3_000;

/// Allocations of the tables and queues of the loop, because they grow.
const FOR_TABLES_MAX: usize = 100;

/// Allocations allowed for the messages of a row: far less than one per message. A message that the
/// kernel does not accept immediately starts the timer of a deadline, if the configuration has one.
const FOR_MESSAGES_MAX: usize = MESSAGES / 10;

/// Returns the allocations for all accepted connections, and for the messages of one of them.
fn of_accepted(
    net: &Net,
    options: ServerOptions,
    greeting_bytes: usize,
    serve: Serve,
) -> [usize; 2] {
    of_server(net, greeting_bytes, |count| {
        options.create_server(move |socket| serve(socket, &count))
    })
}

/// The same for any server, which is made inside the loop and counts the bytes that it receives.
fn of_server(
    net: &Net,
    greeting_bytes: usize,
    make: impl FnOnce(Received) -> Server,
) -> [usize; 2] {
    let event_loop = net.event_loop();
    let received = Received::default();
    let server = event_loop.enter(|| {
        let server = make(Rc::clone(&received));
        server.listen(net.tcp()).unwrap();
        server
    });
    drive(&event_loop, || server.is_listening()).unwrap();
    let address = server.address().unwrap().ip().unwrap();
    let mut clients = Vec::with_capacity(CONNECTIONS);
    let before = allocations();
    for connected in 1..=CONNECTIONS {
        clients.push(TcpStream::connect(address).unwrap());
        drive(&event_loop, || server.connections() == connected).unwrap();
    }
    let accepting = allocations() - before;
    let client = &mut clients[0];
    client.read_exact(&mut [0; OWNED_BYTES][..greeting_bytes]).unwrap();
    [accepting, by_messages(&event_loop, client, &received)]
}

/// Returns the allocations for outgoing connections.
fn of_outgoing(net: &Net) -> [usize; 2] {
    let event_loop = net.event_loop();
    let received = Received::default();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let mut peers = Vec::with_capacity(CONNECTIONS);
    let before = allocations();
    for _ in 0..CONNECTIONS {
        let socket = event_loop.enter(|| fyke::connect(address)).unwrap();
        echo(&socket, &received);
        drive(&event_loop, || !socket.is_connecting()).unwrap();
        peers.push(listener.accept().unwrap().0);
    }
    let connecting = allocations() - before;
    [connecting, by_messages(&event_loop, &mut peers[0], &received)]
}

/// As in servers: an idle timeout and a data listener. The captured values are one allocation.
fn echo(socket: &Socket, received: &Received) {
    socket.set_idle_timeout(Some(Duration::from_secs(600)));
    let count = Rc::clone(received);
    socket.on_data(move |socket, data| {
        let (first, second) = data.split_at(data.len() / 2);
        let _ = socket.write(first);
        let _ = socket.write(second);
        count.set(count.get() + data.len());
    });
}

/// A task for each connection. It reads into memory of its own, lent memory, and sleeps now and then.
fn serve_with_tasks(received: Received) -> Server {
    // Without it, the second of two small writes waits for the acknowledgement of the first (Nagle).
    let server = ServerOptions::new().no_delay(true).create();
    let mut incoming = server.incoming();
    drop(spawn_local(async move {
        while let Some(socket) = incoming.next().await {
            let (socket, received) = (socket.unwrap(), Rc::clone(&received));
            drop(spawn_local(async move { _ = echo_with_task(&socket, &received).await }).unwrap());
        }
    }));
    server
}

async fn echo_with_task(socket: &Socket, received: &Received) -> fyke::Result<()> {
    socket.set_idle_timeout(Some(Duration::from_secs(600)));
    let (mut reader, mut writer) = socket.stream()?.split();
    let mut buffer = [0; 64];
    let mut lent = false;
    loop {
        let count = if lent {
            let bytes = reader.fill_buf().await?;
            let count = bytes.len();
            writer.write_all(bytes).await?;
            reader.consume(count);
            count
        } else {
            let count = reader.read(&mut buffer).await?;
            let (first, second) = buffer[..count].split_at(count / 2);
            writer.write_vectored(&[IoSlice::new(first), IoSlice::new(second)]).await?;
            count
        };
        if count == 0 {
            return writer.end().await;
        }
        received.set(received.get() + count);
        lent = !lent;
        timer::timeout(MINUTE, task::yield_now()).await?;
    }
}

fn a_task_per_connection_allocates_nothing_for_reads_writes_wakes_and_timers() {
    for net in Net::of_the_system() {
        let [accepting, messages] = of_server(&net, 0, serve_with_tasks);
        let driver = net.event_loop().driver_name();
        println!("{driver}: {accepting} allocations for {CONNECTIONS} connections");
        // The socket, its listeners, its wakers, the halves, and the task: one each.
        assert!(
            accepting <= 6 * CONNECTIONS + FOR_TABLES_MAX,
            "{driver}: {accepting} for {CONNECTIONS}"
        );
        assert_eq!(messages, 0, "{driver}, in {MESSAGES} messages");
    }
}

fn a_task_is_one_allocation() {
    let event_loop = EventLoop::new().unwrap();
    let spawn = || {
        for _ in 0..100 {
            drop(event_loop.enter(|| spawn_local(async { task::yield_now().await })).unwrap());
        }
        event_loop.run().unwrap();
    };
    spawn();
    let before = allocations();
    spawn();
    assert_eq!(allocations() - before, 100);
}

fn a_connection_is_accepted_with_three_allocations_and_messages_are_echoed_with_none() {
    let [accepting, messages] = of_accepted(&Net::ready(), ServerOptions::new(), 0, Rc::new(echo));
    assert!(accepting <= 3 * CONNECTIONS, "{accepting} allocations for {CONNECTIONS} connections");
    assert_eq!(messages, 0, "in {MESSAGES} messages");
}

/// A configuration, the maximum of allocations for one connection, and how it is measured.
type Row = (&'static str, usize, Box<dyn Fn(&Net) -> [usize; 2]>);

fn option(
    name: &'static str,
    max: usize,
    set: impl Fn(ServerOptions) -> ServerOptions + 'static,
) -> Row {
    let measure = move |net: &Net| {
        let serve = |socket: &Socket, received: &Received| {
            echo(socket, received);
            socket.resume();
        };
        of_accepted(net, set(ServerOptions::new()), 0, Rc::new(serve))
    };
    (name, max, Box::new(measure))
}

fn done(
    name: &'static str,
    max: usize,
    greeting_bytes: usize,
    serve: impl Fn(&Socket, &Received) + 'static,
) -> Row {
    let serve: Serve = Rc::new(serve);
    let measure =
        move |net: &Net| of_accepted(net, ServerOptions::new(), greeting_bytes, Rc::clone(&serve));
    (name, max, Box::new(measure))
}

/// Every option of a server, and common calls on a connection. The limits are today's values; they may
/// only be lowered.
fn rows() -> Vec<Row> {
    vec![
        option("nothing set", 2, |options| options),
        option("allow_half_open", 2, |options| options.allow_half_open(true)),
        option("pause_on_connect", 2, |options| options.pause_on_connect(true)),
        option("no_delay", 2, |options| options.no_delay(true)),
        option("keep_alive", 3, |options| options.keep_alive(MINUTE)),
        option("send_buffer_size_bytes", 3, |o| o.send_buffer_size_bytes(65536)),
        option("receive_buffer_size_bytes", 3, |o| o.receive_buffer_size_bytes(65536)),
        option("high_water_mark", 2, |options| options.high_water_mark(16384)),
        option("write_queue_bytes_max", 2, |options| options.write_queue_bytes_max(1 << 20)),
        option("write_stall_timeout", 3, |options| options.write_stall_timeout(MINUTE)),
        option("max_connections", 2, |options| options.max_connections(1 << 20)),
        option("max_connections_per_ip", 2, |o| o.max_connections_per_ip(1 << 20)),
        option("block_list", 2, |options| options.block_list(&BlockList::new())),
        done("one owned write", 6, OWNED_BYTES, |socket, received| {
            let _ = socket.write(vec![7; OWNED_BYTES]);
            echo(socket, received);
        }),
        done("timeout set and unset", 2, 0, |socket, received| {
            echo(socket, received);
            socket.set_idle_timeout(None);
        }),
        done("a callback on every write", 2, 0, |socket, received| {
            socket.set_idle_timeout(Some(MINUTE));
            let count = Rc::clone(received);
            socket.on_data(move |socket, data| {
                _ = socket.write_then(data, |_, _| {});
                count.set(count.get() + data.len());
            });
        }),
        done("pipe", 4, 0, |socket, received| {
            socket.set_idle_timeout(Some(MINUTE));
            socket.pipe(socket);
            let count = Rc::clone(received);
            socket.on_data(move |_, data| count.set(count.get() + data.len()));
        }),
        // One allocation is the state of the connect, which is freed when the connection is
        // established.
        ("outgoing", 10, Box::new(of_outgoing)),
    ]
}

#[test]
fn c7_connection_takes_no_more_allocations_than_its_limit_in_each_configuration() {
    a_connection_is_accepted_with_three_allocations_and_messages_are_echoed_with_none();
    a_task_per_connection_allocates_nothing_for_reads_writes_wakes_and_timers();
    a_task_is_one_allocation();
    let mut exceeded = Vec::new();
    for net in Net::of_the_system() {
        let driver = net.event_loop().driver_name();
        for (name, max, measure) in rows() {
            let [connecting, messages] = measure(&net);
            let line = format!(
                "{driver}, {name}: {connecting} allocations for {CONNECTIONS} connections, at most \
                 {max} each and {FOR_TABLES_MAX}; {messages} for {MESSAGES} messages",
            );
            println!("{line}");
            if connecting > max * CONNECTIONS + FOR_TABLES_MAX || messages > FOR_MESSAGES_MAX {
                exceeded.push(line);
            }
        }
    }
    assert!(exceeded.is_empty(), "{}", exceeded.join("\n"));
}
