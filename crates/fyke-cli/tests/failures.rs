//! Failures: the exit status, and one line on standard error.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;
use std::time::Instant;

use support::{DEADLINE, Folder, Running, fyke, output, reach};

/// Runs a command that must fail, and returns its line.
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
        "fyke: listen EADDRINUSE: address already in use {address}: another program is listening there"
    );
    assert_eq!(line, expected);
}

#[test]
fn a_stale_socket_file_is_replaced_unless_keep_stale_is_set() {
    let folder = Folder::new();
    let path = folder.path("s");
    // Dropping a listener leaves the file.
    drop(UnixListener::bind(&path).unwrap());
    let line = failure(&["listen", "--keep-stale", &path], 1);
    assert!(line.contains("address already in use"), "{line}");
    let line = failure(&["connect", &path], 3);
    assert_eq!(line, format!("fyke: connect ECONNREFUSED {path}: no server is listening there"));
    let (_server, _) = Running::listen_at(&path, &[]);
    // Now a server is listening.
    let line = failure(&["listen", &path], 1);
    assert!(
        line.ends_with(": another program is listening there, or the file is not a socket"),
        "{line}"
    );
}

#[test]
fn a_port_without_a_listener_is_refused() {
    // Another test could take a free port meanwhile, but this one is never served again.
    let line = failure(&["connect", "127.0.0.1:1"], 3);
    assert_eq!(line, "fyke: connect ECONNREFUSED 127.0.0.1:1: no server is listening there");
}

#[test]
fn an_unknown_host_and_a_missing_socket_are_reported_by_name() {
    // `.invalid` never exists (RFC 2606). Without a name server the code differs.
    let line = failure(&["connect", "nowhere.invalid:80"], 3);
    assert!(line.starts_with("fyke: getaddrinfo E"), "{line}");
    assert!(line.contains("nowhere.invalid"), "{line}");
    let line = failure(&["connect", "/nowhere/x.sock"], 3);
    assert_eq!(line, "fyke: connect ENOENT /nowhere/x.sock: the socket does not exist");
    let line = failure(&["listen", "/nowhere/x.sock"], 1);
    assert!(line.ends_with(": the folder does not exist"), "{line}");
}

#[test]
fn text_that_is_not_an_endpoint_is_a_usage_error() {
    for command in ["listen", "connect"] {
        for text in ["word", "", "host:99999", "::1"] {
            failure(&[command, text], 2);
        }
    }
    let line = failure(&["connect", "word"], 2);
    assert!(line.contains(r#""word" is not an endpoint; try 8888"#), "{line}");
}

#[test]
fn other_usage_errors_are_one_line_that_refers_to_the_help() {
    for (arguments, expected) in [
        (&["listen"][..], "not provided: <ENDPOINT>...; see fyke listen --help"),
        (&["fly"], "unrecognized subcommand 'fly'; see fyke --help"),
        (&["connect", "--loud", "8888"], "see fyke connect --help"),
        (&["connect", "-4", "[::1]:80"], "does not belong to the family that -4 or -6 selects"),
        (
            &["connect", "--source", "::1", "./x"],
            "--source, --source-port, -4 and -6 are valid for TCP only",
        ),
        (&["connect", "--wait", "1s", "--retry", "2", "80"], "cannot be used with"),
        (&["connect", "-t", "0", "80"], "the time must be greater than 0"),
        (&["connect", "fd:x"], "expected a number, as in fd:3"),
        (&["listen", "--mode", "999", "./x"], "expected up to three octal digits"),
        (&["listen", "--exec", "a 'b", "80"], "is not a valid command"),
        (&["listen", "--deny", "10.0.0.0/33", "80"], "is not an address"),
        (&["man", "fly"], "the command does not exist"),
    ] {
        let line = failure(arguments, 2);
        assert!(line.contains(expected), "{arguments:?}: {line}");
    }
    let (code, text, errors) = output(&[]);
    assert_eq!((code, text.as_str()), (Some(2), ""));
    assert!(errors.contains("Usage: fyke"), "{errors}");
}

#[test]
fn a_program_that_cannot_be_run_is_refused_before_listening() {
    let folder = Folder::new();
    let path = folder.path("text");
    std::fs::write(&path, "not a program").unwrap();
    let sub = folder.path("sub");
    std::fs::create_dir(&sub).unwrap();
    let (missing, below) = (folder.path("missing"), format!("{path}/below"));
    for (program, expected) in [
        (&missing, "the program does not exist"),
        (&below, "Not a directory (os error 20)"),
        (&path, "the file is not executable"),
        (&sub, "the path is a folder, not a program"),
    ] {
        let line = failure(&["listen", "--exec", &format!("{program} x"), "127.0.0.1:0"], 2);
        assert_eq!(line, format!("fyke: --exec {program}: {expected}"));
    }
    for (command, expected) in [
        ("fyke-no-such-program", "--exec fyke-no-such-program: no program in PATH has this name"),
        ("./no-such-program", "--exec ./no-such-program: the program does not exist"),
        ("'' x", r#"--exec "'' x" is not a valid command"#),
    ] {
        let line = failure(&["listen", "--exec", command, "127.0.0.1:0"], 2);
        assert_eq!(line, format!("fyke: {expected}"));
    }
}

#[test]
fn a_program_name_is_searched_in_each_folder_of_path() {
    let folder = Folder::new();
    let path = folder.path("cat");
    std::fs::write(&path, "not a program").unwrap();
    let listen = |folders: &str| {
        let mut command = fyke(&["listen", "-v", "--once", "--exec", "cat", "127.0.0.1:0"]);
        command.env("PATH", folders);
        command
    };
    let output = listen(&folder.path("")).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert_eq!(errors, format!("fyke: --exec {path}: the file is not executable\n"));
    let mut command = listen(&format!("{}:/usr/bin:/bin", folder.path("")));
    let mut server = Running::of(command.stdout(Stdio::null()));
    let noted = server.note("listening on ");
    let mut client = TcpStream::connect(noted.rsplit(' ').next().unwrap()).unwrap();
    client.write_all(b"hello").unwrap();
    client.read_exact(&mut [0; 5]).unwrap();
    drop(client);
    assert!(server.wait().success());
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

/// Sends until the peer is gone. One write would not be enough: a process that another test is just
/// starting holds our end of the pipe for a moment, so there may still be a reader.
fn talk_to_the_end(mut peer: &UnixStream) {
    let start = Instant::now();
    peer.set_write_timeout(Some(DEADLINE)).expect("a time limit");
    while peer.write_all(b"this text is not read").is_ok() {
        assert!(start.elapsed() < DEADLINE, "it does not mind");
    }
}

/// Runs `fyke connect` with its standard output closed or given, and a peer that sends some text and
/// does not end. Returns the exit code and standard error.
fn connect_to_talker(stdout: Stdio) -> (Option<i32>, String) {
    let folder = Folder::new();
    let listener = UnixListener::bind(folder.path("s")).expect("a new socket");
    let mut client = fyke(&["connect", &folder.path("s")])
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    drop(client.stdout.take());
    // The end of its input alone would make it wait for ours.
    talk_to_the_end(&listener.accept().expect("a client").0);
    let output = client.wait_with_output().expect("it is our child");
    (output.status.code(), String::from_utf8(output.stderr).expect("text"))
}

#[test]
fn str_12_a_reader_that_exits_early_ends_connect_without_an_error() {
    assert_eq!(connect_to_talker(Stdio::piped()), (Some(0), String::new()));
}

#[test]
fn a_reader_that_exits_early_ends_listen_without_an_error_and_the_socket_file_is_removed() {
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
fn a_client_that_resets_its_connection_does_not_end_the_server() {
    let (mut server, endpoint) = Running::listen(&["--echo"]);
    break_off(&endpoint);
    assert!(server.note("client 1: ").contains("ECONNRESET"));
    server.note("client 1 disconnected");
    let mut client = Running::connect(&endpoint);
    client.type_in("next please");
    client.expect("next please");
    assert!(server.is_running());
}

#[test]
fn with_once_a_client_that_resets_its_connection_is_a_failure() {
    let (mut server, endpoint) = Running::listen(&["--echo", "--once"]);
    break_off(&endpoint);
    assert_eq!(server.wait().code(), Some(5));
    server.note("ECONNRESET: the peer has reset the connection");
}
