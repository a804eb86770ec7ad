//! The same server with `async`: a task for each connection, and the same idle timeout.

use fyke::{ListenOptions, Result, ServerOptions, Socket, spawn_local};

use crate::{IDLE_TIMEOUT, report};

pub(crate) async fn serve(options: ListenOptions) -> Result<()> {
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
            // The client has gone: that ends its connection only.
            let _ = echo(&socket).await;
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
