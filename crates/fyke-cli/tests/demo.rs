//! `fyke demo`.

mod support;

use support::{Folder, fyke, output};

/// Where the first conversation begins, and the second one.
const FIRST: &str = "\nTCP\n";
const SECOND: &str = "\nUnix socket\n";

/// The events of one side, in order.
fn events<'a>(conversation: &'a str, side: &str) -> Vec<&'a str> {
    let lines = conversation.lines().filter_map(|line| line.strip_prefix(side));
    lines.filter_map(|line| line.split_whitespace().next()).collect()
}

/// The calls that were explained, in order.
fn steps(conversation: &str) -> Vec<&str> {
    let lines = conversation.lines().filter_map(|line| line.trim_start().strip_prefix("| "));
    lines.filter_map(|line| line.split_whitespace().next()).collect()
}

#[test]
fn both_conversations_print_the_events_of_each_side_in_order() {
    let (code, text, errors) = output(&["demo"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let (tcp, unix) = text.split_once(SECOND).unwrap();
    assert!(tcp.starts_with("TCP\n"), "{text}");
    for conversation in [tcp, unix] {
        let server = ["listening", "connection", "data", "end", "close", "close"];
        assert_eq!(events(conversation, "server"), server, "{text}");
        let client = ["connect", "data", "end", "close"];
        assert_eq!(events(conversation, "client"), client, "{text}");
        assert!(conversation.contains(r#"server  data         "hello server!\r\n""#), "{text}");
        assert!(conversation.contains(r#"client  data         "hello client""#), "{text}");
        assert_eq!(steps(conversation), [""; 0], "{text}");
    }
    assert!(tcp.contains("listening    127.0.0.1:"), "{text}");
    assert!(unix.contains("/demo.sock"), "{text}");
}

#[test]
fn explain_names_every_step_of_both_conversations() {
    let (code, text, _) = output(&["demo", "--explain"]);
    assert_eq!(code, Some(0));
    let (introduction, conversations) = text.split_once(FIRST).unwrap();
    let (tcp, unix) = conversations.split_once(SECOND).unwrap();
    // The introduction explains every event that follows.
    for event in events(tcp, "server").into_iter().chain(events(tcp, "client")) {
        assert!(introduction.contains(&format!("\n  {event} ")), "{event}: {text}");
    }
    for conversation in [tcp, unix] {
        let opening = ["socket", "bind", "listen", "socket", "connect", "accept"];
        // The server's side of the connection has only to close, which ends it too.
        let ending = ["shutdown", "close", "close", "close"];
        assert_eq!(steps(conversation), [&opening[..], &ending].concat(), "{text}");
        // The conversation itself is the same.
        assert_eq!(events(conversation, "client"), ["connect", "data", "end", "close"], "{text}");
    }
    assert!(tcp.contains("TCP over IPv4"), "{text}");
    assert!(tcp.contains("assigns the address 127.0.0.1:0"), "{text}");
    assert!(!text.contains('?'), "a field is missing: {text}");
}

#[test]
fn a_step_is_printed_before_the_event_that_it_causes() {
    let (_, text, _) = output(&["demo", "--explain"]);
    let place = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what:?} in {text}"));
    assert!(place("| bind") < place("server  listening"));
    assert!(place("| connect") < place("client  connect"));
    assert!(place("| accept") < place("server  connection"));
    assert!(place("| shutdown") < place("server  end"));
    assert!(place("| close") < place("server  close"));
}

#[test]
fn the_temporary_folder_is_removed() {
    let folder = Folder::new();
    let status = fyke(&["demo"]).env("TMPDIR", folder.path("")).output().unwrap().status;
    assert!(status.success());
    assert!(folder.is_empty());
}

#[test]
fn a_reader_that_exits_early_is_not_a_failure() {
    use std::process::Stdio;

    let mut child = fyke(&["demo"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
