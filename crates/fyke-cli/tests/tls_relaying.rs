//! `--tls-in` and `--tls-out` of `relay`.

#[path = "support/certificates.rs"]
mod certificates;
mod support;

use certificates::{Authority, has_openssl, openssl_client, openssl_server};
use support::{Running, noise};

/// Sends bytes and the end of input, and expects them back.
fn round_trip(arguments: &[&str]) {
    let sent = noise(300_000);
    let mut client = Running::start(arguments);
    client.feed(&sent);
    assert!(client.read(sent.len()) == sent, "the bytes differ");
    assert_eq!(client.read_to_the_end(), b"");
    assert!(client.wait().success());
}

#[test]
fn a_relay_terminates_and_originates_tls() {
    let authority = Authority::new();
    let ca = authority.ca();
    let (certificate, key) = authority.issue("localhost");
    let files = ["--cert", certificate.as_str(), "--key", &key];
    let (_plain, plain) = Running::listen(&["--echo"]);
    let (_secure, secure) = Running::listen(&[&["--tls", "--echo"], &files[..]].concat());
    let out = ["--tls-out", "--ca", &ca, "--sni", "localhost"];
    let tls = ["--tls", "--ca", &ca, "--sni", "localhost"];
    let (_relay, endpoint) = Running::relay(&plain, &[&["--tls-in"], &files[..]].concat());
    round_trip(&[&["connect", endpoint.as_str()], &tls[..]].concat());
    let (_relay, endpoint) = Running::relay(&secure, &out);
    round_trip(&["connect", &endpoint]);
    let (_relay, endpoint) = Running::relay(
        &secure,
        &[&["--tls-in"], &files[..], &out[..], &["--slice", "7k"]].concat(),
    );
    round_trip(&[&["connect", endpoint.as_str()], &tls[..]].concat());
}

#[test]
fn a_target_is_offered_the_protocol_that_its_client_has_agreed_on() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("localhost");
    let files = ["--cert", certificate.as_str(), "--key", &key];
    let target = [&["--tls", "--echo", "--alpn", "h2,http/1.1"], &files[..]].concat();
    let (target, endpoint) = Running::listen(&target);
    let more = ["--tls-in", "--tls-out", "--insecure", "--alpn", "h2,http/1.1"];
    let (relay, endpoint) = Running::relay(&endpoint, &[&more[..], &files[..]].concat());
    for (alpn, expected) in [("http/1.1", "ALPN http/1.1"), ("h2", "ALPN h2")] {
        round_trip(&["connect", "--tls", "--insecure", "--alpn", alpn, &endpoint]);
        let line = target.note("TLSv1.3");
        assert!(line.contains(expected), "{line}");
        relay.note("warning: the certificate of 127.0.0.1:");
    }
    round_trip(&["connect", "--tls", "--insecure", &endpoint]);
    let line = target.note("TLSv1.3");
    assert!(line.contains("no ALPN"), "{line}");
}

#[test]
fn proxy_protocol_headers_are_outside_of_tls() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("localhost");
    let files = ["--cert", certificate.as_str(), "--key", &key];
    let (_echo, plain) = Running::listen(&["--echo"]);
    let inner = [&["--tls-in", "--proxy-in", "127.0.0.1"], &files[..]].concat();
    let (inner, endpoint) = Running::relay(&plain, &inner);
    let (_outer, endpoint) =
        Running::relay(&endpoint, &["--tls-out", "--insecure", "--proxy-out", "v2"]);
    round_trip(&["connect", &endpoint]);
    inner.note("client 1 has the address 127.0.0.1:");
}

#[test]
fn a_target_with_a_wrong_certificate_is_skipped_and_a_failed_client_is_logged() {
    let (authority, other) = (Authority::new(), Authority::new());
    let ca = authority.ca();
    let listen = |authority: &Authority| {
        let (certificate, key) = authority.issue("localhost");
        Running::listen(&["--tls", "--echo", "--cert", &certificate, "--key", &key])
    };
    let ((_bad, bad), (_good, good)) = (listen(&other), listen(&authority));
    let more = [
        good.as_str(),
        "--balance",
        "first",
        "--tls-in",
        "--self-signed",
        "--tls-out",
        "--ca",
        &ca,
        "--sni",
        "localhost",
    ];
    let (relay, endpoint) = Running::relay(&bad, &more);
    round_trip(&["connect", "--tls", "--insecure", &endpoint]);
    relay.note("UNABLE_TO_GET_ISSUER_CERT_LOCALLY");
    let mut plain = Running::connect(&endpoint);
    plain.type_in("not TLS at all\n");
    let line = relay.note("client 2: ");
    assert!(line.contains("ERR_TLS_NOT_TLS"), "{line}");
}

#[test]
fn a_relay_joins_a_client_and_a_server_of_openssl() {
    if !has_openssl() {
        return;
    }
    let authority = Authority::new();
    let ca = authority.ca();
    let pair = authority.issue("localhost");
    let (_server, target) = openssl_server(&pair, &[]);
    let more = ["--tls-in", "--cert", &pair.0, "--key", &pair.1, "--tls-out", "--ca", &ca];
    let (_relay, endpoint) = Running::relay(&target, &more);
    let mut client = openssl_client(&endpoint, &["-CAfile", &ca]);
    client.type_in("hello\n");
    client.expect("olleh\n");
}

#[test]
fn options_of_relay_without_effect_are_usage_errors() {
    for (more, text) in [
        (&["--self-signed"][..], "--self-signed has no effect without --tls-in"),
        (&["--tls-out", "--self-signed"], "--self-signed has no effect without --tls-in"),
        (&["--insecure"], "--insecure has no effect without --tls-out"),
        (&["--tls-in", "--self-signed", "--pin", "x"], "--pin has no effect without --tls-out"),
        (&["--alpn", "h2"], "--alpn has no effect without --tls-in or --tls-out"),
        (&["--tls-in"], "--tls-in requires a certificate"),
        (&["--tls-in", "--self-signed", "--route", "sni=a:127.0.0.1:1"], "cannot be used with"),
    ] {
        let mut relay = Running::start(&[&["relay", "127.0.0.1:0", "127.0.0.1:1"], more].concat());
        assert_eq!(relay.wait().code(), Some(2), "{text}");
        let errors = relay.notes_to_the_end();
        assert!(errors.len() == 1 && errors[0].contains(text), "{text}: {errors:?}");
    }
}
