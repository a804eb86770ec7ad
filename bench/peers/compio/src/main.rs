//! compio: completions on io_uring, one thread, a task and a buffer for each connection.

use std::env;
use std::io;

use compio::BufResult;
use compio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use compio::net::{TcpListener, UnixListener};

#[derive(Clone, Copy)]
enum Mode {
    Echo,
    Sink,
    Source,
}

async fn serve<S: AsyncRead + AsyncWrite>(mut stream: S, mode: Mode) {
    let mut buffer: Vec<u8> = match mode {
        Mode::Echo => Vec::with_capacity(8192),
        Mode::Sink => Vec::with_capacity(65536),
        Mode::Source => vec![b'x'; 65536],
    };
    loop {
        if !matches!(mode, Mode::Source) {
            buffer.clear();
            let BufResult(result, filled) = stream.read(buffer).await;
            if !matches!(result, Ok(length) if length > 0) {
                return;
            }
            buffer = filled;
        }
        if !matches!(mode, Mode::Sink) {
            let BufResult(result, sent) = stream.write_all(buffer).await;
            if result.is_err() {
                return;
            }
            buffer = sent;
        }
    }
}

#[compio::main]
async fn main() -> io::Result<()> {
    let mode = match env::var("MODE").as_deref() {
        Ok("sink") => Mode::Sink,
        Ok("source") => Mode::Source,
        _ => Mode::Echo,
    };
    if let Ok(path) = env::var("UNIX_PATH") {
        let listener = UnixListener::bind(path).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            compio::runtime::spawn(serve(stream, mode)).detach();
        }
    }
    let port: u16 = env::var("PORT").ok().and_then(|port| port.parse().ok()).expect("PORT");
    let socket = std::net::TcpListener::bind(("127.0.0.1", port))?;
    let listener = TcpListener::from_std(socket)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        compio::runtime::spawn(serve(stream, mode)).detach();
    }
}
