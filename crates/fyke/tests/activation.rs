//! Descriptors that systemd passes to a process. A child of this test gets them as from systemd: a
//! shell moves them to 3 and up, and writes down its own process id before it becomes the child. The
//! children are the ignored tests of this file, or an example.

#![cfg(unix)]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};

use fyke::{ErrorCode, systemd};
use rustix::io::{FdFlags, fcntl_getfd};
use support::{DEADLINE, Net, child};

/// A command that gets two descriptors as 3 and 4, after the shell has run `set`.
fn activated(program: &std::path::Path, set: &str, first: OwnedFd, second: OwnedFd) -> Command {
    let mut command = Command::new("sh");
    let script = format!("exec 3<&0 4<&1 </dev/null >&2; {set} exec \"$0\" \"$@\"");
    command.args(["-c", &script]).arg(program);
    command.stdin(Stdio::from(first)).stdout(Stdio::from(second)).stderr(Stdio::piped());
    command
}

/// One of the ignored tests below.
fn child_for(test: &str, set: &str, fds: [OwnedFd; 2]) -> Command {
    let [first, second] = fds;
    let mut command = activated(&std::env::current_exe().unwrap(), set, first, second);
    child::that_runs(&mut command, test);
    command
}

fn passes(mut command: Command) {
    let child = command.spawn().unwrap();
    // The command holds copies of the descriptors.
    drop(command);
    child::passes(child);
}

fn listeners() -> (SocketAddr, [OwnedFd; 2]) {
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    (web.local_addr().unwrap(), [web.into(), other.into()])
}

on_every_system! {
    fn servers_listen_on_descriptors_passed_by_name(net) {
        let path = net.path();
        let web = TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = UnixListener::bind(&path).unwrap();
        let address = web.local_addr().unwrap();
        let set = "export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=web:admin;";
        let command = child_for("a_child_that_serves", set, [web.into(), admin.into()]);
        // Connected before the child has started: no connection is refused meanwhile.
        let mut tcp = TcpStream::connect(address).unwrap();
        let mut unix = UnixStream::connect(&path).unwrap();
        let running = std::thread::spawn(|| passes(command));
        tcp.set_read_timeout(Some(DEADLINE)).unwrap();
        unix.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut text = String::new();
        tcp.read_to_string(&mut text).unwrap();
        unix.read_to_string(&mut text).unwrap();
        assert_eq!(text, "from web\nfrom admin\n");
        // The child's connections end with those of this process.
        drop((tcp, unix));
        running.join().unwrap();
        assert!(path.exists(), "systemd's to remove");
    }
}

#[test]
#[ignore = "the child of a test"]
fn a_child_that_serves() {
    if !child::is_for("a_child_that_serves") {
        return;
    }
    Net::ready().run(|| {
        assert!(systemd::listen_fds_named("nobody").unwrap().is_empty());
        let admin = systemd::listen_fds_named("admin").unwrap();
        let web = systemd::listen_fds().unwrap();
        // Each descriptor can be taken once.
        assert!(systemd::listen_fds().unwrap().is_empty());
        for (numbers, descriptors) in [(4, admin), (3, web)] {
            let [descriptor] = descriptors.try_into().unwrap();
            assert_eq!(descriptor.as_fd().as_raw_fd(), numbers);
            assert!(fcntl_getfd(&descriptor).unwrap().contains(FdFlags::CLOEXEC));
            let greeting = format!("from {}\n", descriptor.name());
            let server = fyke::create_server(move |socket| {
                socket.end_with(greeting.as_str());
                socket.server().unwrap().close();
            });
            server.listen_fd(descriptor.into()).unwrap();
        }
    });
}

#[test]
fn descriptors_for_another_process_are_left_alone() {
    for set in [
        "export LISTEN_PID=1 LISTEN_FDS=2;",
        "export LISTEN_PID=$$;",
        "export LISTEN_FDS=2;",
        "export LISTEN_PID=$PPID LISTEN_FDS=nonsense;",
        "export LISTEN_PID=$$ LISTEN_FDS=0 LISTEN_FDNAMES=;",
    ] {
        passes(child_for("a_child_that_gets_no_descriptor", set, listeners().1));
    }
}

#[test]
#[ignore = "the child of a test"]
fn a_child_that_gets_no_descriptor() {
    if !child::is_for("a_child_that_gets_no_descriptor") {
        return;
    }
    assert!(systemd::listen_fds().unwrap().is_empty());
    assert!(systemd::listen_fds_named("unknown").unwrap().is_empty());
    assert!(std::fs::exists("/dev/fd/3").unwrap() && std::fs::exists("/dev/fd/4").unwrap());
}

#[test]
fn an_invalid_environment_is_an_error_with_a_code_and_no_descriptor_is_taken() {
    let malformed = ErrorCode::ERR_INVALID_ARG_VALUE;
    for (set, code) in [
        ("export LISTEN_PID=$$ LISTEN_FDS=-1;", malformed),
        ("export LISTEN_PID=$$ LISTEN_FDS=99999999999999999999;", malformed),
        ("export LISTEN_PID=x LISTEN_FDS=1;", malformed),
        ("export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=one;", malformed),
        ("export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=$(printf 'a\\377:b');", malformed),
        // One descriptor is closed.
        ("export LISTEN_PID=$$ LISTEN_FDS=2; exec 4<&-;", ErrorCode::EBADF),
        // The count is too high: the next descriptor is closed, or one that the child has opened
        // itself.
        ("export LISTEN_PID=$$ LISTEN_FDS=2147483647;", ErrorCode::ERR_INVALID_FD_TYPE),
        ("export LISTEN_PID=$$ LISTEN_FDS=100000;", ErrorCode::EBADF),
    ] {
        let mut command = child_for("a_child_that_refuses", set, listeners().1);
        command.env("FYKE_TEST_CODE", code.as_str());
        passes(command);
    }
}

#[test]
#[ignore = "the child of a test"]
fn a_child_that_refuses() {
    if !child::is_for("a_child_that_refuses") {
        return;
    }
    let expected = std::env::var("FYKE_TEST_CODE").unwrap();
    for _ in 0..2 {
        let code = systemd::listen_fds().unwrap_err().code();
        // The descriptors after the two that were passed depend on what the child has open.
        let others = [ErrorCode::EBADF, ErrorCode::ERR_INVALID_FD_TYPE];
        let either = others.iter().any(|other| other.as_str() == expected);
        assert!(code.as_str() == expected || (either && others.contains(&code)), "{code}");
    }
    assert!(std::fs::exists("/dev/fd/3").unwrap(), "not taken over, so not closed either");
}

#[test]
fn an_inherited_descriptor_can_be_taken_once_by_its_number_and_is_closed_on_exec() {
    passes(child_for("a_child_that_takes_a_descriptor_by_its_number", "", listeners().1));
}

#[test]
#[ignore = "the child of a test"]
fn a_child_that_takes_a_descriptor_by_its_number() {
    if !child::is_for("a_child_that_takes_a_descriptor_by_its_number") {
        return;
    }
    let own = TcpListener::bind("127.0.0.1:0").unwrap();
    for (number, code) in [
        (0, ErrorCode::ERR_INVALID_FD_TYPE),
        (-1, ErrorCode::ERR_INVALID_FD_TYPE),
        (own.as_raw_fd(), ErrorCode::ERR_INVALID_FD_TYPE),
        (99_999, ErrorCode::EBADF),
    ] {
        assert_eq!(fyke::inherited_fd(number).unwrap_err().code(), code, "{number}");
    }
    let fd = fyke::inherited_fd(4).unwrap();
    assert_eq!(fd.as_raw_fd(), 4);
    assert!(fcntl_getfd(&fd).unwrap().contains(FdFlags::CLOEXEC));
    assert_eq!(fyke::inherited_fd(4).unwrap_err().code(), ErrorCode::EEXIST);
    drop(fd);
    assert!(!std::fs::exists("/dev/fd/4").unwrap() && std::fs::exists("/dev/fd/3").unwrap());
    assert_eq!(fyke::inherited_fd(4).unwrap_err().code(), ErrorCode::EEXIST);
}

#[test]
fn the_example_echoes_on_the_sockets_of_systemd() {
    let (address, [web, other]) = listeners();
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.extend(["examples", "activated"]);
    let set = "export LISTEN_PID=$$ LISTEN_FDS=2;";
    let mut child = activated(&path, set, web, other).spawn().unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client.write_all(b"over systemd").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(text, "over systemd");
}
