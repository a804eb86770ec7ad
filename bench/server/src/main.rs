//! The server that `bench/` measures: one thread, and on every connection a data listener and an idle
//! timeout, as in a real server.
//!
//! | environment | |
//! |---|---|
//! | `PORT` or `UNIX_PATH` | where to listen, on 127.0.0.1 |
//! | `MODE` | `echo` (default), `sink` only receives, `source` sends as much as is accepted, `mixed`
//! only receives on connections whose first byte is `n`, and echoes on the others |
//! | `API` | `callbacks` (default), or `async`: a task for each connection, which echoes |
//! | `TIMER=1` | prints how late a timer of 20 ms was, once per second |
//! | `FYKE_DRIVER` | the driver, as everywhere |

mod lateness;
mod tasks;

use std::cell::Cell;
use std::env;
use std::rc::Rc;
use std::time::Duration;

use fyke::{Bytes, EventLoop, ListenOptions, Result, Server, ServerOptions, Socket};

const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const BACKLOG: u32 = 4096;
static CHUNK: [u8; 65536] = [b'x'; 65536];

fn echo(socket: &Socket) {
    socket.on_data(|socket, data| {
        if !socket.write(data) {
            socket.pause();
            resume_on_drain(socket);
        }
    });
}

/// Listens for `drain` only while it is awaited, so a socket that keeps up has one listener less.
fn resume_on_drain(socket: &Socket) {
    let listener = Rc::new(Cell::new(None));
    let same = Rc::clone(&listener);
    let id = socket.on_drain(move |socket| {
        if let Some(id) = same.take() {
            socket.off(id);
        }
        socket.resume();
    });
    listener.set(Some(id));
}

fn sink(socket: &Socket) {
    socket.on_data(|_, _| {});
}

/// The first byte selects: bulk to receive, or messages to echo.
fn mixed(socket: &Socket) {
    let bulk = Cell::new(None);
    socket.on_data(move |socket, data| {
        if bulk.get().is_none() {
            bulk.set(Some(data[0] == b'n'));
        }
        if bulk.get() == Some(false) {
            let _ = socket.write(data);
        }
    });
}

/// Sends the next chunk when the kernel has accepted the previous one.
fn source(socket: &Socket) {
    socket.on_data(|_, _| {});
    send_chunks(socket);
}

fn send_chunks(socket: &Socket) {
    socket.write_then(Bytes::from_static(&CHUNK), |socket, result| {
        if result.is_ok() {
            send_chunks(socket);
        }
    });
}

fn main() -> Result<()> {
    raise_descriptor_limit();
    let serve = match mode() {
        Mode::Echo => echo,
        Mode::Sink => sink,
        Mode::Source => source,
        Mode::Mixed => mixed,
    };
    let event_loop = EventLoop::new()?;
    exit_unless_asked_for(&event_loop);
    match env::var("API").as_deref() {
        Ok("async") => return event_loop.block_on(tasks::serve(listen_options(), mode()))?,
        Ok("callbacks") | Err(_) => {}
        Ok(api) => refuse(&format!("API is callbacks or async, not {api}")),
    }
    event_loop.enter(|| {
        let server = ServerOptions::new().no_delay(true).create_server(move |socket| {
            socket.set_idle_timeout(Some(IDLE_TIMEOUT));
            socket.on_idle_timeout(|socket| {
                socket.destroy();
            });
            serve(socket);
        });
        if env::var("TIMER").is_ok() {
            lateness::report_each_second()?;
        }
        listen_options().listen_then(&server, report)
    })?;
    event_loop.run()
}

/// What a connection is for.
#[derive(Clone, Copy)]
enum Mode {
    Echo,
    Sink,
    Source,
    Mixed,
}

fn mode() -> Mode {
    match env::var("MODE").as_deref() {
        Ok("sink") => Mode::Sink,
        Ok("source") => Mode::Source,
        Ok("mixed") => Mode::Mixed,
        Ok("echo") | Err(_) => Mode::Echo,
        Ok(mode) => refuse(&format!("MODE must be echo, sink, source or mixed, not {mode}")),
    }
}

fn listen_options() -> ListenOptions {
    let options = match env::var("UNIX_PATH") {
        Ok(path) => ListenOptions::new(format!("unix:{path}")),
        Err(_) => ListenOptions::new(("127.0.0.1", port())),
    };
    options.backlog(BACKLOG)
}

fn report(server: &Server) {
    println!("listening on {}", server.endpoint().expect("it listens"));
}

/// Any free port, if none is given.
fn port() -> u16 {
    let Ok(port) = env::var("PORT") else { return 0 };
    port.parse()
        .unwrap_or_else(|_| refuse(&format!("PORT must be a number up to 65535, not {port}")))
}

fn refuse(why: &str) -> ! {
    eprintln!("{why}");
    std::process::exit(2)
}

/// A loop that may not use io_uring falls back to readiness. That is right for a server, but not for a
/// measurement.
fn exit_unless_asked_for(event_loop: &EventLoop) {
    if env::var("FYKE_DRIVER").is_ok_and(|name| name == "uring" && event_loop.driver_name() != name)
    {
        eprintln!("io_uring is not available");
        std::process::exit(1);
    }
}

fn raise_descriptor_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // A server with the old limit still works.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}
