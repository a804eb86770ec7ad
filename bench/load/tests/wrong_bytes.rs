//! The load generator detects a server that does not echo correctly.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread;

/// Serves until the process of the test ends. `change` may modify each piece before it is sent back.
fn server(change: fn(usize, &mut Vec<u8>)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || echo(stream.unwrap(), change));
        }
    });
    port.to_string()
}

fn echo(mut stream: TcpStream, change: fn(usize, &mut Vec<u8>)) {
    let mut buffer = vec![0; 65536];
    for piece in 0.. {
        let Ok(length @ 1..) = stream.read(&mut buffer) else { return };
        let mut answer = buffer[..length].to_vec();
        change(piece, &mut answer);
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}

fn load(mode: &str, port: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fyke-bench-load"))
        .args([mode, "--port", port, "--connections", "3", "--depth", "2"])
        .args(["--warm-up", "0", "--seconds", "0.2"])
        .output()
        .unwrap()
}

#[test]
fn a_correct_echo_passes() {
    let port = server(|_, _| {});
    for mode in ["echo", "connect", "idle"] {
        let output = load(mode, &port);
        assert!(output.status.success(), "{mode}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("\"wrong\":0"), "{output:?}");
    }
}

#[test]
fn a_changed_byte_fails_the_run() {
    let port = server(|_, answer| answer[0] ^= 1);
    for mode in ["echo", "connect", "idle"] {
        assert_eq!(load(mode, &port).status.code(), Some(2), "{mode}");
    }
}

#[test]
fn a_duplicated_message_fails_the_run() {
    let port = server(|piece, answer| {
        if piece == 3 {
            answer.extend_from_within(..);
        }
    });
    assert_eq!(load("echo", &port).status.code(), Some(2));
}
