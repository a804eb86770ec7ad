//! The memory of a connection, both ends included, in the simulated network.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use fyke::{ConnectOptions, DriverKind, Error, EventLoop, Result, ServerOptions, sim::SimOptions};

const PORT: u16 = 1000;
/// Clients choose their ports, because the network has only 16,384 ephemeral ports.
const FIRST_CLIENT_PORT: u16 = 2000;
const CONNECTIONS_PER_ADDRESS: usize = 60_000;
const OPENED_AT_ONCE: usize = 256;
const IDLE_TIMEOUT: Duration = Duration::from_secs(86_400);

/// Bytes per accepted connection including its client: a data listener and an idle timeout on the
/// accepted side, after a message in each direction.
pub(crate) fn measure(connections: usize) -> Result<f64> {
    let kind = DriverKind::Sim(SimOptions { cut: false, ..SimOptions::default() });
    let event_loop = EventLoop::builder().driver(kind).build()?;
    event_loop.enter(listen)?;
    turn_until(&event_loop, || true)?;
    let before = resident_bytes();

    let answered = Rc::new(Cell::new(0));
    let mut clients = Vec::with_capacity(connections);
    while clients.len() < connections {
        let wanted = connections.min(clients.len() + OPENED_AT_ONCE);
        event_loop.enter(|| {
            for number in clients.len()..wanted {
                clients.push(connect(number, &answered)?);
            }
            Ok::<_, Error>(())
        })?;
        turn_until(&event_loop, || answered.get() == wanted)?;
    }
    Ok(resident_bytes().saturating_sub(before) as f64 / connections as f64)
}

fn listen() -> Result<()> {
    let server = ServerOptions::new().create_server(|socket| {
        socket.set_idle_timeout_then(IDLE_TIMEOUT, |socket| {
            socket.destroy();
        });
        socket.on_data(|socket, data| {
            let _ = socket.write(data);
        });
    });
    server.listen(("127.0.0.1", PORT))
}

fn connect(number: usize, answered: &Rc<Cell<usize>>) -> Result<fyke::Socket> {
    let answered = Rc::clone(answered);
    let from = Ipv4Addr::new(127, 0, 1, (number / CONNECTIONS_PER_ADDRESS) as u8);
    let socket = ConnectOptions::new(("127.0.0.1", PORT))
        .local_address(IpAddr::from(from))
        .local_port(FIRST_CLIENT_PORT + (number % CONNECTIONS_PER_ADDRESS) as u16)
        .connect()?;
    socket.on_data(move |_, _| answered.set(answered.get() + 1));
    let _ = socket.write("hello");
    Ok(socket)
}

/// At least one turn.
fn turn_until(event_loop: &EventLoop, done: impl Fn() -> bool) -> Result<()> {
    loop {
        event_loop.turn(Some(Duration::ZERO))?;
        if done() {
            return Ok(());
        }
    }
}

/// 0 where there is no `/proc`.
fn resident_bytes() -> u64 {
    let line = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = line.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}
