//! Large amounts of data: nothing is lost, and nothing accumulates.

mod support;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use support::{Folder, Running, noise};

const BYTES: usize = 20_000_000;

/// Writes everything to standard input from another thread, and ends the input. The receiver gets a
/// message when the command has read all of it.
fn feed(to: &mut Running, bytes: &[u8]) -> mpsc::Receiver<()> {
    let (mut stdin, bytes) = (to.stdin.take().expect("standard input is open"), bytes.to_vec());
    let (sender, done) = mpsc::channel();
    thread::spawn(move || {
        if stdin.write_all(&bytes).is_ok() {
            let _ = sender.send(());
        }
    });
    done
}

/// The absence of an event can only be checked with the clock. Too short a time may let a broken test
/// pass, but never fail a correct one.
fn assert_held_back(done: &mpsc::Receiver<()>) {
    assert!(done.recv_timeout(Duration::from_millis(300)).is_err(), "nothing held the input back");
}

/// Not with `assert_eq`, which would print both.
fn assert_whole(came: &[u8], sent: &[u8]) {
    assert_eq!(came.len(), sent.len());
    assert!(came == sent, "the bytes differ");
}

#[test]
fn a_file_from_a_client_arrives_complete() {
    let bytes = noise(BYTES);
    let (mut server, endpoint) = Running::listen(&["--once"]);
    let mut client = Running::connect(&endpoint);
    let _done = feed(&mut client, &bytes);
    assert_whole(&server.read_to_the_end(), &bytes);
    assert!(client.wait().success());
    assert!(server.wait().success());
}

#[test]
fn a_file_from_the_server_arrives_complete() {
    let bytes = noise(BYTES);
    let (mut server, endpoint) = Running::listen(&["--once"]);
    let mut client = Running::connect(&endpoint);
    let _done = feed(&mut server, &bytes);
    assert_whole(&client.read(bytes.len()), &bytes);
    client.end_of_input();
    assert!(client.wait().success());
    assert!(server.wait().success());
}

#[test]
fn an_echo_returns_everything_over_tcp_and_over_a_unix_socket() {
    let bytes = noise(BYTES);
    let folder = Folder::new();
    for endpoint in ["127.0.0.1:0", &folder.path("s")] {
        let (mut server, endpoint) = Running::listen_at(endpoint, &["--once", "--echo"]);
        let mut client = Running::connect(&endpoint);
        let _done = feed(&mut client, &bytes);
        assert_whole(&client.read_to_the_end(), &bytes);
        assert!(client.wait().success());
        assert!(server.wait().success());
    }
}

/// The peak memory of a process, in kilobytes.
#[cfg(target_os = "linux")]
fn peak_kilobytes(process: &Running) -> u64 {
    let path = format!("/proc/{}/status", process.id());
    let status = std::fs::read_to_string(path).expect("it runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = peak.and_then(|peak| peak.split_whitespace().next()?.parse().ok());
    number.expect("a number")
}

#[test]
fn a_client_that_does_not_read_pauses_standard_input_and_memory_stays_constant() {
    let bytes = noise(BYTES);
    let folder = Folder::new();
    let (mut server, endpoint) = Running::listen_at(&folder.path("s"), &[]);
    let mut slow = UnixStream::connect(&endpoint).unwrap();
    server.note("client 1 connected");
    let done = feed(&mut server, &bytes);
    assert_held_back(&done);
    // The server itself still works as before.
    let mut other = UnixStream::connect(&endpoint).unwrap();
    other.write_all(b"still there?").unwrap();
    server.expect("still there?");
    drop(other);
    let mut came = vec![0; bytes.len()];
    slow.read_exact(&mut came).unwrap();
    assert_whole(&came, &bytes);
    #[cfg(target_os = "linux")]
    assert!(peak_kilobytes(&server) < 16 * 1024, "{} kB", peak_kilobytes(&server));
}

#[test]
fn the_other_clients_continue_when_a_slow_client_leaves_or_ends() {
    let bytes = noise(2_000_000);
    let ways: [fn(&UnixStream); 2] = [
        |slow| slow.shutdown(Shutdown::Both).unwrap(),
        // The client is still connected, and could read the data queued for it.
        |slow| slow.shutdown(Shutdown::Write).unwrap(),
    ];
    for leave in ways {
        let folder = Folder::new();
        let (mut server, endpoint) = Running::listen_at(&folder.path("s"), &[]);
        let slow = UnixStream::connect(&endpoint).unwrap();
        server.note("client 1 connected");
        let mut other = Running::connect(&endpoint);
        server.note("client 2 connected");
        let done = feed(&mut server, &bytes);
        assert_whole(&other.read(1000), &bytes[..1000]);
        assert_held_back(&done);
        leave(&slow);
        assert_whole(&other.read(bytes.len() - 1000), &bytes[1000..]);
        assert!(server.is_running());
    }
}

#[test]
fn a_server_that_does_not_read_pauses_the_client_and_memory_stays_constant() {
    let bytes = noise(BYTES);
    let folder = Folder::new();
    let listener = std::os::unix::net::UnixListener::bind(folder.path("s")).unwrap();
    let mut client = Running::connect(&folder.path("s"));
    let (mut peer, _) = listener.accept().unwrap();
    let done = feed(&mut client, &bytes);
    assert_held_back(&done);
    let mut came = vec![0; bytes.len()];
    peer.read_exact(&mut came).unwrap();
    assert_whole(&came, &bytes);
    #[cfg(target_os = "linux")]
    assert!(peak_kilobytes(&client) < 16 * 1024, "{} kB", peak_kilobytes(&client));
    drop(peer);
    assert!(client.wait().success());
}
