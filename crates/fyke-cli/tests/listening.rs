//! `fyke listen`: what it prints, which clients get the input, which are admitted, and the programs
//! that it runs.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use serde_json::Value;
use support::{Folder, Running, line, noise};

/// Connects, sends, ends, and reads to the end.
fn exchange(endpoint: &str, text: &str) -> String {
    let mut client = TcpStream::connect(endpoint).expect("the server listens");
    client.write_all(text.as_bytes()).expect("it reads");
    client.shutdown(Shutdown::Write).expect("it is connected");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_hex_dump_has_time_direction_and_continuous_offsets() {
    let (mut server, endpoint) = Running::listen(&["--hex"]);
    let mut client = TcpStream::connect(&endpoint).unwrap();
    client.write_all(b"0123456789abcdef!").unwrap();
    let head = server.line();
    assert!(head.ends_with("Z client 1 < 17 bytes"), "{head}");
    assert_eq!(&head[4..5], "-");
    let first = "00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|";
    assert_eq!(server.line(), first);
    assert!(server.line().starts_with("00000010  21 "));
    client.write_all(b"more").unwrap();
    assert!(server.line().ends_with("< 4 bytes"));
    assert!(server.line().starts_with("00000011  6d 6f 72 65 "));
    server.type_in("answer");
    assert!(server.line().ends_with("Z client 1 > 6 bytes"));
    assert!(server.line().ends_with("|answer|"));
    let mut answer = [0; 6];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"answer");
}

#[test]
fn json_has_a_line_for_every_event_and_the_unchanged_bytes() {
    let (mut server, endpoint) = Running::listen(&["--json", "--once"]);
    let mut client = TcpStream::connect(&endpoint).unwrap();
    let own = client.local_addr().unwrap().to_string();
    client.write_all(b"text").unwrap();
    let mut event = || -> Value { serde_json::from_str(&server.line()).unwrap() };
    assert_eq!(event()["event"], "listening");
    let connected = event();
    assert_eq!((&connected["event"], &connected["remote"]), (&"connected".into(), &own.into()));
    let received = event();
    assert_eq!((&received["text"], &received["bytes"]), (&"text".into(), &4.into()));
    client.write_all(b"\xff\xfe").unwrap();
    assert_eq!(event()["base64"], "//4=");
    drop(client);
    assert_eq!(event()["event"], "ended");
    let left = event();
    assert_eq!((&left["event"], &left["bytes_received"]), (&"left".into(), &6.into()));
    assert!(server.wait().success());
}

#[test]
fn several_endpoints_act_as_one_server() {
    let folder = Folder::new();
    let path = folder.path("s");
    let mut server = Running::start(&["listen", "-v", "127.0.0.1:0", &path]);
    let endpoint = server.note("listening on 127.0.0.1").rsplit(' ').next().unwrap().to_owned();
    let mut tcp = TcpStream::connect(&endpoint).unwrap();
    server.note("client 1 connected");
    let mut unix = UnixStream::connect(&path).unwrap();
    server.note("client 2 connected");
    server.type_in("to both");
    for client in [&mut tcp as &mut dyn Read, &mut unix] {
        let mut text = [0; 7];
        client.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"to both");
    }
}

#[test]
fn standard_input_can_be_sent_to_the_newest_or_to_a_chosen_client() {
    let (mut server, endpoint) = Running::listen(&["--to", "newest"]);
    let mut clients = Vec::new();
    for number in ["1", "2"] {
        clients.push(TcpStream::connect(&endpoint).unwrap());
        server.note(&format!("client {number} connected"));
    }
    server.type_in("newest");
    assert_eq!(line(&mut clients[1], 6), "newest");
    clients.pop();
    server.note("client 2 disconnected");
    server.type_in("is left");
    assert_eq!(line(&mut clients[0], 7), "is left");

    let (mut server, endpoint) = Running::listen(&["--to", "chosen"]);
    let mut clients = Vec::new();
    for number in ["1", "2"] {
        clients.push(TcpStream::connect(&endpoint).unwrap());
        server.note(&format!("client {number} connected"));
    }
    server.type_in("1 one\n2 two\n* all\n7 nobody\nnonsense\n");
    assert_eq!(line(&mut clients[0], 8), "one\nall\n");
    assert_eq!(line(&mut clients[1], 8), "two\nall\n");
    server.note("client 7 is not connected");
    server.note("the line must start with the number of a client");
}

#[test]
fn a_program_serves_each_client_and_both_directions_end_separately() {
    let (server, endpoint) = Running::listen(&["--exec", "sort -r"]);
    assert_eq!(exchange(&endpoint, "a\nb\n"), "b\na\n");
    assert_eq!(exchange(&endpoint, "c\nd\n"), "d\nc\n");
    server.note("the program has ended, exit status: 0");
    let (_server, endpoint) =
        Running::listen(&["--exec", r#"sh -c 'echo "$FYKE_CLIENT: $0"' "it's me""#]);
    assert_eq!(exchange(&endpoint, ""), "1: it's me\n");
}

#[test]
fn the_final_output_of_a_program_arrives_even_if_it_did_not_read_all_input() {
    let (_server, endpoint) = Running::listen(&["--exec", "head -c 5"]);
    let text = String::from_utf8(vec![b'x'; 1_000_000]).unwrap();
    let mut client = TcpStream::connect(&endpoint).unwrap();
    // The sending side may be reset, but the answer must arrive nevertheless.
    let _ = client.write_all(text.as_bytes());
    let _ = client.shutdown(Shutdown::Write);
    assert_eq!(line(&mut client, 5), "xxxxx");
}

#[test]
fn a_program_that_cannot_be_started_closes_the_connection_but_not_the_server() {
    let folder = Folder::new();
    let program = folder.path("program");
    std::os::unix::fs::symlink("/bin/sh", &program).unwrap();
    let (mut server, endpoint) = Running::listen(&["--exec", &program]);
    std::fs::remove_file(&program).unwrap();
    assert_eq!(exchange(&endpoint, ""), "");
    server.note("client 1: cannot start the program: No such file");
    assert!(server.is_running());
}

#[test]
fn a_large_file_passes_through_a_program_unchanged() {
    let bytes = noise(5_000_000);
    let (mut server, endpoint) = Running::listen(&["--once", "--exec", "cat"]);
    let mut client = Running::connect(&endpoint);
    client.feed(&bytes);
    assert!(client.read_to_the_end() == bytes);
    assert!(client.wait().success());
    assert!(server.wait().success());
}

#[test]
fn limits_refuse_clients_and_report_the_reason() {
    for limit in ["--max-connections", "--max-per-ip"] {
        let (server, endpoint) = Running::listen(&[limit, "1"]);
        let first = TcpStream::connect(&endpoint).unwrap();
        server.note("client 1 connected");
        assert_eq!(exchange_refused(&endpoint), "");
        server.note("was refused: too many connections");
        drop(first);
        server.note("client 1 disconnected");
        let _third = TcpStream::connect(&endpoint).unwrap();
        server.note("client 2 connected");
    }
    for rules in [&["--deny", "127.0.0.0/8"][..], &["--allow", "10.0.0.0/8"]] {
        let (server, endpoint) = Running::listen(rules);
        assert_eq!(exchange_refused(&endpoint), "");
        server.note("was refused: its address is not allowed");
    }
    let (server, endpoint) = Running::listen(&["--allow", "127.0.0.1"]);
    let _client = TcpStream::connect(&endpoint).unwrap();
    server.note("client 1 connected");
}

/// Returns what is received before the server closes or resets the connection.
fn exchange_refused(endpoint: &str) -> String {
    let mut client = TcpStream::connect(endpoint).expect("the server listens");
    let mut answer = String::new();
    let _ = client.read_to_string(&mut answer);
    answer
}

#[test]
fn an_idle_client_is_closed_and_with_once_the_exit_status_is_4() {
    let (mut server, endpoint) = Running::listen(&["--idle-timeout", "50ms", "--once"]);
    let mut client = TcpStream::connect(&endpoint).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    server.note("client 1 was idle longer than --idle-timeout");
    assert_eq!(server.wait().code(), Some(4));
}

#[test]
fn the_file_of_a_unix_socket_has_the_requested_mode() {
    let folder = Folder::new();
    let path = folder.path("s");
    let (_server, _) = Running::listen_at(&path, &["--mode", "620"]);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o620);
}

#[test]
fn signals_remove_the_socket_file_and_determine_the_exit_status() {
    use std::os::unix::process::ExitStatusExt;

    for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        let folder = Folder::new();
        let (mut server, path) = Running::listen_at(&folder.path("s"), &[]);
        let _client = UnixStream::connect(&path).unwrap();
        server.note("client 1 connected");
        server.signal(name);
        assert_eq!(server.wait().signal(), Some(number));
        assert!(folder.is_empty());
    }
}

#[test]
fn sockets_passed_by_systemd_are_found_by_their_names() {
    use std::os::fd::OwnedFd;

    let mut endpoints = Vec::new();
    // Both are at the numbers that systemd uses, 3 and 4, and the shell's process id is announced.
    let shell = r#"exec 3<&0 4<&1 0</dev/null 1>&2
        LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=web:web exec "$0" listen -v --once systemd:web"#;
    let mut command = std::process::Command::new("sh");
    command.args(["-c", shell, env!("CARGO_BIN_EXE_fyke")]);
    let mut listener = || -> OwnedFd {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        endpoints.push(listener.local_addr().unwrap().to_string());
        listener.into()
    };
    let mut server = Running::of(command.stdin(listener()).stdout(listener()));
    drop(command);
    let noted = [server.note("listening on 127.0.0.1"), server.note("listening on 127.0.0.1")];
    for endpoint in &endpoints {
        assert!(noted.iter().any(|line| line.ends_with(endpoint)), "{noted:?}");
    }
    drop(TcpStream::connect(&endpoints[1]).unwrap());
    server.note("client 1 disconnected");
    assert!(server.wait().success());
}

/// Regression: it took twice the time, because written data counted as activity.
#[test]
fn idle_timeout_is_exact_for_a_client_that_never_reads() {
    use std::time::{Duration, Instant};

    let (server, endpoint) = Running::listen(&["--echo", "--idle-timeout", "4s"]);
    let mut client = TcpStream::connect(&endpoint).unwrap();
    client.set_nonblocking(true).unwrap();
    // Until no more data moves: the echo has filled every buffer on the way.
    let mut moved_at = Instant::now();
    while moved_at.elapsed() < Duration::from_secs(1) {
        if client.write(&[0; 65536]).is_ok_and(|count| count > 0) {
            moved_at = Instant::now();
        } else {
            std::thread::yield_now();
        }
    }
    // A client that has been idle for a shorter time is closed later.
    let _later = TcpStream::connect(&endpoint).unwrap();
    let first = server.note("was idle longer than --idle-timeout");
    assert!(first.contains("client 1 "), "{first}");
    server.note("client 2 was idle longer than --idle-timeout");
    // The client has not received everything, so it must not see an end.
    client.set_nonblocking(false).unwrap();
    let error = std::io::copy(&mut client, &mut std::io::sink()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}
