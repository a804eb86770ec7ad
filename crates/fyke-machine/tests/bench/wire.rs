//! A wire between two sides, and the kernels at its ends.

#![allow(clippy::disallowed_types, reason = "the machine has no cells; who uses it may")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

/// What arrives over the wire.
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

/// One direction: what the kernel has, and the other side has not taken.
#[derive(Debug, Default)]
struct Way {
    bytes: VecDeque<u8>,
    /// What comes behind the bytes.
    last: Option<Last>,
    ended: bool,
    /// By RST.
    was_reset: bool,
    /// Whoever sends on it has let go of the connection.
    closed: bool,
}

/// One end of a wire.
#[derive(Clone, Debug)]
pub(crate) struct End {
    ways: Rc<RefCell<[Way; 2]>>,
    end: usize,
    /// A Unix socket knows at once that its peer is gone.
    pub unix: bool,
    /// An RST overtakes bytes that nobody has taken.
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

    /// The kernel takes what there is room for. Returns how much that is.
    pub(crate) fn send(&self, bytes: &[u8], window_bytes: usize) -> usize {
        let taken = bytes.len().min(self.room(window_bytes));
        self.ways.borrow_mut()[self.end].bytes.extend(&bytes[..taken]);
        taken
    }

    /// For how many bytes the kernel has room.
    pub(crate) fn room(&self, window_bytes: usize) -> usize {
        window_bytes.saturating_sub(self.ways.borrow()[self.end].bytes.len())
    }

    /// Our side is ended.
    pub(crate) fn shut_down(&self) {
        self.ways.borrow_mut()[self.end].end();
    }

    /// Lets go of the connection. Who does so without having received everything says so by RST (RFC 2525,
    /// 2.17).
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

    /// What has arrived next: at most this many bytes.
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

    /// Nobody is here to receive: bytes that arrive are answered by RST.
    pub(crate) fn refuse(&self) {
        let ways = &mut *self.ways.borrow_mut();
        let arrived = &mut ways[1 - self.end];
        if !arrived.bytes.is_empty() {
            arrived.bytes.clear();
            ways[self.end].reset(self.reset_loses_unread);
        }
    }

    /// Why nothing can be sent.
    pub(crate) fn send_failure(&self) -> Option<io::ErrorKind> {
        let way = &self.ways.borrow()[1 - self.end];
        let knows = way.was_reset || self.unix && way.closed;
        // Behind a FIN, in CLOSE_WAIT, an RST is EPIPE too.
        let unheard = !self.unix && way.last == Some(Last::Reset);
        let kind = if unheard { io::ErrorKind::ConnectionReset } else { io::ErrorKind::BrokenPipe };
        knows.then_some(kind)
    }

    /// How many bytes we have sent that the other side has not taken, and whether our end is behind them.
    pub(crate) fn sent(&self) -> (usize, bool) {
        let way = &self.ways.borrow()[self.end];
        (way.bytes.len(), way.last == Some(Last::End))
    }

    /// How much memory our way takes.
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

    /// Who has received the end before does not hear of it.
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
