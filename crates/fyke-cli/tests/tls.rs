//! `--tls` of `connect`.

#[path = "support/certificates.rs"]
mod certificates;
mod support;

use std::io::Write;

use certificates::{Authority, has_openssl, openssl_server};
use support::sockets::listener;
use support::{Running, fyke, output};

/// Runs a command that must fail, and returns its line.
fn failure(arguments: &[&str], expected: i32) -> String {
    let (code, text, errors) = output(arguments);
    assert_eq!(code, Some(expected), "{errors}");
    assert_eq!(text, "");
    let line = errors.strip_suffix('\n').unwrap_or_else(|| panic!("no line: {errors:?}"));
    assert!(line.starts_with("fyke: ") && !line.contains('\n'), "{errors}");
    line.to_owned()
}

/// Connects, sends a line to `openssl s_server -rev`, and returns the notes.
fn exchange(endpoint: &str, more: &[&str]) -> Vec<String> {
    let mut client = Running::start(&[&["connect", "--tls", endpoint], more].concat());
    client.type_in("hello\n");
    client.expect("olleh\n");
    client.end_of_input();
    assert!(client.wait().success());
    client.notes_to_the_end()
}

fn contains(notes: &[String], text: &str) -> bool {
    notes.iter().any(|note| note.contains(text))
}

#[test]
fn connect_talks_to_a_server_of_openssl_and_prints_what_was_negotiated() {
    if !has_openssl() {
        return;
    }
    let authority = Authority::new();
    let (_server, endpoint) =
        openssl_server(&authority.issue("localhost"), &["-alpn", "h2,http/1.1"]);
    let ca = authority.ca();
    let notes = exchange(&endpoint, &["--ca", &ca, "-v", "--alpn", "http/1.1,h2"]);
    for part in [
        "TLSv1.3, TLS13_",
        ", ALPN h2, name localhost, new session",
        "certificate 1: CN=localhost, issued by CN=Test Authority",
        "names: localhost",
        "valid for another ",
        " to 4000-01-01",
        "fingerprint: ",
    ] {
        assert!(contains(&notes, part), "{part}: {notes:?}");
    }
    let fingerprint = notes.iter().find_map(|note| note.split("fingerprint: ").nth(1)).unwrap();
    assert!(exchange(&endpoint, &["--pin", fingerprint]).is_empty());
    let other = fingerprint.replace(':', "").to_lowercase().replace('a', "b").replace('0', "1");
    let line = failure(&["connect", "--tls", &endpoint, "--pin", &other], 3);
    assert!(line.contains("ERR_TLS_CERT_INVALID") && line.contains("fingerprint"), "{line}");
    // Several pins: each is accepted.
    exchange(&endpoint, &["--pin", &other, "--pin", fingerprint]);
    let notes = exchange(&endpoint, &["--insecure"]);
    let warning =
        "is accepted, but the server may be anyone: the certificate of the peer was not issued by";
    assert!(contains(&notes, warning), "{notes:?}");
    assert!(contains(&notes, &format!("its --pin is {fingerprint}")), "{notes:?}");
}

#[test]
fn connect_prints_the_negotiation_as_json() {
    if !has_openssl() {
        return;
    }
    let authority = Authority::new();
    let (_server, endpoint) = openssl_server(&authority.issue("localhost"), &["-tls1_2"]);
    let ca = authority.ca();
    let mut client = Running::start(&["connect", "--tls", "--json", "--ca", &ca, &endpoint]);
    assert!(client.line().contains(r#""event":"connected""#));
    let line = client.line();
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["event"], "secured");
    assert_eq!(value["protocol"], "TLSv1.2");
    assert_eq!(value["alpn"], serde_json::Value::Null);
    assert_eq!(value["name"], "localhost");
    assert_eq!(value["resumed"], false);
    assert_eq!(value["authorized"], true);
    assert_eq!(value["authorization_error"], serde_json::Value::Null);
    let certificate = &value["certificates"][0];
    assert_eq!(certificate["subject"], "CN=localhost");
    assert_eq!(certificate["names"][0], "localhost");
    assert!(certificate["valid_days"].as_i64().unwrap() > 365_000, "{line}");
}

#[test]
fn json_has_what_insecure_accepted() {
    if !has_openssl() {
        return;
    }
    let authority = Authority::new();
    let (_server, endpoint) = openssl_server(&authority.issue("localhost"), &[]);
    let mut client = Running::start(&["connect", "--tls", "--json", "--insecure", &endpoint]);
    assert!(client.line().contains(r#""event":"connected""#));
    let value: serde_json::Value = serde_json::from_str(&client.line()).unwrap();
    assert_eq!(value["authorized"], false);
    assert_eq!(value["authorization_error"], "UNABLE_TO_GET_ISSUER_CERT_LOCALLY");
    let warning = client.note("warning: the certificate of localhost:");
    assert!(warning.contains("is accepted, but the server may be anyone"), "{warning}");
}

#[test]
fn connect_refuses_certificates_that_are_not_valid_with_status_3() {
    if !has_openssl() {
        return;
    }
    let authority = Authority::new();
    let (ca, other) = (authority.ca(), Authority::new());
    for (issuer, name, from, to, code) in [
        (&authority, "localhost", 2001, 2002, "CERT_HAS_EXPIRED"),
        (&authority, "localhost", 4001, 4002, "CERT_NOT_YET_VALID"),
        (&authority, "example.org", 2020, 4000, "ERR_TLS_CERT_ALTNAME_INVALID"),
        (&other, "localhost", 2020, 4000, "UNABLE_TO_GET_ISSUER_CERT_LOCALLY"),
    ] {
        let pair = issuer.valid(name, from, to);
        let (_server, endpoint) = openssl_server(&pair, &[]);
        let line = failure(&["connect", "--tls", &endpoint, "--ca", &ca], 3);
        assert!(line.contains(code), "{line}");
        let (status, _, errors) = output(&["connect", "--tls", "-v", &endpoint, "--ca", &ca]);
        assert_eq!(status, Some(3));
        let lines: Vec<&str> = errors.lines().collect();
        let chain = format!("fyke: certificate 1: CN={name}, issued by CN=Test Authority");
        assert!(lines.iter().any(|line| line.starts_with(&chain)), "{errors}");
        assert!(lines.iter().any(|line| line.starts_with("fyke:   fingerprint: ")), "{errors}");
        assert!(lines.last().unwrap().contains(code), "{errors}");
    }
}

#[test]
fn connect_verifies_the_name_of_sni_instead_of_the_endpoint() {
    if !has_openssl() {
        return;
    }
    let authority = Authority::new();
    let (_server, endpoint) = openssl_server(&authority.issue("example.org"), &[]);
    let ca = authority.ca();
    let notes = exchange(&endpoint, &["--ca", &ca, "-v", "--sni", "example.org"]);
    assert!(contains(&notes, "name example.org"), "{notes:?}");
    let line = failure(&["connect", "--tls", &endpoint, "--ca", &ca], 3);
    assert!(line.ends_with("; --sni sets the name to verify"), "{line}");
}

#[test]
fn connect_presents_a_certificate() {
    if !has_openssl() {
        return;
    }
    let authority = Authority::new();
    let ca = authority.ca();
    let (certificate, key) = authority.issue("client");
    let (_server, endpoint) = openssl_server(
        &authority.issue("localhost"),
        &["-Verify", "1", "-CAfile", &ca, "-verify_return_error"],
    );
    let more = ["--ca", &ca, "--client-cert", &certificate, "--client-key", &key];
    exchange(&endpoint, &more);
    // In TLS 1.3 the server refuses the client after the client's handshake.
    let line = failure(&["connect", "--tls", &endpoint, "--ca", &ca], 1);
    assert!(line.contains("ERR_TLS_ALERT"), "{line}");
}

#[test]
fn a_server_that_does_not_answer_or_does_not_speak_tls_is_unreachable() {
    let (_silent, endpoint) = listener();
    let line = failure(&["connect", "--tls", "--insecure", "-t", "100ms", &endpoint], 4);
    assert!(line.contains("ERR_TLS_HANDSHAKE_TIMEOUT"), "{line}");
    let (plain, endpoint) = listener();
    std::thread::spawn(move || {
        // Closing a stream with unread bytes would reset it.
        let mut streams = Vec::new();
        for stream in plain.incoming() {
            let mut stream = stream.unwrap();
            stream.write_all(b"220 mail.example.org\r\n").unwrap();
            streams.push(stream);
        }
    });
    let line = failure(&["connect", "--tls", "--insecure", &endpoint], 3);
    assert!(line.contains("ERR_TLS_NOT_TLS"), "{line}");
    // A failed handshake reads no input, and is retried.
    let mut command = fyke(&["connect", "--tls", "--insecure", "--retry", "2", "-v", &endpoint]);
    let mut client = Running::of(command.stdin(std::process::Stdio::piped()));
    client.note("ERR_TLS_NOT_TLS");
    assert_eq!(client.wait().code(), Some(3));
}

#[test]
fn options_of_connect_without_effect_or_with_wrong_values_are_usage_errors() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("client");
    let (_, other_key) = authority.issue("other");
    let (ca, missing) = (authority.ca(), authority.path("missing"));
    let empty = authority.path("empty");
    std::fs::write(&empty, "").unwrap();
    for (more, text) in [
        (&["--sni", "x"][..], "--sni has no effect without --tls"),
        (&["--ca", &ca], "--ca has no effect without --tls"),
        (&["--pin", "x"], "--pin has no effect without --tls"),
        (&["--insecure"], "--insecure has no effect without --tls"),
        (&["--alpn", "h2"], "--alpn has no effect without --tls"),
        (&["--client-cert", &certificate, "--client-key", &key], "--client-cert has no effect"),
        (&["--tls", "--client-cert", &certificate], "--client-key <FILE>"),
        (&["--tls", "--client-key", &key], "--client-cert <FILE>"),
        (&["--tls", "--ca", &ca, "--insecure"], "cannot be used with"),
        (&["--tls", "--ca", &ca, "--pin", "x"], "cannot be used with"),
        (&["--tls", "--pin", "x", "--insecure"], "cannot be used with"),
        (&["--tls", "--pin", "12:34"], "--pin 12:34: a fingerprint is the SHA-256"),
        (&["--tls", "--sni", "not a name"], "is neither a host name nor an IP address"),
        (&["--tls", "--ca", &missing], "missing: No such file"),
        (&["--tls", "--ca", &key], "client.key: there is no certificate in the PEM"),
        (&["--tls", "--ca", &empty], "empty: the file is empty"),
        (&["--tls", "--alpn", "h2,"], "--alpn: the name of an application protocol"),
        (
            &["--tls", "--client-cert", &key, "--client-key", &key],
            "there is no certificate in the PEM",
        ),
        (
            &["--tls", "--client-cert", &certificate, "--client-key", &certificate],
            "there is no private key",
        ),
        (
            &["--tls", "--client-cert", &certificate, "--client-key", &other_key],
            "other.key: the private key does not belong to the certificate",
        ),
    ] {
        // Nothing listens there: the options are checked first.
        let line = failure(&[&["connect", "127.0.0.1:1"], more].concat(), 2);
        assert!(line.contains(text), "{text}: {line}");
    }
}
