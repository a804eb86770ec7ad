//! Tests WebSocket with tungstenite: both ends use streams of fyke, without a tokio runtime.

#[path = "../../crates/fyke/tests/support/mod.rs"]
mod support;

use futures_util::{SinkExt, StreamExt};
use fyke::{SocketStream, spawn_local, task::JoinHandle};
use support::futures::streams;
use support::pattern;
use tokio_tungstenite::tungstenite::{
    Error, Message, error::ProtocolError, protocol::WebSocketConfig,
};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config, client_async};

/// The longest message that the server accepts.
const MESSAGE_MAX: usize = 2 << 20;

async fn echo(stream: SocketStream) -> Result<(), Error> {
    let limits = WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX));
    let mut websocket = accept_async_with_config(stream, Some(limits)).await?;
    while let Some(message) = websocket.next().await {
        let message = message?;
        // tungstenite itself answers pings and completes the closing handshake.
        if message.is_text() || message.is_binary() {
            websocket.send(message).await?;
        }
    }
    Ok(())
}

async fn pair(
    net: &support::Net,
) -> (WebSocketStream<SocketStream>, JoinHandle<Result<(), Error>>) {
    let (client, server) = streams(net.tcp()).await;
    let server = spawn_local(echo(server)).unwrap();
    let (client, response) = client_async("ws://localhost/chat", client).await.unwrap();
    assert_eq!(response.status(), 101);
    (client, server)
}

on_every_driver! {
    fn messages_are_echoed_and_the_closing_handshake_completes(net) {
        net.block_on(async {
            let (mut client, server) = pair(net).await;
            let large = Message::binary(pattern(MESSAGE_MAX));
            for message in [Message::text("fish"), Message::binary(vec![]), large, Message::text("ü".repeat(70_000))] {
                client.send(message.clone()).await.unwrap();
                assert!(client.next().await.unwrap().unwrap() == message);
            }
            client.send(Message::Ping(vec![1, 2].into())).await.unwrap();
            assert_eq!(client.next().await.unwrap().unwrap(), Message::Pong(vec![1, 2].into()));
            client.close(None).await.unwrap();
            assert!(matches!(client.next().await, Some(Ok(Message::Close(None)))));
            assert!(client.next().await.is_none());
            server.await.unwrap().unwrap();
        });
    }

    fn both_sides_send_at_the_same_time(net) {
        net.block_on(async {
            const COUNT: u32 = 2000;
            let (client, server) = pair(net).await;
            let (mut sink, mut stream) = client.split();
            let sending = spawn_local(async move {
                for n in 0..COUNT {
                    sink.send(Message::text(format!("{n} {}", "x".repeat(n as usize)))).await.unwrap();
                }
                sink
            }).unwrap();
            for n in 0..COUNT {
                let message = stream.next().await.unwrap().unwrap();
                assert_eq!(message.to_text().unwrap(), format!("{n} {}", "x".repeat(n as usize)));
            }
            sending.await.unwrap().close().await.unwrap();
            assert!(matches!(stream.next().await, Some(Ok(Message::Close(None)))));
            server.await.unwrap().unwrap();
        });
    }

    fn a_message_above_the_limit_ends_the_connection(net) {
        net.block_on(async {
            let (mut client, server) = pair(net).await;
            let _ = client.send(Message::binary(vec![0; MESSAGE_MAX + 1])).await;
            let error = server.await.unwrap().unwrap_err();
            assert!(matches!(error, Error::Capacity(_)), "{error}");
        });
    }

    fn a_connection_that_ends_without_a_close_frame_is_an_error(net) {
        net.block_on(async {
            let (client, server) = pair(net).await;
            drop(client);
            let error = server.await.unwrap().unwrap_err();
            assert!(matches!(error, Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)), "{error}");
        });
    }

    fn an_invalid_handshake_is_refused(net) {
        net.block_on(async {
            let (mut client, server) = streams(net.tcp()).await;
            let server = spawn_local(echo(server)).unwrap();
            client.write_all(b"\x16\x03\x01 this is not HTTP\r\n\r\n").await.unwrap();
            server.await.unwrap().unwrap_err();
        });
    }
}
