//! Sends what it reads from standard input, and prints the answer. The other side is `examples/tls_server.rs` or
//! `openssl s_server -rev`.
//!
//! Usage: `tls_client HOST:PORT AUTHORITY.pem [TIMES [CERTIFICATE.pem KEY.pem]]`. From the second time on, the server
//! can continue the session.

use std::io::{Read, Write};
use std::process::exit;
use std::rc::Rc;

use fyke_tls::{ClientContext, ClientOptions, Identity, Tls, connect};

fn main() -> fyke::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, endpoint, authority, rest @ ..] = &arguments[..] else {
        panic!("usage: tls_client HOST:PORT AUTHORITY.pem [TIMES [CERTIFICATE.pem KEY.pem]]");
    };
    let mut options = ClientOptions::new().authorities_pem(std::fs::read(authority)?);
    options = options.alpn_protocols(["echo"]);
    if let [_, certificate, key] = rest {
        options = options.identity(Identity::from_pem_files(certificate, key)?);
    }
    let context = options.build()?;
    let times = rest.first().map_or(1, |times| times.parse().expect("a number"));
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input)?;
    fyke::run(|| ask(endpoint.clone(), context, input.into(), times))
}

fn ask(endpoint: String, context: ClientContext, input: Rc<[u8]>, times: u32) -> fyke::Result<()> {
    let socket = connect(&*endpoint, &context)?;
    Tls::of(&socket).expect("it speaks TLS").on_secure_connect(|socket| {
        let tls = Tls::of(socket).expect("it speaks TLS");
        let protocol = tls.alpn_protocol().unwrap_or_default();
        eprintln!(
            "secure: {} protocol={} resumed={}",
            tls.protocol().unwrap_or_default(),
            String::from_utf8_lossy(&protocol),
            tls.is_session_reused(),
        );
    });
    socket.on_data(|_, data| std::io::stdout().write_all(data).expect("standard output is open"));
    socket.on_error(|_, error| {
        eprintln!("failed: {}", error.code());
        exit(1);
    });
    socket.end_with(&input[..]);
    socket.on_close(move |_, _| {
        if times > 1 {
            ask(endpoint.clone(), context.clone(), Rc::clone(&input), times - 1)
                .expect("as before");
        }
    });
    Ok(())
}
