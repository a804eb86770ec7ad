//! `fyke listen --exec`: what a program gets, and that it belongs to its connection.

mod support;

use std::io::Read;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use support::Running;

/// Prints what its open descriptors stand for.
const DESCRIPTORS: &str = "sh -c 'cd /proc/$$/fd; for fd in *; do readlink $fd; done'";

/// All that a client is sent that says nothing.
fn answer(endpoint: &str) -> String {
    let mut client = TcpStream::connect(endpoint).expect("the server listens");
    client.shutdown(Shutdown::Write).expect("it stands");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    answer
}

/// `fyke listen` that was started with two listeners, at 3 and 4, by a shell that runs `before`; and
/// their endpoints, and what they are called in /proc.
fn activated(before: &str, arguments: &str) -> (Running, [(String, String); 2]) {
    let listener = || TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (first, second) = (listener(), listener());
    let names = [&first, &second].map(|one| {
        let link = format!("/proc/self/fd/{}", one.as_raw_fd());
        let name = std::fs::read_link(link).expect("it is open");
        (one.local_addr().expect("one").to_string(), name.to_string_lossy().into_owned())
    });
    let shell = format!(
        r#"exec 3<&0 4<&1 0</dev/null 1>&2; {before} exec "$0" listen {arguments} --exec "$1""#
    );
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &shell, env!("CARGO_BIN_EXE_fyke"), DESCRIPTORS]);
    command.stdin(OwnedFd::from(first)).stdout(OwnedFd::from(second));
    let server = Running::of(&mut command);
    drop(command);
    (server, names)
}

#[test]
#[cfg(target_os = "linux")]
fn a_program_inherits_nothing_that_fyke_has_opened() {
    // What the test was started with passes through.
    let words = shlex::split(DESCRIPTORS).expect("a command");
    let own = std::process::Command::new(&words[0]).args(&words[1..]).output().expect("a shell");
    let (_server, endpoint) = Running::listen(&["--exec", DESCRIPTORS]);
    let _other = TcpStream::connect(&endpoint).expect("the server listens");
    let inherited = answer(&endpoint);
    let count = own.stdout.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(inherited.lines().count(), count, "{inherited}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_program_does_not_inherit_a_listener_that_fyke_was_started_with() {
    for (before, arguments) in [
        ("", "fd:3 fd:4"),
        ("export LISTEN_PID=$$ LISTEN_FDS=2;", "systemd:"),
        ("exec 0<&3 3<&- 2<&4 4<&-;", "fd:0 fd:2"),
        ("exec 1<&3 3<&- 2<&4 4<&-;", "fd:1 fd:2"),
    ] {
        let (_server, names) = activated(before, arguments);
        for (endpoint, _) in &names {
            let inherited = answer(endpoint);
            assert!(inherited.starts_with("socket:"), "{inherited}");
            for (_, listener) in &names {
                assert!(!inherited.contains(listener), "{arguments}: {inherited}");
            }
        }
    }
}
