//! The load generator of `bench/`: one thread, many connections, every echoed byte checked. Prints one
//! line of JSON about a window of time, with the server's processor time in exactly that window.
//!
//! `fyke-bench-load MODE --port PORT | --unix PATH [--connections N] [--size BYTES] [--depth MESSAGES]
//! [--seconds S] [--warm-up S] [--http] [--pid SERVER] [--flood] [--bulk N]
//! [--stuck N] [--idle N]`
//!
//! | mode | |
//! |---|---|
//! | `echo` | each connection has `depth` messages of `size` bytes in flight, and sends the next for
//! each answer |
//! | `sink` | each connection sends as much as the server accepts |
//! | `source` | each connection receives as much as the server sends |
//! | `connect` | connects, has one byte echoed, closes; `connections` at a time |
//! | `idle` | opens `connections`, has one message of each echoed, and reports their memory |
//!
//! With `--http`, the messages of `echo` and `idle` are requests of HTTP/1.1, each answered by
//! "Hello, World!".
//!
//! In addition to the measured connections there may be one that floods (`--flood`), some that only
//! send (`--bulk`, for a server that does not echo these), some that send and never read (`--stuck`),
//! and some that are idle (`--idle`).
#![forbid(unsafe_code)]

mod arguments;
mod connect;
mod echo;
mod histogram;
mod idle;
mod message;
mod nuisance;
mod process;
mod report;
mod stream;
mod transfer;
mod window;

use std::process::ExitCode;

use arguments::{Arguments, Mode};

fn run() -> std::io::Result<u64> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    process::raise_descriptor_limit();
    let _nuisance = nuisance::start(&arguments)?;
    let report = match arguments.mode {
        Mode::Echo => echo::run(&arguments)?,
        Mode::Sink | Mode::Source => transfer::run(&arguments)?,
        Mode::Connect => connect::run(&arguments)?,
        Mode::Idle => idle::run(&arguments)?,
    };
    println!("{}", report.to_json());
    Ok(report.wrong_bytes())
}

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(wrong) => {
            eprintln!("wrong bytes were received on {wrong} connections");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
