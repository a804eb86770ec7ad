//! Which clients `fyke relay` admits, with and without the PROXY protocol.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;

use support::sockets::listener;
use support::{Folder, Running, line};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2.
fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap();
    [SIGNATURE, &[0x20 | command, family], &length.to_be_bytes(), block].concat()
}

/// The answer of an echo server behind the relay. A client that is refused may detect it at any time.
fn answer(endpoint: &str, header: &[u8]) -> Vec<u8> {
    let mut client = TcpStream::connect(endpoint).expect("the relay listens");
    let _ = client.write_all(header).and_then(|()| client.write_all(b"hello"));
    let _ = client.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer);
    answer
}

/// Headers without an IP address.
fn without_addresses() -> Vec<Vec<u8>> {
    vec![
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 10.0.0.1 10.0.0.2 1 2\r\n".to_vec(),
        binary(0, 0x00, b""),
        // The address block of a LOCAL header must be discarded.
        binary(0, 0x11, &[10, 0, 0, 1, 10, 0, 0, 2, 0, 1, 0, 2]),
        binary(1, 0x00, b"ignored"),
        binary(1, 0x31, &[b'x'; 216]),
    ]
}

#[test]
fn header_without_an_address_makes_the_rules_use_the_address_of_the_connection() {
    let (_server, target) = Running::listen(&["--echo"]);
    let trusted = ["--proxy-in", "127.0.0.1"];
    for (rules, admitted) in [
        (["--allow", "10.0.0.0/8"], false),
        (["--allow", "127.0.0.0/8"], true),
        (["--deny", "127.0.0.1"], false),
        (["--deny", "10.0.0.0/8"], true),
    ] {
        let (relay, endpoint) = Running::relay(&target, &[trusted, rules].concat());
        for header in without_addresses() {
            let expected = if admitted { &b"hello"[..] } else { b"" };
            let text = header.escape_ascii().to_string();
            assert_eq!(answer(&endpoint, &header), expected, "{rules:?} {text}");
            if !admitted {
                relay.note("its address is not allowed");
            }
        }
    }
}

#[test]
fn rules_apply_to_the_address_of_the_header_in_every_spelling() {
    let (_server, target) = Running::listen(&["--echo"]);
    let more = ["--proxy-in", "127.0.0.1", "--allow", "192.0.2.0/24"];
    let (_relay, endpoint) = Running::relay(&target, &more);
    for (header, admitted) in [
        (&b"PROXY TCP4 192.0.2.7 10.0.0.1 5 6\r\n"[..], true),
        (b"PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 5 6\r\n", true),
        (b"PROXY TCP4 127.0.0.1 10.0.0.1 5 6\r\n", false),
        (b"PROXY TCP6 ::ffff:127.0.0.1 ::1 5 6\r\n", false),
    ] {
        let expected = if admitted { &b"hello"[..] } else { b"" };
        assert_eq!(answer(&endpoint, header), expected, "{}", header.escape_ascii());
    }
}

#[test]
fn limit_per_address_counts_the_address_of_the_header() {
    let (_server, target) = Running::listen(&["--echo"]);
    let more = ["--proxy-in", "127.0.0.1", "--max-per-ip", "1"];
    let (relay, endpoint) = Running::relay(&target, &more);
    let enter = |header: &str| {
        let mut client = TcpStream::connect(&endpoint).unwrap();
        client.write_all(format!("{header}\r\nx").as_bytes()).unwrap();
        client
    };
    let mut first = enter("PROXY TCP4 192.0.2.1 10.0.0.1 5 6");
    assert_eq!(line(&mut first, 1), "x");
    let mut second = enter("PROXY TCP4 192.0.2.2 10.0.0.1 5 6");
    assert_eq!(line(&mut second, 1), "x");
    let mut same = enter("PROXY TCP6 ::ffff:192.0.2.1 ::1 7 6");
    assert_ne!(same.read(&mut [0]).unwrap_or(0), 1);
    relay.note("too many connections from its address");
    // Without an address in the header, the address of the connection counts.
    let mut unknown = enter("PROXY UNKNOWN");
    assert_eq!(line(&mut unknown, 1), "x");
    assert_ne!(enter("PROXY UNKNOWN").read(&mut [0]).unwrap_or(0), 1);
    drop(first);
    relay.note("client 1 disconnected");
    assert_eq!(line(&mut enter("PROXY TCP4 192.0.2.1 10.0.0.1 8 6"), 1), "x");
}

#[test]
fn client_of_a_unix_socket_matches_no_list() {
    let (_server, target) = Running::listen(&["--echo"]);
    for (more, admitted) in [
        (&["--allow", "127.0.0.1"][..], false),
        (&["--deny", "127.0.0.1"], true),
        (&["--max-per-ip", "1"], true),
    ] {
        for command in [&["relay", &target][..], &["listen", "--echo"]] {
            let folder = Folder::new();
            let path = folder.path("s");
            let (name, rest) = command.split_first().unwrap();
            let server = Running::start(&[&[*name, "-v", &path], rest, more].concat());
            server.note("listening on");
            let mut client = UnixStream::connect(&path).unwrap();
            let _ = client.write_all(b"hello").and_then(|()| client.shutdown(Shutdown::Write));
            let mut answer = String::new();
            let _ = client.read_to_string(&mut answer);
            assert_eq!(answer == "hello", admitted, "{command:?} {more:?}: {answer:?}");
            if !admitted {
                server.note("its address is not allowed");
            }
        }
    }
    // With the PROXY protocol, the header may contain an address.
    let folder = Folder::new();
    let path = folder.path("s");
    let arguments =
        ["relay", "-v", &path, &target, "--proxy-in", "10.0.0.1", "--allow", "192.0.2.1"];
    let relay = Running::start(&arguments);
    relay.note("listening on");
    for (header, admitted) in [("TCP4 192.0.2.1 10.0.0.1 5 6", true), ("UNKNOWN", false)] {
        let mut client = UnixStream::connect(&path).unwrap();
        let _ = client.write_all(format!("PROXY {header}\r\nhello").as_bytes());
        let _ = client.shutdown(Shutdown::Write);
        let mut answer = String::new();
        let _ = client.read_to_string(&mut answer);
        assert_eq!(answer == "hello", admitted, "{header}");
    }
}

#[test]
fn verdict_on_a_header_does_not_depend_on_how_it_is_split() {
    let (listener, target) = listener();
    let more = ["--proxy-in", "127.0.0.1", "--proxy-out", "v1"];
    let (_relay, endpoint) = Running::relay(&target, &more);
    let v4 = [203, 0, 113, 9, 192, 0, 2, 1, 4, 87, 1, 187];
    let large = [&v4[..], &[0xE1, 0xFF, 0xF0], &[b'z'; 65_520]].concat();
    for header in [
        binary(1, 0x11, &large),
        binary(1, 0x11, &[&v4[..], &[0xE1, 0x1F, 0x40], &[b'z'; 8000]].concat()),
        b"PROXY TCP4 203.0.113.9 192.0.2.1 1111 443\r\n".to_vec(),
    ] {
        for pieces in [1, 3, 50] {
            let mut client = TcpStream::connect(&endpoint).unwrap();
            client.set_nodelay(true).unwrap();
            for piece in header.chunks(header.len().div_ceil(pieces)) {
                client.write_all(piece).unwrap();
                std::thread::yield_now();
            }
            client.write_all(b"payload").unwrap();
            let (mut server, _) = listener.accept().unwrap();
            let expected = "PROXY TCP4 203.0.113.9 192.0.2.1 1111 443\r\npayload";
            assert_eq!(line(&mut server, expected.len()), expected);
        }
    }
}
