//! Runs the examples as a user would, with both drivers of the operating system. The peer is curl, Python
//! or the standard library.

mod program;
#[path = "../../crates/fyke/tests/support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Command;

use futures_util::{SinkExt, StreamExt};
use fyke::SocketStream;
use program::{DRIVERS, Server, example, is_installed, output};
use support::pattern;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

#[test]
fn the_guide_shows_code_of_the_http_example() {
    let guide = include_str!("../../crates/fyke/guide/async.md");
    let (_, shown) = guide.split_once("```rust,ignore\n").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    let mut lines = include_str!("../examples/http.rs").lines();
    for line in shown.lines() {
        assert!(
            lines.any(|other| other == line),
            "not in the example, or not in this order: {line}"
        );
    }
}

const HTTP1: &str = "--http1.1";
const HTTP2: &str = "--http2-prior-knowledge";

fn curl(arguments: &[&str]) -> Vec<u8> {
    output(
        Command::new("curl").args(["--silent", "--show-error", "--max-time", "60"]).args(arguments),
    )
}

#[test]
fn the_http_example_serves_curl_over_http1_and_http2_and_ends_with_its_input() {
    if !is_installed("curl") {
        return;
    }
    let folder = std::env::temp_dir().join(format!("fyke-ecosystem-curl-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("large");
    let bytes = pattern(5 << 20);
    std::fs::write(&file, &bytes).unwrap();
    for driver in DRIVERS {
        let mut server = Server::start("http", driver);
        let at = |path: &str| format!("http://{}/{path}", server.address);
        for version in [HTTP1, HTTP2] {
            assert_eq!(curl(&[version, &at("fish")]), b"you asked for /fish\n");
            let body = format!("@{}", file.display());
            assert!(curl(&[version, "--data-binary", &body, &at("")]) == bytes);
            // A chunked body: curl does not send its length in advance.
            let mut chunked = vec![version, "--data-binary", &body];
            chunked
                .extend(["-H", "transfer-encoding: chunked"].iter().filter(|_| version == HTTP1));
            assert!(curl(&[&chunked[..], &[&at("")]].concat()) == bytes);
        }
        // A chunked body: curl does not send its length in advance.
        let chunked = [
            "-H",
            "transfer-encoding: chunked",
            "--data-binary",
            &format!("@{}", file.display()),
            &at(""),
        ];
        assert!(curl(&chunked) == bytes);
        // Two requests share one connection. (curl 7.88 fails to reuse it with HTTP/2, also with other
        // servers.)
        let (a, b) = (at("a"), at("b"));
        let count = [HTTP1, "-o", "/dev/null", "-w", "%{num_connects} ", &a, "-o", "/dev/null", &b];
        assert_eq!(curl(&count), b"1 0 ");
        drop(server.child.stdin.take());
        assert!(server.child.wait().unwrap().success());
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_tower_and_tokio_examples_serve_curl() {
    if !is_installed("curl") {
        return;
    }
    for driver in DRIVERS {
        let server = Server::start("tower_http", driver);
        assert_eq!(curl(&[&format!("http://{}/fish", server.address)]), b"GET /fish\n");
        let server = Server::start("inside_tokio", driver);
        for version in [HTTP1, HTTP2] {
            assert_eq!(curl(&[version, &format!("http://{}", server.address)]), b"hello\n");
        }
    }
}

#[test]
fn the_lines_example_returns_lines_in_capital_letters() {
    for driver in DRIVERS {
        let server = Server::start("lines", driver);
        let mut stream = TcpStream::connect(&server.address).unwrap();
        stream.set_read_timeout(Some(support::DEADLINE)).unwrap();
        stream.write_all(b"fish\n").unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        assert_eq!(line, "FISH\n");
    }
}

#[test]
fn the_websocket_example_returns_messages() {
    for driver in DRIVERS {
        let server = Server::start("websocket", driver);
        support::Net::ready().block_on(async {
            let stream = SocketStream::connect(&server.address).await.unwrap();
            let (mut client, _) = client_async("ws://localhost", stream).await.unwrap();
            let message = Message::binary(pattern(1 << 20));
            client.send(message.clone()).await.unwrap();
            assert!(client.next().await.unwrap().unwrap() == message);
            client.close(None).await.unwrap();
        });
    }
}

#[test]
fn the_https_example_serves_curl_and_our_client_in_the_negotiated_version() {
    let made =
        rcgen::generate_simple_self_signed(["localhost", "127.0.0.1"].map(str::to_owned)).unwrap();
    let folder = std::env::temp_dir().join(format!("fyke-ecosystem-https-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let [certificate, key, large] = ["certificate.pem", "key.pem", "large"].map(|n| folder.join(n));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let bytes = pattern(5 << 20);
    std::fs::write(&large, &bytes).unwrap();
    let has_curl = is_installed("curl");
    for driver in DRIVERS {
        let files = [certificate.as_os_str(), key.as_os_str()];
        let mut server = Server::start_with("https", driver, &files);
        let mut client = example("https_client", driver);
        client.arg(&server.address).arg(&certificate).args(["/fish", "/net"]);
        let answers = "HTTP/2.0 200 OK\nyou asked for /fish\nHTTP/2.0 200 OK\nyou asked for /net\n";
        assert_eq!(String::from_utf8(output(&mut client)).unwrap(), answers);

        let at = format!("https://{}/fish", server.address);
        let trusted = certificate.display().to_string();
        // curl offers both with `--http2`, and none without ALPN.
        for (options, version) in [
            (&["--http2"][..], "2"),
            (&["--http1.1"], "1.1"),
            (&["--no-alpn"], "1.1"),
            (&["--http2", "--tls-max", "1.2"], "2"),
        ]
        .into_iter()
        .filter(|_| has_curl)
        {
            let common = ["--cacert", &trusted, "-w", "%{http_version}", &at];
            let answer = String::from_utf8(curl(&[options, &common].concat())).unwrap();
            assert_eq!(answer, format!("you asked for /fish\n{version}"), "{options:?}");
            let body = format!("@{}", large.display());
            let upload = ["--cacert", &trusted, "--data-binary", &body, &at];
            assert!(curl(&[options, &upload].concat()) == bytes, "{options:?}");
        }
        drop(server.child.stdin.take());
        assert!(server.child.wait().unwrap().success());
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Sends a text over TLS, ends its side, and prints what it receives.
const TLS_CLIENT: &str = "
import socket, ssl, sys
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
host, port = sys.argv[1].rsplit(':', 1)
stream = context.wrap_socket(socket.create_connection((host, int(port)), 60))
stream.sendall(b'fish')
print(stream.recv(99).decode(), stream.version())
stream.unwrap()
";

#[test]
fn the_tls_example_serves_python() {
    if !is_installed("python3") {
        return;
    }
    for driver in DRIVERS {
        let server = Server::start("tls", driver);
        let answer = output(Command::new("python3").args(["-c", TLS_CLIENT, &server.address]));
        assert_eq!(answer, b"fish TLSv1.3\n");
    }
}
