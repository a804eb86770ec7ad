//! Standard streams that are not read, that are closed, or that are the socket.

#![cfg(target_os = "linux")]

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use support::{
    Folder, Process, Running, fyke, noise, reach, round_trip, small_pipe, talk, wait_until_full,
};

/// Sends from a thread until the connection is closed.
fn flood(mut stream: impl Write + Send + 'static) {
    thread::spawn(move || while stream.write_all(&[b'x'; 65536]).is_ok() {});
}

#[test]
fn a_relay_whose_log_is_not_read_continues_and_counts_dropped_lines() {
    let folder = Folder::new();
    let (_server, target) = Running::listen_at(&folder.path("t"), &["--echo"]);
    let (reader, writer) = small_pipe();
    let arguments = ["relay", "-vv", &folder.path("s"), &target];
    let mut relay = Process::start(fyke(&arguments).stderr(writer));
    let mut first = reach(&folder.path("s"));
    // More lines than are kept.
    for _ in 0..2500 {
        round_trip(&mut reach(&folder.path("s")));
    }
    round_trip(&mut first);
    relay.signal("TERM");
    drop(first);
    let mut text = String::new();
    File::from(reader).read_to_string(&mut text).unwrap();
    assert_eq!(relay.end(), 0);
    let dropped = text.lines().find(|line| line.contains("lines dropped")).expect("a count");
    let count = dropped.split(' ').nth(1).and_then(|count| count.parse::<usize>().ok());
    assert!(count.is_some_and(|count| count > 100), "{dropped}");
    // Only complete lines are dropped.
    assert!(text.lines().all(|line| line.starts_with("fyke: ")), "{text}");
}

#[test]
fn a_relay_whose_statistics_are_not_read_continues_and_ends_on_sigterm() {
    let folder = Folder::new();
    let (_server, target) = Running::listen_at(&folder.path("t"), &["--echo"]);
    let (_reader, writer) = small_pipe();
    let arguments = ["relay", "--json", "--interval", "1ms", &folder.path("s"), &target];
    let mut relay = Process::start(fyke(&arguments).stdout(writer.try_clone().unwrap()));
    let mut client = reach(&folder.path("s"));
    wait_until_full(&writer);
    (0..100).for_each(|_| round_trip(&mut client));
    relay.signal("TERM");
    drop(client);
    assert_eq!(relay.end(), 0);
}

#[test]
fn a_relay_continues_after_the_reader_of_its_statistics_exits() {
    let folder = Folder::new();
    let (_server, target) = Running::listen_at(&folder.path("t"), &["--echo"]);
    let arguments = ["relay", "-v", "--json", "--interval", "1ms", &folder.path("s"), &target];
    let mut relay = Running::start(&arguments);
    let mut client = reach(&folder.path("s"));
    round_trip(&mut client);
    relay.close_output();
    relay.note("printing has stopped");
    round_trip(&mut client);
    round_trip(&mut reach(&folder.path("s")));
    relay.signal("TERM");
    drop(client);
    assert_eq!(relay.wait().code(), Some(0));
}

#[test]
fn a_relay_whose_statistics_fill_a_disk_continues_and_fails_at_the_end() {
    let folder = Folder::new();
    let (_server, target) = Running::listen_at(&folder.path("t"), &["--echo"]);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let arguments = ["relay", "-v", "--json", "--interval", "1ms", &folder.path("s"), &target];
    let mut relay = Running::of(fyke(&arguments).stdout(full));
    relay.note("printing has stopped");
    round_trip(&mut reach(&folder.path("s")));
    relay.signal("TERM");
    assert_eq!(relay.wait().code(), Some(1));
    relay.note("standard output: No space left");
}

#[test]
fn one_signal_ends_a_server_whose_output_is_not_read() {
    for (format, name, number) in [
        (None, "INT", 2),
        (None, "TERM", 15),
        (Some("--json"), "TERM", 15),
        (Some("--hex"), "HUP", 1),
    ] {
        let folder = Folder::new();
        let (_reader, writer) = small_pipe();
        let path = folder.path("s");
        let mut command = fyke(&["listen", &path]);
        let mut server = Process::start(command.args(format).stdout(writer.try_clone().unwrap()));
        flood(reach(&path));
        wait_until_full(&writer);
        server.signal(name);
        assert_eq!(server.end(), -number, "{format:?}");
        assert!(folder.is_empty());
    }
}

#[test]
fn one_signal_ends_a_command_whose_log_is_not_read() {
    let folder = Folder::new();
    for arguments in [&["listen", "-vv", "--echo"][..], &["relay", "-vv", "--drain", "0"]] {
        let (_reader, writer) = small_pipe();
        let path = folder.path("s");
        let mut command = fyke(arguments);
        command.arg(&path).stderr(writer.try_clone().unwrap());
        if arguments[0] == "relay" {
            command.arg(folder.path("nowhere"));
        }
        let mut server = Process::start(&mut command);
        let reached = reach(&path);
        // Clients connect and leave until no more output fits.
        let comes = Arc::new(AtomicBool::new(true));
        let more = Arc::clone(&comes);
        let clients = thread::spawn(move || {
            while more.load(Ordering::SeqCst) {
                drop(reach(&path));
            }
        });
        wait_until_full(&writer);
        comes.store(false, Ordering::SeqCst);
        clients.join().unwrap();
        drop(reached);
        server.signal("TERM");
        assert!([-15, 0].contains(&server.end()));
    }
}

#[test]
fn a_signal_ends_a_command_that_is_waiting_to_write_its_last_output() {
    let folder = Folder::new();
    let (_reader, writer) = small_pipe();
    let (mut server, mut peer) = talk(&folder, "listen", |command| {
        command.stdout(writer);
    });
    peer.write_all(&noise(100_000)).unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    // The only connection has ended, but its data is not written yet.
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    server.signal("TERM");
    assert_eq!(server.end(), -15);
}

#[test]
fn a_server_that_only_displays_data_continues_after_its_reader_exits() {
    for more in [&["--echo", "--json"][..], &["--echo", "--hex"], &["--exec", "cat", "--json"]] {
        let folder = Folder::new();
        let (mut server, path) = Running::listen_at(&folder.path("s"), more);
        server.close_output();
        let mut client = reach(&path);
        // The reader exits after its first read, which is detected when more is printed.
        let goes_on = Arc::new(AtomicBool::new(true));
        let more = Arc::clone(&goes_on);
        let talking = thread::spawn(move || {
            while more.load(Ordering::SeqCst) {
                round_trip(&mut client);
            }
            round_trip(&mut client);
        });
        server.note("printing has stopped");
        goes_on.store(false, Ordering::SeqCst);
        talking.join().unwrap();
        round_trip(&mut reach(&path));
        server.signal("TERM");
        server.wait();
    }
}

#[test]
fn a_socket_used_as_all_three_streams_gets_only_the_data_that_is_sent() {
    let (mut peer, own) = UnixStream::pair().unwrap();
    let own = OwnedFd::from(own);
    let mut command = fyke(&["connect", "-vv", "fd:0"]);
    command.stdin(own.try_clone().unwrap()).stdout(own.try_clone().unwrap()).stderr(own);
    let mut process = Process::start(&mut command);
    drop(command);
    peer.write_all(&noise(500_000)).unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let mut back = Vec::new();
    peer.read_to_end(&mut back).unwrap();
    assert_eq!((process.end(), String::from_utf8_lossy(&back)), (0, "".into()));
}

/// Shuts down both directions of every socket pair that the process has made for itself.
fn cut_own_sockets(process: u32) -> usize {
    use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

    let pid = Pid::from_raw(process.try_into().unwrap()).unwrap();
    let opened = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    let names = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let numbers = names.filter_map(|name| name.ok()?.file_name().to_str()?.parse().ok());
    let mut cut = 0;
    for number in numbers {
        let Ok(fd) = pidfd_getfd(&opened, number, PidfdGetfdFlags::empty()) else { continue };
        let stream = UnixStream::from(fd);
        let of_a_pair = |address: std::io::Result<std::os::unix::net::SocketAddr>| {
            address.is_ok_and(|address| address.is_unnamed())
        };
        if number > 2 && of_a_pair(stream.local_addr()) && of_a_pair(stream.peer_addr()) {
            cut += usize::from(stream.shutdown(Shutdown::Both).is_ok());
        }
    }
    cut
}

#[test]
fn a_command_whose_signal_sockets_fail_still_ends_by_a_signal() {
    let (mut server, endpoint) = Running::listen(&["--echo"]);
    // The process closes the other end of a pair when it detects that one is shut down.
    assert!(cut_own_sockets(server.id()) >= 3);
    let mut client = TcpStream::connect(endpoint).unwrap();
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    server.signal("TERM");
    assert_eq!(server.wait().signal(), Some(15));
}

#[test]
fn standard_input_is_sent_while_standard_output_is_not_read() {
    let folder = Folder::new();
    let listener = UnixListener::bind(folder.path("s")).unwrap();
    let (reader, writer) = small_pipe();
    let mut command = fyke(&["connect", &folder.path("s")]);
    command.stdin(Stdio::piped()).stdout(writer.try_clone().unwrap());
    let mut client = Process::start(&mut command);
    // It holds an end of the pipe.
    drop(command);
    let (mut peer, _) = listener.accept().unwrap();
    let talks = peer.try_clone().unwrap();
    let news = noise(1_000_000);
    let reported = news.clone();
    let writing = thread::spawn(move || (&talks).write_all(&reported).unwrap());
    wait_until_full(&writer);
    drop(writer);
    let bytes = noise(2_000_000);
    let mut stdin = client.0.stdin.take().unwrap();
    let typed = bytes.clone();
    thread::spawn(move || stdin.write_all(&typed).unwrap());
    let mut came = vec![0; bytes.len()];
    peer.read_exact(&mut came).unwrap();
    assert!(came == bytes, "the bytes differ");
    // The pending data is complete.
    let printed = thread::spawn(move || {
        let mut all = Vec::new();
        File::from(reader).read_to_end(&mut all).map(|_| all)
    });
    writing.join().unwrap();
    drop(peer);
    assert!(printed.join().unwrap().unwrap() == news, "the bytes differ");
    assert_eq!(client.end(), 0);
}

#[test]
fn a_server_that_is_its_own_standard_input_does_not_read_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = listener.local_addr().unwrap();
    let mut server = Running::of(
        fyke(&["listen", "-v", "fd:0"]).stdin(OwnedFd::from(listener)).stdout(Stdio::piped()),
    );
    for text in ["first", "second"] {
        let mut client = TcpStream::connect(endpoint).unwrap();
        client.write_all(text.as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        server.expect(text);
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }
    server.signal("TERM");
    server.wait();
    let failed = server.notes_to_the_end().into_iter().find(|line| line.contains("input: "));
    assert_eq!(failed, None);
}

#[test]
fn a_connection_on_standard_input_or_output_is_used_only_as_the_connection() {
    let bytes = noise(500_000);
    for descriptor in ["fd:0", "fd:1", "fd:2"] {
        let (mut peer, own) = UnixStream::pair().unwrap();
        let mut command = fyke(&["connect", "-v", "--on-eof", "keep", descriptor]);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        match descriptor {
            "fd:0" => command.stdin(OwnedFd::from(own)),
            "fd:1" => command.stdout(OwnedFd::from(own)),
            _ => command.stderr(OwnedFd::from(own)),
        };
        let mut process = Process::start(&mut command);
        drop(command);
        let stdout = process.0.stdout.take();
        let printed = thread::spawn(move || {
            let mut all = Vec::new();
            stdout.map(|mut stdout| stdout.read_to_end(&mut all));
            all
        });
        peer.write_all(&bytes).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        peer.read_to_end(&mut back).unwrap();
        assert_eq!(back.len(), 0, "{descriptor}: something of ours was sent");
        assert_eq!(process.end(), 0, "{descriptor}");
        let printed = printed.join().unwrap();
        assert!(descriptor == "fd:1" || printed == bytes, "{descriptor}: {} bytes", printed.len());
    }
}
