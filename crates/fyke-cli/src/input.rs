//! Standard input. Reading it blocks, so a thread does; it hands over one piece at a time, and
//! only when it was asked to, so that no more than one piece is ever in memory.

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

/// As much as a socket queues before it says that it is full.
const PIECE_BYTES_MAX: usize = 64 * 1024;
/// The period at which a background job checks whether it is in the foreground: a process is not
/// notified of that.
const BACKGROUND_PERIOD: Duration = Duration::from_millis(200);

/// What came from standard input.
pub(crate) enum Piece {
    Bytes(Bytes),
    /// The last one.
    End,
    /// Also the last one.
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
    /// A piece was asked for and has not come yet, or will never come.
    asked: Cell<bool>,
}

impl Input {
    /// Starts the thread. It reads nothing yet.
    ///
    /// It does not keep the loop alive: when the connections are gone the command ends, though
    /// the thread may be waiting for a key to be pressed.
    pub(crate) fn open(event_loop: LoopHandle) -> Result<Self, Failure> {
        Self::of(Source::StandardInput, event_loop)
    }

    /// An input that ends at once, for a command whose standard input is its socket.
    pub(crate) fn nothing(event_loop: LoopHandle) -> Result<Self, Failure> {
        Self::of(Source::Nothing, event_loop)
    }

    fn of(source: Source, event_loop: LoopHandle) -> Result<Self, Failure> {
        let (asks, asked) = mpsc::channel();
        let (sender, pieces) = mpsc::channel();
        thread::Builder::new()
            .name(String::from("stdin"))
            .spawn(move || read(source, &asked, &sender, &event_loop))
            .map_err(|error| Failure::System("a thread", error))?;
        Ok(Self { inner: Rc::new(Inner { asks, pieces, asked: Cell::new(false) }) })
    }

    /// Asks for the next piece, unless one is on its way.
    pub(crate) fn ask(&self) {
        if !self.inner.asked.replace(true) {
            // Fails after the end, when the thread is gone: then there is nothing to come.
            let _ = self.inner.asks.send(());
        }
    }

    fn take(&self) -> Option<Piece> {
        let piece = self.inner.pieces.try_recv().ok()?;
        // After the last piece it stays "asked", for ever.
        self.inner.asked.set(!matches!(piece, Piece::Bytes(_)));
        Some(piece)
    }
}

/// Opens standard input and output of a command that uses these places. If a standard stream is the
/// socket of a place (inetd passes it so), it is used as the socket only.
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

/// Turns the loop until nothing holds it any more or `over` returns true. Between turns, passes the
/// pieces of standard input to `on_piece`, and resumes connections that had to wait for standard
/// output.
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

/// What the thread reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    StandardInput,
    /// Nothing: standard input is something else.
    Nothing,
}

/// The thread.
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

/// Waits until there is something to read, and only then reads. So a non-blocking input does not
/// fail, and the process is not stopped for reading the terminal of another job.
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
        // The job may have been sent to the background in between.
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

/// Returns whether this is the controlling terminal, but belongs to another job of the shell.
/// Reading it would stop the process by SIGTTIN.
fn is_in_background(fd: BorrowedFd<'_>) -> bool {
    // It fails for everything but the controlling terminal.
    rustix::termios::tcgetpgrp(fd).is_ok_and(|group| group != rustix::process::getpgrp())
}
