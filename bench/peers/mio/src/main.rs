//! Raw mio: edge-triggered readiness, and one read buffer for all connections. Data that a connection
//! could not send is kept until it can.

use std::env;
use std::io::{self, ErrorKind, Read, Write};

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixListener};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX);

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Echo,
    Sink,
    Source,
}

struct Connection<S> {
    stream: S,
    unsent: Vec<u8>,
    sent: usize,
}

fn would_block(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
}

impl<S: Read + Write> Connection<S> {
    /// Whether nothing is left to send.
    fn flush(&mut self) -> io::Result<bool> {
        while self.sent < self.unsent.len() {
            match self.stream.write(&self.unsent[self.sent..]) {
                Ok(length) => self.sent += length,
                Err(error) if would_block(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        if self.sent > 0 {
            (self.unsent, self.sent) = (Vec::new(), 0);
        }
        Ok(true)
    }

    /// Whether the connection stays open.
    fn receive(&mut self, buffer: &mut [u8], mode: Mode, ending: bool) -> io::Result<bool> {
        while self.flush()? {
            let length = match self.stream.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(length) => length,
                Err(error) if would_block(&error) => break,
                Err(error) => return Err(error),
            };
            if mode == Mode::Echo {
                let sent = match self.stream.write(&buffer[..length]) {
                    Err(error) if would_block(&error) => 0,
                    result => result?,
                };
                self.unsent.extend_from_slice(&buffer[sent..length]);
            }
            // A short read means that nothing more is available: epoll reports later data.
            if length < buffer.len() && self.unsent.is_empty() && !ending {
                break;
            }
        }
        Ok(true)
    }

    fn produce(&mut self, buffer: &[u8]) -> io::Result<bool> {
        loop {
            match self.stream.write(buffer) {
                Ok(_) => {}
                Err(error) if would_block(&error) => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }
}

/// `accept` returns the next waiting connection.
fn serve<L: Source, S: Read + Write + Source>(
    mut listener: L,
    accept: fn(&L) -> io::Result<S>,
    mode: Mode,
) -> io::Result<()> {
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut connections: Vec<Option<Connection<S>>> = Vec::new();
    let mut free = Vec::new();
    let mut buffer = vec![b'x'; 65536];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok(mut stream) = accept(&listener) {
                    let index = free.pop().unwrap_or(connections.len());
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut stream, Token(index), interest)?;
                    if index == connections.len() {
                        connections.push(None);
                    }
                    connections[index] = Some(Connection { stream, unsent: Vec::new(), sent: 0 });
                }
                continue;
            }
            let index = event.token().0;
            let Some(connection) = &mut connections[index] else { continue };
            let ending = event.is_read_closed();
            let goes_on = match mode {
                Mode::Source if ending => Ok(false),
                Mode::Source => connection.produce(&buffer),
                // Every connection is nearly always writable, so that alone is not a reason to read.
                _ if !event.is_readable() && connection.unsent.is_empty() => Ok(true),
                _ => connection.receive(&mut buffer, mode, ending),
            };
            if !goes_on.unwrap_or(false) {
                connections[index] = None;
                free.push(index);
            }
        }
    }
}

fn main() -> io::Result<()> {
    let mode = match env::var("MODE").as_deref() {
        Ok("sink") => Mode::Sink,
        Ok("source") => Mode::Source,
        _ => Mode::Echo,
    };
    if let Ok(path) = env::var("UNIX_PATH") {
        let listener = UnixListener::bind(path)?;
        return serve(listener, |listener| Ok(listener.accept()?.0), mode);
    }
    let port: u16 = env::var("PORT").ok().and_then(|port| port.parse().ok()).expect("PORT");
    let listener = TcpListener::bind(([127, 0, 0, 1], port).into())?;
    let accept = |listener: &TcpListener| {
        let stream = listener.accept()?.0;
        stream.set_nodelay(true)?;
        Ok::<TcpStream, io::Error>(stream)
    };
    serve(listener, accept, mode)
}
