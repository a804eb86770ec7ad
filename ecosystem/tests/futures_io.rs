//! Tests the traits of `futures-io` and `Stream` through the adaptors of futures-util.

#[path = "../../crates/fyke/tests/support/mod.rs"]
mod support;

use futures_util::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, copy, copy_buf};
use futures_util::{StreamExt, TryStreamExt};
use fyke::{Server, SocketStream, spawn_local};
use support::futures::streams;
use support::pattern;

const BIG: usize = 3 << 20;

on_every_driver! {
    fn bytes_copied_between_streams_are_unchanged(net) {
        for endpoint in net.endpoints() {
            net.block_on(async {
                // Copies from the first connection to the second, and back.
                let (first, from) = streams(endpoint.clone()).await;
                let (to, second) = streams(endpoint.clone()).await;
                let relay = spawn_local(async {
                    let (reader, mut writer) = (from, to);
                    copy_buf(reader, &mut writer).await.unwrap();
                    AsyncWriteExt::close(&mut writer).await.unwrap();
                    writer
                }).unwrap();
                let bytes = pattern(BIG);
                let sent = bytes.clone();
                let sending = spawn_local(async move {
                    let (_reader, mut writer) = SocketStream::split(first);
                    copy(&sent[..], &mut writer).await.unwrap();
                    AsyncWriteExt::close(&mut writer).await.unwrap();
                }).unwrap();
                let mut second = second;
                let mut received = Vec::new();
                AsyncReadExt::read_to_end(&mut second, &mut received).await.unwrap();
                assert!(received == bytes, "wrong data of {} bytes", received.len());
                sending.await.unwrap();
                relay.await.unwrap();
            });
        }
    }

    fn lines_and_chunks_are_read_in_order(net) {
        net.block_on(async {
            let (mut client, mut server) = streams(net.tcp()).await;
            let text: String = (0..2000).map(|n| format!("line {n}\n")).collect();
            let sent = text.clone();
            let sending = spawn_local(async move {
                AsyncWriteExt::write_all(&mut client, sent.as_bytes()).await.unwrap();
                AsyncWriteExt::close(&mut client).await.unwrap();
            }).unwrap();
            let lines: Vec<String> = AsyncBufReadExt::lines(&mut server).take(1000).try_collect().await.unwrap();
            assert_eq!(lines.join("\n") + "\n", text.split_inclusive('\n').take(1000).collect::<String>());
            let rest: Vec<fyke::Bytes> = server.chunks().try_collect().await.unwrap();
            assert_eq!(rest.concat(), text.split_inclusive('\n').skip(1000).collect::<String>().as_bytes());
            sending.await.unwrap();
        });
    }

    fn the_incoming_stream_serves_a_limited_number_of_connections_at_a_time(net) {
        net.block_on(async {
            let server = Server::new();
            server.listen(net.tcp()).unwrap();
            server.listening().await.unwrap();
            let closing = server.clone();
            let clients = spawn_local(async move {
                for n in 0..30_u8 {
                    let mut client = SocketStream::connect(closing.endpoint().unwrap()).await.unwrap();
                    client.write_all(&[n]).await.unwrap();
                    client.end().await.unwrap();
                    assert_eq!(client.read_to_end().await.unwrap(), [n]);
                }
                closing.close();
            }).unwrap();
            let serve = |socket: fyke::Socket| async move {
                let mut stream = socket.stream()?;
                let bytes = stream.read_to_end().await?;
                stream.write_all(&bytes).await?;
                stream.end().await
            };
            server.incoming().try_for_each_concurrent(4, serve).await.unwrap();
            clients.await.unwrap();
        });
    }
}
