//! Standard output.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::io;
use std::rc::Rc;

use fyke::{EventLoop, KeepAlive, LoopHandle, Socket};

use crate::failure::Failure;
use crate::log;
use crate::streams::{Patience, Stream, Writer};

/// Standard output of a command with an event loop. A thread does the writing, so that the loop
/// goes on while nobody reads: it still sees signals, timers and the other direction.
#[derive(Clone)]
pub(crate) struct Output {
    /// `None` if nothing is to be printed.
    writer: Option<&'static Writer>,
    paused: Rc<RefCell<Paused>>,
    /// The log says that nothing more can be printed.
    told: Rc<Cell<bool>>,
}

/// Connections whose data would only be queued here.
#[derive(Default)]
struct Paused {
    sockets: Vec<Socket>,
    /// A paused socket does not hold the loop.
    alive: Option<KeepAlive>,
}

impl Output {
    pub(crate) fn open(event_loop: LoopHandle) -> Self {
        Writer::of(Stream::Output).wakes(event_loop);
        Self::attached()
    }

    /// Of a command that does not look at its output between turns.
    pub(crate) fn attached() -> Self {
        Self { writer: Some(Writer::of(Stream::Output)), ..Self::closed() }
    }

    /// Prints nothing.
    pub(crate) fn closed() -> Self {
        Self { writer: None, paused: Rc::default(), told: Rc::default() }
    }

    /// Prints bytes as they are.
    pub(crate) fn write(&self, bytes: &[u8]) {
        if let Some(writer) = self.writer {
            writer.push_data(Stream::Output, bytes);
        }
    }

    /// Prints a line of text.
    pub(crate) fn line(&self, line: impl Display) {
        self.write(format!("{line}\n").as_bytes());
    }

    /// Prints a line, or drops and counts it if the earlier ones have not been read.
    pub(crate) fn line_or_drop(&self, line: impl Display) {
        if let Some(writer) = self.writer {
            writer.push_line(Stream::Output, format!("{line}\n"));
        }
    }

    /// Pauses the connection that the data came from if nobody reads it here. That is the
    /// backpressure: the kernel's buffers fill, and the peer has to wait.
    pub(crate) fn hold_back(&self, socket: &Socket) {
        if self.is_full() {
            socket.pause();
            let mut paused = self.paused.borrow_mut();
            if !paused.sockets.contains(socket) {
                paused.sockets.push(socket.clone());
            }
            if paused.alive.is_none() {
                paused.alive = fyke::handle().ok().map(|handle| handle.keep_alive());
            }
        }
    }

    /// Returns whether connections have to wait for whoever reads.
    pub(crate) fn is_full(&self) -> bool {
        let was_full = !self.paused.borrow().sockets.is_empty();
        self.writer.is_some_and(|writer| writer.is_full(was_full))
    }

    /// Lets paused connections go on if there is room again. To be called after each turn.
    pub(crate) fn let_go_on(&self, event_loop: &EventLoop) {
        if self.paused.borrow().sockets.is_empty() || self.is_full() {
            return;
        }
        let paused = self.paused.take();
        event_loop.enter(|| {
            for socket in &paused.sockets {
                socket.resume();
            }
        });
    }

    /// Returns whether nothing more can be printed, and says so once: for servers that go on then.
    pub(crate) fn is_broken_and_told(&self) -> bool {
        let broken = self.is_broken();
        if broken && !self.told.replace(true) {
            log::info(format_args!("standard output is closed or full: nothing more is printed"));
        }
        broken
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.writer.is_some_and(Writer::output_has_failed)
    }

    /// Waits until everything is written, or a signal has come; and tells what the command answers
    /// for it. A reader that has left (`| head -1`) is not a failure.
    pub(crate) fn result(&self) -> Result<(), Failure> {
        let Some(writer) = self.writer else { return Ok(()) };
        writer.flush(Stream::Output, Patience::DATA);
        result(writer.take_failure())
    }

    /// Like [`result`](Self::result), but does not wait for somebody who does not read.
    pub(crate) fn result_of_lines(&self) -> Result<(), Failure> {
        let Some(writer) = self.writer else { return Ok(()) };
        writer.flush(Stream::Output, Patience::LOG);
        result(writer.take_failure())
    }
}

/// Prints a text that is all there is to do. Signals are left to the system meanwhile.
pub(crate) fn print(text: &[u8]) -> Result<(), Failure> {
    result(Stream::Output.write_all(text).err())
}

fn result(failed: Option<io::Error>) -> Result<(), Failure> {
    match failed {
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::System("standard output", error))
        }
        _ => Ok(()),
    }
}
