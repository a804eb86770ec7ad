//! `fyke connect`: the table of its help, and how it connects.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use support::{Folder, Running, line, noise, output};

/// A listener, and `fyke connect` with these arguments that has connected to it.
fn connected(more: &[&str]) -> (Running, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = listener.local_addr().expect("an address").to_string();
    let mut arguments = vec!["connect", &endpoint];
    arguments.extend(more);
    let client = Running::start(&arguments);
    let (peer, _) = listener.accept().expect("a client");
    (client, peer)
}

/// Closes with unread bytes, or sets the option: the other side gets RST.
fn break_off(peer: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&peer, Some(std::time::Duration::ZERO)).expect("set");
    drop(peer);
}

#[test]
fn when_standard_input_ends_all_of_it_is_sent_and_the_answer_is_printed() {
    let (mut client, mut peer) = connected(&[]);
    client.type_in("question");
    client.end_of_input();
    let mut question = String::new();
    peer.read_to_string(&mut question).unwrap();
    assert_eq!(question, "question");
    peer.write_all(b"answer").unwrap();
    client.expect("answer");
    assert!(client.is_running());
    drop(peer);
    assert_eq!(client.wait().code(), Some(0));
}

#[test]
fn when_the_peer_ends_all_data_is_printed_and_the_input_read_so_far_is_sent() {
    let (mut client, mut peer) = connected(&[]);
    client.type_in("read before");
    assert_eq!(line(&mut peer, 11), "read before");
    peer.write_all(b"last words").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    // Standard input is still open.
    assert_eq!(client.wait().code(), Some(0));
    assert_eq!(client.read_to_the_end(), b"last words");
    assert_eq!(peer.read(&mut [0]).unwrap(), 0, "ended, not broken off");
}

#[test]
fn when_standard_output_is_closed_connect_exits() {
    let (mut client, mut peer) = connected(&[]);
    client.close_output();
    // One write would not be enough: a process of another test may hold the pipe for a moment.
    while peer.write_all(b"this text is not read").is_ok() {}
    assert_eq!(client.wait().code(), Some(0));
    assert_eq!(client.notes_to_the_end(), [""; 0]);
}

#[test]
fn when_the_peer_resets_the_connection_connect_prints_what_was_received_and_fails() {
    let (mut client, mut peer) = connected(&[]);
    peer.write_all(b"so far").unwrap();
    client.expect("so far");
    break_off(peer);
    assert_eq!(client.wait().code(), Some(5));
    client.note("ECONNRESET: the peer has reset the connection");
}

#[test]
fn on_eof_keep_leaves_our_side_open_and_exit_does_not_wait() {
    let (mut client, mut peer) = connected(&["--on-eof", "keep"]);
    client.type_in("question");
    client.end_of_input();
    assert_eq!(line(&mut peer, 8), "question");
    peer.write_all(b"answer").unwrap();
    client.expect("answer");
    peer.set_nonblocking(true).unwrap();
    let error = peer.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "no end was sent");
    drop(peer);
    assert_eq!(client.wait().code(), Some(0));

    let (mut client, mut peer) = connected(&["--on-eof", "exit"]);
    client.type_in("all of it");
    client.end_of_input();
    assert_eq!(client.wait().code(), Some(0));
    let mut text = String::new();
    peer.read_to_string(&mut text).unwrap();
    assert_eq!(text, "all of it");
}

/// `fyke connect` sends these bytes to a peer with a small receive buffer, which keeps sending if
/// `talks`. Returns what the peer has received in the end, and the exit status.
fn slow_peer(more: &[&str], talks: bool, bytes: &[u8]) -> (Vec<u8>, Option<i32>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    rustix::net::sockopt::set_socket_recv_buffer_size(&listener, 4096).expect("set");
    let endpoint = listener.local_addr().expect("an address").to_string();
    let mut client = Running::start(&[&["connect", &endpoint], more].concat());
    client.feed(bytes);
    let (mut peer, _) = listener.accept().expect("a client");
    let mut talker = peer.try_clone().expect("a copy");
    let talking = talks
        .then(|| std::thread::spawn(move || while talker.write_all(b"more and more").is_ok() {}));
    let mut received = Vec::new();
    // Data after a reset is lost; earlier data is read.
    let _ = peer.read_to_end(&mut received);
    let _ = peer.shutdown(Shutdown::Both);
    talking.into_iter().for_each(|thread| thread.join().expect("it ends"));
    (received, client.wait().code())
}

#[test]
fn on_eof_exit_delivers_everything_even_to_a_peer_that_keeps_sending() {
    let bytes = noise(3_000_000);
    for talks in [false, true] {
        let (received, code) = slow_peer(&["--on-eof", "exit"], talks, &bytes);
        assert!(received == bytes, "{} of {} bytes, talks: {talks}", received.len(), bytes.len());
        assert_eq!(code, Some(0));
    }
}

#[test]
fn on_peer_end_keep_continues_to_send_until_the_input_ends() {
    let (mut client, mut peer) = connected(&["--on-peer-end", "keep"]);
    peer.write_all(b"go").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    client.expect("go");
    for text in ["one", "two"] {
        client.type_in(text);
        assert_eq!(line(&mut peer, 3), text);
    }
    client.end_of_input();
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    assert_eq!(client.wait().code(), Some(0));
}

#[test]
fn linger_limits_the_wait_for_an_answer_and_idle_timeout_limits_any_wait() {
    let (mut client, _peer) = connected(&["--linger", "50ms"]);
    client.end_of_input();
    assert_eq!(client.wait().code(), Some(0));
    let (mut client, _peer) = connected(&["--idle-timeout", "50ms"]);
    assert_eq!(client.wait().code(), Some(4));
    client.note("nothing was sent or received within the time of --idle-timeout");
}

#[test]
fn retry_pauses_between_attempts_and_gives_up_after_the_given_number() {
    let (code, _, errors) = output(&["connect", "-v", "--retry", "2", "127.0.0.1:1"]);
    assert_eq!(code, Some(3));
    let lines: Vec<_> = errors.lines().collect();
    assert_eq!(lines.len(), 3, "{errors}");
    assert!(
        lines[0].contains("2 attempts left") && lines[1].contains("1 attempts left"),
        "{errors}"
    );
}

#[test]
fn retry_connects_as_soon_as_a_server_listens() {
    let folder = Folder::new();
    let path = folder.path("s");
    let mut client = Running::start(&["connect", "-v", "--retry", "1000", &path]);
    client.type_in("stays open until then");
    client.note("ENOENT");
    let (mut server, _) = Running::listen_at(&path, &[]);
    server.expect("stays open until then");
}

#[test]
fn wait_reports_by_its_exit_status_whether_a_server_listens() {
    let (code, _, errors) = output(&["connect", "--wait", "150ms", "127.0.0.1:1"]);
    assert_eq!(code, Some(4));
    assert!(errors.contains("no server was listening within the time of --wait"), "{errors}");
    let folder = Folder::new();
    let path = folder.path("s");
    let mut waiting = Running::start(&["connect", "-vv", "--wait", "60s", &path]);
    waiting.note("ENOENT");
    let (server, _) = Running::listen_at(&path, &[]);
    assert_eq!(waiting.wait().code(), Some(0));
    server.note("client 1 disconnected");
}

#[test]
fn race_shows_every_attempt_with_its_time() {
    let (code, _, errors) = output(&["connect", "--race", "127.0.0.1:1"]);
    assert_eq!(code, Some(3));
    let shown: Vec<_> = errors.lines().filter(|line| line.contains(" ms  ")).collect();
    assert!(shown[0].contains("attempt    127.0.0.1:1"), "{errors}");
    assert!(shown[1].contains("failed     127.0.0.1:1  ECONNREFUSED"), "{errors}");
}

#[test]
fn the_local_address_is_the_one_that_was_requested() {
    let (server, endpoint) = Running::listen(&[]);
    let _client = Running::start(&["connect", "--source", "127.0.0.9", &endpoint]);
    server.note("connected from 127.0.0.9:");
    let (code, _, errors) = output(&["connect", "--source", "192.0.2.1", &endpoint]);
    assert_eq!(code, Some(3), "{errors}");
    assert!(errors.contains("EADDRNOTAVAIL"), "{errors}");
}

#[test]
fn a_dump_shows_both_directions() {
    let (mut client, mut peer) = connected(&["--hex"]);
    client.type_in("up");
    assert!(client.line().ends_with("Z > 2 bytes"));
    assert!(client.line().ends_with("|up|"));
    assert_eq!(line(&mut peer, 2), "up");
    peer.write_all(b"down").unwrap();
    assert!(client.line().ends_with("Z < 4 bytes"));
    assert!(client.line().ends_with("|down|"));
}

#[test]
#[cfg(target_os = "linux")]
fn an_inherited_connection_works_like_any_other() {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut command = support::fyke(&["connect", "--on-peer-end", "exit", "fd:0"]);
    let child = command.stdin(OwnedFd::from(theirs)).stdout(std::process::Stdio::piped());
    let child = child.spawn().unwrap();
    ours.write_all(b"over standard input").unwrap();
    ours.shutdown(Shutdown::Write).unwrap();
    drop(command);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}
