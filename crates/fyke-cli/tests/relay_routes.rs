//! `fyke relay --route`: which target a TLS client gets, and which clients are refused.

mod support;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::sockets::read_all;
use support::{Folder, Running, noise, output};

const DECODE_ERROR: u8 = 50;
const UNRECOGNIZED_NAME: u8 = 112;
const NO_APPLICATION_PROTOCOL: u8 = 120;

fn vector(size: usize, content: &[u8]) -> Vec<u8> {
    [&content.len().to_be_bytes()[8 - size..], content].concat()
}

/// A ClientHello with this server name and these protocols, without its record.
fn message(name: Option<&str>, protocols: &[&str]) -> Vec<u8> {
    let mut extensions = Vec::new();
    if let Some(name) = name {
        let entry = [&[0][..], &vector(2, name.as_bytes())].concat();
        extensions.extend([&[0, 0][..], &vector(2, &vector(2, &entry))].concat());
    }
    if !protocols.is_empty() {
        let list: Vec<u8> = protocols.iter().flat_map(|name| vector(1, name.as_bytes())).collect();
        extensions.extend([&[0, 16][..], &vector(2, &vector(2, &list))].concat());
    }
    let start = [&[3, 3][..], &[7; 32], &[0], &[0, 2, 19, 1], &[1, 0]].concat();
    [&[1][..], &vector(3, &[start, vector(2, &extensions)].concat())].concat()
}

fn hello(name: &str) -> Vec<u8> {
    record(&message(Some(name), &[]))
}

fn record(content: &[u8]) -> Vec<u8> {
    [&[22, 3, 1][..], &vector(2, content)].concat()
}

fn alert(description: u8) -> (Vec<u8>, Option<ErrorKind>) {
    (vec![21, 3, 3, 0, 2, 2, description], None)
}

/// A server that reads to the end, and answers with its name and what it has read.
fn server(name: &'static str) -> String {
    let (listener, endpoint) = support::sockets::listener();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let (mut all, _) = read_all(&mut stream);
                all.splice(0..0, name.bytes());
                // The client may have left.
                let _ = stream.write_all(&all);
            });
        }
    });
    endpoint
}

/// A relay without a default target.
fn relay(arguments: &[&str]) -> (Running, String) {
    let relay = Running::start(&[&["relay", "-v", "127.0.0.1:0"][..], arguments].concat());
    let line = relay.note("listening on ");
    (relay, line.rsplit(' ').next().unwrap().to_owned())
}

/// The answer to these bytes, and how it ended. A client that is refused may detect it at any time.
fn answer(endpoint: &str, sent: &[u8]) -> (Vec<u8>, Option<ErrorKind>) {
    let mut client = TcpStream::connect(endpoint).expect("the relay listens");
    let _ = client.write_all(sent).and_then(|()| client.shutdown(Shutdown::Write));
    read_all(&mut client)
}

/// The answer of the server with this name.
fn answer_of(name: &str, sent: &[u8]) -> (Vec<u8>, Option<ErrorKind>) {
    ([name.as_bytes(), sent].concat(), None)
}

#[test]
fn clients_get_the_target_of_the_first_matching_route_and_their_bytes_arrive_unchanged() {
    let routes = [
        format!("sni=www.example.org:{}", server("www")),
        format!("alpn=h2:{}", server("h2")),
        format!("sni=*.Example.org.:{}", server("any")),
    ];
    let routes: Vec<_> = routes.iter().flat_map(|route| ["--route", route]).collect();
    let (_relay, endpoint) = Running::relay(&server("default"), &routes);
    for (name, protocols, expected) in [
        (Some("www.example.org"), &["h2"][..], "www"),
        (Some("WWW.Example.org."), &[], "www"),
        (Some("a.example.org"), &["http/1.1", "h2"], "h2"),
        (Some("a.example.org"), &["http/1.1"], "any"),
        (Some("a.b.example.org"), &["http/1.1"], "default"),
        (Some("example.org"), &[], "default"),
        (None, &["h2"], "h2"),
        (None, &[], "default"),
    ] {
        let sent = [record(&message(name, protocols)), noise(100_000)].concat();
        let answer = answer(&endpoint, &sent);
        assert!(answer == answer_of(expected, &sent), "{name:?} {protocols:?}: not {expected}");
    }
    for sent in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x80\x2e\x01\x03\x01", b""] {
        assert_eq!(answer(&endpoint, sent), answer_of("default", sent));
    }
}

#[test]
fn target_of_a_route_may_be_a_unix_socket() {
    let folder = Folder::new();
    let path = folder.path("s");
    let (_server, _) = Running::listen_at(&path, &["--echo"]);
    for target in [path.clone(), format!("unix:{path}")] {
        let (_relay, endpoint) = relay(&["--route", &format!("sni=a.example:{target}")]);
        let sent = hello("a.example");
        assert_eq!(answer(&endpoint, &sent), (sent, None), "{target}");
    }
}

#[test]
fn client_without_a_matching_route_gets_a_fatal_alert() {
    let target = server("target");
    let by_name = format!("sni=a.example:{target}");
    let by_protocol = format!("alpn=h2:{target}");
    for (routes, expected) in [
        (&["--route", &by_name][..], UNRECOGNIZED_NAME),
        (&["--route", &by_name, "--route", &by_protocol], UNRECOGNIZED_NAME),
        (&["--route", &by_protocol], NO_APPLICATION_PROTOCOL),
    ] {
        let (relay, endpoint) = relay(routes);
        assert_eq!(answer(&endpoint, &hello("b.example")), alert(expected));
        relay.note("client 1 was refused: there is no route for the server name \"b.example\"");
        // More bytes after the ClientHello do not discard the alert.
        let sent = [record(&message(None, &[])), noise(1_000_000)].concat();
        assert_eq!(answer(&endpoint, &sent), alert(expected));
        relay.note("client 2 was refused: there is no route for a client without a server name");
    }
}

#[test]
fn refused_client_that_does_not_end_is_closed() {
    let (relay, endpoint) = relay(&["--route", &format!("sni=a.example:{}", server("target"))]);
    let mut client = TcpStream::connect(endpoint).unwrap();
    client.write_all(&hello("b.example")).unwrap();
    assert_eq!(read_all(&mut client), alert(UNRECOGNIZED_NAME));
    relay.note("client 1 disconnected");
}

#[test]
fn client_without_tls_is_reset_if_there_is_no_default_target() {
    let (relay, endpoint) = relay(&["--route", &format!("sni=a.example:{}", server("target"))]);
    let mut client = TcpStream::connect(&endpoint).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(read_all(&mut client), (Vec::new(), Some(ErrorKind::ConnectionReset)));
    relay.note("client 1 was refused: it does not use TLS, and there is no default target");
    assert_eq!(answer(&endpoint, b"").0, b"");
    relay.note("client 2 was refused: it ended without sending anything");
}

#[test]
fn hello_may_arrive_in_pieces_of_one_byte_and_in_records_of_one_byte() {
    let target = server("target");
    let (_relay, endpoint) = relay(&["--route", &format!("sni=a.example:{target}")]);
    let message = message(Some("a.example"), &["h2"]);
    for sent in [record(&message), message.chunks(1).flat_map(record).collect()] {
        let mut client = TcpStream::connect(&endpoint).unwrap();
        client.set_nodelay(true).unwrap();
        for byte in &sent {
            client.write_all(&[*byte]).unwrap();
            std::thread::yield_now();
        }
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&mut client), answer_of("target", &sent));
    }
}

#[test]
fn hello_that_takes_too_long_is_refused() {
    let route = format!("sni=a.example:{}", server("target"));
    let more = ["--route", &route, "--hello-timeout", "500ms", "--max-connections", "1"];
    let (relay, endpoint) = Running::relay(&server("default"), &more);
    let hello = hello("a.example");
    for (number, sent) in [&hello[..0], &hello[..1], &hello[..hello.len() - 1]].iter().enumerate() {
        let mut client = TcpStream::connect(&endpoint).unwrap();
        client.write_all(sent).unwrap();
        assert_eq!(read_all(&mut client), (Vec::new(), Some(ErrorKind::ConnectionReset)));
        let text = "was refused: it has sent no ClientHello within --hello-timeout";
        relay.note(&format!("client {} {text}", number + 1));
        relay.note("disconnected");
    }
}

#[test]
fn hello_timeout_does_not_apply_to_a_client_that_was_forwarded() {
    let route = format!("sni=a.example:{}", server("target"));
    let (_relay, endpoint) = relay(&["--route", &route, "--hello-timeout", "1s"]);
    let hello = hello("a.example");
    let mut client = TcpStream::connect(&endpoint).unwrap();
    client.write_all(&hello).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    let error = client.read(&mut [0]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut client), answer_of("target", &hello));
}

#[test]
fn hello_that_is_not_valid_or_too_large_gets_an_alert_even_if_there_is_a_default_target() {
    let route = format!("sni=a.example:{}", server("target"));
    let (relay, endpoint) = Running::relay(&server("default"), &["--route", &route]);
    // The message has the largest length that is allowed, but its records have headers too.
    let too_large = [record(&[1, 0, 255, 252]), record(&[0; 1000]).repeat(66)].concat();
    for (sent, text) in [
        (b"\x16\x03\x01\x40\x01".to_vec(), "a record of more than 16 KiB"),
        (too_large, "more than 64 KiB"),
        (b"\x16\x03\x01\0\0".to_vec(), "an empty record"),
        (record(&[1, 0, 0, 1, 0]), "truncated"),
    ] {
        assert_eq!(answer(&endpoint, &sent), alert(DECODE_ERROR), "{text}");
        let note = relay.note("its ClientHello is not valid");
        assert!(note.contains(text), "{note}, not {text}");
    }
    let hello = hello("a.example");
    assert_eq!(answer(&endpoint, &hello[..20]).0, b"");
    relay.note("it ended before its ClientHello was complete");
}

#[test]
fn end_of_a_client_that_sends_nothing_is_passed_on_with_faults_too() {
    let route = format!("sni=a.example:{}", server("target"));
    for more in [&["--delay", "10ms"][..], &["--throttle", "1M"], &["--slice", "1..9"]] {
        let more = [&["--route", &route], more].concat();
        let (_relay, endpoint) = Running::relay(&server("default"), &more);
        assert_eq!(answer(&endpoint, b""), answer_of("default", b""), "{more:?}");
        let sent = hello("a.example");
        assert_eq!(answer(&endpoint, &sent), answer_of("target", &sent), "{more:?}");
    }
}

#[test]
fn hello_may_follow_a_proxy_header_and_the_target_gets_a_new_one() {
    let route = format!("sni=a.example:{}", server("target"));
    let more = ["--route", &route, "--proxy-in", "127.0.0.1", "--proxy-out", "v1"];
    let (relay, endpoint) = relay(&more);
    let header = b"PROXY TCP4 192.0.2.7 192.0.2.1 5 6\r\n";
    let sent = [&header[..], &hello("a.example")].concat();
    assert_eq!(answer(&endpoint, &sent), answer_of("target", &sent));
    let sent = [&header[..], &hello("b.example")].concat();
    assert_eq!(answer(&endpoint, &sent), alert(UNRECOGNIZED_NAME));
    relay.note("client 2 has the address 192.0.2.7:5");
    relay.note("client 2 was refused");
    // The time limit includes the header.
    let more = [&more[..], &["--hello-timeout", "50ms"]].concat();
    let (relay, endpoint) = self::relay(&more);
    let mut client = TcpStream::connect(&endpoint).unwrap();
    assert_eq!(read_all(&mut client).0, b"");
    relay.note("it has sent no ClientHello within --hello-timeout");
}

#[test]
fn route_whose_target_fails_does_not_fall_back_to_another_target() {
    let arguments = ["--route", "sni=a.example:127.0.0.1:1"];
    let (relay, endpoint) = Running::relay(&server("default"), &arguments);
    assert_eq!(answer(&endpoint, &hello("a.example")).0, b"");
    relay.note("127.0.0.1:1: connect ECONNREFUSED");
    relay.note("the connection to every target failed");
    let sent = hello("b.example");
    assert_eq!(answer(&endpoint, &sent), answer_of("default", &sent));
}

#[test]
fn statistics_count_refused_clients_and_the_targets_of_routes() {
    let target = server("target");
    let route = |name: &str| format!("sni={name}.example:{target}");
    let (a, b) = (route("a"), route("b"));
    let more = ["--json", "--interval", "10ms", "--metrics", "127.0.0.1:0"];
    let (mut relay, endpoint) = relay(&[&["--route", &a, "--route", &b][..], &more].concat());
    for name in ["a.example", "b.example"] {
        assert_eq!(answer(&endpoint, &hello(name)), answer_of("target", &hello(name)));
    }
    assert_eq!(answer(&endpoint, &hello("c.example")), alert(UNRECOGNIZED_NAME));
    assert_eq!(answer(&endpoint, b"\x16\x03\x01\0\0"), alert(DECODE_ERROR));
    let reported = loop {
        let reported: Value = serde_json::from_str(&relay.line()).unwrap();
        if reported["connections"] == 4 && reported["open"] == 0 {
            break reported;
        }
    };
    assert_eq!(reported["refused"], serde_json::json!({"no hello": 1, "no route": 1}));
    let targets = reported["targets"].as_array().unwrap();
    assert_eq!((targets.len(), &targets[0]["connections"]), (1, &Value::from(2)), "{targets:?}");
    let sent = u64::try_from(3 * hello("a.example").len() + 5).unwrap();
    assert_eq!(reported["bytes_up"], sent);
}

#[test]
fn waiting_client_is_cut_off_after_the_drain() {
    let route = format!("sni=a.example:{}", server("target"));
    let (mut relay, endpoint) = relay(&["--route", &route, "--drain", "50ms"]);
    let mut client = TcpStream::connect(endpoint).unwrap();
    relay.note("client 1 connected");
    relay.signal("TERM");
    assert_eq!(relay.wait().code(), Some(4));
    assert_eq!(read_all(&mut client), (Vec::new(), Some(ErrorKind::ConnectionReset)));
}

#[test]
fn recording_contains_the_hello_and_the_end_of_a_client_that_sends_nothing() {
    let folder = Folder::new();
    let file = folder.path("recording");
    let target = server("target");
    let more = ["--route", &format!("sni=a.example:{target}"), "--record", &file];
    let (mut relay, endpoint) = Running::relay(&target, &more);
    for sent in [hello("a.example"), Vec::new()] {
        assert_eq!(answer(&endpoint, &sent), answer_of("target", &sent));
    }
    relay.note("client 2 disconnected");
    relay.signal("TERM");
    assert!(relay.wait().success());
    let (code, _, errors) = output(&["replay", &file, &server("target"), "--speed", "0"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
}

#[test]
fn options_that_are_not_valid_or_have_no_effect_are_usage_errors() {
    let route = ["--route", "sni=a.example:80"];
    for (arguments, expected) in [
        (&["--route", "example.org:80"][..], "expected sni=NAME:TARGET"),
        (&["--route", "sni=10.0.0.1:80"], "never an IP address"),
        (&["--route", "sni=a.example:fd:0"], "cannot be a target"),
        (&[&route[..], &route].concat(), "comes first, so this one has no effect"),
        (&["80", "--hello-timeout", "1s"], "not provided: --route"),
        (&[&route[..], &["--hello-timeout", "0"]].concat(), "greater than 0"),
        (&[&route[..], &["80", "--balance", "first"]].concat(), "--balance has no effect"),
        (&[&route[..], &["--backoff-max", "1s"]].concat(), "--backoff-max has no effect"),
    ] {
        let (code, _, errors) = output(&[&["relay", "127.0.0.1:0"], arguments].concat());
        assert_eq!(code, Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(expected) && errors.lines().count() == 1, "{errors}");
    }
    let more = [&["80", "81", "--balance", "first", "--backoff-max", "1s"], &route[..]].concat();
    relay(&more);
}

/// A running `openssl s_server` with a new certificate. It is killed when it is dropped.
struct OpensslServer(Child, String, String);

impl OpensslServer {
    fn start(folder: &Folder, name: &str) -> Self {
        let (key, certificate) = (folder.path(&format!("{name}-key")), folder.path(name));
        let subject = format!("/CN={name}");
        let made = openssl(&[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            &subject,
            "-keyout",
            &key,
            "-out",
            &certificate,
        ]);
        assert!(made.0, "{}", made.1);
        let mut child = Command::new("openssl")
            .args([
                "s_server",
                "-accept",
                "127.0.0.1:0",
                "-cert",
                &certificate,
                "-key",
                &key,
                "-rev",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut lines = lines.map_while(Result::ok);
        let endpoint = lines.find_map(|line| line.strip_prefix("ACCEPT ").map(str::to_owned));
        // Reading goes on, because the server prints more lines.
        std::thread::spawn(move || lines.for_each(drop));
        Self(child, endpoint.expect("it listens"), certificate)
    }
}

impl Drop for OpensslServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether the program succeeded, and what it printed.
fn openssl(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("openssl").args(arguments).stdin(Stdio::null()).output();
    let output = output.expect("it starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn openssl_clients_reach_the_openssl_server_of_their_route() {
    if Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_err() {
        eprintln!("SKIPPED: openssl is not installed");
        return;
    }
    let folder = Folder::new();
    let [a, b, other] =
        ["a.example", "b.example", "other"].map(|name| OpensslServer::start(&folder, name));
    let routes = [format!("sni=a.example:{}", a.1), format!("alpn=b:{}", b.1)];
    let routes = ["--route", &routes[0], "--route", &routes[1]];
    let (_relay, endpoint) = Running::relay(&other.1, &routes);
    for version in ["-tls1_2", "-tls1_3"] {
        for (name, protocol, expected) in
            [("a.example", "h2", &a), ("A.Example", "b", &a), ("x", "b", &b), ("x", "h2", &other)]
        {
            // The client succeeds only with the certificate of this server.
            let (succeeded, text) = openssl(&[
                "s_client",
                "-connect",
                &endpoint,
                "-servername",
                name,
                "-alpn",
                protocol,
                version,
                "-CAfile",
                &expected.2,
                "-verify_return_error",
                "-brief",
            ]);
            assert!(succeeded, "{name} {protocol} {version}: {text}");
        }
    }
    let (relay, endpoint) = relay(&routes);
    let (succeeded, text) =
        openssl(&["s_client", "-connect", &endpoint, "-servername", "x.example", "-brief"]);
    assert!(!succeeded && text.contains("unrecognized name"), "{text}");
    relay.note("there is no route for the server name \"x.example\"");
}
