//! `fyke listen` and `fyke connect` together.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use support::{Folder, Running, output, reach};

#[test]
fn input_of_one_side_is_printed_on_the_other() {
    let (mut server, endpoint) = Running::listen(&[]);
    let mut client = Running::connect(&endpoint);
    client.type_in("hello server!\n");
    server.expect("hello server!\n");
    server.type_in("hello client\n");
    client.expect("hello client\n");
}

#[test]
fn a_conversation_works_over_a_unix_socket_whose_file_is_removed_with_the_server() {
    let folder = Folder::new();
    let (mut server, endpoint) = Running::listen_at(&folder.path("s"), &["--once"]);
    let mut client = Running::connect(&endpoint);
    client.type_in("hello");
    server.expect("hello");
    client.end_of_input();
    assert!(client.wait().success());
    assert!(server.wait().success());
    assert!(folder.is_empty());
}

#[test]
fn input_of_the_server_is_sent_to_all_clients() {
    let (mut server, endpoint) = Running::listen(&[]);
    let mut clients = [Running::connect(&endpoint), Running::connect(&endpoint)];
    for number in ["1", "2"] {
        server.note(&format!("client {number} connected"));
    }
    server.type_in("to everybody\n");
    clients.iter_mut().for_each(|client| client.expect("to everybody\n"));
    clients[0].end_of_input();
    server.note("disconnected");
    server.type_in("to the last one\n");
    clients[1].expect("to the last one\n");
    assert_eq!(clients[0].read_to_the_end(), b"");
}

#[test]
fn input_of_the_server_waits_for_the_first_client() {
    let (mut server, endpoint) = Running::listen(&[]);
    server.type_in("early\n");
    server.end_of_input();
    let mut client = Running::connect(&endpoint);
    client.expect("early\n");
}

#[test]
fn connections_are_logged_only_with_verbose() {
    let (mut server, endpoint) = Running::listen(&[]);
    drop(TcpStream::connect(&endpoint).unwrap());
    assert!(server.note("connected").starts_with("fyke: client 1 connected from 127.0.0.1:"));
    assert_eq!(server.note("disconnected"), "fyke: client 1 disconnected");
    assert!(server.is_running());

    let folder = Folder::new();
    let path = folder.path("s");
    let mut quiet = Running::start(&["listen", "--once", &path]);
    drop(reach(&path));
    assert!(quiet.wait().success());
    assert_eq!(quiet.notes_to_the_end(), [""; 0]);
}

#[test]
fn an_echo_server_sends_all_data_back_and_prints_nothing() {
    let (mut server, endpoint) = Running::listen(&["--echo", "--once"]);
    let mut client = Running::connect(&endpoint);
    client.type_in("once more");
    client.expect("once more");
    client.end_of_input();
    assert!(client.wait().success());
    assert!(server.wait().success());
    assert_eq!(server.read_to_the_end(), b"");
}

#[test]
fn at_the_end_of_input_the_client_ends_its_side_and_continues_to_print() {
    let (_server, endpoint) = Running::listen(&["--echo"]);
    let mut client = Running::connect(&endpoint);
    client.type_in("all of this, ");
    client.type_in("and the end");
    client.end_of_input();
    // The echo ends when it has read our end, so the end was sent, and the other side stayed open.
    assert_eq!(client.read_to_the_end(), b"all of this, and the end");
    assert!(client.wait().success());
}

#[test]
fn the_peer_can_continue_to_send_long_after_our_end() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = Running::connect(&listener.local_addr().unwrap().to_string());
    let (mut peer, _) = listener.accept().unwrap();
    client.type_in("question");
    client.end_of_input();
    let mut question = String::new();
    peer.read_to_string(&mut question).unwrap();
    assert_eq!(question, "question");
    for part in ["a long ", "answer ", "in parts"] {
        peer.write_all(part.as_bytes()).unwrap();
        client.expect(part);
        assert!(client.is_running());
    }
    drop(peer);
    assert!(client.wait().success());
}

#[test]
fn when_the_peer_ends_the_client_exits_even_if_its_input_is_open() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = Running::connect(&listener.local_addr().unwrap().to_string());
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"bye").unwrap();
    drop(peer);
    assert!(client.wait().success());
    assert_eq!(client.read_to_the_end(), b"bye");
    assert_eq!(client.notes_to_the_end(), [""; 0]);
}

#[test]
fn at_the_end_of_its_input_the_server_continues_to_listen() {
    let (mut server, endpoint) = Running::listen(&[]);
    let mut first = Running::connect(&endpoint);
    server.type_in("last words\n");
    server.end_of_input();
    first.expect("last words\n");
    server.note("end of standard input");
    first.type_in("I am still here\n");
    server.expect("I am still here\n");
    let mut second = Running::connect(&endpoint);
    second.type_in("me too\n");
    server.expect("me too\n");
}

#[test]
fn with_once_the_server_accepts_one_client_and_exits_after_it() {
    let folder = Folder::new();
    let (mut server, endpoint) = Running::listen_at(&folder.path("s"), &["--once"]);
    let mut client = Running::connect(&endpoint);
    client.type_in("me first");
    server.expect("me first");
    let (code, _, errors) = output(&["connect", &endpoint]);
    assert_eq!(code, Some(3), "{errors}");
    client.end_of_input();
    assert!(client.wait().success());
    assert!(server.wait().success());
}
