//! Echo: keeps a number of messages in flight on each connection, and sends the next one for each
//! answer.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use crate::arguments::Arguments;
use crate::histogram::Histogram;
use crate::message::{Checker, Messages};
use crate::report::Report;
use crate::stream::{Connection, Stream, unless_blocked};
use crate::window::{Phase, Window};

const BUFFER_BYTES: usize = 256 * 1024;
/// The window must end even if no answer arrives.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

struct Client {
    index: usize,
    stream: Box<dyn Connection>,
    checker: Checker,
    next_sequence: u64,
    sent_at: VecDeque<Instant>,
    unsent: Vec<u8>,
    wrong: bool,
}

impl Client {
    fn send(&mut self, messages: &Messages, count: u64, now: Instant) -> io::Result<()> {
        for _ in 0..count {
            messages.write(self.index, self.next_sequence, &mut self.unsent);
            self.next_sequence += 1;
            self.sent_at.push_back(now);
        }
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut sent = 0;
        while sent < self.unsent.len() {
            match unless_blocked(self.stream.write(&self.unsent[sent..]))? {
                Some(length) => sent += length,
                None => break,
            }
        }
        self.unsent.drain(..sent);
        Ok(())
    }

    /// Reads the available data. Returns the number of complete answers.
    fn receive(&mut self, messages: &Messages, buffer: &mut [u8]) -> io::Result<u64> {
        let mut count = 0;
        loop {
            let Some(length) = unless_blocked(self.stream.read(buffer))? else {
                return Ok(count);
            };
            if length == 0 {
                return Err(io::Error::other(format!("connection {} was closed", self.index)));
            }
            match self.checker.take(messages, self.index, &buffer[..length]) {
                Some(complete) => count += complete,
                None => {
                    self.wrong = true;
                    return Ok(count);
                }
            }
            if length < buffer.len() {
                return Ok(count);
            }
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> io::Result<Report> {
    let messages = Messages::new(arguments);
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut clients = Vec::with_capacity(arguments.connections);
    for index in 0..arguments.connections {
        let stream = Stream::connect(&arguments.target, index)?.register(poll.registry(), index)?;
        clients.push(Client {
            index,
            stream,
            checker: Checker::default(),
            next_sequence: 0,
            sent_at: VecDeque::with_capacity(arguments.depth),
            unsent: Vec::new(),
            wrong: false,
        });
    }
    let mut window = Window::new(arguments);
    for client in &mut clients {
        client.send(&messages, arguments.depth as u64, Instant::now())?;
    }
    let (mut count, mut wrong, mut latency) = (0, 0, Histogram::new());
    let measured = loop {
        poll.poll(&mut events, Some(POLL_TIMEOUT))?;
        let now = Instant::now();
        match window.phase(now, count + wrong > 0) {
            Phase::Begins => (count, latency) = (0, Histogram::new()),
            Phase::Over(measured) => break measured,
            Phase::WarmUp | Phase::Measuring => {}
        }
        for event in &events {
            let client = &mut clients[event.token().0];
            if client.wrong {
                continue;
            }
            if event.is_readable() {
                let complete = client.receive(&messages, &mut buffer)?;
                wrong += u64::from(client.wrong);
                for sent_at in client.sent_at.drain(..complete as usize) {
                    latency.add(now.saturating_duration_since(sent_at));
                }
                count += complete;
                client.send(&messages, complete, now)?;
            } else if !client.unsent.is_empty() {
                client.flush()?;
            }
        }
    };
    let mut report = Report::new(arguments);
    report.measured(&measured, count, count * messages.size_bytes() as u64);
    report.latency(&latency);
    report.wrong(wrong);
    Ok(report)
}
