//! `fyke relay --metrics`: a minimal HTTP/1.1 server for Prometheus, for `curl` and `nc`, and for
//! malicious clients.

#![cfg(target_os = "linux")]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use support::sockets::{listener, until};
use support::{DEADLINE, Running};

fn relay_with_metrics(more: &[&str]) -> (Running, String) {
    let (_listener, target) = listener();
    let (relay, _) = Running::relay(&target, &[&["--metrics", "127.0.0.1:0"], more].concat());
    let metrics = relay.note("metrics on").rsplit(' ').next().unwrap().to_owned();
    (relay, metrics)
}

/// The complete answer to a request, without ending our side. The server must end the connection.
fn ask(metrics: &str, request: &[u8]) -> String {
    let mut client = TcpStream::connect(metrics).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client.write_all(request).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

fn header<'a>(answer: &'a str, name: &str) -> &'a str {
    let line = answer.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {answer}")).trim()
}

fn head(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {answer:?}")).0
}

#[test]
fn head_has_the_same_headers_as_get_and_no_body() {
    let (_relay, metrics) = relay_with_metrics(&[]);
    let get = ask(&metrics, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(get.starts_with("HTTP/1.1 200 OK\r\n"), "{get}");
    let (_, body) = get.split_once("\r\n\r\n").unwrap();
    assert_eq!(header(&get, "Content-Length:"), body.len().to_string());
    assert!(body.contains("fyke_relay_connections_total 0\n"), "{body}");
    let only_head = ask(&metrics, b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(only_head, format!("{}\r\n\r\n", head(&get)));
}

#[test]
fn other_methods_get_a_list_of_the_allowed_ones() {
    let (_relay, metrics) = relay_with_metrics(&[]);
    for request in [
        &b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"[..],
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GETS / HTTP/1.0\r\n\r\n",
        b"get / HTTP/1.1\r\n\r\n",
    ] {
        let answer = ask(&metrics, request);
        assert!(answer.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{answer}");
        assert_eq!(header(&answer, "Allow:"), "GET, HEAD");
    }
}

#[test]
fn lines_may_have_either_line_ending_and_be_split_anywhere() {
    let (_relay, metrics) = relay_with_metrics(&[]);
    for request in [
        &b"GET /metrics HTTP/1.1\nHost: x\n\n"[..],
        b"GET /metrics HTTP/1.0\n\n",
        b"GET /metrics HTTP/1.1\r\nHost: x\n\r\n",
        b"GET /metrics HTTP/1.1\nHost: x\r\n\n",
        b"\r\nGET /metrics HTTP/1.1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n",
    ] {
        let text = request.escape_ascii().to_string();
        let answer = ask(&metrics, request);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{text}: {answer}");
        let mut client = TcpStream::connect(&metrics).unwrap();
        client.set_nodelay(true).unwrap();
        for byte in request {
            // The server may have answered and ended before the rest is sent.
            let _ = client.write_all(&[*byte]);
        }
        let mut bytewise = vec![0; 15];
        client.read_exact(&mut bytewise).unwrap();
        assert_eq!(bytewise, b"HTTP/1.1 200 OK", "{text}");
    }
}

#[test]
fn bytes_that_are_not_a_request_are_refused_immediately() {
    let (_relay, metrics) = relay_with_metrics(&[]);
    let long = [&b"GET / HTTP/1.1\r\nX: "[..], &[b'x'; 20_000]].concat();
    let long_line = [&b"GET /"[..], &[b'x'; 20_000]].concat();
    for (request, status) in [
        (&b"hello\n"[..], "400"),
        (b"GET /metrics\r\n", "400"),
        (b"GET\r\n", "400"),
        (b"GET / HTTP/1.1 more\r\n", "400"),
        (b"GET / FTP/1.1\r\n", "400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400"),
        (b"GET / HTTP/2.0\r\n\r\n", "505"),
        (&long, "431"),
        (&long_line, "414"),
    ] {
        let answer = ask(&metrics, request);
        let text = request[..request.len().min(30)].escape_ascii().to_string();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{text}: {answer}");
        assert_eq!(header(&answer, "Connection:"), "close");
    }
    // Half of a request, and then the end.
    let mut client = TcpStream::connect(&metrics).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: x").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[test]
fn slow_clients_neither_block_a_scrape_nor_keep_the_process_alive() {
    let (mut relay, metrics) = relay_with_metrics(&["--drain", "50ms"]);
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut client = TcpStream::connect(&metrics).unwrap();
        client.write_all(b"G").unwrap();
        slow.push(client);
    }
    let answer = ask(&metrics, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let open = || support::sockets::connections_of(relay.id()).len();
    assert!(open() <= 64, "{}", open());
    relay.signal("TERM");
    assert_eq!(relay.wait().code(), Some(0));
}

#[test]
fn request_has_an_absolute_deadline() {
    let (relay, metrics) = relay_with_metrics(&[]);
    let mut client = TcpStream::connect(&metrics).unwrap();
    client.set_nonblocking(true).unwrap();
    let mut sent_at = Instant::now();
    let mut ended = |client: &mut TcpStream| {
        // Each byte would restart an idle timeout.
        if sent_at.elapsed() > Duration::from_millis(300) {
            sent_at = Instant::now();
            let _ = client.write(b"G");
        }
        match client.read(&mut [0; 1000]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        }
    };
    until("the server has had enough", || ended(&mut client));
    // The descriptor may be closed a moment after the connection has ended.
    until("no connection is open", || support::sockets::connections_of(relay.id()).is_empty());
}
