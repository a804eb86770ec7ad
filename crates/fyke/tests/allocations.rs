//! How often the allocator is asked. One test, because that is counted for the whole process. On
//! the real driver only: the simulated network is made of memory.

mod support;

use std::alloc::System;
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use fyke::EventLoop;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use support::{Net, drive};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Also what only grows: a table that doubles counts as often as it does.
fn allocations() -> usize {
    let stats = ALLOCATOR.stats();
    stats.allocations + stats.reallocations
}

/// The client is not of this library, so that what is counted is the server's.
fn exchange(event_loop: &EventLoop, client: &mut TcpStream, received: &Cell<usize>, bytes: &[u8]) {
    received.set(0);
    client.write_all(bytes).unwrap();
    drive(event_loop, || received.get() == bytes.len()).unwrap();
    let mut echo = [0; 1024];
    client.read_exact(&mut echo[..bytes.len()]).unwrap();
    assert_eq!(echo[..bytes.len()], *bytes);
}

#[test]
fn c7_a_connection_is_accepted_with_three_allocations_and_messages_are_echoed_with_none() {
    let net = Net::ready();
    let event_loop = net.event_loop();
    let received = Rc::new(Cell::new(0));
    let count = Rc::clone(&received);
    let server = event_loop.enter(|| {
        let server = fyke::create_server(move |socket| {
            let count = Rc::clone(&count);
            socket.set_timeout(Some(Duration::from_secs(600)));
            // What it captures is one of the three.
            socket.on_data(move |socket, data| {
                let (first, second) = data.split_at(data.len() / 2);
                socket.write(first);
                socket.write(second);
                count.set(count.get() + data.len());
            });
        });
        server.listen(net.tcp(), |_| {}).unwrap();
        server
    });
    drive(&event_loop, || server.listening()).unwrap();
    let address = server.address().unwrap().ip().unwrap();

    const CONNECTIONS: usize = 400;
    let mut clients = Vec::with_capacity(CONNECTIONS);
    let before = allocations();
    for connected in 1..=CONNECTIONS {
        clients.push(TcpStream::connect(address).unwrap());
        drive(&event_loop, || server.connections() == connected).unwrap();
    }
    let accepting = allocations() - before;
    assert!(accepting <= 3 * CONNECTIONS, "{accepting} allocations for {CONNECTIONS} connections");

    let client = &mut clients[0];
    let mut round = || {
        for len in [1, 64, 1024] {
            exchange(&event_loop, client, &received, &[7; 1024][..len]);
        }
    };
    // Buffers that are kept for reuse come to their size.
    (0..20).for_each(|_| round());
    let before = allocations();
    (0..1_000).for_each(|_| round());
    assert_eq!(allocations() - before, 0, "in 3,000 messages");
}
