//! One connection that echoes, in one of the common configurations. `bench/instructions` counts its
//! instructions. Ends with the connection.
//!
//! | environment | |
//! |---|---|
//! | `CONFIGURATION` | one of the names below |
//! | `PORT` | the port to connect to on 127.0.0.1, for `outgoing` only |

use std::env;
use std::time::Duration;

use fyke::{Endpoint, Result, ServerOptions, Socket};

const MINUTE: Duration = Duration::from_secs(60);
const OWNED_BYTES: usize = 8192;

fn main() -> Result<()> {
    let configuration = env::var("CONFIGURATION").unwrap_or_default();
    let options = ServerOptions::new().no_delay(true);
    fyke::run(|| match configuration.as_str() {
        "nothing set" => serve(options, echo),
        "keep_alive" => serve(options.keep_alive(MINUTE), echo),
        "write_stall_timeout" => serve(options.write_stall_timeout(MINUTE), echo),
        "one owned write" => serve(options, |socket| {
            let _ = socket.write(vec![b'x'; OWNED_BYTES]);
            echo(socket);
        }),
        "a callback on every write" => serve(options, |socket| {
            end_when_idle(socket);
            socket.on_data(|socket, data| {
                socket.write_then(data, |_, _| {});
            });
        }),
        "timeout set and unset" => serve(options, |socket| {
            echo(socket);
            // A short timeout, so that afterwards only its lasting costs remain.
            socket.set_idle_timeout(Some(Duration::from_millis(1)));
            socket.set_idle_timeout(None);
        }),
        "pipe" => serve(options, |socket| {
            end_when_idle(socket);
            socket.pipe(socket);
        }),
        "task" => serve(options, |socket| {
            end_when_idle(socket);
            let socket = socket.clone();
            let _ = fyke::spawn_local(async move { echo_in_task(&socket).await });
        }),
        "outgoing" => {
            let port = env::var("PORT").ok().and_then(|port| port.parse::<u16>().ok());
            let socket = fyke::connect(("127.0.0.1", port.unwrap_or(0)))?;
            socket.set_no_delay(true)?;
            echo(&socket);
            Ok(())
        }
        other => {
            eprintln!("unknown CONFIGURATION: {other:?}");
            std::process::exit(2)
        }
    })
}

/// Serves one connection, and prints the address.
fn serve(options: ServerOptions, each: impl Fn(&Socket) + 'static) -> Result<()> {
    let server = options.create_server(each);
    server.on_connection(|server, _| {
        server.close();
    });
    server.listen_then(("127.0.0.1", 0), |server| {
        if let Some(Endpoint::Ip(address)) = server.endpoint() {
            println!("{}", address.port());
        }
    })
}

/// As in real servers.
fn end_when_idle(socket: &Socket) {
    socket.set_idle_timeout(Some(MINUTE));
    socket.on_idle_timeout(|socket| {
        socket.destroy();
    });
}

async fn echo_in_task(socket: &Socket) -> Result<()> {
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

fn echo(socket: &Socket) {
    end_when_idle(socket);
    socket.on_data(|socket, data| {
        let _ = socket.write(data);
    });
}
