//! Standard input. Reading blocks, so a thread reads. It hands over one piece at a time, and only
//! on request, so that at most one piece is in memory.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use fyke::{Bytes, EventLoop, LoopHandle};
use rustix::event::PollFlags;
use rustix::io::Errno;

use crate::failure::Failure;
use crate::log;
use crate::output::Output;
use crate::place::Place;
use crate::streams::{Retries, wait_for};

/// The high-water mark of a socket: the number of bytes at which `write` returns `false`.
const PIECE_BYTES_MAX: usize = 64 * 1024;
/// The period at which a background job checks whether it is in the foreground. A process is not
/// notified of that.
const BACKGROUND_PERIOD: Duration = Duration::from_millis(200);

/// What the thread read from standard input.
pub(crate) enum Piece {
    Bytes(Bytes),
    /// The end of the input. No other piece follows.
    End,
    /// The input failed. No other piece follows.
    Failed(io::Error),
}

/// The loop's side of the reading thread.
#[derive(Clone)]
pub(crate) struct Input {
    inner: Rc<Inner>,
}

struct Inner {
    asks: Sender<()>,
    pieces: Receiver<Piece>,
    /// A piece was requested and has not arrived yet, or will never arrive.
    asked: Cell<bool>,
}

impl Input {
    /// Starts the thread. It does not read yet.
    ///
    /// It does not keep the loop alive: when the connections are closed the command ends, even if
    /// the thread waits for a key press.
    pub(crate) fn open(event_loop: LoopHandle) -> Result<Self, Failure> {
        Self::of(Source::StandardInput, event_loop)
    }

    /// Creates an input that ends at once, for a command whose standard input is its socket.
    pub(crate) fn nothing(event_loop: LoopHandle) -> Result<Self, Failure> {
        Self::of(Source::Nothing, event_loop)
    }

    fn of(source: Source, event_loop: LoopHandle) -> Result<Self, Failure> {
        let (asks, asked) = mpsc::channel();
        let (sender, pieces) = mpsc::channel();
        thread::Builder::new()
            .name(String::from("stdin"))
            .spawn(move || read(source, &asked, &sender, &event_loop))
            .map_err(|error| Failure::System("cannot start a thread", error))?;
        Ok(Self { inner: Rc::new(Inner { asks, pieces, asked: Cell::new(false) }) })
    }

    /// Requests the next piece, unless a request is pending.
    pub(crate) fn ask(&self) {
        if !self.inner.asked.replace(true) {
            // This fails after the end, when the thread has exited and there is no next piece.
            let _ = self.inner.asks.send(());
        }
    }

    fn take(&self) -> Option<Piece> {
        let piece = self.inner.pieces.try_recv().ok()?;
        // After the last piece, the request stays pending forever.
        self.inner.asked.set(!matches!(piece, Piece::Bytes(_)));
        Some(piece)
    }
}

/// Opens standard input and output for a command that uses these places. If a standard stream is
/// the socket of a place (inetd passes it like that), it is used only as the socket.
pub(crate) fn standard_streams(
    event_loop: &EventLoop,
    places: &[Place],
) -> Result<(Input, Output), Failure> {
    let input = if is_socket_of(places, io::stdin()) {
        Input::nothing(event_loop.handle())?
    } else {
        Input::open(event_loop.handle())?
    };
    Ok((input, standard_output(event_loop, places)))
}

/// Opens standard output for a command that reads no input.
pub(crate) fn standard_output(event_loop: &EventLoop, places: &[Place]) -> Output {
    if is_socket_of(places, io::stderr()) {
        log::mute();
    }
    if is_socket_of(places, io::stdout()) {
        Output::closed()
    } else {
        Output::open(event_loop.handle())
    }
}

fn is_socket_of(places: &[Place], stream: impl AsFd) -> bool {
    places.iter().any(|place| place.is_same_file(stream.as_fd()))
}

/// Turns the loop until nothing holds it or `over` returns true. Between turns, it passes the
/// pieces of standard input to `on_piece`, and resumes connections that waited for standard output.
pub(crate) fn turn_to_the_end(
    event_loop: &EventLoop,
    input: &Input,
    output: &Output,
    over: impl Fn() -> bool,
    mut on_piece: impl FnMut(Piece) -> Result<(), Failure>,
) -> Result<(), Failure> {
    while !over() && event_loop.turn(None)? {
        if let Some(piece) = input.take() {
            event_loop.enter(|| on_piece(piece))?;
        }
        output.let_go_on(event_loop);
    }
    output.result()
}

/// The source that the thread reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    StandardInput,
    /// No source, because standard input is used as a socket.
    Nothing,
}

/// The body of the thread.
fn read(source: Source, asked: &Receiver<()>, pieces: &Sender<Piece>, event_loop: &LoopHandle) {
    let mut buffer = vec![0; PIECE_BYTES_MAX];
    while asked.recv().is_ok() {
        let piece = match source {
            Source::StandardInput => read_piece(io::stdin().as_fd(), &mut buffer),
            Source::Nothing => Piece::End,
        };
        let last = !matches!(piece, Piece::Bytes(_));
        if pieces.send(piece).is_err() {
            return;
        }
        event_loop.wake();
        if last {
            return;
        }
    }
}

/// Waits until there is something to read, and then reads. So a non-blocking input does not fail,
/// and the process is not stopped for reading the terminal of another job.
fn read_piece(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Piece {
    let mut retries = Retries::default();
    loop {
        if is_in_background(fd) {
            thread::sleep(BACKGROUND_PERIOD);
            continue;
        }
        if let Err(error) = wait_for(fd, PollFlags::IN) {
            return Piece::Failed(error);
        }
        // The job may have been moved to the background in the meantime.
        if is_in_background(fd) {
            continue;
        }
        match rustix::io::read(fd, &mut *buffer) {
            Ok(0) => return Piece::End,
            Ok(count) => return Piece::Bytes(Bytes::copy_from_slice(&buffer[..count])),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                if let Err(error) = retries.wait(fd, PollFlags::IN) {
                    return Piece::Failed(error);
                }
            }
            Err(error) => return Piece::Failed(error.into()),
        }
    }
}

/// Returns whether the descriptor is the controlling terminal and belongs to another job of the
/// shell. Reading it would stop the process with SIGTTIN.
fn is_in_background(fd: BorrowedFd<'_>) -> bool {
    // This call fails for everything but the controlling terminal.
    rustix::termios::tcgetpgrp(fd).is_ok_and(|group| group != rustix::process::getpgrp())
}
