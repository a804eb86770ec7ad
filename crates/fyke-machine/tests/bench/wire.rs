//! A wire between two sides, and the kernels at its ends.

#![allow(clippy::disallowed_types, reason = "the machine has no cells, but its user may")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

/// What a side receives from the wire.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    End,
    Reset,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Last {
    End,
    Reset,
}

/// One direction: the data that the kernel holds and the other side has not read.
#[derive(Debug, Default)]
struct Way {
    bytes: VecDeque<u8>,
    /// What follows the bytes.
    last: Option<Last>,
    ended: bool,
    /// By RST.
    was_reset: bool,
    /// The sender has released the connection.
    closed: bool,
}

/// One end of a wire.
#[derive(Clone, Debug)]
pub(crate) struct End {
    ways: Rc<RefCell<[Way; 2]>>,
    end: usize,
    /// On a Unix socket, a side detects immediately that its peer is gone.
    pub unix: bool,
    /// An RST overtakes unread bytes.
    pub reset_loses_unread: bool,
}

impl End {
    /// Both ends of a new wire.
    pub(crate) fn pair() -> [Self; 2] {
        let ways = Rc::new(RefCell::new([Way::default(), Way::default()]));
        [0, 1].map(|end| Self {
            ways: Rc::clone(&ways),
            end,
            unix: false,
            reset_loses_unread: false,
        })
    }

    /// The kernel accepts the bytes that fit. Returns their number.
    pub(crate) fn send(&self, bytes: &[u8], window_bytes: usize) -> usize {
        let taken = bytes.len().min(self.room(window_bytes));
        self.ways.borrow_mut()[self.end].bytes.extend(&bytes[..taken]);
        taken
    }

    /// The number of bytes for which the kernel has room.
    pub(crate) fn room(&self, window_bytes: usize) -> usize {
        window_bytes.saturating_sub(self.ways.borrow()[self.end].bytes.len())
    }

    /// Our side is ended.
    pub(crate) fn shut_down(&self) {
        self.ways.borrow_mut()[self.end].end();
    }

    /// Releases the connection. A side that has not received everything sends an RST (RFC 2525, 2.17).
    pub(crate) fn close(&self, reset: bool) {
        let ways = &mut *self.ways.borrow_mut();
        let unread = !ways[1 - self.end].bytes.is_empty();
        let way = &mut ways[self.end];
        way.closed = true;
        match reset || unread {
            true => way.reset(self.reset_loses_unread),
            false => way.end(),
        }
    }

    /// The next arrival: at most this many bytes.
    pub(crate) fn receive(&self, bytes_max: usize) -> Option<Piece> {
        let way = &mut self.ways.borrow_mut()[1 - self.end];
        let count = way.bytes.len().min(bytes_max);
        if count > 0 {
            return Some(Piece::Bytes(way.bytes.drain(..count).collect()));
        }
        way.last.take().map(|last| match last {
            Last::End => Piece::End,
            Last::Reset => Piece::Reset,
        })
    }

    /// There is no receiver: arriving bytes are answered by RST.
    pub(crate) fn refuse(&self) {
        let ways = &mut *self.ways.borrow_mut();
        let arrived = &mut ways[1 - self.end];
        if !arrived.bytes.is_empty() {
            arrived.bytes.clear();
            ways[self.end].reset(self.reset_loses_unread);
        }
    }

    /// The reason why nothing can be sent.
    pub(crate) fn send_failure(&self) -> Option<io::ErrorKind> {
        let way = &self.ways.borrow()[1 - self.end];
        let knows = way.was_reset || self.unix && way.closed;
        // After a FIN, in CLOSE_WAIT, an RST is EPIPE too.
        let unreported = !self.unix && way.last == Some(Last::Reset);
        let kind =
            if unreported { io::ErrorKind::ConnectionReset } else { io::ErrorKind::BrokenPipe };
        knows.then_some(kind)
    }

    /// The number of sent bytes that the other side has not read, and whether our end follows them.
    pub(crate) fn sent(&self) -> (usize, bool) {
        let way = &self.ways.borrow()[self.end];
        (way.bytes.len(), way.last == Some(Last::End))
    }

    /// The memory that our direction uses.
    pub(crate) fn own_bytes(&self) -> usize {
        self.ways.borrow()[self.end].bytes.capacity()
    }
}

impl Way {
    fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.last = Some(Last::End);
        }
    }

    /// A side that has already received the end is not notified.
    fn reset(&mut self, loses_unread: bool) {
        self.was_reset = true;
        let unread = !self.bytes.is_empty() || self.last.is_some();
        if !std::mem::replace(&mut self.ended, true) || loses_unread && unread {
            self.last = Some(Last::Reset);
        }
        if loses_unread {
            self.bytes.clear();
        }
    }
}
