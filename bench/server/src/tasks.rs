//! The benchmark server with the `async` API: each connection runs in a separate task, with the same idle
//! timeout as with callbacks.

use fyke::{ListenOptions, Result, ServerOptions, Socket, spawn_local};

use crate::{CHUNK, IDLE_TIMEOUT, Mode, refuse, report};

pub(crate) async fn serve(options: ListenOptions, mode: Mode) -> Result<()> {
    let server = ServerOptions::new().no_delay(true).create();
    options.listen(&server)?;
    server.listening().await?;
    report(&server);
    loop {
        let socket = server.accept().await?;
        socket.set_idle_timeout(Some(IDLE_TIMEOUT));
        socket.on_idle_timeout(|socket| {
            socket.destroy();
        });
        drop(spawn_local(async move {
            // A failed connection ends only its own task.
            let _ = match mode {
                Mode::Echo => echo(&socket).await,
                Mode::Sink => sink(&socket).await,
                Mode::Source => source(&socket).await,
                Mode::Mixed => refuse("MODE=mixed needs API=callbacks"),
            };
        })?);
    }
}

async fn echo(socket: &Socket) -> Result<()> {
    let (mut reader, mut writer) = socket.stream()?.split();
    loop {
        let bytes = reader.fill_buf().await?;
        let count = bytes.len();
        if count == 0 {
            return writer.end().await;
        }
        writer.write_all(bytes).await?;
        reader.consume(count);
    }
}

async fn sink(socket: &Socket) -> Result<()> {
    let mut stream = socket.stream()?;
    loop {
        match stream.fill_buf().await?.len() {
            0 => return Ok(()),
            count => stream.consume(count),
        }
    }
}

async fn source(socket: &Socket) -> Result<()> {
    let mut stream = socket.stream()?;
    loop {
        stream.write_all(&CHUNK).await?;
    }
}
