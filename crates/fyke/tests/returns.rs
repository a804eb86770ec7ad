//! Resources that peers used are released: memory to the byte, and all descriptors. A single test,
//! because both are counted for the whole process.

mod support;

use std::alloc::System;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use fyke::{Endpoint, EventLoop, Server};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use support::{Net, drive};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn bytes_in_use() -> isize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as isize - stats.bytes_deallocated as isize
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

const CLIENTS_AT_ONCE: usize = 250;

/// Connects `count` clients, `CLIENTS_AT_ONCE` at a time. Each misbehaves and leaves.
fn storm(event_loop: &EventLoop, endpoint: &Endpoint, count: usize) {
    let gone = Rc::new(Cell::new(0));
    for wave in 0..count / CLIENTS_AT_ONCE {
        for index in 0..CLIENTS_AT_ONCE {
            let gone = Rc::clone(&gone);
            event_loop.enter(|| {
                let client = fyke::connect_then(endpoint, move |client| match index % 5 {
                    // Resets during a write.
                    0 => {
                        let _ = client.write(vec![1; 100_000]);
                        client.reset_and_destroy().unwrap();
                    }
                    // Leaves with everything unread.
                    1 => {
                        let _ = client.write(vec![1; 100_000]);
                        client.destroy();
                    }
                    // Leaves without sending anything.
                    2 => {
                        client.destroy();
                    }
                    // Half-closes immediately.
                    3 => {
                        client.end();
                    }
                    // Sends data, and ends.
                    _ => {
                        client.end_with("hello");
                    }
                })
                .unwrap();
                client.on_error(|_, _| {});
                client.resume();
                client.on_close(move |_, _| gone.set(gone.get() + 1));
            });
        }
        let wanted = (wave + 1) * CLIENTS_AT_ONCE;
        drive(event_loop, || gone.get() == wanted).unwrap();
    }
}

/// Bytes that may remain for any number of clients: a queue may have doubled.
const QUEUES_BYTES: isize = 8_000;

/// With idle timeouts, the memory of about as many sockets as were open at once remains until others
/// connect.
const LISTED_BYTES: isize = 2 * 400 * CLIENTS_AT_ONCE as isize;

fn memory_and_descriptors_come_back(net: &Net, idle_timeout: Option<Duration>) {
    let event_loop = net.event_loop();
    let server = event_loop.enter(|| {
        let server = fyke::create_server(move |socket| {
            socket.set_idle_timeout(idle_timeout);
            socket.on_error(|_, _| {});
            socket.pipe(socket);
        });
        server.listen(net.tcp()).unwrap();
        server
    });
    drive(&event_loop, || server.is_listening()).unwrap();
    let endpoint = server.endpoint().unwrap();
    let settle = |server: &Server| {
        drive(&event_loop, || server.connections() == 0).unwrap();
    };
    // Whatever is kept for reuse (tables, queues, buffers) reaches its size in the first round.
    storm(&event_loop, &endpoint, 2_000);
    settle(&server);
    let (bytes, open) = (bytes_in_use(), descriptors());
    storm(&event_loop, &endpoint, 10_000);
    settle(&server);
    assert_eq!(server.connections(), 0);
    assert_eq!(descriptors(), open, "descriptors are lost");
    let grown = bytes_in_use() - bytes;
    // Independent of the number of clients. A leak of one byte each would be 10,000.
    let may_stay = if idle_timeout.is_some() { LISTED_BYTES } else { QUEUES_BYTES };
    assert!(grown < may_stay, "{grown} bytes more after 10,000 clients");
    server.close();
    drive(&event_loop, || false).unwrap();
}

#[test]
fn after_ten_thousand_abrupt_clients_memory_and_descriptors_are_released() {
    for net in Net::of_the_system().chain([Net::sim()]) {
        // An idle timeout does not keep closed sockets until it is due.
        for idle_timeout in [None, Some(Duration::from_secs(3_600))] {
            let (bytes, open) = (bytes_in_use(), descriptors());
            memory_and_descriptors_come_back(&net, idle_timeout);
            assert_eq!(descriptors(), open, "the loop leaked descriptors");
            let left = bytes_in_use() - bytes;
            assert!(left < 4_000, "the loop leaked {left} bytes");
        }
    }
}
