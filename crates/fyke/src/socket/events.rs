//! Events of a socket: the `on_*` methods, and how events are emitted.

use fyke_driver::Address;

use fyke_machine::connection::{Event, LookupEvent};

use super::listener::{self, Hears, News};
use super::{Listener, Socket};
use crate::Error;
use crate::listeners::{Lasts, ListenerId};

/// # Events
///
/// Each `on_…` method adds a listener. An event may have several listeners, which run in the order in which
/// they were added. Each listener gets the socket as its first argument, so it does not need to capture a
/// clone. The returned id removes the listener, see [`off`](Self::off). Each method has a counterpart
/// `once_…` whose listener runs for the next event only, see [below](#one-event).
///
/// The order of the events of one connection: `lookup`, `connection_attempt`, `connect`, `ready`; then
/// `data`, `drain`, `timeout` and others; `end` and `finish` at most once each; `error` at most once;
/// `close` exactly once, as the last.
// Contract C2.
impl Socket {
    /// Emitted when a host name lookup completes or fails: once per address, before any attempt to connect.
    /// Node: `lookup`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let options = fyke::ConnectOptions::new(("my.test", 1))
    ///         .lookup(|_, reply| reply.answer(Ok(vec!["127.0.0.1".parse().unwrap()])));
    ///     let client = options.connect()?;
    ///     client.on_lookup(|_, lookup| {
    ///         assert_eq!(lookup.host, "my.test");
    ///         assert_eq!(lookup.address.clone().unwrap().to_string(), "127.0.0.1");
    ///     });
    ///     client.on_error(|_, _| println!("no server listens there"));
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[doc(alias = "lookup")]
    pub fn on_lookup(&self, f: impl FnMut(&Socket, &LookupEvent) + 'static) -> ListenerId {
        self.add(Event::Lookup, listener::lookup(f))
    }

    /// Emitted when an attempt to connect to an address begins. Node: `connectionAttempt`.
    #[doc(alias = "connectionAttempt")]
    pub fn on_connection_attempt(&self, f: impl FnMut(&Socket, &Address) + 'static) -> ListenerId {
        self.add(Event::Attempt, listener::attempt(f))
    }

    /// Emitted when an attempt to connect fails. If there is another address, it is tried next; otherwise
    /// `error` follows. Node: `connectionAttemptFailed`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     // No server listens on port 1.
    ///     let client = fyke::connect(("127.0.0.1", 1))?;
    ///     client.on_connection_attempt(|_, address| println!("trying {address}"));
    ///     client.on_connection_attempt_failed(|_, address, error| {
    ///         assert_eq!(address.port(), Some(1));
    ///         assert_eq!(error.code(), fyke::ErrorCode::ECONNREFUSED);
    ///     });
    ///     client.on_error(|_, error| println!("{error}"));
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[doc(alias = "connectionAttemptFailed")]
    pub fn on_connection_attempt_failed(
        &self,
        f: impl FnMut(&Socket, &Address, &Error) + 'static,
    ) -> ListenerId {
        self.add(Event::AttemptFailed, listener::attempt_failed(f))
    }

    /// Emitted when an attempt to connect takes longer than
    /// [`attempt_timeout`](crate::ConnectOptions::attempt_timeout). The attempt is abandoned, and the next
    /// address is tried. Node: `connectionAttemptTimeout`.
    #[doc(alias = "connectionAttemptTimeout")]
    pub fn on_connection_attempt_timeout(
        &self,
        f: impl FnMut(&Socket, &Address) + 'static,
    ) -> ListenerId {
        self.add(Event::AttemptTimeout, listener::attempt(f))
    }

    /// Emitted when the connection is established. Not emitted for accepted sockets. Node: `connect`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.pipe(socket));
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         assert!(client.is_connecting());
    ///         client.on_connect(|client| {
    ///             println!("connected from {}", client.local_address().unwrap());
    ///             client.end();
    ///         });
    ///         client.resume();
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "connect")]
    pub fn on_connect(&self, f: impl FnMut(&Socket) + 'static) -> ListenerId {
        self.add(Event::Connect, listener::plain(f))
    }

    /// Emitted right after `connect`, unless a listener of `connect` destroyed the socket. Node: `ready`.
    #[doc(alias = "ready")]
    pub fn on_ready(&self, f: impl FnMut(&Socket) + 'static) -> ListenerId {
        self.add(Event::Ready, listener::plain(f))
    }

    /// Emitted for each chunk received (1 to 65,536 bytes). Chunk boundaries are arbitrary. The slice is
    /// valid only during the call.
    ///
    /// The first listener starts the flow of data, unless the socket was paused. Bytes that were received
    /// earlier are delivered first. Node: `data`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.end_with("one two"));
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         let mut received = Vec::new();
    ///         // The text may arrive in several chunks.
    ///         client.on_data(move |_, data| {
    ///             received.extend_from_slice(data);
    ///             assert!(b"one two".starts_with(&received));
    ///         });
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "data")]
    pub fn on_data(&self, f: impl FnMut(&Socket, &[u8]) + 'static) -> ListenerId {
        let id = self.add(Event::Data, listener::data(f));
        self.data_listened();
        id
    }

    /// Emitted with received text: the same bytes as for [`on_data`](Self::on_data), decoded. A character
    /// that is split between chunks is delivered once it is complete; a character that never becomes
    /// complete is delivered as U+FFFD just before `end`. A chunk that completes no character emits no
    /// event. The encoding is UTF-8 unless [`set_encoding`](Self::set_encoding) sets another one. Node:
    /// `data`, after `setEncoding`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.end_with("caf\u{e9}"));
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.on_text(|_, text| print!("{text}"));
    ///         client.on_end(|client| assert_eq!(client.bytes_read(), 5, "counters are in bytes"));
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "data")]
    pub fn on_text(&self, f: impl FnMut(&Socket, &str) + 'static) -> ListenerId {
        let id = self.add(Event::Text, listener::text(f));
        self.data_listened();
        id
    }

    /// Emitted when the peer has ended and everything that it sent was delivered. Unless half-open is
    /// allowed, the socket ends itself one tick later, so data written in this listener is still sent.
    /// Node: `end`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.end_with("bye"));
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.on_end(|client| {
    ///             assert!(client.is_readable_ended());
    ///             // Our side ends by itself, but not before this is sent.
    ///             let _ = client.write("bye too");
    ///         });
    ///         client.on_close(|_, had_error| assert!(!had_error));
    ///         client.resume();
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "end")]
    pub fn on_end(&self, f: impl FnMut(&Socket) + 'static) -> ListenerId {
        self.add(Event::End, listener::plain(f))
    }

    /// Emitted when the write queue is empty again after a `write` returned `false`. Node: `drain`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.resume());
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         // More than the high-water mark, and queued until the connection is established.
    ///         assert!(!client.write(vec![0; 100_000]));
    ///         client.on_drain(|client| {
    ///             assert_eq!(client.write_queue_len(), 0);
    ///             client.end();
    ///         });
    ///         client.resume();
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "drain")]
    pub fn on_drain(&self, f: impl FnMut(&Socket) + 'static) -> ListenerId {
        self.add(Event::Drain, listener::plain(f))
    }

    /// Emitted when the kernel has all written data and the end-of-stream. The callbacks of `end`, and then
    /// `finish`, follow on the next tick. Node: `prefinish`.
    #[doc(alias = "prefinish")]
    pub fn on_prefinish(&self, f: impl FnMut(&Socket) + 'static) -> ListenerId {
        self.add(Event::Prefinish, listener::plain(f))
    }

    /// Emitted when this side has ended: the kernel has all written data and the end-of-stream. Node:
    /// `finish`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.resume());
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.end_with("the last words").resume();
    ///         client.on_finish(|client| {
    ///             assert!(client.is_writable_finished());
    ///             assert_eq!(client.bytes_written(), 14);
    ///         });
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "finish")]
    pub fn on_finish(&self, f: impl FnMut(&Socket) + 'static) -> ListenerId {
        self.add(Event::Finish, listener::plain(f))
    }

    /// Emitted when nothing was received or written for the time set by
    /// [`set_idle_timeout`](Self::set_idle_timeout). The socket stays open. Node: `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.resume());
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.set_idle_timeout(Some(Duration::from_millis(5)));
    ///         client.on_idle_timeout(|client| {
    ///             assert!(!client.is_destroyed(), "the timeout only notifies");
    ///             client.destroy();
    ///         });
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "timeout")]
    pub fn on_idle_timeout(&self, f: impl FnMut(&Socket) + 'static) -> ListenerId {
        self.add(Event::Timeout, listener::plain(f))
    }

    /// Emitted when the connection fails; `close` follows.
    ///
    /// If no listener is registered, the error is logged (`tracing`, level WARN) and closes only this
    /// connection, so that one peer cannot end the other connections. The first such error of an outgoing
    /// socket is also what [`run`](crate::run) returns when nothing keeps the loop alive any more, so a
    /// client program whose connect fails ends with an error. On a loop made with
    /// [`node_exact`](crate::EventLoopBuilder::node_exact), the error ends `run` at once. Node: `error`,
    /// which ends the process if no listener is registered.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     // No server listens on port 1.
    ///     let client = fyke::connect(("127.0.0.1", 1))?;
    ///     client.on_error(|client, error| {
    ///         assert_eq!(error.to_string(), "connect ECONNREFUSED 127.0.0.1:1");
    ///         assert!(client.is_destroyed());
    ///     });
    ///     client.on_close(|_, had_error| assert!(had_error));
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[doc(alias = "error")]
    pub fn on_error(&self, f: impl FnMut(&Socket, &Error) + 'static) -> ListenerId {
        self.add(Event::Error, listener::error(f))
    }

    /// Emitted as the last event of a connection. The flag is true if the connection ended because of an
    /// error. Afterwards all listeners are dropped, unless a listener connects the socket again or the
    /// socket was made by [`Socket::new`]. Node: `close`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.end_with("bye"));
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.on_close(|client, had_error| {
    ///             assert!(!had_error);
    ///             assert_eq!(client.bytes_read(), 3, "counters and addresses are kept");
    ///         });
    ///         client.resume();
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "close")]
    pub fn on_close(&self, f: impl FnMut(&Socket, bool) + 'static) -> ListenerId {
        self.add(Event::Close, listener::close(f))
    }

    /// Removes a listener. Does nothing if this socket has no listener with that id: it was removed, it was
    /// a `once_…` listener that has run, or it belongs to another object. Node: `off`, `removeListener`.
    ///
    /// ```
    /// let socket = fyke::Socket::new();
    /// let id = socket.on_connect(|_| unreachable!("removed below"));
    /// socket.off(id);
    /// socket.off(id); // does nothing
    /// # Ok::<(), fyke::Error>(())
    /// ```
    #[doc(alias = "removeListener")]
    pub fn off(&self, id: ListenerId) {
        // Dropped while nothing is borrowed, because the captured values may call this socket when they are
        // dropped.
        drop(self.inner.listeners.remove(id));
        self.listener_removed();
    }

    pub(super) fn add(&self, event: Event, listener: Listener) -> ListenerId {
        self.inner.listeners.add(Hears::One(event), Lasts::Always, listener)
    }

    /// Adds the callback of a call. [`forget_once`](Self::forget_once) drops it.
    pub(super) fn once(&self, event: Event, f: impl FnOnce(&Socket) + 'static) -> ListenerId {
        let mut f = Some(f);
        let callback = move |socket: &Socket| f.take().map_or((), |f| f(socket));
        self.inner.listeners.add(
            Hears::One(event),
            Lasts::OnceOrReplaced,
            listener::plain(callback),
        )
    }

    /// Drops the callback of the previous call if it has not run.
    pub(super) fn forget_once(&self, event: Event) {
        drop(self.take_once(event));
    }

    /// Removes and returns the callback that [`forget_once`](Self::forget_once) drops, so that the caller
    /// can drop it while nothing is borrowed.
    #[must_use]
    pub(super) fn take_once(&self, event: Event) -> Option<Listener> {
        match self.policy().keeps_old_once_listeners {
            true => None,
            false => self.inner.listeners.remove_replaced(Hears::One(event)),
        }
    }

    pub(super) fn emit(&self, event: Event) {
        self.notify(event, News::Nothing);
    }

    fn notify(&self, event: Event, news: News<'_, Socket>) {
        let run = |running: &mut Listener| self.run(running, event, news);
        self.inner.listeners.emit(Hears::One(event), run);
    }

    /// Emits an event until a listener destroys the socket: the remaining listeners get nothing then.
    // RD-21
    #[inline]
    fn notify_while_alive(&self, event: Event, news: News<'_, Socket>) {
        let goes_on = || !self.is_destroyed() || self.policy().delivers_after_destroy;
        let run = |running: &mut Listener| self.run(running, event, news);
        self.inner.listeners.emit_while(Hears::One(event), run, goes_on);
    }

    #[inline(always)]
    fn run(&self, running: &mut Listener, event: Event, news: News<'_, Socket>) {
        match running {
            Listener::User(callback) => callback(self, news),
            Listener::Own(own) => match own.link() {
                Some(link) => link.wake_for(event),
                None => self.run_pipe(own, event, news),
            },
        }
    }

    #[inline(always)]
    pub(super) fn emit_bytes(&self, bytes: &[u8]) {
        self.notify_while_alive(Event::Data, News::Data(bytes));
    }

    pub(super) fn emit_shutdown(&self) {
        self.notify_while_alive(Event::Shutdown, News::Nothing);
    }

    pub(super) fn emit_text(&self, text: &str) {
        self.notify_while_alive(Event::Text, News::Text(text));
    }

    pub(super) fn emit_error(&self, error: &Error) {
        if !self.inner.listeners.has(Hears::One(Event::Error)) {
            return self.unhandled(error);
        }
        self.notify(Event::Error, News::Error(error));
    }

    /// Handles an error without a listener. It ends only this connection; the error of an outgoing
    /// connection is also what `run` returns.
    // Contract C5.
    fn unhandled(&self, error: &Error) {
        let accepted = self.inner.state.borrow().accepted;
        if let Some(core) = self.core().filter(|_| !accepted) {
            if core.policy.unhandled_error_ends_run {
                return core.unhandled(error.clone());
            }
            core.unhandled_at_end(error.clone());
        }
        self.log_unhandled(error);
    }

    #[cfg(feature = "tracing")]
    fn log_unhandled(&self, error: &Error) {
        tracing::warn!(target: "fyke", %error, peer = ?self.remote_address(),
            "a connection without an on_error listener failed");
    }

    #[cfg(not(feature = "tracing"))]
    fn log_unhandled(&self, _: &Error) {}

    pub(super) fn emit_close(&self, had_error: bool) {
        self.notify(Event::Close, News::Close(had_error));
    }

    pub(super) fn emit_lookup(&self, lookup: &LookupEvent) {
        self.notify(Event::Lookup, News::Lookup(lookup));
    }

    pub(super) fn emit_attempt(&self, event: Event, address: &Address) {
        self.notify(event, News::Attempt(address));
    }

    pub(super) fn emit_attempt_failed(&self, address: &Address, error: &Error) {
        self.notify(Event::AttemptFailed, News::AttemptFailed(address, error));
    }

    pub(super) fn emit_piped(&self, event: Event, other: &Self) {
        self.notify(event, News::Pipe(other));
    }
}
