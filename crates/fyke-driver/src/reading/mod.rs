//! Receiving by calls, for the backends that learn from the kernel when there is something: readiness,
//! and io_uring for [some sockets](crate::uring).

mod backlog;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::SocketId;
use crate::completion::Wanted;
use crate::limits::{ACCEPT_FAILED_ROUNDS_MAX, READ_BUFFER_BYTES, READ_CALL_BYTES, TURNS_TO_BULK};
use crate::system;
use crate::uninit::Unfilled;
pub(crate) use backlog::Backlog;

/// What is known about a socket that is read by calls.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    pub(crate) wanted: Wanted,
    /// A read may find something: there was an edge, and it is not drained yet.
    pub(crate) readable: bool,
    behind: Behind,
    /// End-of-stream or an error was reported: nothing more to read.
    pub(crate) ended: bool,
    pub(crate) connecting: bool,
    /// In the [`Backlog`].
    pub(crate) in_backlog: bool,
    /// A pipe, one end or both: calls for sockets do not work on it.
    pub(crate) pipe: bool,
    /// Turns whose budget it used up with nothing large sent in between, at most [`TURNS_TO_BULK`]; or
    /// [`BROKEN`]. Of a listener: turns whose budget it used up without a success.
    streak: u8,
}

/// What may be behind the bytes of a short read. With nothing it means drained: what comes later makes
/// an edge of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Behind {
    #[default]
    Nothing,
    /// The peer sends urgent bytes: a read ends where they are (tcp(7), SO_OOBINLINE), and more may be
    /// behind that.
    Urgent,
    /// The peer has ended or is gone, which was told already.
    End,
}

/// There is a failure behind what was read last, see [`Reader::failures`].
const BROKEN: u8 = u8::MAX;

/// What the sockets of a driver share.
#[derive(Default)]
pub(crate) struct Reader {
    /// Made when the first one reads. Taken while bytes are lent.
    buffer: Cell<Option<Buffer>>,
    /// Errors that the kernel told behind bytes, and will not tell again.
    failures: RefCell<BTreeMap<SocketId, Errno>>,
}

/// Its length is in its type, so that one word is enough to pass it on.
type Buffer = Box<[u8; READ_BUFFER_BYTES]>;

/// What a read gave.
pub(crate) enum Read {
    Nothing,
    /// There is something to read, and nothing was read.
    Readable,
    Bytes {
        count: usize,
        drained: bool,
    },
    End,
    Failed(Errno),
}

impl Reading {
    pub(crate) fn may_read(self) -> bool {
        self.wanted == Wanted::Delivery && self.readable && !self.ended && !self.connecting
    }

    /// Whether a notice is due. The end of the stream can be read again and again, so after it there is
    /// always something.
    pub(crate) fn may_notify(self) -> bool {
        self.wanted == Wanted::Notice && (self.readable || self.ended) && !self.connecting
    }

    /// The kernel has told that the peer has ended or is gone, or that it sends urgent bytes.
    pub(crate) fn expect(&mut self, gone: bool, urgent: bool) {
        let behind = match (gone, urgent) {
            (true, _) => Behind::End,
            (false, true) => Behind::Urgent,
            (false, false) => Behind::Nothing,
        };
        self.behind = self.behind.max(behind);
    }

    /// Everything was read, also what was behind an urgent byte. The next one makes an edge.
    #[cold]
    fn pass_urgent(&mut self) {
        if self.behind == Behind::Urgent {
            self.behind = Behind::Nothing;
        }
    }

    pub(crate) fn has_hung_up(self) -> bool {
        self.behind == Behind::End
    }

    /// Whether there is an error to tell that the kernel does not know any more.
    pub(crate) fn is_broken(self) -> bool {
        self.streak == BROKEN
    }

    /// `bytes` bytes are offered to the kernel. If they are many it is a conversation, and in one a
    /// call more costs more than it wins.
    pub(crate) fn note_sending(&mut self, bytes: usize) {
        if bytes >= READ_CALL_BYTES && self.streak != BROKEN {
            self.streak = 0;
        }
    }

    /// The budget of a turn is used up for a listener. Returns in how many turns in a row nothing but
    /// failures came.
    pub(crate) fn note_accepts(&mut self, any: bool) -> u8 {
        self.streak = if any { 0 } else { (self.streak + 1).min(ACCEPT_FAILED_ROUNDS_MAX) };
        self.streak
    }

    /// The budget of a turn is used up.
    pub(crate) fn note_used_up(&mut self) {
        if self.may_read() && self.streak < TURNS_TO_BULK {
            self.streak += 1;
        }
    }

    #[inline]
    pub(crate) fn read(
        &mut self,
        socket: SocketId,
        fd: BorrowedFd<'_>,
        lent: &mut Lent<'_>,
    ) -> Read {
        if !self.may_read() {
            return self.read_nothing();
        }
        if self.pipe || self.streak >= TURNS_TO_BULK {
            return self.read_otherwise(socket, fd, lent);
        }
        let buffer = lent.bytes_mut();
        let received = system::receive(fd, buffer);
        self.note(received, buffer.len())
    }

    /// Nothing is to be delivered: perhaps a notice is. Apart, so that `read` stays small.
    #[inline(never)]
    fn read_nothing(&mut self) -> Read {
        if !self.may_notify() {
            return Read::Nothing;
        }
        self.wanted = Wanted::Nothing;
        Read::Readable
    }

    /// Whether [`read_into`](Self::read_into) would make no call, because there is nothing to read.
    pub(crate) fn is_drained(self) -> bool {
        !self.ended && (!self.readable || self.connecting)
    }

    /// Reads into memory of the caller, by one call, whatever is wanted.
    pub(crate) fn read_into<'a>(
        &mut self,
        socket: SocketId,
        fd: BorrowedFd<'_>,
        reader: &Reader,
        buffer: Unfilled<'a>,
    ) -> Result<&'a mut [u8], Errno> {
        if self.ended {
            return Ok(&mut []);
        }
        if self.is_drained() {
            return Err(Errno::AGAIN);
        }
        if self.streak == BROKEN {
            self.ended = true;
            return reader.take_failure(socket, self).map_or(Ok(&mut []), Err);
        }
        // A pipe is never drained before it says so, see `read_otherwise`.
        let (full, received) = match self.pipe {
            true => (1, system::read_pipe_into(fd, buffer)),
            false => (buffer.len(), system::receive_into(fd, buffer)),
        };
        self.note(received.as_ref().map(|bytes| bytes.len()).map_err(|errno| *errno), full);
        received
    }

    /// What [`read_into`](Self::read_into) would give; it stays where it is.
    pub(crate) fn peek_into<'a>(
        &mut self,
        socket: SocketId,
        fd: BorrowedFd<'_>,
        reader: &Reader,
        buffer: Unfilled<'a>,
    ) -> Result<&'a mut [u8], Errno> {
        if self.pipe {
            return Err(Errno::OPNOTSUPP);
        }
        if self.ended {
            return Ok(&mut []);
        }
        if !self.readable || self.connecting {
            return Err(Errno::AGAIN);
        }
        if self.streak == BROKEN {
            let failure = reader.failures.borrow().get(&socket).copied();
            return failure.map_or(Ok(&mut []), Err);
        }
        let peeked = system::peek_into(fd, buffer);
        match peeked {
            Ok(_) => {}
            Err(Errno::AGAIN) => _ = self.note(Err(Errno::AGAIN), 1),
            // The kernel tells it once, and it was not taken.
            Err(errno) => {
                self.streak = BROKEN;
                reader.failures.borrow_mut().insert(socket, errno);
            }
        }
        peeked
    }

    /// What is read otherwise than by one call: pipes, and what comes in bulk.
    #[cold]
    fn read_otherwise(
        &mut self,
        socket: SocketId,
        fd: BorrowedFd<'_>,
        lent: &mut Lent<'_>,
    ) -> Read {
        let (reader, buffer) = (lent.reader, lent.bytes_mut());
        if self.streak == BROKEN {
            self.ended = true;
            let errno = reader.take_failure(socket, self);
            return errno.map_or(Read::Nothing, Read::Failed);
        }
        if self.pipe {
            // It gives what one write has put there (pipe(7), O_DIRECT): never drained before it says so.
            return self.note(system::read_pipe(fd, buffer), 1);
        }
        let (received, behind) = receive_in_bulk(fd, buffer);
        let Some(errno) = behind else { return self.note(received, buffer.len()) };
        self.streak = BROKEN;
        reader.failures.borrow_mut().insert(socket, errno);
        self.note(received, 1)
    }

    /// Notes what a call gave. From so many bytes on there may be more.
    #[inline]
    fn note(&mut self, received: Result<usize, Errno>, full: usize) -> Read {
        match received {
            Ok(0) => {
                self.ended = true;
                Read::End
            }
            Ok(count) => {
                self.readable = count >= full || self.behind != Behind::Nothing;
                Read::Bytes { count, drained: !self.readable }
            }
            Err(Errno::AGAIN) => {
                self.readable = false;
                self.pass_urgent();
                Read::Nothing
            }
            Err(errno) => {
                self.ended = true;
                Read::Failed(errno)
            }
        }
    }
}

/// Fills the buffer with calls of at most [`READ_CALL_BYTES`]. An error behind bytes is the second
/// value: the kernel tells it once.
fn receive_in_bulk(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> (Result<usize, Errno>, Option<Errno>) {
    let mut count = 0;
    for piece in buffer.chunks_mut(READ_CALL_BYTES) {
        match system::receive(fd, piece) {
            Ok(received) => {
                count += received;
                if received < piece.len() {
                    break;
                }
            }
            Err(errno) if count == 0 => return (Err(errno), None),
            Err(Errno::AGAIN) => break,
            Err(errno) => return (Ok(count), Some(errno)),
        }
    }
    (Ok(count), None)
}

impl Reader {
    #[inline]
    pub(crate) fn lend(&self) -> Lent<'_> {
        Lent { reader: self, buffer: Some(self.buffer.take().unwrap_or_else(new_buffer)) }
    }

    fn take_failure(&self, socket: SocketId, reading: &mut Reading) -> Option<Errno> {
        reading.streak = 0;
        self.failures.borrow_mut().remove(&socket)
    }

    /// The socket is closed, or has another owner from now on.
    pub(crate) fn forget(&self, socket: SocketId, reading: &mut Reading) {
        if reading.streak == BROKEN {
            self.take_failure(socket, reading);
        }
    }
}

#[cold]
fn new_buffer() -> Buffer {
    let buffer = vec![0; READ_BUFFER_BYTES].into_boxed_slice();
    buffer.try_into().expect("it was made with that length")
}

/// The read buffer while it is away from its place; goes back also when the callback panics.
pub(crate) struct Lent<'a> {
    reader: &'a Reader,
    /// `None` only after it has gone back.
    buffer: Option<Buffer>,
}

impl Lent<'_> {
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.buffer.as_deref().map_or(&[], |buffer| buffer)
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        self.buffer.as_deref_mut().map_or(&mut [], |buffer| buffer)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.reader.buffer.set(self.buffer.take());
    }
}

#[cfg(test)]
impl Reading {
    /// One behind whose bytes there is a failure.
    pub(crate) fn broken() -> Self {
        Self { streak: BROKEN, ..Self::default() }
    }

    pub(crate) fn turns_used_up(self) -> u8 {
        self.streak
    }
}

#[cfg(test)]
pub(crate) mod tests;
