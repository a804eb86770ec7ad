//! `fyke load`.

mod support;

use std::net::TcpListener;

use serde_json::Value;
use support::{Folder, Running, output};

fn result(arguments: &[&str]) -> Value {
    let (code, text, errors) = output(&[&["load", "--json"], arguments].concat());
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn without_an_endpoint_a_built_in_server_answers_every_request() {
    let reported = result(&["-n", "2000", "--depth", "4", "--verify", "-c", "10"]);
    assert_eq!((&reported["requests"], &reported["connections"]), (&2000.into(), &10.into()));
    assert_eq!((&reported["unanswered"], &reported["lost"]), (&0.into(), &0.into()));
    assert_eq!(reported["bytes_each_way"], 2000 * 64);
    let latency = &reported["latency_ns"];
    let at = |name: &str| latency[name].as_u64().unwrap();
    assert!(at("p50") > 0 && at("p50") <= at("p99") && at("p99.9") <= at("max"), "{reported}");
}

#[test]
fn large_requests_are_echoed_unchanged() {
    let reported = result(&["-n", "50", "--size", "1M", "-c", "2", "--verify"]);
    assert_eq!(reported["bytes_each_way"], 50 << 20);
}

#[test]
fn an_open_loop_sends_at_the_given_rate() {
    let reported = result(&["-n", "200", "--rate", "1000", "-c", "5", "--verify"]);
    assert_eq!(reported["requests"], 200);
    // The last request is due after 199 ms.
    assert!(reported["seconds"].as_f64().unwrap() >= 0.199, "{reported}");
}

#[test]
fn connections_can_be_opened_at_a_rate_and_kept_idle() {
    let (_server, endpoint) = Running::listen(&["--echo"]);
    let reported = result(&["--connect-rate", "1000", "-n", "100", &endpoint]);
    assert_eq!((&reported["requests"], &reported["connections"]), (&100.into(), &100.into()));
    // More than can be opened: the rest waits, and all are opened in the end.
    let reported =
        result(&["--connect-rate", "1M", "-n", "500", "-c", "5", "-t", "60s", &endpoint]);
    assert_eq!((&reported["requests"], &reported["unanswered"]), (&500.into(), &0.into()));
    let reported = result(&["--idle", "-c", "300", "-d", "100ms", &endpoint]);
    assert_eq!(
        (&reported["connections"], &reported["open_at_the_end"]),
        (&300.into(), &300.into())
    );
}

#[test]
fn load_writes_a_plot_and_a_distribution() {
    let folder = Folder::new();
    let (picture, distribution) = (folder.path("a.svg"), folder.path("a.hgrm"));
    result(&["-n", "500", "--histogram", &picture, "--hgrm", &distribution]);
    assert!(std::fs::read_to_string(picture).unwrap().starts_with("<svg "));
    let text = std::fs::read_to_string(distribution).unwrap();
    assert!(text.contains("1.000000000000        500"), "{text}");
}

#[test]
fn without_json_the_result_is_a_few_lines_of_text() {
    let (code, text, errors) = output(&["load", "-n", "100"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let words: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(words, ["closed", "connections", "requests", "latency", "errors"], "{text}");
    assert!(text.contains("requests     100, ") && text.contains("errors       none"), "{text}");
}

#[test]
fn a_server_that_does_not_answer_or_sends_wrong_bytes_is_detected() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = silent.local_addr().unwrap().to_string();
    let (code, text, errors) = output(&["load", "-c", "2", "-n", "2", "-t", "100ms", &endpoint]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(text.contains("unanswered 2"), "{text}");
    // Each byte is echoed with one bit cleared.
    let (_server, endpoint) = Running::listen(&["--exec", "tr \\200-\\377 \\000-\\177"]);
    let arguments = ["load", "--verify", "-c", "1", "-n", "1", "-s", "64k", "-t", "60s", &endpoint];
    let (code, text, _) = output(&arguments);
    assert_eq!(code, Some(1));
    assert!(text.contains("changed bytes 1"), "{text}");
}

#[test]
fn an_unreachable_server_gives_exit_status_3() {
    let (code, text, errors) = output(&["load", "127.0.0.1:1"]);
    assert_eq!((code, text.as_str()), (Some(3), ""));
    assert_eq!(errors, "fyke: connect ECONNREFUSED 127.0.0.1:1: no server is listening there\n");
}

#[test]
fn without_answers_no_latency_is_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    let arguments = ["load", "-n", "1", "-c", "1", "-t", "100ms", &endpoint];
    let (code, text, _) = output(&arguments);
    assert_eq!(code, Some(1));
    assert!(text.contains("requests     0,"), "{text}");
    assert!(text.contains("latency      none, because no request was answered\n"), "{text}");
    let (_, text, _) = output(&[&arguments[..], &["--json"]].concat());
    let reported: Value = serde_json::from_str(&text).unwrap();
    for name in ["p50", "p99.9", "max", "mean"] {
        assert!(reported["latency_ns"][name].is_null(), "{reported}");
    }
}
