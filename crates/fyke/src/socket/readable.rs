//! Reading on demand: `readable` and `read`.
// RD-10 … RD-12, RD-14

use fyke_machine::connection::Connection;

use super::{Event, Socket, listener};
use crate::listeners::ListenerId;
use crate::socket_options::WRITE_QUEUE_BYTES_MAX;
use crate::{Error, ErrorCode, Result};

/// The largest `read_n`, unless the high-water mark is higher. It equals the default limit of the write
/// queue.
const READ_BYTES_MAX: usize = WRITE_QUEUE_BYTES_MAX as usize;
/// The largest `read_n` on exact loops, as in Node.
const EXACT_READ_BYTES_MAX: usize = 1 << 30;

/// # Reading on demand
impl Socket {
    /// Emitted when there are bytes to [`read`](Self::read), or the peer has ended. While there is such a
    /// listener, data does not flow, and `resume` has no effect. Node: `readable`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| {
    ///         socket.server().unwrap().close();
    ///         socket.end_with("four more");
    ///     });
    ///     server.listen_then(0, |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.on_readable(|client| {
    ///             while let Some(word) = client.read_n(4).unwrap() {
    ///                 println!("{}", String::from_utf8_lossy(&word));
    ///             }
    ///         });
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "readable")]
    pub fn on_readable(&self, f: impl FnMut(&Socket) + 'static) -> ListenerId {
        let id = self.add(Event::Readable, listener::plain(f));
        self.readable_listened();
        id
    }

    pub(super) fn readable_listened(&self) {
        self.step(|machine, _, fx| machine.readable_listened(fx));
    }

    /// Returns the first of the received chunks that are queued, or `None` if there are none. Chunk
    /// boundaries are arbitrary; if more than 64 chunks are queued, small ones are joined. Node:
    /// `socket.read()`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.end_with("hello"));
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.on_readable(|client| {
    ///             while let Some(chunk) = client.read() {
    ///                 assert!(!chunk.is_empty());
    ///             }
    ///         });
    ///     })
    /// })
    /// # }
    /// ```
    pub fn read(&self) -> Option<Vec<u8>> {
        self.take(None)
    }

    /// Returns `count` bytes, or `None` if fewer are queued. After the peer has ended, returns the
    /// remaining bytes even if they are fewer.
    ///
    /// A `count` above the high-water mark raises the mark to the next power of two, so that as many bytes
    /// can be queued. If the peer chooses the length, check it against your own limit first. The time taken
    /// depends only on `count`, not on how much is queued. Node: `socket.read(count)`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.end_with(b"\x02\0ok"));
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         // A length in two bytes, then so many bytes.
    ///         client.on_readable(|client| {
    ///             if client.read_queue_len() < 4 {
    ///                 return; // called again when more is received
    ///             }
    ///             let length = client.read_n(2).unwrap().unwrap();
    ///             let length = u16::from_le_bytes([length[0], length[1]]).into();
    ///             assert_eq!(client.read_n(length).unwrap().unwrap(), b"ok");
    ///         });
    ///     })
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// `ERR_OUT_OF_RANGE` for more than 64 MiB, or more than the
    /// [`high_water_mark`](crate::SocketOptions::high_water_mark) if that is larger. On a loop made with
    /// [`node_exact`](crate::EventLoopBuilder::node_exact), the limit is Node's, 1 GiB. No bytes are taken
    /// then, and the mark is unchanged.
    #[doc(alias = "read")]
    pub fn read_n(&self, count: usize) -> Result<Option<Vec<u8>>> {
        let max = match self.policy().reads_up_to_1_gib {
            true => EXACT_READ_BYTES_MAX,
            false => READ_BYTES_MAX.max(self.high_water_mark()),
        };
        if count > max {
            let message =
                format!("{count} bytes cannot be read in one piece: the maximum is {max}");
            return Err(Error::new(ErrorCode::ERR_OUT_OF_RANGE, message));
        }
        Ok(self.take(Some(count)))
    }

    fn take(&self, count: Option<usize>) -> Option<Vec<u8>> {
        self.step(|machine, cx, fx| machine.take(count, cx, fx))
    }

    /// Puts bytes back at the front of the queue, so that they are read or delivered next. Returns whether
    /// there is room for more. Node: `socket.unshift()`.
    ///
    /// After `end` was emitted, it returns false and destroys the socket with
    /// `ERR_STREAM_UNSHIFT_AFTER_END_EVENT`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.end_with("hello"));
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.once_readable(|client| {
    ///             let chunk = client.read().unwrap();
    ///             client.unshift(&chunk); // another part of the program reads it
    ///             assert_eq!(client.read(), Some(chunk));
    ///             client.resume();
    ///         });
    ///     })
    /// })
    /// # }
    /// ```
    pub fn unshift(&self, bytes: impl AsRef<[u8]>) -> bool {
        // `as_ref` is the caller's code, so it runs while nothing is borrowed.
        let bytes = bytes.as_ref();
        self.step(|machine, cx, fx| machine.unshift(bytes, cx, fx))
    }

    /// Updates the state machine after a listener was removed.
    pub(super) fn listener_removed(&self) {
        self.step(Connection::listener_removed);
    }
}
