//! Receiving by calls, for the backends that learn from the kernel when there is something: readiness,
//! and io_uring for [some sockets](crate::uring).

mod backlog;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::SocketId;
use crate::limits::{ACCEPT_FAILED_ROUNDS_MAX, READ_BUFFER_BYTES, READ_CALL_BYTES, TURNS_TO_BULK};
use crate::system;
pub(crate) use backlog::Backlog;

/// What is known about a socket that is read by calls.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    /// Somebody wants to receive (of a listener: to accept).
    pub(crate) wanted: bool,
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
    Bytes { count: usize, drained: bool },
    End,
    Failed(Errno),
}

impl Reading {
    pub(crate) fn may_read(self) -> bool {
        self.wanted && self.readable && !self.ended && !self.connecting
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

    /// So many bytes are offered to the kernel. If they are many it is a conversation, and in one a
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
            return Read::Nothing;
        }
        if self.pipe || self.streak >= TURNS_TO_BULK {
            return self.read_otherwise(socket, fd, lent);
        }
        let buffer = lent.bytes_mut();
        let received = system::receive(fd, buffer);
        self.note(received, buffer.len())
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

    /// The socket is closed, or somebody else's from now on.
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
pub(crate) mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    pub(crate) fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        ours.set_nonblocking(true).unwrap();
        // So that what one read takes has room in the kernel.
        rustix::net::sockopt::set_socket_recv_buffer_size(&ours, 1 << 20).unwrap();
        (ours, listener.accept().unwrap().0)
    }

    pub(crate) fn wait_for(socket: &TcpStream, events: PollFlags) {
        let mut fds = [PollFd::new(socket, events)];
        assert_eq!(poll(&mut fds, None), Ok(1));
    }

    fn read_once(ours: &TcpStream, reading: &mut Reading, reader: &Reader) -> Read {
        let mut lent = reader.lend();
        reading.read(SocketId::default(), ours.as_fd(), &mut lent)
    }

    fn in_bulk() -> Reading {
        Reading { wanted: true, readable: true, streak: TURNS_TO_BULK, ..Reading::default() }
    }

    #[test]
    fn who_sends_more_than_a_turn_takes_again_and_again_sends_in_bulk_unless_it_is_answered() {
        let mut reading = Reading { wanted: true, readable: true, ..Reading::default() };
        for _ in 0..3 * TURNS_TO_BULK {
            reading.note_sending(READ_CALL_BYTES);
            reading.note_used_up();
            assert_eq!(reading.streak, 1);
        }
        for _ in 0..3 * TURNS_TO_BULK {
            // A few bytes now and then are no conversation.
            reading.note_sending(64);
            reading.note_used_up();
        }
        assert_eq!(reading.streak, TURNS_TO_BULK);
        reading.note_sending(READ_CALL_BYTES);
        assert_eq!(reading.streak, 0);
    }

    #[test]
    fn a_reset_behind_the_bytes_of_a_whole_call_is_told_after_them() {
        let (ours, mut peer) = pair();
        peer.write_all(&[7; READ_CALL_BYTES]).unwrap();
        let mut all = vec![0; READ_CALL_BYTES];
        while ours.peek(&mut all).unwrap_or(0) < READ_CALL_BYTES {
            wait_for(&ours, PollFlags::IN);
        }
        system::reset_on_close(peer.as_fd()).unwrap();
        drop(peer);
        wait_for(&ours, PollFlags::empty());

        let reader = Reader::default();
        let mut reading = in_bulk();
        let first = read_once(&ours, &mut reading, &reader);
        assert!(matches!(first, Read::Bytes { count: READ_CALL_BYTES, drained: false }));
        reading.wanted = false;
        assert!(matches!(read_once(&ours, &mut reading, &reader), Read::Nothing));
        reading.wanted = true;
        let second = read_once(&ours, &mut reading, &reader);
        assert!(matches!(second, Read::Failed(Errno::CONNRESET)));
        assert!(reading.ended && reader.failures.borrow().is_empty());
    }

    /// One urgent byte cost a call more per message for ever.
    #[test]
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn a_short_read_means_drained_again_when_the_urgent_byte_was_passed() {
        fn wait_and_expect(ours: &TcpStream, events: PollFlags, reading: &mut Reading) {
            let mut fds = [PollFd::new(ours, events | PollFlags::PRI)];
            assert_eq!(poll(&mut fds, None), Ok(1));
            reading.readable = true;
            reading.expect(false, fds[0].revents().contains(PollFlags::PRI));
        }
        let (ours, mut peer) = pair();
        let reader = Reader::default();
        for behind in ["", "behind"] {
            let mut reading = Reading { wanted: true, ..Reading::default() };
            peer.write_all(b"before").unwrap();
            rustix::net::send(&peer, b"!", rustix::net::SendFlags::OOB).unwrap();
            peer.write_all(behind.as_bytes()).unwrap();
            wait_and_expect(&ours, PollFlags::empty(), &mut reading);
            let mut count = 0;
            loop {
                while let Read::Bytes { count: bytes, .. } = read_once(&ours, &mut reading, &reader)
                {
                    count += bytes;
                }
                if count == 6 + behind.len() {
                    break;
                }
                wait_and_expect(&ours, PollFlags::IN, &mut reading);
            }
            peer.write_all(b"x").unwrap();
            wait_and_expect(&ours, PollFlags::IN, &mut reading);
            let read = read_once(&ours, &mut reading, &reader);
            assert!(matches!(read, Read::Bytes { count: 1, drained: true }));
        }
    }

    #[test]
    fn what_is_behind_a_socket_that_is_closed_is_forgotten() {
        let reader = Reader::default();
        let mut reading = Reading::broken();
        reader.failures.borrow_mut().insert(SocketId::default(), Errno::CONNRESET);
        reader.forget(SocketId::default(), &mut reading);
        assert!(reader.failures.borrow().is_empty());
    }

    #[test]
    fn one_read_fills_the_buffer_when_there_is_enough() {
        let (ours, peer) = pair();
        let (reader, mut reading) = (Reader::default(), in_bulk());
        let writer = std::thread::spawn(move || (&peer).write_all(&[7; 1 << 20]).unwrap());
        let mut all = vec![0; READ_BUFFER_BYTES];
        while ours.peek(&mut all).unwrap_or(0) < READ_BUFFER_BYTES {
            wait_for(&ours, PollFlags::IN);
        }
        let read = read_once(&ours, &mut reading, &reader);
        assert!(matches!(read, Read::Bytes { count: READ_BUFFER_BYTES, drained: false }));
        drop(ours);
        let _ = writer.join();
    }
}
