//! Runs the `fyke` binary and watches its three streams. No test waits for a fixed time: every wait has
//! a condition, and fails after a deadline that a correct run does not come near.

#![allow(dead_code, reason = "each test file uses a part of this")]

pub(crate) mod sockets;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A `fyke` command that has not been started.
pub(crate) fn fyke(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fyke"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command that ends by itself. Returns its exit code, standard output and standard error.
pub(crate) fn output(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = fyke(arguments).output().expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A running `fyke`; killed when dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    stdout: Receiver<Vec<u8>>,
    notes: Receiver<String>,
    /// Received from standard output and not requested yet.
    rest: Vec<u8>,
    output_closed: Arc<AtomicBool>,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::of(fyke(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()))
    }

    /// A command whose standard streams are not pipes.
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary starts");
        let (sender, stdout) = mpsc::channel();
        let from: Option<Box<dyn Read + Send>> =
            child.stdout.take().map(|from| Box::new(from) as _);
        let mut from = from.unwrap_or_else(|| Box::new(std::io::empty()));
        let output_closed = Arc::new(AtomicBool::new(false));
        let closed = Arc::clone(&output_closed);
        thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                if closed.load(Ordering::SeqCst) {
                    return;
                }
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let (sender, notes) = mpsc::channel();
        let from = BufReader::new(child.stderr.take().expect("a pipe"));
        thread::spawn(move || {
            for line in from.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let stdin = child.stdin.take();
        Self { child, stdin, stdout, notes, rest: Vec::new(), output_closed }
    }

    /// `fyke listen -v` with more arguments, on a free port; and its endpoint.
    pub(crate) fn listen(more: &[&str]) -> (Self, String) {
        Self::listen_at("127.0.0.1:0", more)
    }

    pub(crate) fn listen_at(endpoint: &str, more: &[&str]) -> (Self, String) {
        let mut arguments = vec!["listen", "-v", endpoint];
        arguments.extend(more);
        let running = Self::start(&arguments);
        let line = running.note("listening on ");
        let address = line.rsplit(' ').next().expect("an address").to_owned();
        (running, address)
    }

    pub(crate) fn connect(endpoint: &str) -> Self {
        Self::start(&["connect", endpoint])
    }

    /// `fyke relay -v` on a free port, with this target and more arguments; and its endpoint.
    pub(crate) fn relay(target: &str, more: &[&str]) -> (Self, String) {
        let mut arguments = vec!["relay", "-v", "127.0.0.1:0", target];
        arguments.extend(more);
        let running = Self::start(&arguments);
        let line = running.note("listening on ");
        let address = line.rsplit(' ').next().expect("an address").to_owned();
        (running, address)
    }

    /// Waits for a line on standard error that contains `text`.
    pub(crate) fn note(&self, text: &str) -> String {
        loop {
            let line = self.notes.recv_timeout(DEADLINE);
            let line = line.unwrap_or_else(|error| panic!("waiting for {text:?}: {error}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// The remaining lines on standard error.
    pub(crate) fn notes_to_the_end(&self) -> Vec<String> {
        self.notes.iter().collect()
    }

    pub(crate) fn type_in(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        stdin.write_all(text.as_bytes()).expect("it is read");
    }

    pub(crate) fn end_of_input(&mut self) {
        self.stdin = None;
    }

    /// Waits until COUNT bytes were received from standard output.
    pub(crate) fn read(&mut self, count: usize) -> Vec<u8> {
        while self.rest.len() < count {
            let more = self.stdout.recv_timeout(DEADLINE);
            let more = more.unwrap_or_else(|error| {
                panic!("{error}: {} of {count} bytes were received", self.rest.len())
            });
            self.rest.extend(more);
        }
        let rest = self.rest.split_off(count);
        std::mem::replace(&mut self.rest, rest)
    }

    /// Waits for a complete line on standard output.
    pub(crate) fn line(&mut self) -> String {
        let mut count = 1;
        loop {
            let came = self.read(count);
            if let Some(end) = came.iter().position(|byte| *byte == b'\n') {
                let rest = came[end + 1..].to_vec();
                self.rest.splice(0..0, rest);
                return String::from_utf8(came[..end].to_vec()).expect("text");
            }
            count = came.len() + 1;
            self.rest.splice(0..0, came);
        }
    }

    /// Writes all of this to standard input from another thread, and ends the input.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let mut stdin = self.stdin.take().expect("standard input is open");
        let bytes = bytes.to_vec();
        thread::spawn(move || stdin.write_all(&bytes));
    }

    /// Closes the reading end of standard output after the first byte.
    pub(crate) fn close_output(&self) {
        self.output_closed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for this text, and nothing else, on standard output.
    pub(crate) fn expect(&mut self, text: &str) {
        let came = self.read(text.len());
        assert_eq!(String::from_utf8_lossy(&came), text);
    }

    /// The remaining data on standard output.
    pub(crate) fn read_to_the_end(&mut self) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.rest);
        self.stdout.iter().for_each(|more| all.extend(more));
        all
    }

    /// Waits until the process has exited.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait(&mut self.child)
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that is killed at the end of its test if it is still running.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.spawn().expect("the binary starts"))
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// The exit code, or the signal as a negative number.
    pub(crate) fn end(&mut self) -> i32 {
        let status = wait(&mut self.0);
        status.code().unwrap_or_else(|| -status.signal().expect("a signal"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn round_trip(stream: &mut UnixStream) {
    stream.write_all(b"ping").expect("it is read");
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"ping");
}

/// Starts a command that uses a socket in this folder, and returns the other end of the socket.
pub(crate) fn talk(
    folder: &Folder,
    command: &str,
    streams: impl FnOnce(&mut Command),
) -> (Process, UnixStream) {
    let path = folder.path("s");
    if command == "listen" {
        let mut command = fyke(&["listen", "--once", &path]);
        streams(&mut command);
        return (Process::start(&mut command), reach(&path));
    }
    let listener = UnixListener::bind(&path).unwrap();
    let mut command = fyke(&["connect", &path]);
    streams(&mut command);
    (Process::start(&mut command), listener.accept().unwrap().0)
}

/// A folder for the sockets of one test, removed at the end. It is in the system's temporary folder,
/// because the path of a socket must be short.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("fyke-test-{}-{count}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match std::fs::create_dir(&path) {
                Ok(()) => return Self(path),
                // Left behind by a killed process with the same process id.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("a new folder: {error}"),
            }
        }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("text").to_owned()
    }

    pub(crate) fn is_empty(&self) -> bool {
        std::fs::read_dir(&self.0).expect("the folder is there").next().is_none()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Connects to a server that may not be listening yet, and does not report it.
pub(crate) fn reach(path: &str) -> UnixStream {
    let start = Instant::now();
    loop {
        if let Ok(stream) = UnixStream::connect(path) {
            return stream;
        }
        assert!(start.elapsed() < DEADLINE, "no server listens on {path}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until the process has exited.
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("it is our child") {
            return status;
        }
        assert!(start.elapsed() < DEADLINE, "it does not exit");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Polls until `is_so` returns true, for conditions that send no notification.
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < DEADLINE, "waiting for {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A pipe that holds 4 KiB: its read end and its write end.
#[cfg(target_os = "linux")]
pub(crate) fn small_pipe() -> (OwnedFd, OwnedFd) {
    let pipe = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe");
    rustix::pipe::fcntl_setpipe_size(&pipe.1, 4096).expect("a size");
    pipe
}

/// Waits until the pipe is full.
#[cfg(target_os = "linux")]
pub(crate) fn wait_until_full(writer: &OwnedFd) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    wait_until("a pipe to be full", || {
        let mut fds = [PollFd::new(writer, PollFlags::OUT)];
        poll(&mut fds, Some(&Timespec::default())).expect("it can be asked") == 0
    });
}

/// Returns whether the process is running. A process that has ended and was not reaped is not.
pub(crate) fn is_alive(id: u32) -> bool {
    let output = Command::new("ps").args(["-o", "stat=", "-p", &id.to_string()]).output();
    let state = String::from_utf8(output.expect("ps runs").stdout).expect("text");
    !state.trim().is_empty() && !state.trim().starts_with('Z')
}

/// Waits for COUNT bytes of text.
pub(crate) fn line(from: &mut impl Read, count: usize) -> String {
    let mut text = vec![0; count];
    from.read_exact(&mut text).expect("these bytes arrive");
    String::from_utf8(text).expect("text")
}

/// Bytes that do not repeat, so that a lost or duplicated piece is detected.
pub(crate) fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(count).collect()
}
