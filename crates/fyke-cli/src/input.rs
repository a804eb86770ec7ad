//! Standard input. Reading it blocks, so a thread does; it hands over one piece at a time, and
//! only when it was asked to, so that no more than one piece is ever in memory.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use fyke::{Bytes, EventLoop, LoopHandle};

use crate::failure::Failure;
use crate::output::Output;

/// As much as a socket queues before it says that it is full.
const PIECE_BYTES_MAX: usize = 64 * 1024;

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
        let (asks, asked) = mpsc::channel();
        let (sender, pieces) = mpsc::channel();
        thread::Builder::new()
            .name(String::from("stdin"))
            .spawn(move || read(&asked, &sender, &event_loop))
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

/// Turns the loop until nothing is left that holds it, or it is `over`, or standard output is broken;
/// gives the pieces of standard input to `on_piece` in between.
pub(crate) fn turn_to_the_end(
    event_loop: &EventLoop,
    input: &Input,
    output: &Output,
    over: impl Fn() -> bool,
    mut on_piece: impl FnMut(Piece) -> Result<(), Failure>,
) -> Result<(), Failure> {
    while !output.is_broken() && !over() && event_loop.turn(None)? {
        if let Some(piece) = input.take() {
            event_loop.enter(|| on_piece(piece))?;
        }
    }
    output.result()
}

/// The thread.
fn read(asked: &Receiver<()>, pieces: &Sender<Piece>, event_loop: &LoopHandle) {
    let mut buffer = vec![0; PIECE_BYTES_MAX];
    let mut stdin = io::stdin().lock();
    while asked.recv().is_ok() {
        let piece = read_piece(&mut stdin, &mut buffer);
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

fn read_piece(from: &mut impl Read, buffer: &mut [u8]) -> Piece {
    loop {
        return match from.read(buffer) {
            Ok(0) => Piece::End,
            Ok(count) => Piece::Bytes(Bytes::copy_from_slice(&buffer[..count])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Piece::Failed(error),
        };
    }
}
