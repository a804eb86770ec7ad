//! Sockets in the tables of the system, and a test's own ends of connections.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::DEADLINE;

/// A listener on a free port of the loopback interface, and its endpoint as text.
pub(crate) fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = listener.local_addr().expect("an address").to_string();
    (listener, endpoint)
}

/// Waits until `condition` holds.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Makes dropping `stream` a reset.
pub(crate) fn reset_on_drop(stream: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).expect("an option");
}

/// All received data, and how it ended: `None` for the end of the peer, otherwise the error.
pub(crate) fn read_all(stream: &mut TcpStream) -> (Vec<u8>, Option<ErrorKind>) {
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let mut all = Vec::new();
    let ended = stream.read_to_end(&mut all);
    (all, ended.err().map(|error| error.kind()))
}

/// Writes until the peer no longer accepts data; returns the error.
pub(crate) fn write_until_it_fails(stream: &mut TcpStream) -> ErrorKind {
    stream.set_write_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    loop {
        if let Err(error) = stream.write(&[0; 4096]) {
            return error.kind();
        }
    }
}

/// Waits until the peer's system has acknowledged all written data: the first number of the queue
/// column (proc_pid_net(5)) is 0.
#[cfg(target_os = "linux")]
pub(crate) fn until_acknowledged(stream: &TcpStream) {
    let ours = format!(":{:04X}", stream.local_addr().expect("an address").port());
    let theirs = format!(":{:04X}", stream.peer_addr().expect("an address").port());
    until("everything is acknowledged", || {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("a table");
        table.lines().any(|line| {
            let words: Vec<_> = line.split_ascii_whitespace().collect();
            let found = words[1].ends_with(&ours) && words[2].ends_with(&theirs);
            found && words[4].starts_with("00000000:")
        })
    });
}

/// Copies of the TCP connections of another process, by pidfd_getfd(2).
#[cfg(target_os = "linux")]
pub(crate) fn connections_of(process: u32) -> Vec<TcpStream> {
    use rustix::net::{AddressFamily, getpeername, sockopt};
    use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

    let pid = i32::try_from(process).ok().and_then(Pid::from_raw).expect("a process");
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).expect("it runs");
    let folder = std::fs::read_dir(format!("/proc/{process}/fd")).expect("it runs");
    let numbers = folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let numbers: Vec<i32> = numbers.collect();
    let copy = |number| pidfd_getfd(&pidfd, number, PidfdGetfdFlags::empty()).ok();
    let copies = numbers.into_iter().filter_map(copy);
    let connected = copies.filter(|fd| {
        let ip = |family| family == AddressFamily::INET || family == AddressFamily::INET6;
        sockopt::socket_domain(fd).is_ok_and(ip) && getpeername(fd).is_ok()
    });
    connected.map(TcpStream::from).collect()
}

/// The current memory of a process, in kilobytes.
#[cfg(target_os = "linux")]
pub(crate) fn resident_kilobytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("a number")
}
