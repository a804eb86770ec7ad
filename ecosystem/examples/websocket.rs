//! A WebSocket server with tungstenite that returns each message.

use futures_util::{SinkExt, StreamExt};
use fyke::{Server, Socket};
use tokio_tungstenite::accept_async;

type AnyError = Box<dyn std::error::Error>;

async fn echo(socket: Socket) -> Result<(), AnyError> {
    let mut websocket = accept_async(socket.stream()?).await?;
    while let Some(message) = websocket.next().await {
        let message = message?;
        // tungstenite itself answers pings and completes the closing handshake.
        if message.is_text() || message.is_binary() {
            websocket.send(message).await?;
        }
    }
    Ok(())
}

fn main() -> Result<(), AnyError> {
    let endpoint = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    fyke::block_on(async {
        let server = Server::new();
        server.listen(endpoint)?;
        server.listening().await?;
        println!("listening on {}", server.endpoint().unwrap());
        loop {
            let socket = server.accept().await?;
            fyke::spawn_local(async {
                if let Err(error) = echo(socket).await {
                    eprintln!("{error}");
                }
            })?;
        }
    })?
}
