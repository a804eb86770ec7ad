//! Runs the examples as a reader would. The other side is plain blocking `std::net`. `.ci/peers` also
//! runs them against Node, nc and Python.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);

/// A running example. It is ended with the test.
struct Example {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Example {
    fn start(name: &str, argument: &str) -> Self {
        // Cargo builds the examples in a folder next to that of the tests.
        let mut path = std::env::current_exe().unwrap();
        path.pop();
        path.pop();
        path.extend(["examples", name]);
        path.set_extension(std::env::consts::EXE_EXTENSION);
        let mut child = Command::new(&path)
            .arg(argument)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("one more line").unwrap()
    }

    /// The first line of a server contains its address.
    fn address(&mut self) -> String {
        let line = self.line();
        line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}")).to_owned()
    }

    fn connect(&mut self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn rest(mut stream: impl Read) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn the_server_greets_prints_received_data_and_survives_a_client_that_leaves() {
    let mut server = Example::start("server", "0");
    let address = server.address();
    for _ in 0..2 {
        let mut client = TcpStream::connect(&address).unwrap();
        client.write_all(b"hello server!").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(client), "hello client");
        assert_eq!(server.line(), "client sent: hello server!");
        assert_eq!(server.line(), "client disconnected");
    }
}

#[test]
fn the_client_says_hello_prints_the_answer_ends_and_reports_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let mut client = Example::start("client", &port);
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut said = [0; 15];
    stream.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"hello server!\r\n");
    stream.write_all(b"hello client").unwrap();
    assert_eq!(rest(&stream), "", "it ends automatically");
    drop(stream);
    let lines = ["connected to server!", "hello client", "disconnected from server"];
    assert_eq!([client.line(), client.line(), client.line()], lines);
    assert!(client.child.wait().unwrap().success());
}

#[test]
fn both_examples_talk_to_each_other() {
    let mut server = Example::start("server", "0");
    let address = server.address();
    let mut client = Example::start("client", address.rsplit(':').next().unwrap());
    let lines = ["connected to server!", "hello client", "disconnected from server"];
    assert_eq!([client.line(), client.line(), client.line()], lines);
    assert_eq!(server.line(), "client sent: hello server!");
}

#[test]
fn echo_sends_all_data_back_and_ends_with_its_client() {
    let mut stream = Example::start("echo", "0").connect_and_keep();
    stream.0.write_all(b"one two").unwrap();
    stream.0.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&stream.0), "one two");
}

#[test]
fn half_open_answers_after_the_client_has_ended() {
    let mut stream = Example::start("half_open", "0").connect_and_keep();
    stream.0.write_all(b"three  words\nhere ").unwrap();
    stream.0.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&stream.0), "3 words\n");
}

#[test]
fn graceful_answers_received_requests_before_it_stops() {
    let mut server = Example::start("graceful", "0");
    let address = server.address();
    let connect = || {
        let stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    };
    let (idle, mut asking) = (connect(), connect());
    asking.write_all(b"one\n").unwrap();
    let mut answer = String::new();
    BufReader::new(&asking).read_line(&mut answer).unwrap();
    assert_eq!(answer, "an answer\n");
    asking.write_all(b"stop\ntwo\nthree\n").unwrap();
    assert_eq!(rest(&asking), "an answer\n".repeat(3));
    assert_eq!(rest(&idle), "");
    drop((idle, asking));
    let line = server.line();
    assert!(line.starts_with("ShutdownOutcome { ended: 2, failed: 0, reset: 0, "), "{line}");
    assert!(server.child.wait().unwrap().success());
}

#[test]
#[cfg(unix)]
fn unix_echo_sends_all_data_back() {
    let path = std::env::temp_dir().join(format!("fyke-unix-echo-{}.sock", std::process::id()));
    let mut server = Example::start("unix_echo", path.to_str().unwrap());
    assert_eq!(server.address(), path.to_str().unwrap());
    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    stream.write_all(b"over a path").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(stream), "over a path");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn chat_forwards_to_all_other_members_and_removes_one_that_does_not_read() {
    let mut chat = Example::start("chat", "0");
    let address = chat.address();
    let connect = || {
        let stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    };
    let (mut alice, bob) = (connect(), connect());
    // Members join in the order in which they are accepted: wait until each receives from the other.
    let mut bob_hears = BufReader::new(bob.try_clone().unwrap());
    (&bob).write_all(b"bob is here\n").unwrap();
    let mut heard = String::new();
    BufReader::new(&alice).read_line(&mut heard).unwrap();
    let bobs_port = bob.local_addr().unwrap().port();
    assert_eq!(heard, format!("{bobs_port}: bob is here\n"));

    // Carol never reads. Alice floods, and her data arrives because Carol is removed.
    let mut carol = connect();
    carol.write_all(b"carol is here\n").unwrap();
    heard.clear();
    bob_hears.read_line(&mut heard).unwrap();
    assert!(heard.ends_with(": carol is here\n"));
    let flood = 64 << 20;
    let writer = std::thread::spawn(move || {
        let chunk = vec![b'x'; 1 << 16];
        for _ in 0..flood / chunk.len() {
            alice.write_all(&chunk).unwrap();
        }
        alice
    });
    let mut count = 0;
    let mut buffer = vec![0; 1 << 16];
    while count < flood {
        let read = bob_hears.read(&mut buffer).unwrap();
        assert!(read > 0, "the chat closed the member that reads");
        count += buffer[..read].iter().filter(|byte| **byte == b'x').count();
    }
    drop(writer.join().unwrap());
}

impl Example {
    /// A connection together with its example, so that the example runs as long.
    fn connect_and_keep(mut self) -> (TcpStream, Self) {
        (self.connect(), self)
    }
}
