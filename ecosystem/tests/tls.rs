//! Tests TLS with rustls over streams of fyke, through tokio's traits and without a tokio runtime.

#[path = "../../crates/fyke/tests/support/mod.rs"]
mod support;

use std::io::ErrorKind;
use std::sync::Arc;

use fyke::{SocketStream, spawn_local};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use support::futures::streams;
use support::pattern;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

const BIG: usize = 3 << 20;

/// Returns the acceptor of a server with a new certificate for `localhost`, and the certificate.
fn acceptor() -> (TlsAcceptor, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    (Arc::new(config).into(), certificate)
}

fn connector(trusted: impl IntoIterator<Item = CertificateDer<'static>>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config).into()
}

type Pair = (client::TlsStream<SocketStream>, server::TlsStream<SocketStream>);

async fn pair(net: &support::Net) -> Pair {
    let (client, server) = streams(net.tcp()).await;
    let (acceptor, certificate) = acceptor();
    let accepted = spawn_local(acceptor.accept(server)).unwrap();
    let name = "localhost".try_into().unwrap();
    let client = connector([certificate]).connect(name, client).await.unwrap();
    (client, accepted.await.unwrap().unwrap())
}

on_every_driver! {
    fn bytes_are_sent_in_both_directions_at_once(net) {
        net.block_on(async {
            let (client, server) = pair(net).await;
            let echo = spawn_local(async {
                let (mut reader, mut writer) = tokio::io::split(server);
                tokio::io::copy(&mut reader, &mut writer).await.unwrap();
                writer.shutdown().await.unwrap();
            }).unwrap();
            let (mut reader, mut writer) = tokio::io::split(client);
            let bytes = pattern(BIG);
            let sent = bytes.clone();
            let sending = spawn_local(async move {
                writer.write_all(&sent).await.unwrap();
                writer.shutdown().await.unwrap();
            }).unwrap();
            let mut received = Vec::new();
            reader.read_to_end(&mut received).await.unwrap();
            assert!(received == bytes, "wrong data of {} bytes", received.len());
            sending.await.unwrap();
            echo.await.unwrap();
        });
    }

    fn an_end_without_close_notify_is_an_error(net) {
        net.block_on(async {
            let (mut client, server) = pair(net).await;
            let (mut stream, _) = server.into_inner();
            stream.end().await.unwrap();
            let error = client.read(&mut [0]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        });
    }

    fn an_untrusted_certificate_fails_both_sides(net) {
        net.block_on(async {
            let (client, server) = streams(net.tcp()).await;
            let accepted = spawn_local(acceptor().0.accept(server)).unwrap();
            let name = "localhost".try_into().unwrap();
            let error = connector([]).connect(name, client).await.unwrap_err();
            assert!(error.to_string().contains("UnknownIssuer"), "{error}");
            let error = accepted.await.unwrap().unwrap_err();
            // tokio-rustls tries only once to send the alert, when the simulated network may have no
            // room.
            let (error, ends) = (error.to_string(), net.is_sim());
            assert!(error.contains("UnknownCA") || ends && error == "tls handshake eof", "{error}");
        });
    }
}
