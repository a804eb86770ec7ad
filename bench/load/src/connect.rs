//! Short connections: connect, send a byte, receive it back, close.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Registry};

use crate::arguments::Arguments;
use crate::histogram::Histogram;
use crate::report::Report;
use crate::stream::{Connection, Stream, unless_blocked};
use crate::window::{Phase, Window};

struct Client {
    stream: Box<dyn Connection>,
    byte: u8,
    began: Instant,
}

fn open(
    arguments: &Arguments,
    registry: &Registry,
    slot: usize,
    serial: usize,
) -> io::Result<Client> {
    let began = Instant::now();
    let mut stream = Stream::connect(&arguments.target, serial)?.register(registry, slot)?;
    let byte = (serial * 7) as u8;
    stream.write_all(&[byte])?;
    Ok(Client { stream, byte, began })
}

pub(crate) fn run(arguments: &Arguments) -> io::Result<Report> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let (mut serial, mut clients) = (0, Vec::with_capacity(arguments.connections));
    for slot in 0..arguments.connections {
        clients.push(open(arguments, poll.registry(), slot, serial)?);
        serial += 1;
    }
    let mut window = Window::new(arguments);
    let (mut count, mut wrong, mut latency) = (0, 0, Histogram::new());
    let measured = loop {
        poll.poll(&mut events, Some(Duration::from_millis(100)))?;
        match window.phase(Instant::now(), count > 0) {
            Phase::Begins => (count, latency) = (0, Histogram::new()),
            Phase::Over(measured) => break measured,
            Phase::WarmUp | Phase::Measuring => {}
        }
        for event in events.iter().filter(|event| event.is_readable()) {
            let client = &mut clients[event.token().0];
            let mut answer = [0; 2];
            let Some(length) = unless_blocked(client.stream.read(&mut answer))? else { continue };
            if answer[..length] != [client.byte] {
                wrong += 1;
            }
            latency.add(client.began.elapsed());
            count += 1;
            *client = open(arguments, poll.registry(), event.token().0, serial)?;
            serial += 1;
        }
    };
    let mut report = Report::new(arguments);
    report.measured(&measured, count, count);
    report.latency(&latency);
    report.wrong(wrong);
    Ok(report)
}
