//! The `fyke` command: talk to TCP and Unix sockets from the terminal, and watch the events of a
//! conversation. It uses only the public interface of the `fyke` library.

#![forbid(unsafe_code)]

mod arguments;
mod backoff;
mod clock;
mod connect;
mod delivery;
mod demo;
mod descriptors;
mod ending;
mod explain;
mod failure;
mod files;
mod folder;
mod gate;
mod idle;
mod input;
mod json;
mod listen;
mod load;
mod log;
mod manual;
mod memory;
mod output;
mod place;
mod random;
mod recording;
mod relay;
mod replay;
mod report;
mod signals;
mod size;
mod status_line;
mod streams;
mod tls;
mod visible;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use arguments::{Arguments, Command, Level};
use explain::Steps;
use failure::Failure;
use streams::Stream;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    signals::survive_file_size_limit();
    let level = arguments.log.level();
    log::set_level(level);
    let command = arguments.command;
    let done = if level == Level::Trace {
        tracing::subscriber::with_default(Steps::Logged, || run(command))
    } else {
        run(command)
    };
    let code = match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            log::last_words(&failure);
            failure.exit_code()
        }
    };
    streams::flush();
    code
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Listen(options) => listen::listen(options),
        Command::Connect(options) => connect::connect(options),
        Command::Relay(options) => relay::relay(*options),
        Command::Replay(options) => replay::replay(&options),
        Command::Load(options) => load::load(options),
        Command::Demo(options) => demo::demo(options),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { command } => manual::page(command.as_deref()),
    }
}

/// Prints a usage error of clap in one line. Requested output (`--help`) is printed unchanged.
fn refuse(error: &clap::Error) -> ExitCode {
    let shown = matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if shown {
        return show(error);
    }
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    // The first paragraph is the cause. Tips, the usage and a reference to the help follow.
    let cause = |line: &&str| !line.starts_with("Usage:") && !line.starts_with("For more");
    let lines = text.lines().take_while(cause).map(str::trim).filter(|line| !line.is_empty());
    let cause = lines.collect::<Vec<_>>().join(" ").replace(" tip: ", "; tip: ");
    let typed = std::env::args().nth(1).unwrap_or_default();
    let command = match arguments::names().find(|name| *name == typed) {
        Some(name) => format!("fyke {name}"),
        None => String::from("fyke"),
    };
    log::last_words(format_args!("{cause}; see {command} --help"));
    streams::flush();
    ExitCode::from(2)
}

/// Prints help or the version on standard output, and usage errors on standard error.
fn show(error: &clap::Error) -> ExitCode {
    let text = error.render();
    let text = if report::colours() { text.ansi().to_string() } else { text.to_string() };
    if error.use_stderr() {
        // There is no other stream to report a failure on.
        let _ = Stream::Errors.write_all(text.as_bytes());
        return ExitCode::from(2);
    }
    match output::print(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            log::last_words(&failure);
            streams::flush();
            failure.exit_code()
        }
    }
}
