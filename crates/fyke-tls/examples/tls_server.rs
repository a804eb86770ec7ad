//! Answers clients that speak HTTP with a page, and returns to all others what they send. The other side is
//! `examples/tls_client.rs`, `curl` or `openssl s_client`.
//!
//! Usage: `tls_server PORT CERTIFICATE.pem KEY.pem [AUTHORITY.pem [TICKET-KEYS]]`. With an authority, it asks clients for a
//! certificate. With a file of keys for session tickets (`openssl rand -out TICKET-KEYS 48`), servers that have the same
//! one resume each other's sessions. If `SSLKEYLOGFILE` is set, it writes the secrets of all connections there.

use fyke_tls::{Identity, ServerOptions, TicketKeys, Tls, create_server};

fn main() -> fyke::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, port, certificate, key, more @ ..] = &arguments[..] else {
        panic!("usage: tls_server PORT CERTIFICATE.pem KEY.pem [AUTHORITY.pem [TICKET-KEYS]]");
    };
    let identity = Identity::from_pem_files(certificate, key)?;
    let mut options = ServerOptions::new(identity).alpn_protocols(["http/1.1", "echo"]);
    options = options.log_keys();
    if let Some(authority) = more.first() {
        options = options.request_client_certificate(std::fs::read(authority)?);
    }
    if let Some(keys) = more.get(1) {
        options = options.ticket_keys(TicketKeys::from_bytes(&std::fs::read(keys)?)?);
    }
    let context = options.build()?;
    fyke::run(|| {
        let server = create_server(&context, |socket| {
            let tls = Tls::of(socket).expect("it speaks TLS");
            let protocol = tls.alpn_protocol().unwrap_or_default();
            println!(
                "secure: {} name={} protocol={} resumed={} client={}",
                tls.protocol().unwrap_or_default(),
                tls.server_name().unwrap_or_default(),
                String::from_utf8_lossy(&protocol),
                tls.is_session_reused(),
                tls.peer_certificate().ok().flatten().is_some(),
            );
            socket.on_error(|_, error| println!("failed: {}", error.code()));
            if protocol == b"http/1.1" {
                socket.once_data(|socket, _| {
                    socket.end_with("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello over TLS\n");
                    socket.resume();
                });
            } else {
                socket.pipe(socket);
            }
        });
        server.on_tls_client_error(|_, error| println!("refused: {}", error.code()));
        server.listen_then(("127.0.0.1", port.parse().expect("a port")), |server| {
            println!("listening on {}", server.address().expect("it listens"));
        })
    })
}
