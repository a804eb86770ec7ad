//! A TLS server with rustls that returns what it receives. It generates a certificate for `localhost` at
//! the start. Try `openssl s_client -connect localhost:8443`.

use std::sync::Arc;

use fyke::{Server, Socket};
use rustls::ServerConfig;
use rustls::crypto::ring;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;

type AnyError = Box<dyn std::error::Error>;

fn acceptor() -> Result<TlsAcceptor, AnyError> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = made.signing_key.serialize_der().try_into()?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.into()], key)?;
    Ok(Arc::new(config).into())
}

async fn echo(acceptor: TlsAcceptor, socket: Socket) -> Result<(), AnyError> {
    let stream = acceptor.accept(socket.stream()?).await?;
    let (mut reader, mut writer) = tokio::io::split(stream);
    tokio::io::copy(&mut reader, &mut writer).await?;
    // Sends close_notify and then ends the stream.
    Ok(writer.shutdown().await?)
}

fn main() -> Result<(), AnyError> {
    let endpoint = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8443".into());
    fyke::block_on(async {
        let acceptor = acceptor()?;
        let server = Server::new();
        server.listen(endpoint)?;
        server.listening().await?;
        println!("listening on {}", server.endpoint().unwrap());
        loop {
            let connection = echo(acceptor.clone(), server.accept().await?);
            fyke::spawn_local(async {
                if let Err(error) = connection.await {
                    eprintln!("{error}");
                }
            })?;
        }
    })?
}
