//! What goes wrong: the exit status, and one line on standard error.

mod support;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;
use std::time::Instant;

use support::{DEADLINE, Folder, Running, fyke, output, reach};

/// Runs a command that must fail; its line.
fn failure(arguments: &[&str], expected: i32) -> String {
    let (code, text, errors) = output(arguments);
    assert_eq!(code, Some(expected), "{errors}");
    assert_eq!(text, "");
    let line = errors.strip_suffix('\n').unwrap_or_else(|| panic!("no line: {errors:?}"));
    assert!(line.starts_with("fyke: ") && !line.contains('\n'), "{errors}");
    line.to_owned()
}

#[test]
fn a_port_in_use_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let line = failure(&["listen", &address.to_string()], 1);
    let expected = format!(
        "fyke: listen EADDRINUSE: address already in use {address}: another program listens there"
    );
    assert_eq!(line, expected);
}

#[test]
fn a_socket_file_that_was_left_over_is_replaced_unless_it_shall_be_kept() {
    let folder = Folder::new();
    let path = folder.path("s");
    // Dropping a listener leaves the file.
    drop(UnixListener::bind(&path).unwrap());
    let line = failure(&["listen", "--keep-stale", &path], 1);
    assert!(line.contains("address already in use"), "{line}");
    let line = failure(&["connect", &path], 3);
    assert_eq!(line, format!("fyke: connect ECONNREFUSED {path}: nobody listens there"));
    let (_server, _) = Running::listen_at(&path, &[]);
    // Now somebody does listen.
    let line = failure(&["listen", &path], 1);
    assert!(line.ends_with(": another program listens there, or it is no socket"), "{line}");
}

#[test]
fn a_port_where_nobody_listens_is_refused() {
    // A free port could be taken by another test meanwhile; this one nobody serves any more.
    let line = failure(&["connect", "127.0.0.1:1"], 3);
    assert_eq!(line, "fyke: connect ECONNREFUSED 127.0.0.1:1: nobody listens there");
}

#[test]
fn an_unknown_host_and_a_missing_socket_are_named() {
    // `.invalid` never exists (RFC 2606); without any name server the code is another one.
    let line = failure(&["connect", "nowhere.invalid:80"], 3);
    assert!(line.starts_with("fyke: getaddrinfo E"), "{line}");
    assert!(line.contains("nowhere.invalid"), "{line}");
    let line = failure(&["connect", "/nowhere/x.sock"], 3);
    assert_eq!(line, "fyke: connect ENOENT /nowhere/x.sock: there is no such socket");
    let line = failure(&["listen", "/nowhere/x.sock"], 1);
    assert!(line.ends_with(": there is no such folder"), "{line}");
}

#[test]
fn what_is_no_endpoint_is_wrong_usage() {
    for command in ["listen", "connect"] {
        for text in ["word", "", "host:99999", "::1"] {
            failure(&[command, text], 2);
        }
    }
    let line = failure(&["connect", "word"], 2);
    assert!(line.contains(r#""word" is not an endpoint; try 8888"#), "{line}");
}

#[test]
fn other_wrong_usage_is_one_line_too_and_names_the_help() {
    for (arguments, expected) in [
        (&["listen"][..], "not provided: <ENDPOINT>...; see fyke listen --help"),
        (&["fly"], "unrecognized subcommand 'fly'; see fyke --help"),
        (&["connect", "--loud", "8888"], "see fyke connect --help"),
        (&["connect", "-4", "[::1]:80"], "that address is of the other family"),
        (&["connect", "--source", "::1", "./x"], "--source, --source-port, -4 and -6 are for TCP"),
        (&["connect", "--wait", "1s", "--retry", "2", "80"], "cannot be used with"),
        (&["connect", "-t", "0", "80"], "it has to be more than nothing"),
        (&["connect", "fd:x"], "a descriptor is a number, as fd:3"),
        (&["listen", "--mode", "999", "./x"], "a mode is up to three octal digits"),
        (&["listen", "--exec", "a 'b", "80"], "not a command"),
        (&["listen", "--deny", "10.0.0.0/33", "80"], "is no address"),
        (&["man", "fly"], "no such command"),
    ] {
        let line = failure(arguments, 2);
        assert!(line.contains(expected), "{arguments:?}: {line}");
    }
    let (code, text, errors) = output(&[]);
    assert_eq!((code, text.as_str()), (Some(2), ""));
    assert!(errors.contains("Usage: fyke"), "{errors}");
}

#[test]
fn every_command_has_examples_in_its_help() {
    for command in ["listen", "connect", "relay", "replay", "load", "demo", "completions", "man"] {
        let (code, text, _) = output(&[command, "--help"]);
        assert_eq!(code, Some(0));
        assert!(text.contains(&format!("Examples:\n  fyke {command}")), "{text}");
    }
    let (code, text, _) = output(&["--version"]);
    assert_eq!((code, text.trim()), (Some(0), concat!("fyke ", env!("CARGO_PKG_VERSION"))));
}

/// Sends until the other side is gone. Once would not do: a process that another test is just
/// starting has our end of the pipe for a moment, and so there may be a reader after all.
fn talk_to_the_end(mut peer: &UnixStream) {
    let start = Instant::now();
    peer.set_write_timeout(Some(DEADLINE)).expect("a time limit");
    while peer.write_all(b"nobody reads this").is_ok() {
        assert!(start.elapsed() < DEADLINE, "it does not mind");
    }
}

/// `fyke connect` with its standard output closed or given, sent some text by a peer that does
/// not end. The exit code, and what it says on standard error.
fn connect_to_talker(stdout: Stdio) -> (Option<i32>, String) {
    let folder = Folder::new();
    let listener = UnixListener::bind(folder.path("s")).expect("a new socket");
    let mut client = fyke(&["connect", &folder.path("s")])
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    drop(client.stdout.take());
    // Its input is at its end, but for that it would wait for ours.
    talk_to_the_end(&listener.accept().expect("a client").0);
    let output = client.wait_with_output().expect("it is our child");
    (output.status.code(), String::from_utf8(output.stderr).expect("text"))
}

#[test]
fn str_12_a_reader_that_leaves_ends_connect_quietly() {
    assert_eq!(connect_to_talker(Stdio::piped()), (Some(0), String::new()));
}

#[test]
fn a_reader_that_leaves_ends_listen_quietly_and_its_file_goes() {
    let folder = Folder::new();
    let path = folder.path("s");
    let mut listen = fyke(&["listen", &path]);
    let mut server = listen.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(server.stdout.take());
    talk_to_the_end(&reach(&path));
    let output = server.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    assert!(folder.is_empty());
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_a_failure() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (code, errors) = connect_to_talker(full.into());
    assert_eq!(code, Some(1));
    assert!(errors.starts_with("fyke: standard output: "), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[test]
fn an_input_that_cannot_be_read_is_a_failure() {
    let (_server, endpoint) = Running::listen(&[]);
    let folder = std::fs::File::open("/").unwrap();
    let output = fyke(&["connect", &endpoint]).stdin(folder).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.starts_with(b"fyke: standard input: "));
}

/// A client that closes without having read its echo, so that its side sends RST.
fn break_off(endpoint: &str) {
    let mut client = TcpStream::connect(endpoint).expect("the server listens");
    client.write_all(b"never mind").expect("it is read");
    client.peek(&mut [0]).expect("an echo");
}

#[test]
fn a_client_that_breaks_off_does_not_end_the_server() {
    let (mut server, endpoint) = Running::listen(&["--echo"]);
    break_off(&endpoint);
    assert!(server.note("client 1: ").contains("ECONNRESET"));
    server.note("client 1 left");
    let mut client = Running::connect(&endpoint);
    client.type_in("next please");
    client.expect("next please");
    assert!(server.is_running());
}

#[test]
fn with_once_a_client_that_breaks_off_is_a_failure() {
    let (mut server, endpoint) = Running::listen(&["--echo", "--once"]);
    break_off(&endpoint);
    assert_eq!(server.wait().code(), Some(5));
    server.note("ECONNRESET: the peer has broken the connection off");
}
