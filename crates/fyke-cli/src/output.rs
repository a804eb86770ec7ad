//! Standard output.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::io;
use std::rc::Rc;

use fyke::{EventLoop, KeepAlive, LoopHandle, Socket};

use crate::failure::Failure;
use crate::log;
use crate::streams::{Patience, Stream, Writer};

/// Standard output of a command with an event loop. A thread writes, so the loop keeps running
/// while the output is not read, and still handles signals, timers and the other direction.
#[derive(Clone)]
pub(crate) struct Output {
    /// `None` if nothing is printed.
    writer: Option<&'static Writer>,
    paused: Rc<RefCell<Paused>>,
    /// Whether the failure has been logged.
    logged: Rc<Cell<bool>>,
}

/// Paused connections, whose data would only be queued here.
#[derive(Default)]
struct Paused {
    sockets: Vec<Socket>,
    /// Keeps the loop alive, because a paused socket does not.
    alive: Option<KeepAlive>,
}

impl Output {
    pub(crate) fn open(event_loop: LoopHandle) -> Self {
        Writer::of(Stream::Output).wakes(event_loop);
        Self::attached()
    }

    /// Creates the output of a command that does not call [`let_go_on`](Self::let_go_on).
    pub(crate) fn attached() -> Self {
        Self { writer: Some(Writer::of(Stream::Output)), ..Self::closed() }
    }

    /// Creates an output that prints nothing.
    pub(crate) fn closed() -> Self {
        Self { writer: None, paused: Rc::default(), logged: Rc::default() }
    }

    /// Prints bytes unchanged.
    pub(crate) fn write(&self, bytes: &[u8]) {
        if let Some(writer) = self.writer {
            writer.push_data(Stream::Output, bytes);
        }
    }

    /// Prints a line of text.
    pub(crate) fn line(&self, line: impl Display) {
        self.write(format!("{line}\n").as_bytes());
    }

    /// Prints a line. If too much is queued, the line is dropped and counted.
    pub(crate) fn line_or_drop(&self, line: impl Display) {
        if let Some(writer) = self.writer {
            writer.push_line(Stream::Output, format!("{line}\n"));
        }
    }

    /// Pauses the connection from which the data was received if too much is queued. The kernel's
    /// buffers then fill, and the peer has to wait.
    pub(crate) fn hold_back(&self, socket: &Socket) {
        if self.is_full() {
            socket.pause();
            let mut paused = self.paused.borrow_mut();
            if !paused.sockets.contains(socket) {
                paused.sockets.push(socket.clone());
            }
            if paused.alive.is_none() {
                paused.alive = LoopHandle::current().ok().map(|handle| handle.keep_alive());
            }
        }
    }

    /// Returns whether received data has to wait until more of the queue is written.
    pub(crate) fn is_full(&self) -> bool {
        let was_full = !self.paused.borrow().sockets.is_empty();
        self.writer.is_some_and(|writer| writer.is_full(was_full))
    }

    /// Resumes paused connections if there is room again. Call it after each turn.
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

    /// Returns whether printing has failed, and logs the failure once. It is for servers that
    /// continue without output.
    pub(crate) fn is_broken_and_logged(&self) -> bool {
        let broken = self.is_broken();
        if broken && !self.logged.replace(true) {
            log::info(format_args!("standard output is closed or full; printing has stopped"));
        }
        broken
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.writer.is_some_and(Writer::output_has_failed)
    }

    /// Waits until everything is written or a signal was received. Returns the failure with which
    /// the command must end. A reader that has exited (`| head -1`) is not a failure.
    pub(crate) fn result(&self) -> Result<(), Failure> {
        let Some(writer) = self.writer else { return Ok(()) };
        writer.flush(Stream::Output, Patience::DATA);
        result(writer.take_failure())
    }

    /// Returns whether printing succeeded, as [`result`](Self::result) does, but gives up after a
    /// second without progress.
    pub(crate) fn result_of_lines(&self) -> Result<(), Failure> {
        let Some(writer) = self.writer else { return Ok(()) };
        writer.flush(Stream::Output, Patience::LOG);
        result(writer.take_failure())
    }
}

/// Prints the only output of a command that has no event loop, and waits until it is written. No
/// signal handlers are installed in such commands, so a signal ends the process.
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
