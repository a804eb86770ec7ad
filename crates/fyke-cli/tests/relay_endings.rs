//! How the two connections of a relayed client end: neither outlives the session, and a truncated
//! stream never ends normally.

#![cfg(target_os = "linux")]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use support::sockets::{
    connections_of, listener, read_all, reset_on_drop, until, until_acknowledged,
    write_until_it_fails,
};
use support::{Running, noise};

#[test]
fn idle_timeout_closes_the_target_of_a_half_closed_client_too() {
    let (listener, target) = listener();
    let more = ["--idle-timeout", "100ms", "--drain", "50ms", "--max-connections", "1"];
    let (mut relay, endpoint) = Running::relay(&target, &more);
    let mut client = TcpStream::connect(&endpoint).unwrap();
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let mut question = String::new();
    server.read_to_string(&mut question).unwrap();
    relay.note("client 1 was idle longer than --idle-timeout");
    let error = write_until_it_fails(&mut server);
    assert!(matches!(error, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
    until("no connection is open", || connections_of(relay.id()).is_empty());
    relay.signal("TERM");
    assert_eq!(relay.wait().code(), Some(0));
}

#[test]
fn idle_timeout_resets_a_target_whose_upload_is_unfinished() {
    let (listener, target) = listener();
    let (_relay, endpoint) = Running::relay(&target, &["--idle-timeout", "100ms"]);
    let mut client = TcpStream::connect(&endpoint).unwrap();
    client.write_all(b"half of it").unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let expected = (b"half of it".to_vec(), Some(ErrorKind::ConnectionReset));
    assert_eq!(read_all(&mut server), expected);
}

#[test]
fn idle_timeout_resets_a_client_that_does_not_read_its_answer() {
    let (listener, target) = listener();
    let (relay, endpoint) = Running::relay(&target, &["--idle-timeout", "300ms"]);
    let mut client = TcpStream::connect(&endpoint).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let error = write_until_it_fails(&mut server);
    assert!(matches!(error, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
    relay.note("client 1 was idle longer than --idle-timeout");
    assert_eq!(read_all(&mut client).1, Some(ErrorKind::ConnectionReset));
}

#[test]
fn session_whose_client_has_left_still_counts_and_is_cut_off_after_the_drain() {
    let (listener, target) = listener();
    let more = ["--delay", "1h", "--direction", "up", "--max-connections", "1", "--drain", "50ms"];
    let (mut relay, endpoint) = Running::relay(&target, &more);
    let mut client = TcpStream::connect(&endpoint).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    server.shutdown(Shutdown::Write).unwrap();
    client.write_all(b"on its way").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut client), (Vec::new(), None));
    relay.note("client 1 disconnected");
    let mut second = TcpStream::connect(&endpoint).unwrap();
    relay.note("was refused: too many connections");
    assert_ne!(second.read(&mut [0]).unwrap_or(0), 1);
    relay.signal("TERM");
    assert_eq!(relay.wait().code(), Some(4));
    assert_eq!(read_all(&mut server), (Vec::new(), Some(ErrorKind::ConnectionReset)));
}

#[test]
fn pending_connections_to_targets_end_with_their_client() {
    // Nothing answers there, so the target keeps connecting.
    let more = ["--connect-timeout", "1h", "--drain", "50ms"];
    let (mut relay, endpoint) = Running::relay("192.0.2.1:9", &more);
    let client = TcpStream::connect(&endpoint).unwrap();
    relay.note("client 1 connected");
    drop(client);
    relay.signal("TERM");
    // An unreachable network fails immediately, and the client is closed then.
    assert!(matches!(relay.wait().code(), Some(0 | 4)));
}

/// What the client receives of an answer that is followed by a reset, with these faults.
fn answer_before_a_reset(bytes: &[u8], faults: &[&str]) -> (Vec<u8>, Option<ErrorKind>) {
    let (listener, target) = listener();
    let (_relay, endpoint) = Running::relay(&target, faults);
    let mut client = TcpStream::connect(&endpoint).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    server.write_all(bytes).unwrap();
    until_acknowledged(&server);
    reset_on_drop(&server);
    drop(server);
    read_all(&mut client)
}

#[test]
fn answer_before_a_reset_arrives_complete_with_and_without_faults() {
    let bytes = noise(200_000);
    for faults in [
        &[][..],
        &["--delay", "200ms"],
        &["--delay", "50ms", "--jitter", "100ms"],
        &["--throttle", "400k"],
        &["--slice", "100..1000"],
        &["--delay", "200ms", "--direction", "up"],
    ] {
        let (received, ended) = answer_before_a_reset(&bytes, faults);
        assert_eq!(
            (received.len(), ended),
            (200_000, Some(ErrorKind::ConnectionReset)),
            "{faults:?}"
        );
        assert!(received == bytes, "the bytes differ with {faults:?}");
    }
}

#[test]
fn request_before_a_reset_arrives_complete_with_and_without_faults() {
    for faults in [&[][..], &["--delay", "200ms"], &["--throttle", "10k"]] {
        let (listener, target) = listener();
        let (_relay, endpoint) = Running::relay(&target, faults);
        let mut client = TcpStream::connect(&endpoint).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(&[7; 3000]).unwrap();
        until_acknowledged(&client);
        reset_on_drop(&client);
        drop(client);
        let expected = (vec![7; 3000], Some(ErrorKind::ConnectionReset));
        assert_eq!(read_all(&mut server), expected, "{faults:?}");
    }
}

#[test]
fn large_answer_to_a_small_window_arrives_complete_before_the_reset() {
    let bytes = noise(150_000);
    let (listener, target) = listener();
    let (_relay, endpoint) = Running::relay(&target, &[]);
    let mut client = TcpStream::connect(&endpoint).unwrap();
    rustix::net::sockopt::set_socket_recv_buffer_size(&client, 4096).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    server.write_all(&bytes).unwrap();
    until_acknowledged(&server);
    reset_on_drop(&server);
    drop(server);
    let (received, ended) = read_all(&mut client);
    assert_eq!((received.len(), ended), (bytes.len(), Some(ErrorKind::ConnectionReset)));
    assert!(received == bytes, "the bytes differ");
}

#[test]
fn target_that_does_not_read_is_abandoned_after_its_client_was_reset() {
    let (listener, target) = listener();
    rustix::net::sockopt::set_socket_recv_buffer_size(&listener, 2048).unwrap();
    let (relay, endpoint) = Running::relay(&target, &[]);
    let mut client = TcpStream::connect(&endpoint).unwrap();
    let (_server, _) = listener.accept().unwrap();
    client.write_all(&[0; 50_000]).unwrap();
    until_acknowledged(&client);
    reset_on_drop(&client);
    drop(client);
    until("no connection is open", || connections_of(relay.id()).is_empty());
}
