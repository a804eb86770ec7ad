//! One-time listeners: the `once_*` methods.

use fyke_driver::Address;
use fyke_machine::connection::{Event, LookupEvent};

use super::Socket;
use super::{Hears, Listener, listener};
use crate::Error;
use crate::listeners::{Lasts, ListenerId};

/// Makes the `once_*` methods of events that need no extra work.
macro_rules! once {
    ($(
        $(#[$doc:meta])*
        $name:ident: $event:ident, $callback:ident($($argument:ident: $type:ty),*);
    )*) => {
        /// # One event
        ///
        /// Each `once_…` method adds a listener like its `on_…` counterpart. The listener is removed before
        /// it runs, so it runs for the next event only. The returned id removes it earlier, see
        /// [`off`](Self::off). Node: `once`.
        ///
        /// ```
        /// # fn main() -> fyke::Result<()> {
        /// fyke::run(|| {
        ///     let server = fyke::create_server(|socket| {
        ///         socket.server().unwrap().close();
        ///         socket.once_data(|socket, greeting| {
        ///             println!("{}", String::from_utf8_lossy(greeting));
        ///             // From here on, everything is echoed.
        ///             socket.pipe(socket);
        ///         });
        ///     });
        ///     server.listen_then(("127.0.0.1", 0), |server| {
        ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
        ///         client.end_with("hello").resume();
        ///     })
        /// })
        /// # }
        /// ```
        impl Socket {
            $(
                $(#[$doc])*
                pub fn $name(&self, f: impl FnOnce(&Socket $(, $type)*) + 'static) -> ListenerId {
                    let mut f = Some(f);
                    let once = move |socket: &Socket $(, $argument: $type)*| {
                        if let Some(f) = f.take() {
                            f(socket $(, $argument)*);
                        }
                    };
                    self.add_once(Event::$event, listener::$callback(once))
                }
            )*
        }
    };
}

once! {
    /// Runs `f` at the next `lookup`, see [`on_lookup`](Self::on_lookup).
    once_lookup: Lookup, lookup(lookup: &LookupEvent);

    /// Runs `f` when the next attempt to connect begins, see
    /// [`on_connection_attempt`](Self::on_connection_attempt).
    once_connection_attempt: Attempt, attempt(address: &Address);

    /// Runs `f` when the next attempt to connect fails, see
    /// [`on_connection_attempt_failed`](Self::on_connection_attempt_failed).
    once_connection_attempt_failed: AttemptFailed, attempt_failed(address: &Address, error: &Error);

    /// Runs `f` when the next attempt to connect times out, see
    /// [`on_connection_attempt_timeout`](Self::on_connection_attempt_timeout).
    once_connection_attempt_timeout: AttemptTimeout, attempt(address: &Address);

    /// Runs `f` when the connection is established, see [`on_connect`](Self::on_connect). Unlike the
    /// callback of [`connect_then`](Self::connect_then), `f` stays registered if a connect fails.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let client = fyke::Socket::new();
    ///     client.once_connect(|_| unreachable!("no server listens on port 1"));
    ///     client.once_error(|_, error| assert_eq!(error.syscall(), Some("connect")));
    ///     client.connect(("127.0.0.1", 1))
    /// })
    /// # }
    /// ```
    once_connect: Connect, plain();

    /// Runs `f` at the next `ready`, see [`on_ready`](Self::on_ready).
    once_ready: Ready, plain();

    /// Runs `f` when the peer has ended, see [`on_end`](Self::on_end).
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.end_with("bye"));
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.once_end(|client| assert!(client.is_readable_ended()));
    ///         client.resume();
    ///     })
    /// })
    /// # }
    /// ```
    once_end: End, plain();

    /// Runs `f` when the write queue is empty again, see [`on_drain`](Self::on_drain).
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.resume());
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.resume();
    ///         client.once_connect(|client| match client.write(vec![0; 1_000_000]) {
    ///             true => _ = client.end(),
    ///             false => _ = client.once_drain(|client| _ = client.end()),
    ///         });
    ///     })
    /// })
    /// # }
    /// ```
    once_drain: Drain, plain();

    /// Runs `f` at the next `prefinish`, see [`on_prefinish`](Self::on_prefinish).
    once_prefinish: Prefinish, plain();

    /// Runs `f` when this side has ended, see [`on_finish`](Self::on_finish).
    once_finish: Finish, plain();

    /// Runs `f` at the next idle timeout, see [`on_idle_timeout`](Self::on_idle_timeout).
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let client = fyke::Socket::new();
    ///     client.set_idle_timeout(Some(std::time::Duration::from_millis(1)));
    ///     client.once_idle_timeout(|_| println!("idle"));
    ///     Ok(())
    /// })
    /// # }
    /// ```
    once_idle_timeout: Timeout, plain();

    /// Runs `f` when the connection fails, see [`on_error`](Self::on_error). If the socket connects again,
    /// a later error needs another listener.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let client = fyke::connect(("127.0.0.1", 1))?;
    ///     client.once_error(|_, error| assert_eq!(error.code(), fyke::ErrorCode::ECONNREFUSED));
    ///     Ok(())
    /// })
    /// # }
    /// ```
    once_error: Error, error(error: &Error);

    /// Runs `f` at the next `close`, see [`on_close`](Self::on_close).
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let client = fyke::Socket::new();
    ///     // The listener for one event is the place to try again.
    ///     client.once_close(|client, _| assert!(!client.is_connecting()));
    ///     client.destroy();
    ///     Ok(())
    /// })
    /// # }
    /// ```
    once_close: Close, close(had_error: bool);

    /// Runs `f` the next time another socket is piped into this socket, see [`on_pipe`](Self::on_pipe).
    once_pipe: Pipe, pipe(source: &Socket);

    /// Runs `f` the next time a pipe into this socket is removed, see [`on_unpipe`](Self::on_unpipe).
    once_unpipe: Unpipe, pipe(source: &Socket);

    /// Runs `f` when the server of this connection shuts down, see [`on_shutdown`](Self::on_shutdown).
    once_shutdown: Shutdown, plain();
}

/// # One event
impl Socket {
    /// Runs `f` with the next received bytes, see [`on_data`](Self::on_data). Like any listener for data,
    /// it starts the flow. Later data is discarded if there is no other listener for it and the socket is
    /// not paused. Node: `once('data')`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.end_with("hello"));
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.once_data(|client, data| {
    ///             assert_eq!(data[0], b'h');
    ///             client.end();
    ///         });
    ///     })
    /// })
    /// # }
    /// ```
    pub fn once_data(&self, f: impl FnOnce(&Socket, &[u8]) + 'static) -> ListenerId {
        let mut f = Some(f);
        let once = move |socket: &Socket, bytes: &[u8]| {
            if let Some(f) = f.take() {
                f(socket, bytes);
            }
        };
        let id = self.add_once(Event::Data, listener::data(once));
        self.data_listened();
        id
    }

    /// Runs `f` with the next received text, see [`on_text`](Self::on_text). Like any listener for data, it
    /// starts the flow. Later data is discarded if there is no other listener for it and the socket is not
    /// paused. Node: `once('data')`, after `setEncoding`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.end_with("hello"));
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.once_text(|_, text| assert!("hello".starts_with(text)));
    ///     })
    /// })
    /// # }
    /// ```
    pub fn once_text(&self, f: impl FnOnce(&Socket, &str) + 'static) -> ListenerId {
        let mut f = Some(f);
        let once = move |socket: &Socket, text: &str| {
            if let Some(f) = f.take() {
                f(socket, text);
            }
        };
        let id = self.add_once(Event::Text, listener::text(once));
        self.data_listened();
        id
    }

    /// Runs `f` when there are bytes to [`read`](Self::read), see [`on_readable`](Self::on_readable). When
    /// the last listener for `readable` has run or was removed by [`off`](Self::off), data flows again to
    /// the listeners for data. Node: `once('readable')`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.end_with("hello"));
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.once_readable(|client| {
    ///             let first = client.read().unwrap();
    ///             assert!(b"hello".starts_with(&first));
    ///             client.resume(); // the rest is discarded
    ///         });
    ///     })
    /// })
    /// # }
    /// ```
    pub fn once_readable(&self, f: impl FnOnce(&Socket) + 'static) -> ListenerId {
        let mut f = Some(f);
        let once = move |socket: &Socket| {
            if let Some(f) = f.take() {
                f(socket);
                socket.listener_removed();
            }
        };
        let id = self.add_once(Event::Readable, listener::plain(once));
        self.readable_listened();
        id
    }

    /// Sets how many listeners one event of this socket may have before a warning is logged (`tracing`,
    /// level WARN). Default 10; 0 means no limit. Many listeners usually mean a leak, such as a listener
    /// that is added for each message. A socket logs the warning once, and still adds the listeners. Node:
    /// `setMaxListeners`.
    ///
    /// ```
    /// let socket = fyke::Socket::new();
    /// socket.set_max_listeners(20);
    /// for _ in 0..20 {
    ///     socket.on_close(|_, _| {}); // no warning
    /// }
    /// # Ok::<(), fyke::Error>(())
    /// ```
    #[doc(alias = "setMaxListeners")]
    pub fn set_max_listeners(&self, count: u32) -> &Self {
        self.inner.listeners.expect(count);
        self
    }

    fn add_once(&self, event: Event, listener: Listener) -> ListenerId {
        self.inner.listeners.add(Hears::One(event), Lasts::Once, listener)
    }
}
