//! `--tls` of `listen`.

#[path = "support/certificates.rs"]
mod certificates;
mod support;

use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;

use certificates::{Authority, has_openssl, openssl_client};
use support::{Folder, Running, output};

/// `fyke listen -v --tls --self-signed` with more arguments, its endpoint, and its fingerprint.
fn self_signed(endpoint: &str, more: &[&str]) -> (Running, String, String) {
    let mut arguments = vec!["listen", "-v", "--tls", "--self-signed", endpoint];
    arguments.extend(more);
    let server = Running::start(&arguments);
    let text = "the certificate has the fingerprint ";
    let fingerprint = server.note(text).split(text).nth(1).unwrap().to_owned();
    let line = server.note("listening on ");
    (server, line.rsplit(' ').next().unwrap().to_owned(), fingerprint)
}

fn connect(endpoint: &str, more: &[&str]) -> Running {
    Running::start(&[&["connect", "--tls", endpoint], more].concat())
}

#[test]
fn the_printed_fingerprint_of_self_signed_is_a_pin() {
    let (mut server, endpoint, fingerprint) = self_signed("127.0.0.1:0", &["--once"]);
    let mut client = connect(&endpoint, &["--pin", &fingerprint]);
    client.type_in("from the client\n");
    server.expect("from the client\n");
    server.type_in("from the server\n");
    client.expect("from the server\n");
    server.note("client 1: TLSv1.3, TLS13_");
    client.end_of_input();
    assert!(client.wait().success());
    assert!(server.wait().success());
    assert_eq!(server.read_to_the_end(), b"");
}

#[test]
fn echo_and_programs_serve_clients_after_the_handshake() {
    for (more, expected) in [
        (&["--echo"][..], "a\nb\n"),
        (&["--exec", "sort -r"], "b\na\n"),
        (&["--exec", "cat"], "a\nb\n"),
    ] {
        let (_server, endpoint, fingerprint) = self_signed("127.0.0.1:0", more);
        let mut client = connect(&endpoint, &["--pin", &fingerprint]);
        client.type_in("a\nb\n");
        client.end_of_input();
        assert_eq!(client.read_to_the_end(), expected.as_bytes());
        assert!(client.wait().success());
    }
}

#[test]
fn a_unix_socket_speaks_tls_for_localhost_or_the_name_of_sni() {
    let folder = Folder::new();
    let authority = Authority::new();
    let ca = authority.ca();
    for (name, more) in [("localhost", &[][..]), ("example.org", &["--sni", "example.org"])] {
        let (certificate, key) = authority.issue(name);
        let path = folder.path(name);
        let files = ["--tls", "--echo", "--cert", &certificate, "--key", &key];
        let (_server, _) = Running::listen_at(&path, &files);
        let mut client = connect(&path, &[&["--ca", &ca], more].concat());
        client.type_in("hello");
        client.end_of_input();
        assert_eq!(client.read_to_the_end(), b"hello");
        assert!(client.wait().success());
    }
}

#[test]
fn a_failed_handshake_is_one_line_with_the_client_and_the_reason() {
    let (server, endpoint, fingerprint) = self_signed("127.0.0.1:0", &["--echo"]);
    drop(TcpStream::connect(&endpoint).unwrap());
    let line = server.note("client 1: ");
    assert!(line.contains("ended the connection during the TLS handshake"), "{line}");
    server.note("client 1 disconnected");
    let (code, ..) = output(&[
        "connect",
        "--tls",
        &endpoint,
        "--pin",
        &fingerprint.replace('A', "B").replace('0', "1"),
    ]);
    assert_eq!(code, Some(3));
    let line = server.note("client 2: ");
    assert!(line.contains("ERR_TLS_ALERT"), "{line}");
    let mut plain = Running::connect(&endpoint);
    plain.type_in("GET / HTTP/1.0\r\n\r\n");
    let line = server.note("client 3: ");
    assert!(line.contains("ERR_TLS_NOT_TLS: the peer sent an HTTP request"), "{line}");
}

#[test]
fn sighup_reads_the_certificate_again_and_no_connection_is_lost() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("localhost");
    let files = ["--tls", "--echo", "--cert", certificate.as_str(), "--key", &key];
    let (server, endpoint) = Running::listen(&files);
    let ca = authority.ca();
    let client = || {
        let mut client = connect(&endpoint, &["-v", "--ca", &ca, "--sni", "localhost"]);
        let fingerprint = client.note("fingerprint: ");
        client.type_in("hello\n");
        client.expect("hello\n");
        (client, fingerprint)
    };
    let (mut lasting, first) = client();
    authority.issue("localhost");
    assert_eq!(client().1, first, "it was not read again yet");
    server.signal("HUP");
    server.note("SIGHUP: --cert and --key were read again");
    let (_, second) = client();
    assert_ne!(second, first);
    // A certificate without its key, as in the middle of a replacement.
    let old_key = std::fs::read(&key).unwrap();
    authority.issue("localhost");
    std::fs::write(&key, old_key).unwrap();
    server.signal("HUP");
    let line = server.note("SIGHUP: the certificate stays as it was: ");
    assert!(line.contains("does not belong") && line.contains(&key), "{line}");
    assert_eq!(client().1, second);
    lasting.type_in("still here\n");
    lasting.expect("still here\n");
}

#[test]
fn a_relay_reads_its_certificate_again() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("localhost");
    let (_target, target) = Running::listen(&["--echo"]);
    let files = ["--tls-in", "--cert", certificate.as_str(), "--key", &key];
    let (relay, endpoint) = Running::relay(&target, &files);
    let ca = authority.ca();
    let fingerprint = || {
        let client = connect(&endpoint, &["-v", "--ca", &ca, "--sni", "localhost"]);
        client.note("fingerprint: ")
    };
    let first = fingerprint();
    authority.issue("localhost");
    relay.signal("HUP");
    relay.note("SIGHUP: --cert and --key were read again");
    assert_ne!(fingerprint(), first);
}

#[test]
fn without_files_sighup_ends_a_server() {
    let (mut server, ..) = self_signed("127.0.0.1:0", &["--echo"]);
    server.signal("HUP");
    assert_eq!(server.wait().signal(), Some(1));
}

/// Input for clients must not be sent to one that does not complete its handshake.
#[test]
fn standard_input_waits_for_a_client_whose_handshake_is_done() {
    let (mut server, endpoint, fingerprint) = self_signed("127.0.0.1:0", &[]);
    let silent = TcpStream::connect(&endpoint).unwrap();
    server.note("client 1 connected");
    server.type_in("for the second client");
    let mut client = connect(&endpoint, &["--pin", &fingerprint]);
    client.expect("for the second client");
    drop(silent);
}

#[test]
fn clients_in_a_handshake_count_for_the_limits() {
    let (server, endpoint, _) = self_signed("127.0.0.1:0", &["--echo", "--max-connections", "1"]);
    let silent = TcpStream::connect(&endpoint).unwrap();
    server.note("client 1 connected");
    let (code, ..) = output(&["connect", "--tls", "--insecure", &endpoint]);
    assert_ne!(code, Some(0));
    server.note("was refused: too many connections");
    drop(silent);
}

#[test]
fn listen_serves_clients_of_openssl() {
    if !has_openssl() {
        return;
    }
    let authority = Authority::new();
    let ca = authority.ca();
    let (certificate, key) = authority.issue("localhost");
    let (client, client_key) = authority.issue("client");
    let (server, endpoint) = Running::listen(&[
        "--tls",
        "--echo",
        "--cert",
        &certificate,
        "--key",
        &key,
        "--client-ca",
        &ca,
        "--alpn",
        "h2,x",
    ]);
    let with = ["-cert", client.as_str(), "-key", &client_key, "-alpn", "x", "-CAfile", &ca];
    let mut openssl = openssl_client(&endpoint, &with);
    openssl.type_in("hello\n");
    openssl.expect("hello\n");
    let line = server.note("client 1: TLSv1.3");
    assert!(line.contains("ALPN x") && line.ends_with("certificate CN=client"), "{line}");
    let _without = openssl_client(&endpoint, &["-CAfile", &ca]);
    let line = server.note("client 2: ");
    assert!(line.contains("ERR_TLS_CERT_REQUIRED"), "{line}");
    let with = ["-cert", client.as_str(), "-key", &client_key, "-alpn", "other", "-CAfile", &ca];
    let _other = openssl_client(&endpoint, &with);
    let line = server.note("client 3: ");
    assert!(line.contains("ERR_TLS_NO_APPLICATION_PROTOCOL"), "{line}");
}

#[test]
fn options_of_listen_without_effect_or_with_wrong_values_are_usage_errors() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("localhost");
    let (_, other_key) = authority.issue("other");
    let missing = authority.path("missing");
    for (more, text) in [
        (
            &["--tls"][..],
            "--tls requires a certificate: --cert FILE and --key FILE, or --self-signed",
        ),
        (&["--self-signed"], "--self-signed has no effect without --tls"),
        (&["--cert", &certificate, "--key", &key], "--cert has no effect without --tls"),
        (&["--client-ca", &certificate], "--client-ca has no effect without --tls"),
        (&["--alpn", "h2"], "--alpn has no effect without --tls"),
        (&["--tls", "--cert", &certificate], "--key <FILE>"),
        (&["--tls", "--key", &key], "--cert <FILE>"),
        (&["--tls", "--self-signed", "--cert", &certificate, "--key", &key], "cannot be used with"),
        (&["--tls", "--cert", &missing, "--key", &key], "missing: No such file"),
        (&["--tls", "--cert", &key, "--key", &key], "there is no certificate in the PEM"),
        (&["--tls", "--cert", &certificate, "--key", &other_key], "does not belong"),
        (
            &["--tls", "--self-signed", "--client-ca", &key],
            "localhost.key: there is no certificate",
        ),
        (&["--tls", "--self-signed", "--alpn", ""], "--alpn: the name of an application protocol"),
    ] {
        // Not `output`, because a server that accepts the options never ends.
        let mut server = Running::start(&[&["listen", "127.0.0.1:0"], more].concat());
        assert_eq!(server.wait().code(), Some(2), "{text}");
        let errors = server.notes_to_the_end();
        assert!(errors.len() == 1 && errors[0].contains(text), "{text}: {errors:?}");
    }
}
