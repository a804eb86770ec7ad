//! A server for a line protocol, with a codec of tokio-util: it returns each line in capital letters. A
//! line of more than 1,000 bytes is an error. Try `nc localhost 8080`.

use futures_util::{SinkExt, StreamExt};
use fyke::{Server, Socket};
use tokio_util::codec::{Framed, LinesCodec};

type AnyError = Box<dyn std::error::Error>;

async fn serve(socket: Socket) -> Result<(), AnyError> {
    let mut lines = Framed::new(socket.stream()?, LinesCodec::new_with_max_length(1000));
    while let Some(line) = lines.next().await {
        lines.send(line?.to_uppercase()).await?;
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
                if let Err(error) = serve(socket).await {
                    eprintln!("{error}");
                }
            })?;
        }
    })?
}
