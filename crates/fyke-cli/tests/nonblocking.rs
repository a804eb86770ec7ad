//! Standard streams that another process has set to O_NONBLOCK, or sets at any time.

#![cfg(target_os = "linux")]

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use support::{Folder, Process, Running, fyke, noise, reach, round_trip, small_pipe, talk};

fn set_nonblocking(fd: impl AsFd, nonblocking: bool) {
    let flags = fcntl_getfl(&fd).unwrap().difference(OFlags::NONBLOCK);
    let nonblocking = if nonblocking { OFlags::NONBLOCK } else { OFlags::empty() };
    fcntl_setfl(&fd, flags | nonblocking).unwrap();
}

fn is_nonblocking(fd: impl AsFd) -> bool {
    fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK)
}

/// Switches the flag on and off until it is dropped, as other processes that share the stream do.
struct Switched(Arc<AtomicBool>);

impl Switched {
    fn begin(fd: OwnedFd) -> Self {
        let goes_on = Arc::new(AtomicBool::new(true));
        let own = Arc::clone(&goes_on);
        thread::spawn(move || {
            let mut nonblocking = false;
            while own.load(Ordering::SeqCst) {
                nonblocking = !nonblocking;
                set_nonblocking(&fd, nonblocking);
                thread::yield_now();
            }
        });
        Self(goes_on)
    }
}

impl Drop for Switched {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

#[test]
fn a_non_blocking_output_gets_every_byte() {
    let bytes = noise(2_000_000);
    for (command, switched) in
        [("connect", false), ("connect", true), ("listen", false), ("listen", true)]
    {
        let folder = Folder::new();
        let (reader, writer) = small_pipe();
        set_nonblocking(&writer, true);
        let own = writer.try_clone().unwrap();
        let (mut process, mut peer) = talk(&folder, command, |command| {
            command.stdout(own);
        });
        let switched = switched.then(|| Switched::begin(writer.try_clone().unwrap()));
        let sent = bytes.clone();
        let sending = thread::spawn(move || peer.write_all(&sent));
        let mut came = vec![0; bytes.len()];
        File::from(reader).read_exact(&mut came).unwrap();
        assert!(came == bytes, "{command}: the bytes differ");
        sending.join().unwrap().unwrap();
        assert_eq!(process.end(), 0, "{command}");
        // The command did not change it either.
        assert!(switched.is_some() || is_nonblocking(&writer));
    }
}

#[test]
fn a_non_blocking_input_is_read_to_its_end() {
    let bytes = noise(2_000_000);
    for (command, switched) in
        [("connect", false), ("connect", true), ("listen", false), ("listen", true)]
    {
        let folder = Folder::new();
        let (reader, writer) = small_pipe();
        set_nonblocking(&reader, true);
        let own = reader.try_clone().unwrap();
        let (mut process, mut peer) = talk(&folder, command, |command| {
            command.stdin(own);
        });
        let switched = switched.then(|| Switched::begin(reader.try_clone().unwrap()));
        let typed = bytes.clone();
        let typing = thread::spawn(move || File::from(writer).write_all(&typed));
        let mut came = vec![0; bytes.len()];
        peer.read_exact(&mut came).unwrap();
        assert!(came == bytes, "{command}: the bytes differ");
        typing.join().unwrap().unwrap();
        drop(peer);
        assert_eq!(process.end(), 0, "{command}");
        assert!(switched.is_some() || is_nonblocking(&reader));
    }
}

#[test]
fn a_non_blocking_log_has_complete_lines() {
    let folder = Folder::new();
    let (_server, target) = Running::listen_at(&folder.path("t"), &["--echo"]);
    let (reader, writer) = small_pipe();
    set_nonblocking(&writer, true);
    let mut relay =
        Process::start(fyke(&["relay", "-v", &folder.path("s"), &target]).stderr(writer));
    (0..200).for_each(|_| round_trip(&mut reach(&folder.path("s"))));
    relay.signal("TERM");
    let mut text = String::new();
    File::from(reader).read_to_string(&mut text).unwrap();
    assert_eq!(relay.end(), 0);
    let left = |line: &&str| line.starts_with("fyke: client") && line.ends_with(" disconnected");
    assert_eq!(text.lines().filter(left).count(), 200);
}

#[test]
fn a_long_text_is_written_completely_to_a_non_blocking_pipe() {
    for arguments in [&["man", "relay"][..], &["completions", "zsh"], &["listen", "--help"]] {
        let expected = fyke(arguments).output().unwrap().stdout;
        let (reader, writer) = small_pipe();
        set_nonblocking(&writer, true);
        let mut process = Process::start(fyke(arguments).stdout(writer));
        let mut text = Vec::new();
        File::from(reader).read_to_end(&mut text).unwrap();
        assert_eq!(process.end(), 0);
        assert_eq!(text.len(), expected.len(), "{arguments:?}");
    }
}

#[test]
fn standard_streams_keep_their_flags() {
    let folder = Folder::new();
    let (input, output, errors) = (small_pipe(), small_pipe(), small_pipe());
    let all = [&input.0, &output.1, &errors.1];
    let (mut process, peer) = talk(&folder, "connect", |command| {
        let [input, output, errors] = all.map(|fd| fd.try_clone().unwrap());
        command.stdin(input).stdout(output).stderr(errors);
    });
    (&peer).write_all(b"x").unwrap();
    File::from(output.0.try_clone().unwrap()).read_exact(&mut [0]).unwrap();
    assert!(all.iter().all(|fd| !is_nonblocking(fd)));
    drop(peer);
    assert_eq!(process.end(), 0);
    assert!(all.iter().all(|fd| !is_nonblocking(fd)));
}
