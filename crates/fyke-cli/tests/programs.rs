//! `fyke listen --exec`: what a program inherits, and that it ends with its connection.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Stdio;

use support::{Folder, Running, is_alive, wait_until};

/// Prints the objects that its open descriptors refer to.
const DESCRIPTORS: &str = "sh -c 'cd /proc/$$/fd; for fd in *; do readlink $fd; done'";

/// Everything that a client receives without sending anything.
fn answer(endpoint: &str) -> String {
    let mut client = TcpStream::connect(endpoint).expect("the server listens");
    client.shutdown(Shutdown::Write).expect("it is connected");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    answer
}

/// Starts `fyke listen` with two inherited listeners, at 3 and 4, by a shell that first runs `before`.
/// Returns it, the endpoints, and the names of the listeners in /proc.
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
fn a_program_inherits_no_descriptor_that_fyke_has_opened() {
    // Descriptors that the test itself has inherited pass through.
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

/// Connects a client to a program whose first line is a process id. Returns both.
fn client_of(endpoint: &str) -> (TcpStream, u32) {
    let client = TcpStream::connect(endpoint).expect("the server listens");
    let mut line = String::new();
    BufReader::new(&client).read_line(&mut line).expect("a line");
    let id = line.trim().parse().unwrap_or_else(|error| panic!("{line:?}: {error}"));
    (client, id)
}

/// The other side gets RST.
fn break_off(client: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&client, Some(std::time::Duration::ZERO)).expect("set");
    drop(client);
}

/// A program that prints its process id, and neither reads nor writes after that.
const SILENT: &str = "sh -c 'echo $$; exec sleep 600'";
/// Its process is not the one that the connection was started for.
const WITH_CHILD: &str = "sh -c 'sleep 600 & echo $!; wait'";
/// A program that ignores SIGTERM.
const STUBBORN: &str = "sh -c 'trap \"\" TERM; echo $$; while :; do sleep 600; done'";

#[test]
fn when_a_client_resets_its_connection_its_program_and_the_children_get_sigterm() {
    for program in [SILENT, WITH_CHILD] {
        let (server, endpoint) = Running::listen(&["--max-connections", "2", "--exec", program]);
        for _ in 0..6 {
            let (client, id) = client_of(&endpoint);
            break_off(client);
            server.note("sending SIGTERM to the program");
            wait_until("its end", || !is_alive(id));
            server.note("the program has ended, signal: 15");
        }
    }
}

#[test]
fn a_program_counts_as_a_connection_until_it_has_ended() {
    for limit in ["--max-connections", "--max-per-ip"] {
        let arguments = [limit, "1", "--kill-after", "60s", "--exec", STUBBORN];
        let (server, endpoint) = Running::listen(&arguments);
        let (client, id) = client_of(&endpoint);
        break_off(client);
        server.note("sending SIGTERM to the program");
        let mut refused = TcpStream::connect(&endpoint).unwrap();
        server.note("was refused: too many connections");
        assert!(matches!(refused.read(&mut [0]), Ok(0) | Err(_)));
        assert!(is_alive(id));
        kill(id);
        server.note("the program has ended, signal: 9");
        // Its child ignores the signal as well.
        wait_until("a server", || TcpStream::connect(&endpoint).is_ok());
    }
}

#[test]
fn a_program_that_does_not_end_is_killed_and_frees_its_place() {
    let arguments = ["--max-connections", "1", "--kill-after", "100ms", "--exec", STUBBORN];
    let (server, endpoint) = Running::listen(&arguments);
    for _ in 0..2 {
        let (client, id) = client_of(&endpoint);
        break_off(client);
        server.note("sending SIGKILL to the program");
        server.note("the program has ended, signal: 9");
        wait_until("its end", || !is_alive(id));
    }
}

#[test]
fn fyke_waits_for_its_programs_before_it_exits() {
    use std::os::unix::process::ExitStatusExt;

    for (signal, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        for program in [SILENT, WITH_CHILD, STUBBORN] {
            let (mut server, endpoint) =
                Running::listen(&["--kill-after", "100ms", "--exec", program]);
            let clients = [client_of(&endpoint), client_of(&endpoint)];
            server.signal(signal);
            assert_eq!(server.wait().signal(), Some(number));
            for (_, id) in clients {
                assert!(!is_alive(id), "{program}: it has survived");
            }
        }
    }
}

#[test]
fn an_idle_connection_ends_with_its_program_and_with_once_so_does_fyke() {
    let arguments = ["--once", "--idle-timeout", "200ms", "--exec", SILENT];
    let (mut server, endpoint) = Running::listen(&arguments);
    let (_client, id) = client_of(&endpoint);
    assert_eq!(server.wait().code(), Some(4));
    assert!(!is_alive(id));
}

#[test]
fn a_client_that_only_ends_its_side_gets_all_output_of_the_program() {
    let program = "sh -c 'cat >/dev/null; sleep 0.2; echo all'";
    let (server, endpoint) = Running::listen(&["--kill-after", "0", "--exec", program]);
    assert_eq!(answer(&endpoint), "all\n");
    server.note("the program has ended, exit status: 0");
}

#[test]
fn a_program_that_has_closed_its_output_has_time_to_end_by_itself() {
    let folder = Folder::new();
    let path = folder.path("done");
    let program = format!("sh -c 'echo said; exec >&-; sleep 0.2; echo done > {path}'");
    let (server, endpoint) = Running::listen(&["--exec", &program]);
    assert_eq!(answer(&endpoint), "said\n");
    server.note("client 1 disconnected");
    server.note("the program has ended, exit status: 0");
    assert_eq!(std::fs::read_to_string(path).unwrap(), "done\n");
    // Also with --once.
    let folder = Folder::new();
    let path = folder.path("done");
    let program = format!("sh -c 'echo said; exec >&-; sleep 0.2; echo done > {path}'");
    let (mut server, endpoint) = Running::listen(&["--once", "--exec", &program]);
    assert_eq!(answer(&endpoint), "said\n");
    assert!(server.wait().success());
    assert_eq!(std::fs::read_to_string(path).unwrap(), "done\n");
}

#[test]
fn programs_serve_only_this_machine_unless_an_address_is_given() {
    for (place, expected) in
        [("0", "127.0.0.1:"), (":0", "127.0.0.1:"), ("0.0.0.0:0", "0.0.0.0:"), ("[::]:0", "[::]:")]
    {
        let server = Running::start(&["listen", "-v", "--exec", "cat", place]);
        let line = server.note("listening on ");
        assert!(line.contains(&format!("listening on {expected}")), "{place}: {line}");
    }
}

#[test]
fn at_most_64_programs_run_at_once_by_default() {
    let (server, endpoint) = Running::listen(&["--exec", "cat"]);
    let clients: Vec<_> = (0..64)
        .map(|number| {
            let client = TcpStream::connect(&endpoint).expect("the server listens");
            server.note(&format!("client {} connected", number + 1));
            client
        })
        .collect();
    let mut refused = TcpStream::connect(&endpoint).unwrap();
    server.note("was refused: too many connections");
    assert!(matches!(refused.read(&mut [0]), Ok(0) | Err(_)));
    drop(clients);
}

/// The open descriptors of the process.
#[cfg(target_os = "linux")]
fn descriptors(id: u32) -> usize {
    std::fs::read_dir(format!("/proc/{id}/fd")).expect("it runs").count()
}

/// Connects one client of `cat`, and returns whether it was served.
fn talk(endpoint: &str) -> bool {
    let mut client = TcpStream::connect(endpoint).expect("the server listens");
    client.write_all(b"x").and_then(|()| client.read_exact(&mut [0])).is_ok()
}

/// Without descriptors, a client is refused at one step or another. The earlier steps are undone.
#[test]
#[cfg(target_os = "linux")]
fn a_client_that_is_refused_for_lack_of_descriptors_leaks_nothing() {
    let (server, endpoint) = Running::listen(&["--exec", "cat"]);
    let id = server.id();
    let before = descriptors(id);
    let process = rustix::process::Pid::from_raw(i32::try_from(id).unwrap());
    let mut turned_away = 0;
    for more in 0..12 {
        let current = Some(before as u64 + more);
        let limit = rustix::process::Rlimit { current, maximum: Some(4096) };
        rustix::process::prlimit(process, rustix::process::Resource::Nofile, limit).expect("set");
        turned_away += u64::from(!talk(&endpoint));
        wait_until("closed descriptors", || descriptors(id) <= before);
    }
    assert!((1..12).contains(&turned_away), "{turned_away}");
    wait_until("closed descriptors", || descriptors(id) == before);
}

/// Regression: a socket that the loop had adopted stayed open when the next one failed.
#[test]
#[cfg(target_os = "linux")]
fn a_client_whose_streams_cannot_be_watched_leaks_nothing() {
    // The other driver watches nothing before a turn.
    let mut command = support::fyke(&["listen", "-v", "127.0.0.1:0", "--exec", "cat"]);
    let command = command.env("FYKE_DRIVER", "ready").stdout(Stdio::null());
    let server = Running::of(command);
    let noted = server.note("listening on ");
    let endpoint = noted.rsplit(' ').next().expect("an address").to_owned();
    let id = server.id();
    let before = descriptors(id);
    for call in 1..=3 {
        let mut strace = std::process::Command::new("strace");
        strace.args(["-o", "/dev/null", "-e", "trace=epoll_ctl", "-p", &id.to_string()]);
        strace.arg("-e").arg(format!("inject=epoll_ctl:error=ENOSPC:when={call}"));
        let Ok(mut strace) = strace.stderr(Stdio::piped()).spawn() else {
            return eprintln!("no strace here: nothing was tried");
        };
        let mut said = BufReader::new(strace.stderr.take().expect("a pipe"));
        let mut line = String::new();
        said.read_line(&mut line).expect("text");
        if !line.contains("attached") {
            return eprintln!("strace may not attach here: nothing was tried: {line}");
        }
        assert!(!talk(&endpoint), "call {call}");
        server.note("ENOSPC");
        wait_until("closed descriptors", || descriptors(id) == before);
        kill(strace.id());
        strace.wait().expect("it is our child");
    }
    assert!(talk(&endpoint));
}

fn kill(id: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(id).expect("an id")).expect("one");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
}
