//! Runs the examples as programs, and the programs that communicate with them.

#![allow(dead_code, reason = "each test file uses its part")]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

/// The drivers of the operating system. Where io_uring cannot be used, a loop uses readiness.
pub(crate) const DRIVERS: [&str; 2] = ["ready", "uring"];

pub(crate) fn example(name: &str, driver: &str) -> Command {
    // Cargo builds the examples with the tests, next to the folder of the tests.
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.extend(["examples", name]);
    let mut command = Command::new(path);
    command.env("FYKE_DRIVER", driver);
    command
}

/// A running server, which is killed when the test ends.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start(name: &str, driver: &str) -> Self {
        Self::start_with(name, driver, &[])
    }

    /// Starts an example with further arguments after the endpoint.
    pub(crate) fn start_with(name: &str, driver: &str, more: &[&OsStr]) -> Self {
        let mut command = example(name, driver);
        command.arg("127.0.0.1:0").args(more).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}"));
        Self { child, address: address.to_owned() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns whether a program is installed. Prints a message if it is not.
pub(crate) fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        skip(program);
    }
    found
}

pub(crate) fn skip(what: &str) {
    // `eprintln` is not used, because its output is shown only if the test fails.
    let _ = writeln!(std::io::stderr(), "*** SKIPPED: {what} is not installed ***");
}

/// Returns the output of a program, which must succeed.
pub(crate) fn output(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {error}", output.status);
    output.stdout
}
