//! Small writes of another program are forwarded in the same pieces: every connection of a command
//! sends small writes immediately (TCP_NODELAY).

#![cfg(target_os = "linux")]

mod support;

use std::io::Write;
use std::net::TcpStream;

use support::sockets::{connections_of, listener, until};
use support::{Folder, Running, line};

/// Waits until the process has this many connections and has set the option on each.
fn assert_sends_at_once(process: u32, count: usize) {
    until("small writes are sent immediately", || {
        let connections = connections_of(process);
        connections.len() == count && connections.iter().all(|one| one.nodelay().unwrap_or(false))
    });
}

#[test]
fn relay_sends_small_writes_immediately_on_both_sides() {
    let (listener, target) = listener();
    let (relay, endpoint) = Running::relay(&target, &["--proxy-out", "v1"]);
    let mut client = TcpStream::connect(&endpoint).unwrap();
    client.write_all(b"there").unwrap();
    let (mut server, _) = listener.accept().unwrap();
    assert_eq!(line(&mut server, 6), "PROXY ");
    assert_sends_at_once(relay.id(), 2);
}

#[test]
fn connect_sends_small_writes_immediately() {
    let (listener, target) = listener();
    let client = Running::connect(&target);
    let _server = listener.accept().unwrap();
    assert_sends_at_once(client.id(), 1);
}

#[test]
fn listen_sends_small_writes_immediately_in_every_mode() {
    for more in [&[][..], &["--echo"], &["--exec", "cat"]] {
        let (server, endpoint) = Running::listen(more);
        let _client = TcpStream::connect(&endpoint).unwrap();
        server.note("client 1 connected");
        assert_sends_at_once(server.id(), 1);
    }
}

#[test]
fn replay_sends_small_writes_immediately_on_either_side() {
    let folder = Folder::new();
    let file = folder.path("recording");
    let (_server, target) = Running::listen(&["--echo"]);
    let (mut relay, endpoint) = Running::relay(&target, &["--record", &file]);
    let mut client = TcpStream::connect(&endpoint).unwrap();
    client.write_all(b"hello").unwrap();
    assert_eq!(line(&mut client, 5), "hello");
    drop(client);
    relay.note("client 1 disconnected");
    relay.signal("TERM");
    relay.wait();

    let (listener, silent) = listener();
    let player = Running::start(&["replay", &file, &silent]);
    let _server = listener.accept().unwrap();
    assert_sends_at_once(player.id(), 1);
    let player = Running::start(&["replay", "-v", "--as", "server", &file, "127.0.0.1:0"]);
    let endpoint = player.note("listening on").rsplit(' ').next().unwrap().to_owned();
    let _client = TcpStream::connect(&endpoint).unwrap();
    assert_sends_at_once(player.id(), 1);
}
