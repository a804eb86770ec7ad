//! Runs fyke's sockets in a tokio runtime: the same tasks as in the peer `tokio`, with fyke's loop next
//! to them.

use std::env;

use fyke::{EventLoop, ListenOptions, ServerOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::{LocalSet, spawn_local};

async fn echo(socket: fyke::Socket) -> fyke::Result<()> {
    let mut stream = socket.stream()?;
    let mut buffer = vec![0; 8192];
    loop {
        let length = AsyncReadExt::read(&mut stream, &mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        AsyncWriteExt::write_all(&mut stream, &buffer[..length]).await?;
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> fyke::Result<()> {
    let event_loop = EventLoop::new()?;
    let options = match env::var("UNIX_PATH") {
        Ok(path) => ListenOptions::new(format!("unix:{path}")),
        Err(_) => {
            let port = env::var("PORT").ok().and_then(|port| port.parse::<u16>().ok());
            ListenOptions::new(("127.0.0.1", port.expect("PORT is not a number from 0 to 65535")))
        }
    };
    let server = event_loop.enter(|| {
        let server = ServerOptions::new().no_delay(true).create();
        options.backlog(4096).listen(&server).map(|()| server)
    })?;
    let accepting = async {
        loop {
            let socket = server.accept().await?;
            spawn_local(echo(socket));
        }
    };
    let tasks = LocalSet::new();
    tasks
        .run_until(async {
            tokio::select! {
                result = accepting => result,
                result = event_loop.drive() => result,
            }
        })
        .await
}
