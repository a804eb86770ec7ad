//! What an idle connection costs. One test, because memory is counted for the whole process. On the
//! real driver only: the simulated network keeps both ends of a connection, and its wires.

mod support;

use std::alloc::System;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use fyke::{Server, Socket};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use support::{Net, drive};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How many connections there are, unless the system allows fewer.
const CONNECTIONS_MAX: usize = 10_000;

/// What each may cost, the tables that grow by doubling included.
const BYTES_PER_CONNECTION_MAX: usize = 400;

const MESSAGE: [u8; 64] = [7; 64];

fn bytes_in_use() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Raises the limit of descriptors as far as it may be. Each connection takes two here.
fn connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let descriptors = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let pairs = descriptors.map_or(usize::MAX, |count| (count as usize).saturating_sub(50) / 2);
    pairs.min(CONNECTIONS_MAX)
}

/// Connects, has a message echoed, and falls silent.
fn talk(event_loop: &fyke::EventLoop, server: &Server, address: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(&MESSAGE).unwrap();
    client.set_nonblocking(true).unwrap();
    let mut echo = [0; MESSAGE.len()];
    let before = server.connections();
    drive(event_loop, || server.connections() > before).unwrap();
    let echoed = || client.peek(&mut [0; MESSAGE.len()]).is_ok_and(|count| count == MESSAGE.len());
    drive(event_loop, echoed).unwrap();
    client.read_exact(&mut echo).unwrap();
    assert_eq!(echo, MESSAGE);
    // Leaves by a reset: thousands of ports would be taken for a minute otherwise.
    rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    client
}

#[test]
fn c7_an_idle_connection_that_was_talked_on_costs_at_most_400_bytes() {
    let net = Net::ready();
    let event_loop = net.event_loop();
    let server = event_loop.enter(|| {
        let server = fyke::create_server(|socket: &Socket| {
            socket.set_timeout(Some(Duration::from_secs(600)));
            socket.on_timeout(|socket| _ = socket.destroy());
            socket.on_data(|socket, data| _ = socket.write(data));
        });
        server.listen(net.tcp(), |_| {}).unwrap();
        server
    });
    drive(&event_loop, || server.listening()).unwrap();
    let address = server.address().unwrap().ip().unwrap();
    let count = connections();
    let mut clients = Vec::with_capacity(count + 1);
    // Queues and buffers of the loop, which are no connection's, are there after the first.
    clients.push(talk(&event_loop, &server, address));
    let before = bytes_in_use();
    clients.extend((0..count).map(|_| talk(&event_loop, &server, address)));
    let bytes = (bytes_in_use() - before) / count;
    println!("{bytes} bytes each for {count} connections");
    assert!(bytes <= BYTES_PER_CONNECTION_MAX, "{bytes} bytes each for {count} connections");
}
