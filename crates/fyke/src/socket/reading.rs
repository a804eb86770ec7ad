//! Receiving.

use fyke_machine::connection::{self, Event};
use fyke_machine::reading::Flow;
use fyke_machine::transitions::Received;

use super::Socket;
use super::listener::Hears;
use super::state::Receiving;
use crate::wiring::Tick;

/// # Reading
impl Socket {
    /// Stops the delivery of data until [`resume`](Self::resume) is called.
    ///
    /// The socket continues to receive into its own buffer up to the high-water mark; then the peer has to
    /// wait. If the socket is paused before the connection is established, it receives nothing, and does
    /// not notice the peer's end. Node: `socket.pause()`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use fyke::timer;
    ///
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.end_with("hello"));
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.on_data(|client, _| {
    ///             // Deliver nothing more until the work on this chunk is done.
    ///             client.pause();
    ///             let client = client.clone();
    ///             let done = move || {
    ///                 assert!(client.is_paused());
    ///                 client.resume();
    ///             };
    ///             timer::set_timeout(Duration::from_millis(1), done).unwrap();
    ///         });
    ///     })
    /// })
    /// # }
    /// ```
    pub fn pause(&self) -> &Self {
        self.step(|machine, _, fx| machine.pause(fx));
        self
    }

    /// Resumes the delivery of data on the next tick, starting with the data that was queued meanwhile.
    /// Without a listener for data, received data is discarded. Node: `socket.resume()`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.end_with("not interesting"));
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         // Without a listener for data, everything is discarded, and `end` is seen.
    ///         client.resume();
    ///         client.on_end(|client| assert_eq!(client.bytes_read(), 15));
    ///     })
    /// })
    /// # }
    /// ```
    pub fn resume(&self) -> &Self {
        self.step(|machine, _, fx| machine.resume(fx));
        self
    }

    /// Returns whether delivery was stopped by [`pause`](Self::pause) or `pause_on_connect`. Node:
    /// `isPaused()`.
    ///
    /// ```
    /// let socket = fyke::Socket::new();
    /// assert!(!socket.is_paused());
    /// assert!(socket.pause().is_paused());
    /// assert!(!socket.resume().is_paused());
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn is_paused(&self) -> bool {
        self.inner.state.borrow().read.flow() == Flow::Paused
    }

    /// Returns whether data is delivered: `Some(true)` while flowing, `Some(false)` while paused, `None`
    /// before the first listener, `pause` or `resume`. Node: `readableFlowing`.
    ///
    /// ```
    /// let socket = fyke::Socket::new();
    /// assert_eq!(socket.readable_flowing(), None);
    /// socket.on_data(|_, _| {});
    /// assert_eq!(socket.readable_flowing(), Some(true));
    /// socket.pause();
    /// assert_eq!(socket.readable_flowing(), Some(false));
    /// # Ok::<(), fyke::Error>(())
    /// ```
    #[doc(alias = "readableFlowing")]
    pub fn readable_flowing(&self) -> Option<bool> {
        match self.inner.state.borrow().read.flow() {
            Flow::Undecided => None,
            Flow::Flowing => Some(true),
            Flow::Paused => Some(false),
        }
    }

    /// Returns the number of bytes that were received and not delivered yet. Node: `readableLength`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.end_with("hello"));
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.once_readable(|client| {
    ///             assert!(client.read_queue_len() >= 1);
    ///             while client.read().is_some() {}
    ///             assert_eq!(client.read_queue_len(), 0);
    ///             client.resume();
    ///         });
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "readableLength")]
    pub fn read_queue_len(&self) -> usize {
        let units = if self.policy().counts_utf16 { self.stored_units() } else { None };
        units.unwrap_or_else(|| self.inner.state.borrow().read.stored_bytes())
    }

    /// Returns the number of bytes received on this connection, including those not delivered yet. The
    /// number is kept after `close`. Node: `bytesRead`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.end_with("hello"));
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.resume();
    ///         client.on_close(|client, _| assert_eq!(client.bytes_read(), 5));
    ///     })
    /// })
    /// # }
    /// ```
    pub fn bytes_read(&self) -> u64 {
        self.inner.state.borrow().read.bytes_read
    }

    pub(super) fn data_listened(&self) {
        let resumes = self.inner.state.borrow_mut().change().data_listened();
        if resumes {
            self.tick(Tick::Machine(connection::Tick::Resume));
        }
    }

    /// Handles bytes that the driver received.
    #[inline(always)]
    pub(crate) fn receive(&self, bytes: &[u8]) {
        // In the plain lane, nothing changes that affects the loop.
        let plain = self.guarded(|| {
            let plain = self.receive_plain(bytes);
            if !plain {
                self.received(bytes);
            }
            plain
        });
        match plain {
            true => self.flush_after_receiving(),
            false => self.sync(),
        }
    }

    /// In the plain lane: passes received bytes to the listeners for data. Returns whether it did; if not,
    /// nothing has changed.
    #[inline(always)]
    fn receive_plain(&self, bytes: &[u8]) -> bool {
        let Some(core) = self.inner.core.get() else { return false };
        if !self.inner.listeners.has_without(Hears::One(Event::Data), Hears::One(Event::Text)) {
            return false;
        }
        let now = core.moment();
        {
            let mut state = self.inner.state.borrow_mut();
            if !state.machine.receive_plain(bytes.len(), now) {
                return false;
            }
            state.receiving = Receiving::Yes;
        }
        self.emit_bytes(bytes);
        true
    }

    #[inline(never)]
    fn received(&self, bytes: &[u8]) {
        match self.ask(|machine, cx, fx| machine.receive(bytes, cx, fx)) {
            Received::Deliver => self.emit_data(bytes),
            Received::Sink => self.give_sink(bytes),
            Received::Done => {}
        }
    }

    pub(super) fn start_receiving(&self) {
        let begins = self.inner.state.borrow_mut().change().begins_to_receive();
        if begins {
            self.receive_start();
        }
    }
}
