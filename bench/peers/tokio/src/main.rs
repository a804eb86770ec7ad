//! tokio in the usual style: one thread, a task and a buffer for each connection.

mod lateness;

use std::env;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, UnixListener};

#[derive(Clone, Copy)]
enum Mode {
    Echo,
    Sink,
    Source,
    Mixed,
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, mode: Mode) -> io::Result<()> {
    match mode {
        Mode::Echo => {
            let mut buffer = vec![0; 8192];
            loop {
                let length = stream.read(&mut buffer).await?;
                if length == 0 {
                    return Ok(());
                }
                stream.write_all(&buffer[..length]).await?;
            }
        }
        // The first byte selects: bulk to receive, or messages to echo.
        Mode::Mixed => {
            let mut buffer = vec![0; 65536];
            let mut length = stream.read(&mut buffer).await?;
            let bulk = buffer[0] == b'n';
            while length > 0 {
                if !bulk {
                    stream.write_all(&buffer[..length]).await?;
                }
                length = stream.read(&mut buffer).await?;
            }
            Ok(())
        }
        Mode::Sink => {
            let mut buffer = vec![0; 65536];
            while stream.read(&mut buffer).await? > 0 {}
            Ok(())
        }
        Mode::Source => {
            let buffer = vec![b'x'; 65536];
            loop {
                stream.write_all(&buffer).await?;
            }
        }
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(([127, 0, 0, 1], port).into())?;
    socket.listen(4096)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let mode = match env::var("MODE").as_deref() {
        Ok("sink") => Mode::Sink,
        Ok("source") => Mode::Source,
        Ok("mixed") => Mode::Mixed,
        _ => Mode::Echo,
    };
    if env::var("TIMER").is_ok() {
        lateness::report_each_second();
    }
    if let Ok(path) = env::var("UNIX_PATH") {
        let listener = UnixListener::bind(path)?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(serve(stream, mode));
        }
    }
    let port = env::var("PORT").ok().and_then(|port| port.parse().ok()).expect("PORT is a number");
    let listener = listen(port)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve(stream, mode));
    }
}
