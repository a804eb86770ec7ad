//! The memory of `fyke relay` for many slow readers, and when it is released.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod support;

use std::io::Write;
use std::net::TcpStream;

use support::Running;
use support::sockets::{connections_of, listener, resident_kilobytes, until};

const CLIENTS: usize = 300;

#[test]
fn memory_used_for_many_slow_readers_is_returned_to_the_system() {
    let (listener, target) = listener();
    let (relay, endpoint) = Running::relay(&target, &[]);
    let before = resident_kilobytes(relay.id());
    let mut clients = Vec::new();
    let mut servers = Vec::new();
    for _ in 0..CLIENTS {
        let client = TcpStream::connect(&endpoint).unwrap();
        rustix::net::sockopt::set_socket_recv_buffer_size(&client, 4096).unwrap();
        let (server, _) = listener.accept().unwrap();
        server.set_nonblocking(true).unwrap();
        clients.push(client);
        servers.push(server);
    }
    until("the wave has filled the queues", || {
        for server in &mut servers {
            let _ = server.write(&[0; 65536]);
        }
        resident_kilobytes(relay.id()) > before + 20_000
    });
    drop((clients, servers));
    until("all connections are closed", || connections_of(relay.id()).is_empty());
    until("the memory is returned", || resident_kilobytes(relay.id()) < before + 10_000);
}
