//! Whether a server can be reached: endpoints that only look like a server, servers whose queue is
//! full, and obstacles on this side.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;

use support::{Folder, Running, line, output};

/// An address of this machine that no other test uses, so that its ports stay free.
const OWN: &str = "127.0.0.78";

/// A free port of it.
fn free_port() -> String {
    let listener = TcpListener::bind((OWN, 0)).expect("a free port");
    listener.local_addr().expect("an address").port().to_string()
}

#[test]
#[cfg(target_os = "linux")]
fn a_connection_to_itself_does_not_count_as_a_server() {
    for (more, expected) in [
        (&[][..], 3),
        (&["--retry", "2", "--retry-max-delay", "1ms"], 3),
        (&["--wait", "200ms"], 4),
    ] {
        let port = free_port();
        let endpoint = format!("{OWN}:{port}");
        let from = ["connect", "--source", OWN, "--source-port", &port, &endpoint];
        let (code, text, errors) = output(&[&from[..], more].concat());
        assert_eq!((code, text.as_str()), (Some(expected), ""), "{errors}");
        assert!(errors.contains("ECONNREFUSED"), "{errors}");
    }
}

/// A server that accepts nothing, and the clients that fill its queue.
#[cfg(target_os = "linux")]
fn full_server(path: &str) -> (UnixListener, Vec<UnixStream>) {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

    let address = SocketAddrUnix::new(path).expect("a path");
    let socket = || {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .expect("a socket")
    };
    let listener = socket();
    rustix::net::bind(&listener, &address).expect("a new file");
    rustix::net::listen(&listener, 1).expect("a listener");
    let mut clients = Vec::new();
    loop {
        let client = socket();
        match rustix::net::connect(&client, &address) {
            Ok(()) => clients.push(client.into()),
            Err(errno) => {
                assert_eq!(errno, rustix::io::Errno::AGAIN);
                let listener = UnixListener::from(listener);
                listener.set_nonblocking(false).expect("set");
                return (listener, clients);
            }
        }
    }
}

/// Accepts the waiting clients, which send nothing, and then the one that does.
#[cfg(target_os = "linux")]
fn serve_the_next(listener: &UnixListener, before: Vec<UnixStream>) -> UnixStream {
    for _ in &before {
        drop(listener.accept().expect("it waits"));
    }
    listener.accept().expect("a client").0
}

#[test]
#[cfg(target_os = "linux")]
fn connect_waits_for_a_unix_server_whose_queue_is_full() {
    let folder = Folder::new();
    let path = folder.path("s");
    let (listener, before) = full_server(&path);
    let (code, _, errors) = output(&["connect", "-t", "200ms", &path]);
    assert_eq!(code, Some(4), "{errors}");
    assert!(errors.contains("ETIMEDOUT"), "{errors}");
    let mut client = Running::connect(&path);
    client.type_in("when there is room");
    let mut peer = serve_the_next(&listener, before);
    assert_eq!(line(&mut peer, 18), "when there is room");
}

#[test]
#[cfg(target_os = "linux")]
fn a_target_whose_queue_is_full_does_not_count_as_failed() {
    let folder = Folder::new();
    let path = folder.path("s");
    let (listener, before) = full_server(&path);
    let (relay, endpoint) = Running::relay(&path, &["-v", "--connect-timeout", "60s"]);
    let mut client = TcpStream::connect(&endpoint).unwrap();
    client.write_all(b"question").unwrap();
    relay.note("client 1 connected");
    let mut peer = serve_the_next(&listener, before);
    assert_eq!(line(&mut peer, 8), "question");
    peer.write_all(b"answer").unwrap();
    let mut answer = [0; 6];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"answer");
    drop((client, peer));
    relay.note("client 1 disconnected");
}

/// The output of a `connect` that fails.
fn failure(arguments: &[&str]) -> String {
    let (code, _, errors) = output(&[&["connect"], arguments].concat());
    assert_eq!(code, Some(3), "{errors}");
    errors
}

#[test]
#[cfg(target_os = "linux")]
fn a_foreign_source_address_and_a_port_in_use_give_different_errors() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = server.local_addr().unwrap().to_string();
    let line = failure(&["--source", "192.0.2.1", &endpoint]);
    assert!(line.ends_with(": this machine does not have that address\n"), "{line}");
    let port = free_port();
    let from = ["--source", OWN, "--source-port", &port, &endpoint];
    let mut first = Running::start(&[&["connect", "-vv"], &from[..]].concat());
    first.note("connected");
    let line = failure(&from);
    assert!(line.contains("EADDRNOTAVAIL"), "{line}");
    assert!(line.contains("the local port already has a connection to this address"), "{line}");
    let (_, taken) = endpoint.rsplit_once(':').unwrap();
    let line = failure(&["--source", "127.0.0.1", "--source-port", taken, &endpoint]);
    assert!(line.ends_with(": the local port is in use\n"), "{line}");
    assert!(first.is_running());
}

/// Runs in a network namespace with a single port for clients. The first client takes it, and the
/// program that the server runs for that client needs another.
#[test]
#[cfg(target_os = "linux")]
fn exhausted_local_ports_are_reported_as_such() {
    let shell = r#"
        ip link set lo up
        echo 40000 40000 > /proc/sys/net/ipv4/ip_local_port_range
        "$0" listen --exec "$0 connect 127.0.0.1:50000" 127.0.0.1:50000 &
        tail -f /dev/null |
            "$0" connect --retry 200 --retry-max-delay 50ms 127.0.0.1:50000"#;
    let mut command = std::process::Command::new("unshare");
    command.args(["-rnpf", "--kill-child", "sh", "-c", shell, env!("CARGO_BIN_EXE_fyke")]);
    let probe = std::process::Command::new("unshare").args(["-rnpf", "ip", "link"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        return eprintln!("skipped: a network namespace cannot be created here");
    }
    let running = Running::of(command.stdin(Stdio::null()).stdout(Stdio::null()));
    let line = running.note("EADDRNOTAVAIL");
    assert!(line.contains("127.0.0.1:50000: no local port is free"), "{line}");
}

#[test]
fn an_unknown_zone_and_an_unknown_host_give_different_errors() {
    for command in ["connect", "listen"] {
        let (code, _, errors) = output(&[command, "[fe80::1%nowhere]:80"]);
        assert_ne!(code, Some(0));
        assert!(errors.contains("with the name after the %"), "{errors}");
    }
    let (_, _, errors) = output(&["connect", "nowhere.invalid:80"]);
    assert!(!errors.contains('%'), "{errors}");
}
