//! Common to all commands: help, completions, manual pages, and only data on standard output.

mod support;

use std::io::{Read, Write};

use support::{Running, output};

const COMMANDS: [&str; 8] =
    ["listen", "connect", "relay", "replay", "load", "demo", "completions", "man"];

#[test]
fn the_completions_of_every_shell_contain_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (code, text, errors) = output(&["completions", shell]);
        assert_eq!((code, errors.as_str()), (Some(0), ""));
        for command in COMMANDS {
            assert!(text.contains(command), "{shell} does not know {command}");
        }
        assert!(text.contains("max-connections"), "{shell}");
    }
}

#[test]
fn every_command_has_a_manual_page_with_its_options_and_examples() {
    let (code, text, _) = output(&["man"]);
    assert_eq!(code, Some(0));
    assert!(text.contains(".TH fyke 1") && text.contains("EXTRA") && text.contains("Exit status"));
    for command in COMMANDS {
        let (code, text, errors) = output(&["man", command]);
        assert_eq!((code, errors.as_str()), (Some(0), ""));
        assert!(text.contains(&format!(".TH fyke-{command} 1")), "{text}");
        assert!(text.contains("Examples:"), "{command}");
    }
}

#[test]
fn the_pages_of_the_help_fit_a_terminal() {
    for command in COMMANDS {
        let (_, text, _) = output(&[command, "--help"]);
        let long = text.lines().find(|line| line.chars().count() > 100);
        assert_eq!(long, None, "{command}");
    }
}

/// Regression: the summary of a command replaced its description.
#[test]
fn help_and_manual_page_of_a_command_have_its_description_and_the_list_of_commands_its_summary() {
    for (command, summary, description) in [
        ("listen", "Accept clients", "With --exec each connection runs a program"),
        ("connect", "Connect to a server", "The two directions end separately"),
        ("relay", "Forward connections", "Each direction has backpressure"),
        ("replay", "Replay traffic", "Data is sent at the recorded time"),
        ("load", "Send requests", "Closed loop (the default)"),
        ("demo", "Show a conversation", "Both sides run in this process"),
    ] {
        let (_, list, _) = output(&["--help"]);
        assert!(list.contains(summary), "{command}: {list}");
        let (_, help, _) = output(&[command, "--help"]);
        assert!(help.contains(description), "{command}: {help}");
        let (_, page, _) = output(&["man", command]);
        let page = page.replace('\\', "");
        assert!(page.contains(description), "{command}: {page}");
    }
}

#[test]
fn standard_output_contains_only_data_at_every_log_level() {
    let (mut server, endpoint) = Running::listen(&["-vv", "--once"]);
    let mut client = Running::start(&["connect", "--log", "trace", &endpoint]);
    client.type_in("data");
    client.end_of_input();
    client.note("shutdown");
    assert!(client.wait().success());
    assert_eq!(client.read_to_the_end(), b"");
    assert!(server.wait().success());
    assert_eq!(server.read_to_the_end(), b"data");
}

#[test]
fn log_levels_are_set_by_count_and_by_name() {
    for (arguments, attempts, calls) in [
        (&["--log", "error"][..], false, false),
        (&["-vv"], true, false),
        (&["--log", "debug"], true, false),
        (&["-vvv"], true, true),
    ] {
        let (_, _, errors) = output(&[&["connect", "127.0.0.1:1"], arguments].concat());
        assert_eq!(errors.contains("attempt"), attempts, "{errors}");
        assert_eq!(errors.contains("creates a socket"), calls, "{errors}");
    }
}

#[test]
fn a_reader_that_exits_before_the_end_of_a_long_text_is_not_a_failure() {
    for arguments in [&["man", "relay"][..], &["completions", "zsh"], &["--help"]] {
        let mut command = support::fyke(arguments);
        let piped = command.stdout(std::process::Stdio::piped());
        let mut child = piped.stderr(std::process::Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut errors = String::new();
        child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        assert_eq!((child.wait().unwrap().code(), errors.as_str()), (Some(0), ""));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_text_that_cannot_be_printed_is_a_failure() {
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["help"],
        &["relay", "--help"],
        &["man", "relay"],
        &["completions", "zsh"],
        &["demo"],
        &["demo", "--explain"],
        &["load", "-n", "1", "-c", "1"],
        &["load", "-n", "1", "-c", "1", "--json"],
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = support::fyke(arguments).stdout(full).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {errors}");
        assert_eq!(errors, "fyke: standard output: No space left on device (os error 28)\n");
    }
}

#[test]
fn control_characters_in_an_error_are_escaped() {
    for text in ["\x1b[31mred", "\u{9b}31m:80", "a\u{202e}b\n:80", "\x7f\r.invalid:80"] {
        let (code, _, errors) = output(&["connect", text]);
        assert!(matches!(code, Some(2..=4)), "{errors}");
        let line = errors.strip_suffix('\n').unwrap();
        let obeyed = |c: char| c.is_control() || c == '\u{202e}';
        assert!(!line.contains(obeyed), "{errors:?}");
    }
}

#[test]
fn json_escapes_control_characters_as_numbers() {
    let (mut server, endpoint) = Running::listen(&["--json"]);
    let sent = "\x1b\x7f\u{9b}\u{202e}\u{2066}\u{200f}\u{61c}\u{2028} gr\u{fc}n";
    std::net::TcpStream::connect(endpoint).unwrap().write_all(sent.as_bytes()).unwrap();
    let line = loop {
        let line = server.line();
        if line.contains(r#""event":"received""#) {
            break line;
        }
    };
    let numbers = r"\u001b\u007f\u009b\u202e\u2066\u200f\u061c\u2028 gr\u{fc}n";
    assert!(line.contains(&numbers.replace(r"\u{fc}", "\u{fc}")), "{line}");
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["text"], sent);
}

#[test]
#[cfg(target_os = "linux")]
fn too_many_open_files_are_reported_once() {
    let folder = support::Folder::new();
    let endpoints: Vec<_> = (0..40).map(|number| folder.path(&number.to_string())).collect();
    let script = format!("ulimit -n 30; exec {} listen \"$@\"", env!("CARGO_BIN_EXE_fyke"));
    let mut command = std::process::Command::new("sh");
    // Sockets of io_uring are not descriptors of the process.
    command.env("FYKE_DRIVER", "ready");
    let output = command.args(["-c", &script, "sh"]).args(endpoints).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.starts_with("fyke: listen EMFILE: too many open files "), "{errors}");
    assert_eq!(errors.matches("too many open files").count(), 1, "{errors}");
    assert!(errors.ends_with("`ulimit -n` is the limit\n"), "{errors}");
}

#[test]
fn a_signal_while_connected_terminates_connect_by_that_signal() {
    use std::os::unix::process::ExitStatusExt;

    let (server, endpoint) = Running::listen(&[]);
    let mut client = Running::connect(&endpoint);
    client.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    server.note("client 1 connected");
    // Not SIGINT, which background jobs of a script ignore, and so do their children.
    client.signal("TERM");
    assert_eq!(client.wait().signal(), Some(15));
    server.note("client 1 disconnected");
}

#[test]
fn the_commands_and_options_in_the_readme_exist() {
    let readme = include_str!("../README.md");
    let section = readme.split("## The command").nth(1).expect("the section");
    let section = section.split("\n## ").next().expect("its text");
    let examples: Vec<_> = section.lines().filter(|line| line.starts_with("fyke ")).collect();
    assert!(examples.len() > 5, "{section}");
    for example in examples {
        let words: Vec<_> = example.split('#').next().unwrap().split_whitespace().collect();
        let (_, help, _) = output(&[words[1], "--help"]);
        for option in words.iter().filter(|word| word.starts_with("--")) {
            assert!(help.contains(&format!("{option} ")), "{example}: no {option}");
        }
    }
}
