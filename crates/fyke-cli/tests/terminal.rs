//! On a terminal: a pseudo-terminal, with the command in a separate session, so that keys have their
//! usual effect.

#![cfg(target_os = "linux")]

#[path = "support/certificates.rs"]
mod certificates;
mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use certificates::Authority;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use support::{DEADLINE, Running};

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_Q: &str = "\x11";
const CTRL_S: &str = "\x13";
const CTRL_Z: &str = "\x1a";

/// A pseudo-terminal, and a function that opens it as a stream of a command.
fn pseudo_terminal() -> (OwnedFd, impl Fn() -> OwnedFd) {
    // A command that inherits it would keep its own terminal open.
    let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
        .expect("a pseudo-terminal");
    grantpt(&keys).expect("ours");
    unlockpt(&keys).expect("ours");
    let size = Winsize { ws_row: 24, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&keys, size).expect("a size");
    let name = ptsname(&keys, Vec::new()).expect("a name").into_string().expect("text");
    let open = move || File::options().read(true).write(true).open(&name);
    (keys, move || open().expect("the terminal").into())
}

/// A command that creates a session, with the terminal that is its standard input.
fn in_a_session(words: &[&str]) -> Command {
    let mut command = Command::new("setsid");
    command.arg("--ctty").args(words);
    command
}

/// A command whose three streams are a terminal.
struct Terminal {
    keys: File,
    screen: Receiver<Vec<u8>>,
    bytes: Vec<u8>,
    /// The received bytes as text: all of them, because a character may be split.
    shown: String,
    child: Child,
}

impl Terminal {
    fn start(arguments: &[&str], no_color: bool) -> Self {
        let mut command = vec![env!("CARGO_BIN_EXE_fyke")];
        command.extend(arguments);
        Self::run(&command, no_color)
    }

    /// A shell with job control, in which `$fyke` is the command.
    fn shell(script: &str) -> Self {
        Self::run(&["sh", "-m", "-c", script], true)
    }

    fn run(words: &[&str], no_color: bool) -> Self {
        let (keys, stream) = pseudo_terminal();
        let mut command = in_a_session(words);
        command.env("TERM", "xterm").env_remove("NO_COLOR");
        command.env("fyke", env!("CARGO_BIN_EXE_fyke"));
        if no_color {
            command.env("NO_COLOR", "1");
        }
        let child = command.stdin(stream()).stdout(stream()).stderr(stream()).spawn();
        let child = child.expect("setsid is there");
        drop(command);
        let keys = File::from(keys);
        let (sender, screen) = mpsc::channel();
        let mut from = keys.try_clone().expect("a copy");
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { keys, screen, bytes: Vec::new(), shown: String::new(), child }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal is there");
    }

    /// Waits until this text is on the screen.
    fn see(&mut self, text: &str) {
        while !self.shown.contains(text) {
            self.see_more(text);
        }
    }

    /// The last word of the line with this text, when it is on the screen.
    fn word_after(&mut self, text: &str) -> String {
        self.see(text);
        let at = self.shown.find(text).expect("it is there");
        loop {
            let rest = &self.shown[at..];
            if let Some((line, _)) = rest.split_once('\n') {
                return line.trim_end().rsplit(' ').next().expect("a word").to_owned();
            }
            self.see_more("the end of the line");
        }
    }

    fn see_more(&mut self, what: &str) {
        let more = self.screen.recv_timeout(DEADLINE);
        let more = more.unwrap_or_else(|_| panic!("no {what:?} in {:?}", self.shown));
        self.show(&more);
    }

    fn show(&mut self, more: &[u8]) {
        self.bytes.extend_from_slice(more);
        self.shown = String::from_utf8_lossy(&self.bytes).into_owned();
    }

    fn wait(&mut self) -> ExitStatus {
        // The terminal's output must be read, or the command would block.
        while let Ok(more) = self.screen.recv_timeout(DEADLINE) {
            self.show(&more);
        }
        self.child.wait().expect("it is our child")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_conversation_by_keyboard_ends_with_ctrl_d() {
    let (mut server, endpoint) = Running::listen(&[]);
    let mut terminal = Terminal::start(&["connect", &endpoint], false);
    terminal.press("hello\r");
    server.expect("hello\n");
    server.type_in("nice to meet you\n");
    terminal.see("nice to meet you");
    terminal.press(CTRL_D);
    server.note("client 1 disconnected");
    assert_eq!(terminal.wait().code(), Some(0));
}

#[test]
fn ctrl_c_terminates_a_server_by_the_signal_and_the_socket_file_is_removed() {
    let folder = support::Folder::new();
    let mut terminal = Terminal::start(&["listen", "-v", &folder.path("s")], false);
    terminal.see("listening on");
    terminal.press(CTRL_C);
    assert_eq!(terminal.wait().signal(), Some(2));
    assert!(folder.is_empty());
}

/// SIGHUP reads the files again, but a server must not survive its terminal.
#[test]
fn a_server_with_certificate_files_ends_with_its_terminal() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("localhost");
    let files = ["--tls", "--echo", "--cert", &certificate, "--key", &key, "127.0.0.1:0"];
    let command = [&[env!("CARGO_BIN_EXE_fyke"), "listen", "-v"][..], &files].concat();
    let (keys, stream) = pseudo_terminal();
    let mut server = Running::of(in_a_session(&command).stdin(stream()));
    server.note("listening on ");
    server.signal("HUP");
    server.note("SIGHUP: --cert and --key were read again");
    drop(keys);
    assert_eq!(server.wait().signal(), Some(1));
}

#[test]
fn colours_are_used_on_terminals_only_and_no_color_turns_them_off() {
    for (no_color, coloured) in [(false, true), (true, false)] {
        let mut terminal = Terminal::start(&["listen", "-v", "--hex", "127.0.0.1:0"], no_color);
        terminal.see("listening on 127.0.0.1:");
        terminal.see("\n");
        let endpoint = terminal.shown.trim_end().rsplit(' ').next().unwrap().to_owned();
        let mut client = TcpStream::connect(endpoint).unwrap();
        client.write_all(b"look").unwrap();
        terminal.see("|look|");
        assert_eq!(terminal.shown.contains("\x1b[36m"), coloured, "{}", terminal.shown);
        terminal.press(CTRL_C);
    }
}

#[test]
fn a_relay_shows_a_status_line_that_ends_with_the_final_numbers() {
    let (_server, target) = Running::listen(&["--echo"]);
    let folder = support::Folder::new();
    let arguments = ["relay", &folder.path("s"), &target, "--interval", "10ms"];
    let mut terminal = Terminal::start(&arguments, false);
    terminal.see("0 open, 0 in all");
    let mut client = support::reach(&folder.path("s"));
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    terminal.see("1 open, 1 in all");
    drop(client);
    terminal.see("0 open, 1 in all");
    terminal.press(CTRL_C);
    assert_eq!(terminal.wait().code(), Some(0));
}

#[test]
fn load_shows_a_progress_bar_and_clears_it() {
    let mut terminal = Terminal::start(&["load", "-d", "700ms", "-c", "2"], false);
    terminal.see("/s");
    assert_eq!(terminal.wait().code(), Some(0));
    assert!(terminal.shown.contains("closed loop: 2 connections"), "{}", terminal.shown);
}

#[test]
fn a_background_server_serves_and_reads_the_terminal_once_it_is_in_the_foreground() {
    let mut terminal = Terminal::shell("$fyke listen -v 127.0.0.1:0 & read word; fg");
    let endpoint = terminal.word_after("listening on 127.0.0.1:");
    for text in ["first client", "second client"] {
        let mut client = TcpStream::connect(&endpoint).unwrap();
        client.write_all(text.as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        terminal.see(text);
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }
    let mut client = TcpStream::connect(&endpoint).unwrap();
    terminal.see("client 3 connected");
    // Input goes to the shell first, and then to the server.
    terminal.press("for the shell\r");
    terminal.see("listen -v 127.0.0.1:0\r\n");
    terminal.press("for the client\r");
    let mut came = [0; 15];
    client.read_exact(&mut came).unwrap();
    assert_eq!(&came, b"for the client\n");
    terminal.press(CTRL_C);
    terminal.wait();
}

#[test]
fn a_server_that_waits_for_a_key_can_be_sent_to_the_background() {
    let mut terminal = Terminal::shell("$fyke listen -v 127.0.0.1:0; bg; read word; fg");
    let endpoint = terminal.word_after("listening on 127.0.0.1:");
    let mut client = TcpStream::connect(&endpoint).unwrap();
    client.write_all(b"in front").unwrap();
    terminal.see("in front");
    terminal.press(CTRL_Z);
    // The key also discards pending output of the terminal. The answer of the shell follows.
    terminal.see("listen -v 127.0.0.1:0\r\n");
    client.write_all(b" and behind").unwrap();
    terminal.see(" and behind");
    terminal.press("for the shell\r");
    client.write_all(b" and still here").unwrap();
    terminal.see(" and still here");
    terminal.press("for the client\r");
    let mut came = [0; 15];
    client.read_exact(&mut came).unwrap();
    assert_eq!(&came, b"for the client\n");
    terminal.press(CTRL_C);
    terminal.wait();
}

#[test]
fn a_background_client_prints_received_data() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = listener.local_addr().unwrap();
    let mut terminal = Terminal::shell(&format!("$fyke connect {endpoint} & wait; echo over"));
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"news").unwrap();
    terminal.see("news");
    drop(peer);
    terminal.see("over");
    terminal.wait();
}

#[test]
fn a_stopped_terminal_does_not_stop_a_relay() {
    let (_server, target) = Running::listen(&["--echo"]);
    let folder = support::Folder::new();
    let arguments = ["relay", &folder.path("s"), &target, "--interval", "1ms"];
    let mut terminal = Terminal::start(&arguments, false);
    terminal.see("0 open, 0 in all");
    terminal.press(CTRL_S);
    let mut client = support::reach(&folder.path("s"));
    for _ in 0..1000 {
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    }
    drop(client);
    terminal.press(CTRL_Q);
    terminal.see("0 open, 1 in all");
    terminal.press(CTRL_C);
    assert_eq!(terminal.wait().code(), Some(0));
}

#[test]
fn control_characters_of_a_peer_are_escaped_on_a_terminal() {
    let sent =
        "\x1b]0;title\x07 \u{9b}31m \u{202e}abc\u{2066} \x7f\x08 safe\rEVIL\ttab\r\nnext gr\u{fc}n";
    let bytes = [sent.as_bytes(), b" \x9b1m\xff end\n"].concat();
    let listen = |more: &[&str]| {
        let arguments = [&["listen", "-v", "127.0.0.1:0"], more].concat();
        let mut terminal = Terminal::start(&arguments, true);
        let endpoint = terminal.word_after("listening on 127.0.0.1:");
        let mut client = TcpStream::connect(endpoint).unwrap();
        client.set_nodelay(true).unwrap();
        // Split anywhere, even within characters.
        for byte in &bytes {
            client.write_all(&[*byte]).unwrap();
        }
        terminal.see(" end");
        terminal.press(CTRL_C);
        terminal.wait();
        terminal.shown.clone()
    };
    let shown = listen(&[]);
    for expected in [
        "^[]0;title^G <U+009B>31m <U+202E>abc<U+2066> ^?^H safe^MEVIL\ttab\r\nnext gr\u{fc}n",
        " <9B>1m<FF> end",
    ] {
        assert!(shown.contains(expected), "{shown:?}");
    }
    let shown = listen(&["--raw"]);
    let (controls, _) = sent.split_once("\ttab").unwrap();
    assert!(shown.contains(controls), "{shown:?}");
}

#[test]
fn connect_escapes_control_characters_on_a_terminal_and_leaves_them_unchanged_in_a_file() {
    let bytes = "\x1b[2J\u{202e}\x00 end".as_bytes();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    let mut terminal = Terminal::start(&["connect", &endpoint], true);
    listener.accept().unwrap().0.write_all(bytes).unwrap();
    terminal.see("^[[2J<U+202E>^@ end");
    terminal.wait();
    let mut piped = Running::connect(&endpoint);
    listener.accept().unwrap().0.write_all(bytes).unwrap();
    assert_eq!(piped.read_to_the_end(), bytes);
}
