//! Receives with system calls, for the backends that learn from the kernel when a socket is readable: the
//! readiness backend, and io_uring for [some sockets](crate::uring).

mod backlog;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::SocketId;
use crate::completion::Wanted;
use crate::limits::{ACCEPT_FAILED_ROUNDS_MAX, READ_BUFFER_BYTES, READ_CALL_BYTES, TURNS_TO_BULK};
use crate::system::{self, Borrowed, Errno};
use crate::uninit::Unfilled;
pub(crate) use backlog::Backlog;

/// The state of the receiving side of a socket that is read with system calls.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    pub(crate) wanted: Wanted,
    /// A read may succeed: the kernel reported an edge, and the socket is not drained yet.
    pub(crate) readable: bool,
    behind: Behind,
    /// End-of-stream or an error was reported. No more bytes follow.
    pub(crate) ended: bool,
    pub(crate) connecting: bool,
    /// The socket is in the [`Backlog`].
    pub(crate) in_backlog: bool,
    /// The descriptor is a pipe or FIFO. System calls for sockets fail on it.
    pub(crate) pipe: bool,
    /// For a connection: the number of turns whose budget of reads it used up without a large send in
    /// between, at most [`TURNS_TO_BULK`]; or [`BROKEN`]. For a listener: the number of consecutive turns
    /// whose budget it used up without accepting a connection.
    streak: u8,
}

/// What may follow the bytes of a short read. With `Nothing`, a short read means that the socket is drained,
/// because anything that arrives later makes a new edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Behind {
    #[default]
    Nothing,
    /// The peer sends urgent bytes. A read stops at an urgent byte (tcp(7), SO_OOBINLINE), and more bytes may
    /// follow it.
    Urgent,
    /// The peer has ended or closed the connection, and the kernel has already reported that.
    End,
}

/// A failure follows the bytes that were read last, see [`Reader::failures`].
const BROKEN: u8 = u8::MAX;

/// The state that the sockets of a driver share.
#[derive(Default)]
pub(crate) struct Reader {
    /// Allocated when the first socket reads. `None` while its bytes are lent.
    buffer: Cell<Option<Buffer>>,
    /// Errors that the kernel reported after bytes that were not delivered yet. The kernel reports each of
    /// them once.
    failures: RefCell<BTreeMap<SocketId, Errno>>,
}

/// The length is part of the type, so that a pointer to the buffer is one word.
type Buffer = Box<[u8; READ_BUFFER_BYTES]>;

/// The result of a read.
pub(crate) enum Read {
    Nothing,
    /// A read may succeed; no bytes were read.
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

    /// Returns whether `Readable` is to be reported now. End-of-stream can be read any number of times, so
    /// after it the socket is always readable.
    pub(crate) fn may_notify(self) -> bool {
        self.wanted == Wanted::Notice && (self.readable || self.ended) && !self.connecting
    }

    /// Notes that the kernel reported a hang-up (`gone`) or urgent bytes (`urgent`).
    pub(crate) fn expect(&mut self, gone: bool, urgent: bool) {
        let behind = match (gone, urgent) {
            (true, _) => Behind::End,
            (false, true) => Behind::Urgent,
            (false, false) => Behind::Nothing,
        };
        self.behind = self.behind.max(behind);
    }

    /// Notes that everything was read, including the bytes after an urgent byte. The next urgent byte makes a
    /// new edge.
    #[cold]
    fn pass_urgent(&mut self) {
        if self.behind == Behind::Urgent {
            self.behind = Behind::Nothing;
        }
    }

    pub(crate) fn has_hung_up(self) -> bool {
        self.behind == Behind::End
    }

    /// Returns whether an error is stored here that the kernel will not report again.
    #[cfg(unix)]
    pub(crate) fn is_broken(self) -> bool {
        self.streak == BROKEN
    }

    /// Notes that `bytes` bytes are offered to the kernel. A large send means that the peers talk to each
    /// other in turn. An additional system call per read then costs more than it saves, so the socket stops
    /// being read in bulk.
    pub(crate) fn note_sending(&mut self, bytes: usize) {
        if bytes >= READ_CALL_BYTES && self.streak != BROKEN {
            self.streak = 0;
        }
    }

    /// Notes that a listener used up the budget of a turn; `any` is whether it accepted a connection. Returns
    /// the number of consecutive turns in which every accept failed.
    pub(crate) fn note_accepts(&mut self, any: bool) -> u8 {
        self.streak = if any { 0 } else { (self.streak + 1).min(ACCEPT_FAILED_ROUNDS_MAX) };
        self.streak
    }

    /// Notes that the socket used up its budget of reads for a turn.
    pub(crate) fn note_used_up(&mut self) {
        if self.may_read() && self.streak < TURNS_TO_BULK {
            self.streak += 1;
        }
    }

    #[inline]
    pub(crate) fn read(&mut self, socket: SocketId, fd: Borrowed<'_>, lent: &mut Lent<'_>) -> Read {
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

    /// Handles a read when no bytes are to be delivered; `Readable` may still be due. A separate function
    /// keeps `read` small.
    #[inline(never)]
    fn read_nothing(&mut self) -> Read {
        if !self.may_notify() {
            return Read::Nothing;
        }
        self.wanted = Wanted::Nothing;
        Read::Readable
    }

    /// Returns whether [`read_into`](Self::read_into) would return `EAGAIN` without a system call.
    pub(crate) fn is_drained(self) -> bool {
        !self.ended && (!self.readable || self.connecting)
    }

    /// Reads into the caller's memory with one system call, regardless of `wanted`.
    pub(crate) fn read_into<'a>(
        &mut self,
        socket: SocketId,
        fd: Borrowed<'_>,
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
        // A pipe counts as drained only after EAGAIN, see `read_otherwise`.
        let (full, received) = match self.pipe {
            true => (1, system::read_pipe_into(fd, buffer)),
            false => (buffer.len(), system::receive_into(fd, buffer)),
        };
        self.note(received.as_ref().map(|bytes| bytes.len()).map_err(|errno| *errno), full);
        received
    }

    /// Copies what [`read_into`](Self::read_into) would return, without consuming it.
    pub(crate) fn peek_into<'a>(
        &mut self,
        socket: SocketId,
        fd: Borrowed<'_>,
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
            // The kernel reports this error once, and a peek must not consume it.
            Err(errno) => {
                self.streak = BROKEN;
                reader.failures.borrow_mut().insert(socket, errno);
            }
        }
        peeked
    }

    /// Reads in the cases that one `recv` does not cover: pipes, bulk senders, and a stored failure.
    #[cold]
    fn read_otherwise(&mut self, socket: SocketId, fd: Borrowed<'_>, lent: &mut Lent<'_>) -> Read {
        let (reader, buffer) = (lent.reader, lent.bytes_mut());
        if self.streak == BROKEN {
            self.ended = true;
            let errno = reader.take_failure(socket, self);
            return errno.map_or(Read::Nothing, Read::Failed);
        }
        if self.pipe {
            // In packet mode, a read returns the bytes of one write (pipe(7), O_DIRECT). So a short read does
            // not mean that the pipe is drained; only EAGAIN does.
            return self.note(system::read_pipe(fd, buffer), 1);
        }
        let (received, behind) = receive_in_bulk(fd, buffer);
        let Some(errno) = behind else { return self.note(received, buffer.len()) };
        self.streak = BROKEN;
        reader.failures.borrow_mut().insert(socket, errno);
        self.note(received, 1)
    }

    /// Updates the state from the result of a system call. If it returned at least `full` bytes, more may
    /// follow.
    #[inline]
    fn note(&mut self, received: Result<usize, Errno>, full: usize) -> Read {
        match received {
            Ok(0) => {
                self.ended = true;
                Read::End
            }
            Ok(count) => {
                self.readable =
                    !system::SHORT_READ_DRAINS || count >= full || self.behind != Behind::Nothing;
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

/// Fills the buffer with calls of at most [`READ_CALL_BYTES`] each. The second value is an error that
/// followed received bytes; the kernel reports it only once.
fn receive_in_bulk(fd: Borrowed<'_>, buffer: &mut [u8]) -> (Result<usize, Errno>, Option<Errno>) {
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

    /// Discards a stored failure, because the socket is closed or passed to another owner.
    pub(crate) fn forget(&self, socket: SocketId, reading: &mut Reading) {
        if reading.streak == BROKEN {
            self.take_failure(socket, reading);
        }
    }
}

#[cold]
fn new_buffer() -> Buffer {
    let buffer = vec![0; READ_BUFFER_BYTES].into_boxed_slice();
    buffer.try_into().expect("the buffer was allocated with that length")
}

/// The read buffer while it is in use. Dropping this returns it, even if the callback panics.
pub(crate) struct Lent<'a> {
    reader: &'a Reader,
    /// `None` only after the buffer was returned.
    buffer: Option<Buffer>,
}

impl Lent<'_> {
    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.buffer.as_deref_mut().map_or(&mut [], |buffer| buffer)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.reader.buffer.set(self.buffer.take());
    }
}

#[cfg(test)]
#[cfg(unix)]
impl Reading {
    /// Returns a state in which a stored failure follows the received bytes.
    pub(crate) fn broken() -> Self {
        Self { streak: BROKEN, ..Self::default() }
    }

    pub(crate) fn turns_used_up(self) -> u8 {
        self.streak
    }
}

#[cfg(test)]
#[cfg(unix)]
pub(crate) mod tests;
