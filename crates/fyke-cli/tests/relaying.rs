//! `fyke relay` and `fyke replay`.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;

use serde_json::Value;
use support::{Folder, Running, fyke, line, noise, output};

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = listener.local_addr().expect("an address").to_string();
    (listener, endpoint)
}

/// The echoed data. A client that is refused may detect it at any time.
fn echo(endpoint: &str, text: &str) -> String {
    let mut client = TcpStream::connect(endpoint).expect("the relay listens");
    let _ = client.write_all(text.as_bytes()).and_then(|()| client.shutdown(Shutdown::Write));
    let mut answer = String::new();
    let _ = client.read_to_string(&mut answer);
    answer
}

#[test]
fn a_large_file_passes_unchanged_both_ways_over_tcp_and_to_a_unix_socket() {
    let bytes = noise(10_000_000);
    let folder = Folder::new();
    for target in ["127.0.0.1:0", &folder.path("s")] {
        let (_server, target) = Running::listen_at(target, &["--echo"]);
        let (_relay, endpoint) = Running::relay(&target, &[]);
        let mut client = Running::connect(&endpoint);
        client.feed(&bytes);
        assert!(client.read_to_the_end() == bytes, "the bytes differ");
        assert!(client.wait().success());
    }
}

#[test]
fn each_direction_ends_separately() {
    let (listener, target) = listener();
    let (relay, endpoint) = Running::relay(&target, &[]);
    let mut client = TcpStream::connect(endpoint).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut question = String::new();
    server.read_to_string(&mut question).unwrap();
    assert_eq!(question, "question");
    server.write_all(b"long after").unwrap();
    assert_eq!(line(&mut client, 10), "long after");
    drop(server);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    relay.note("client 1 disconnected");
}

#[test]
fn a_reset_is_forwarded_in_both_directions() {
    let reset = |stream: &TcpStream| {
        rustix::net::sockopt::set_socket_linger(stream, Some(std::time::Duration::ZERO)).unwrap();
    };
    let (listener, target) = listener();
    let (_relay, endpoint) = Running::relay(&target, &[]);
    let mut client = TcpStream::connect(&endpoint).unwrap();
    let (server, _) = listener.accept().unwrap();
    reset(&server);
    drop(server);
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let client = TcpStream::connect(&endpoint).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    reset(&client);
    drop(client);
    let error = server.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_failed_target_is_skipped_and_its_clients_are_connected_to_the_next() {
    let (_server, target) = Running::listen(&["--echo"]);
    let (relay, endpoint) = Running::relay("127.0.0.1:1", &[&target]);
    assert_eq!(echo(&endpoint, "one"), "one");
    let note = relay.note("127.0.0.1:1: connect ECONNREFUSED");
    assert!(note.contains("skipped for"), "{note}");
    assert_eq!(echo(&endpoint, "two"), "two");
    relay.note("client 2 disconnected");
}

#[test]
fn without_any_working_target_the_client_is_reset_and_the_relay_continues() {
    let (mut relay, endpoint) = Running::relay("127.0.0.1:1", &[]);
    assert_eq!(echo(&endpoint, "one"), "");
    relay.note("client 1: the connection to every target failed");
    assert!(relay.is_running());
}

#[test]
fn round_robin_alternates_between_targets() {
    let (first, second) = (listener(), listener());
    let (_relay, endpoint) = Running::relay(&first.1, &[&second.1]);
    let mut clients = Vec::new();
    for expected in [&first.0, &second.0, &first.0, &second.0] {
        clients.push((TcpStream::connect(&endpoint).unwrap(), expected.accept().unwrap()));
    }
}

#[test]
fn the_proxy_protocol_is_sent_and_accepted_in_both_versions() {
    for version in ["v1", "v2"] {
        let (_server, target) = Running::listen(&["--echo"]);
        let (inner, middle) = Running::relay(&target, &["--proxy-in", "127.0.0.1"]);
        let (_outer, endpoint) = Running::relay(&middle, &["--proxy-out", version]);
        let mut client = TcpStream::connect(endpoint).unwrap();
        client.write_all(b"after the header").unwrap();
        assert_eq!(line(&mut client, 16), "after the header");
        let own = client.local_addr().unwrap();
        inner.note(&format!("client 1 has the address {own}"));
    }
}

#[test]
fn a_header_is_required_from_trusted_addresses_and_all_others_are_refused() {
    let (_server, target) = Running::listen(&["--echo"]);
    let (relay, endpoint) = Running::relay(&target, &["--proxy-in", "127.0.0.1"]);
    assert_eq!(echo(&endpoint, "GET / HTTP/1.0\r\n\r\n"), "");
    relay.note("client 1: a valid PROXY protocol header is missing");
    let (relay, endpoint) = Running::relay(&target, &["--proxy-in", "10.0.0.1"]);
    assert_eq!(echo(&endpoint, "PROXY UNKNOWN\r\nhello"), "");
    relay.note("was refused: its address is not allowed");
    let (relay, endpoint) =
        Running::relay(&target, &["--proxy-in", "127.0.0.1", "--deny", "192.0.2.0/24"]);
    assert_eq!(echo(&endpoint, "PROXY TCP4 192.0.2.7 10.0.0.1 5 6\r\nhello"), "");
    relay.note("client 1: its address is not allowed");
    assert_eq!(echo(&endpoint, "PROXY TCP4 192.0.9.7 10.0.0.1 5 6\r\nhello"), "hello");
}

#[test]
fn a_drain_waits_for_the_connections_and_accepts_no_more() {
    let (listener, target) = listener();
    let (mut relay, endpoint) = Running::relay(&target, &[]);
    let mut client = TcpStream::connect(&endpoint).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    relay.signal("TERM");
    relay.note("shutting down: 1 connections are open");
    client.write_all(b"still here").unwrap();
    assert_eq!(line(&mut server, 10), "still here");
    assert!(TcpStream::connect(&endpoint).is_err());
    drop(client);
    drop(server);
    assert_eq!(relay.wait().code(), Some(0));
}

#[test]
fn a_drain_that_takes_too_long_cuts_connections_off_and_a_second_signal_ends_immediately() {
    use std::os::unix::process::ExitStatusExt;

    let (listener, target) = listener();
    let (mut relay, endpoint) = Running::relay(&target, &["--drain", "50ms"]);
    let mut client = TcpStream::connect(&endpoint).unwrap();
    let _server = listener.accept().unwrap();
    relay.signal("TERM");
    assert_eq!(relay.wait().code(), Some(4));
    relay.note("1 connections were cut off");
    assert!(client.read(&mut [0]).is_err());

    let (mut relay, endpoint) = Running::relay(&target, &[]);
    let _client = TcpStream::connect(&endpoint).unwrap();
    let _server = listener.accept().unwrap();
    relay.signal("INT");
    relay.note("shutting down");
    relay.signal("INT");
    assert_eq!(relay.wait().signal(), Some(2));
}

#[test]
fn statistics_are_lines_of_json_and_metrics_have_the_format_of_prometheus() {
    let (_server, target) = Running::listen(&["--echo"]);
    let more = ["--json", "--interval", "10ms", "--metrics", "127.0.0.1:0"];
    let (mut relay, endpoint) = Running::relay(&target, &more);
    let metrics = relay.note("metrics on").rsplit(' ').next().unwrap().to_owned();
    assert_eq!(echo(&endpoint, "five!"), "five!");
    relay.note("client 1 disconnected");
    let reported = loop {
        let reported: Value = serde_json::from_str(&relay.line()).unwrap();
        if reported["connections"] == 1 && reported["open"] == 0 {
            break reported;
        }
    };
    assert_eq!((&reported["bytes_up"], &reported["bytes_down"]), (&5.into(), &5.into()));
    assert_eq!(reported["targets"][0]["target"], target);
    let page = echo(&metrics, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(page.contains("\nfyke_relay_connections_total 1\n"), "{page}");
    assert!(page.contains("\nfyke_relay_bytes_total{direction=\"up\"} 5\n"), "{page}");
    assert!(page.contains(&format!("\nfyke_relay_target_up{{target=\"{target}\"}} 1\n")), "{page}");
    assert!(echo(&metrics, "POST / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
}

#[test]
fn each_fault_has_its_documented_effect() {
    let (_server, target) = Running::listen(&["--echo"]);
    let (_relay, endpoint) =
        Running::relay(&target, &["--delay", "5ms", "--jitter", "5ms", "--slice", "1..3"]);
    assert_eq!(echo(&endpoint, "all of it, in order"), "all of it, in order");
    let (_relay, endpoint) = Running::relay(&target, &["--throttle", "1M"]);
    assert_eq!(echo(&endpoint, &"x".repeat(50_000)).len(), 50_000);
    let (_relay, endpoint) = Running::relay(&target, &["--drop-after", "4", "--direction", "down"]);
    assert_eq!(echo(&endpoint, "0123456789"), "0123");
    let (_relay, endpoint) =
        Running::relay(&target, &["--reset-after", "4", "--direction", "down"]);
    let mut client = Running::connect(&endpoint);
    client.type_in("0123456789");
    client.expect("0123");
    assert_eq!(client.wait().code(), Some(5));
    let (_relay, endpoint) = Running::relay(&target, &["--blackhole-after", "4"]);
    let (code, text, _) = {
        let mut client = Running::start(&["connect", "--linger", "100ms", &endpoint]);
        client.feed(b"0123456789");
        let text = client.read_to_the_end();
        (client.wait().code(), text, ())
    };
    assert_eq!((code, text.as_slice()), (Some(0), &b"0123"[..]));
}

#[test]
fn limits_and_idle_timeouts_work_as_for_listen() {
    let (_server, target) = Running::listen(&["--echo"]);
    let (relay, endpoint) = Running::relay(&target, &["--max-connections", "1"]);
    let _first = TcpStream::connect(&endpoint).unwrap();
    relay.note("client 1 connected");
    assert_eq!(echo(&endpoint, "x"), "");
    relay.note("was refused: too many connections");
    let (relay, endpoint) = Running::relay(&target, &["--idle-timeout", "50ms"]);
    let mut idle = TcpStream::connect(&endpoint).unwrap();
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    relay.note("client 1 was idle longer than --idle-timeout");
}

/// Starts a server that echoes every byte in upper case as soon as it arrives, whether the client has ended
/// or not. Returns its endpoint.
fn listen_and_change_what_comes() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..count].to_ascii_uppercase()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    endpoint
}

#[test]
fn a_recording_can_be_played_to_a_server_and_to_clients() {
    let folder = Folder::new();
    let file = folder.path("recording");
    let (_server, target) = Running::listen(&["--echo"]);
    let (mut relay, endpoint) = Running::relay(&target, &["--record", &file]);
    assert_eq!(echo(&endpoint, "hello"), "hello");
    let bytes = String::from_utf8_lossy(&noise(100_000)).into_owned();
    assert_eq!(echo(&endpoint, &bytes), bytes);
    relay.note("client 2 disconnected");
    relay.signal("TERM");
    assert!(relay.wait().success());

    let (code, _, errors) = output(&["replay", &file, &target, "--speed", "0"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let mut server = Running::start(&["replay", "-v", "--as", "server", &file, "127.0.0.1:0"]);
    let played = server.note("listening on").rsplit(' ').next().unwrap().to_owned();
    assert_eq!(echo(&played, "hello"), "hello");
    assert_eq!(echo(&played, &bytes), bytes);
    assert!(server.wait().success());
    // A server that sends other data, and an unreachable one.
    let other = listen_and_change_what_comes();
    let (code, _, errors) = output(&["replay", &file, &other, "--speed", "0"]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("connection 1: byte 0 differs"), "{errors}");
    assert_eq!(output(&["replay", &file, "127.0.0.1:1"]).0, Some(3));
}

#[test]
fn unsupported_combinations_are_refused_at_the_start() {
    let folder = Folder::new();
    let taken = UnixListener::bind(folder.path("s")).unwrap();
    for (arguments, expected, status) in [
        (&["relay", "8888"][..], "not provided: <TARGET>", 2),
        (&["relay", "8888", "fd:0"], "cannot be a target", 2),
        (&["relay", "8888", "80", "--slice", "9..1"], "start with the smaller value", 2),
        (&["relay", "8888", "80", "--proxy-in", "x"], "is not an address", 2),
        (&["relay", &folder.path("s"), "80"], "EADDRINUSE", 1),
        (&["relay", "127.0.0.1:0", "80", "--record", "/no/such/file"], "write /no/such/file: ", 1),
        (&["relay", "127.0.0.1:0", "80", "--metrics", &folder.path("s")], "EADDRINUSE", 1),
    ] {
        let output = fyke(arguments).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{errors}");
        assert!(errors.contains(expected) && errors.lines().count() == 1, "{errors}");
    }
    drop(taken);
}
