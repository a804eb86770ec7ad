//! Sending.
//!
//! A write is queued. The queue is submitted to the driver when the running batch of callbacks ends, at
//! once when it reaches the high-water mark (so that the returned bool means the same as in Node), or when
//! the socket is ended, destroyed or reset. A large write with an empty queue is offered to the kernel at
//! once, so that it need not be copied.
// Contract C9.

use fyke_machine::PlainWrite;
use fyke_machine::connection::Connection;
use fyke_machine::transitions::Written;

use super::Callback;
use super::Socket;
use super::spares::LoopSpares;
use crate::{Payload, Result};

/// # Writing
impl Socket {
    /// Sends bytes, and returns whether there is room for more.
    ///
    /// If it returns `false`, wait for [`on_drain`](Self::on_drain) before you write more. A program that
    /// ignores this queues in memory what a slow peer does not receive, up to
    /// [`write_queue_bytes_max`](crate::SocketOptions::write_queue_bytes_max). The bytes are accepted in
    /// any case, except on a socket that is ended, destroyed or was never connected. An `error` follows
    /// then (`ERR_STREAM_WRITE_AFTER_END`, `EPIPE` if the peer had ended first, `ERR_SOCKET_CLOSED`), but
    /// none after `destroy`. While the socket is connecting, the bytes are queued until the connection is
    /// established.
    ///
    /// ```
    /// use std::cell::Cell;
    ///
    /// /// Writes numbers until there is no room, and goes on when there is again.
    /// fn count_up(socket: &fyke::Socket, next: &Cell<u32>) {
    ///     while next.get() < 100_000 {
    ///         next.set(next.get() + 1);
    ///         if !socket.write(format!("{}\n", next.get())) {
    ///             return;
    ///         }
    ///     }
    ///     socket.end();
    /// }
    ///
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| {
    ///         socket.server().unwrap().close();
    ///         let next = Cell::new(0);
    ///         count_up(socket, &next);
    ///         socket.on_drain(move |socket| count_up(socket, &next));
    ///     });
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         fyke::connect(server.endpoint().unwrap()).unwrap().resume();
    ///     })
    /// })
    /// # }
    /// ```
    ///
    /// Borrowed bytes (`&[u8]`, `&str`) are copied. As an exception, a large write is offered to the kernel
    /// first, and only the rest is copied; large means more than 4 KiB on Unix sockets and with `no_delay`,
    /// otherwise the high-water mark or more. Large owned bytes (`Vec<u8>`, `String`, `Bytes`) are moved,
    /// see [`Payload`]. Small writes of one callback are sent with one system call. Node:
    /// `socket.write(data)`.
    ///
    /// A server that respects the returned value, in `examples/chat.rs`:
    ///
    #[doc = concat!("```no_run\n", include_str!("../../examples/chat.rs"), "```")]
    #[must_use = "wait for `on_drain` if this is false; `let _ =` if it does not matter, as for a few bytes"]
    pub fn write<'a>(&self, data: impl Into<Payload<'a>>) -> bool {
        let payload = data.into();
        match payload.to_copy() {
            Some(bytes) => self.write_plain(bytes),
            None => None,
        }
        .unwrap_or_else(|| self.write_payload(payload, None))
    }

    /// Sends bytes as [`write`](Self::write) does, and calls `callback` once: with `Ok` when the kernel has
    /// the bytes, or with the error that prevents it. Callbacks never run inside this call; they run in the
    /// order of the writes, before `close`. Node: `socket.write(data, callback)`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.resume());
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         let _ = client.write_then("hello", |client, result| {
    ///             assert!(result.is_ok(), "the kernel has the bytes");
    ///             client.end();
    ///         });
    ///         client.resume();
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "write")]
    pub fn write_then<'a>(
        &self,
        data: impl Into<Payload<'a>>,
        callback: impl FnOnce(&Socket, Result<()>) + 'static,
    ) -> bool {
        let payload = data.into();
        let mut callback: Option<Callback> = Some(Box::new(callback));
        match payload.to_copy() {
            Some(bytes) => self.write_plain_then(bytes, &mut callback),
            None => None,
        }
        .unwrap_or_else(|| self.write_payload(payload, callback))
    }

    pub(super) fn write_payload(&self, payload: Payload<'_>, callback: Option<Callback>) -> bool {
        let Some(core) = self.core() else { return false };
        // Dropped at the end of the function, while nothing is borrowed.
        let mut payload = Some(payload);
        let written = self.step(|machine, cx, fx| {
            machine.write(&mut payload, callback, &mut LoopSpares(core), cx, fx)
        });
        match written {
            Written::Room(room) => room,
            Written::AfterFlush => self.step(|machine, _, _| machine.has_room()),
        }
    }

    /// In the plain lane: accepts bytes to be copied. Returns whether there is room for more, or `None` if
    /// the plain lane cannot handle them; nothing has changed then.
    fn write_plain(&self, bytes: &[u8]) -> Option<bool> {
        // A separate function without a callback, because the check for one costs 10 %.
        self.write_plain_then(bytes, &mut None)
    }

    #[inline(always)]
    fn write_plain_then(&self, bytes: &[u8], callback: &mut Option<Callback>) -> Option<bool> {
        let core = self.core()?;
        let mut state = self.inner.state.borrow_mut();
        let (id, no_delay, now) = (state.id?, state.no_delay, core.moment());
        match state.machine.write_plain(bytes, callback, no_delay, now, &mut LoopSpares(core)) {
            PlainWrite::No => return None,
            PlainWrite::Uncopied => {
                drop(state);
                return self.write_uncopied(core, id, bytes);
            }
            PlainWrite::Queued(true) => self.flush_later(core, &mut state),
            PlainWrite::Queued(false) => {}
        }
        Some(true)
    }

    /// Holds writes back until [`uncork`](Self::uncork) is called, so that they are sent together. Calls
    /// nest. Node: `socket.cork()`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.resume());
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.once_connect(|client| {
    ///             client.cork();
    ///             let _ = client.write("a header, ");
    ///             let _ = client.write("and a body");
    ///             assert_eq!(client.write_queue_len(), 20, "nothing was sent yet");
    ///             client.uncork();
    ///             client.end();
    ///         });
    ///         client.resume();
    ///     })
    /// })
    /// # }
    /// ```
    pub fn cork(&self) -> &Self {
        self.step(|machine, _, fx| machine.cork(fx));
        self
    }

    /// Ends a [`cork`](Self::cork). The outermost call sends what was held back. Node: `socket.uncork()`.
    ///
    /// ```
    /// let socket = fyke::Socket::new();
    /// socket.cork().cork();
    /// assert_eq!(socket.uncork().cork_count(), 1, "still corked");
    /// assert_eq!(socket.uncork().cork_count(), 0);
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn uncork(&self) -> &Self {
        self.step(Connection::uncork);
        self
    }

    /// Returns the number of bytes that were accepted and not sent yet. A batch that is being handed to the
    /// kernel counts until the kernel has its last byte. Node: `writableLength`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.resume());
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         // Queued until the connection is established.
    ///         let _ = client.write("hello");
    ///         assert_eq!((client.write_queue_len(), client.bytes_written()), (5, 5));
    ///         client.end().resume();
    ///         client.on_finish(|client| assert_eq!(client.write_queue_len(), 0));
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "writableLength")]
    pub fn write_queue_len(&self) -> usize {
        self.inner.state.borrow().write.queued_bytes()
    }

    /// Returns the number of bytes that were accepted and not sent yet, or `None` if the socket is neither
    /// connected nor connecting. Node: `bufferSize`.
    #[doc(alias = "bufferSize")]
    pub fn buffer_size(&self) -> Option<usize> {
        let state = self.inner.state.borrow();
        state.is_live().then(|| state.write.queued_bytes())
    }

    /// Returns whether a write has returned `false` and `drain` was not emitted yet. Node:
    /// `writableNeedDrain`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.resume());
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         let room = client.write(vec![0; 100_000]); // more than the high-water mark
    ///         assert!(!room && client.needs_drain());
    ///         client.on_drain(|client| {
    ///             assert!(!client.needs_drain());
    ///             client.end();
    ///         });
    ///         client.resume();
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "writableNeedDrain")]
    pub fn needs_drain(&self) -> bool {
        let state = self.inner.state.borrow();
        state.write.need_drain() && state.writable()
    }

    /// Returns how many calls of `cork` have no matching `uncork` yet. Node: `writableCorked`.
    ///
    /// ```
    /// let socket = fyke::Socket::new();
    /// assert_eq!(socket.cork_count(), 0);
    /// assert_eq!(socket.cork().cork().cork_count(), 2);
    /// # Ok::<(), fyke::Error>(())
    /// ```
    #[doc(alias = "writableCorked")]
    pub fn cork_count(&self) -> u32 {
        self.inner.state.borrow().write.corked()
    }

    /// Returns the number of bytes accepted by `write` on this connection, including those still queued.
    /// The number is kept after `close`, without the bytes that never reached the kernel. Node:
    /// `bytesWritten`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.resume());
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.end_with("hello").resume();
    ///         client.on_close(|client, _| assert_eq!(client.bytes_written(), 5));
    ///     })
    /// })
    /// # }
    /// ```
    pub fn bytes_written(&self) -> u64 {
        self.inner.state.borrow().write.accepted_bytes()
    }

    /// Returns the number of bytes that the kernel has taken and the peer's system has not acknowledged; on
    /// a Unix socket, the number of bytes that the peer has not read. A reset
    /// ([`reset_and_destroy`](Self::reset_and_destroy)) discards them. `None` without a connection, and on
    /// systems other than Linux. Bytes that the kernel has not taken yet are counted by
    /// [`write_queue_len`](Self::write_queue_len). Costs a system call. No counterpart in Node.
    pub fn unacknowledged_bytes(&self) -> Option<usize> {
        let id = self.inner.state.borrow().connected()?;
        self.core()?.driver.unacknowledged_bytes(id).ok()
    }

    /// Returns the high-water mark of both directions in bytes, as it was set. Node:
    /// `readableHighWaterMark`, `writableHighWaterMark`.
    ///
    /// ```
    /// assert_eq!(fyke::Socket::new().high_water_mark(), 65_536);
    /// let small = fyke::SocketOptions::new().high_water_mark(1024).build();
    /// assert_eq!(small.high_water_mark(), 1024);
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn high_water_mark(&self) -> usize {
        self.inner.state.borrow().write.high_water_mark_bytes()
    }
}
