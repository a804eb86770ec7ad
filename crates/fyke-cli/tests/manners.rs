//! What every command owes: help, completions, manual pages, and nothing but data on standard output.

mod support;

use std::io::{Read, Write};

use support::{Running, output};

const COMMANDS: [&str; 8] =
    ["listen", "connect", "relay", "replay", "load", "demo", "completions", "man"];

#[test]
fn every_shell_gets_completions_that_know_every_command() {
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

#[test]
fn standard_output_has_only_data_whatever_is_logged() {
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
fn logs_have_levels_by_count_and_by_name() {
    for (arguments, attempts, calls) in [
        (&["--log", "error"][..], false, false),
        (&["-vv"], true, false),
        (&["--log", "debug"], true, false),
        (&["-vvv"], true, true),
    ] {
        let (_, _, errors) = output(&[&["connect", "127.0.0.1:1"], arguments].concat());
        assert_eq!(errors.contains("attempt"), attempts, "{errors}");
        assert_eq!(errors.contains("makes a socket"), calls, "{errors}");
    }
}

#[test]
fn a_reader_that_leaves_a_long_text_is_no_failure() {
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
fn a_signal_while_connected_ends_connect_by_that_signal() {
    use std::os::unix::process::ExitStatusExt;

    let (server, endpoint) = Running::listen(&[]);
    let mut client = Running::connect(&endpoint);
    client.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    server.note("client 1 connected");
    client.signal("INT");
    assert_eq!(client.wait().signal(), Some(2));
    server.note("client 1 left");
}

#[test]
fn what_the_readme_shows_is_there() {
    let readme = include_str!("../../../README.md");
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
