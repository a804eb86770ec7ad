//! Events of a socket: the `on_*` methods, and how they are emitted.

use fyke_driver::Address;

use fyke_machine::connection::{Event, LookupEvent};

use super::listener::{self, Hears, News};
use super::{Listener, Socket};
use crate::Error;
use crate::listeners::{Lasts, ListenerId};

/// # Events
///
/// Each `on_…` method adds a listener; there may be several, they run in order of registration. Each
/// gets the socket first, so it need not capture a clone. The result names the listener for
/// [`off`](Self::off). Each has a sibling `once_…` whose listener runs for the next event only, see
/// [below](#one-event).
///
/// The order for one connection: `lookup`, `connection_attempt`…, `connect`, `ready`, then `data`,
/// `drain`, `timeout` and so on, `end` and `finish` at most once each, `error` at most once, and
/// `close` exactly once and last (contract C2).
impl Socket {
    /// A host name was resolved, or not; once per address, before any attempt. Node: `lookup`.
    #[doc(alias = "lookup")]
    pub fn on_lookup(&self, f: impl FnMut(&Socket, &LookupEvent) + 'static) -> ListenerId {
        self.add(Event::Lookup, listener::lookup(f))
    }

    /// An attempt to connect begins. Node: `connectionAttempt`.
    #[doc(alias = "connectionAttempt")]
    pub fn on_connection_attempt(&self, f: impl FnMut(&Socket, &Address) + 'static) -> ListenerId {
        self.add(Event::Attempt, listener::attempt(f))
    }

    /// An attempt failed; when there is another address it is tried next, otherwise `error`
    /// follows. Node: `connectionAttemptFailed`.
    #[doc(alias = "connectionAttemptFailed")]
    pub fn on_connection_attempt_failed(
        &self,
        f: impl FnMut(&Socket, &Address, &Error) + 'static,
    ) -> ListenerId {
        self.add(Event::AttemptFailed, listener::attempt_failed(f))
    }

    /// An attempt took longer than
    /// [`attempt_timeout`](crate::ConnectOptions::attempt_timeout) and was given up for the next
    /// address. Node: `connectionAttemptTimeout`.
    #[doc(alias = "connectionAttemptTimeout")]
    pub fn on_connection_attempt_timeout(
        &self,
        f: impl FnMut(&Socket, &Address) + 'static,
    ) -> ListenerId {
        self.add(Event::AttemptTimeout, listener::attempt(f))
    }

    /// The connection stands. Not emitted for accepted sockets. Node: `connect`.
    #[doc(alias = "connect")]
    pub fn on_connect(&self, f: impl FnMut(&Socket) + 'static) -> ListenerId {
        self.add(Event::Connect, listener::plain(f))
    }

    /// Right after `connect`, unless its listeners destroyed the socket. Node: `ready`.
    #[doc(alias = "ready")]
    pub fn on_ready(&self, f: impl FnMut(&Socket) + 'static) -> ListenerId {
        self.add(Event::Ready, listener::plain(f))
    }

    /// Bytes came: 1 to 65,536 of them, cut wherever the network cut them. Borrowed for the call.
    ///
    /// The first listener starts the flow, unless the socket was paused; bytes that came before
    /// are delivered first. Node: `data`.
    #[doc(alias = "data")]
    pub fn on_data(&self, f: impl FnMut(&Socket, &[u8]) + 'static) -> ListenerId {
        let id = self.add(Event::Data, listener::data(f));
        self.data_listened();
        id
    }

    /// Text came: the same bytes as for [`on_data`](Self::on_data), decoded. Characters that the
    /// network has cut in two are put together; what never becomes complete is U+FFFD just before
    /// `end`. A chunk without a complete character makes no event. The encoding is UTF-8, unless
    /// [`set_encoding`](Self::set_encoding) says otherwise. Node: `data`, after `setEncoding`.
    #[doc(alias = "data")]
    pub fn on_text(&self, f: impl FnMut(&Socket, &str) + 'static) -> ListenerId {
        let id = self.add(Event::Text, listener::text(f));
        self.data_listened();
        id
    }

    /// The peer has ended, and everything it sent was delivered. Unless half-open is allowed, the
    /// socket ends itself one tick later, so that writes in this listener still go out. Node: `end`.
    #[doc(alias = "end")]
    pub fn on_end(&self, f: impl FnMut(&Socket) + 'static) -> ListenerId {
        self.add(Event::End, listener::plain(f))
    }

    /// A `write` had returned false, and the queue is empty now. Node: `drain`.
    #[doc(alias = "drain")]
    pub fn on_drain(&self, f: impl FnMut(&Socket) + 'static) -> ListenerId {
        self.add(Event::Drain, listener::plain(f))
    }

    /// The kernel has everything, and the peer is told; the callbacks of `end` and `finish` follow on
    /// the tick. Node: `prefinish`.
    #[doc(alias = "prefinish")]
    pub fn on_prefinish(&self, f: impl FnMut(&Socket) + 'static) -> ListenerId {
        self.add(Event::Prefinish, listener::plain(f))
    }

    /// Our side is ended: the kernel has everything, and the peer is told. Node: `finish`.
    #[doc(alias = "finish")]
    pub fn on_finish(&self, f: impl FnMut(&Socket) + 'static) -> ListenerId {
        self.add(Event::Finish, listener::plain(f))
    }

    /// Called when nothing was received or written for as long as
    /// [`set_idle_timeout`](Self::set_idle_timeout) says. Nothing is closed. Node: `timeout`.
    #[doc(alias = "timeout")]
    pub fn on_idle_timeout(&self, f: impl FnMut(&Socket) + 'static) -> ListenerId {
        self.add(Event::Timeout, listener::plain(f))
    }

    /// Called when the connection fails; `close` follows.
    ///
    /// Without a listener, the error is logged (`tracing`, level WARN) and closes only this connection, so
    /// that no peer, be it a client or a backend, can end the others. The first such error of a socket
    /// that was not accepted by a server is also what [`run`](crate::run) returns when nothing holds the
    /// loop any more: a client program whose connect fails does not end without an error. On a loop made
    /// with [`node_exact`](crate::EventLoopBuilder::node_exact) it ends `run` at once. Node: `error`, which ends the
    /// process if nothing listens to it.
    #[doc(alias = "error")]
    pub fn on_error(&self, f: impl FnMut(&Socket, &Error) + 'static) -> ListenerId {
        self.add(Event::Error, listener::error(f))
    }

    /// The last event of a connection. The flag says whether it ended by an error. Afterwards all
    /// listeners are dropped, unless a listener connects again or the socket was made by
    /// [`Socket::new`]. Node: `close`.
    #[doc(alias = "close")]
    pub fn on_close(&self, f: impl FnMut(&Socket, bool) + 'static) -> ListenerId {
        self.add(Event::Close, listener::close(f))
    }

    /// Removes a listener. Does nothing if this socket has none with that id: if it was removed, has run
    /// once, or belongs to another object. Node: `off`, `removeListener`.
    #[doc(alias = "removeListener")]
    pub fn off(&self, id: ListenerId) {
        // Dropped here, with nothing borrowed: what it captured may call us when it goes.
        drop(self.inner.listeners.remove(id));
        self.listener_removed();
    }

    pub(super) fn add(&self, event: Event, listener: Listener) -> ListenerId {
        self.inner.listeners.add(Hears::One(event), Lasts::Always, listener)
    }

    /// For the callback of a call, which [`forget_once`](Self::forget_once) drops.
    pub(super) fn once(&self, event: Event, f: impl FnOnce(&Socket) + 'static) -> ListenerId {
        let mut f = Some(f);
        let callback = move |socket: &Socket| f.take().map_or((), |f| f(socket));
        self.inner.listeners.add(
            Hears::One(event),
            Lasts::OnceOrReplaced,
            listener::plain(callback),
        )
    }

    /// Drops the callback of the last call, if it has not run.
    pub(super) fn forget_once(&self, event: Event) {
        drop(self.take_once(event));
    }

    /// Takes the callback that [`forget_once`](Self::forget_once) drops, to be dropped where nothing is
    /// borrowed.
    #[must_use]
    pub(super) fn take_once(&self, event: Event) -> Option<Listener> {
        match self.policy().keeps_old_once_listeners {
            true => None,
            false => self.inner.listeners.remove_replaced(Hears::One(event)),
        }
    }

    pub(super) fn emit(&self, event: Event) {
        self.tell(event, News::Nothing);
    }

    fn tell(&self, event: Event, news: News<'_, Socket>) {
        let run = |running: &mut Listener| self.run(running, event, news);
        self.inner.listeners.emit(Hears::One(event), run);
    }

    /// Nothing is delivered after `destroy`, not even to the second listener (RD-21).
    #[inline]
    fn tell_while_alive(&self, event: Event, news: News<'_, Socket>) {
        let goes_on = || !self.is_destroyed() || self.policy().delivers_after_destroy;
        let run = |running: &mut Listener| self.run(running, event, news);
        self.inner.listeners.emit_while(Hears::One(event), run, goes_on);
    }

    #[inline]
    fn run(&self, running: &mut Listener, event: Event, news: News<'_, Socket>) {
        match running {
            Listener::User(callback) => callback(self, news),
            Listener::Pipe(end) => self.run_pipe(end, event, news),
        }
    }

    #[inline(always)]
    pub(super) fn emit_bytes(&self, bytes: &[u8]) {
        self.tell_while_alive(Event::Data, News::Data(bytes));
    }

    pub(super) fn emit_shutdown(&self) {
        self.tell_while_alive(Event::Shutdown, News::Nothing);
    }

    pub(super) fn emit_text(&self, text: &str) {
        self.tell_while_alive(Event::Text, News::Text(text));
    }

    pub(super) fn emit_error(&self, error: &Error) {
        if !self.inner.listeners.has(Hears::One(Event::Error)) {
            return self.unheard(error);
        }
        self.tell(Event::Error, News::Error(error));
    }

    /// The peer ends only this connection (contract C5). The error of an outgoing one is what `run`
    /// returns.
    fn unheard(&self, error: &Error) {
        let accepted = self.inner.state.borrow().accepted;
        if let Some(core) = self.core().filter(|_| !accepted) {
            if core.policy.unheard_error_ends_run {
                return core.unheard(error.clone());
            }
            core.unheard_at_end(error.clone());
        }
        self.log_unheard(error);
    }

    #[cfg(feature = "tracing")]
    fn log_unheard(&self, error: &Error) {
        tracing::warn!(target: "fyke", %error, peer = ?self.remote_address(),
            "a connection failed, and no on_error listens to it");
    }

    #[cfg(not(feature = "tracing"))]
    fn log_unheard(&self, _: &Error) {}

    pub(super) fn emit_close(&self, had_error: bool) {
        self.tell(Event::Close, News::Close(had_error));
    }

    pub(super) fn emit_lookup(&self, lookup: &LookupEvent) {
        self.tell(Event::Lookup, News::Lookup(lookup));
    }

    pub(super) fn emit_attempt(&self, event: Event, address: &Address) {
        self.tell(event, News::Attempt(address));
    }

    pub(super) fn emit_attempt_failed(&self, address: &Address, error: &Error) {
        self.tell(Event::AttemptFailed, News::AttemptFailed(address, error));
    }

    pub(super) fn emit_piped(&self, event: Event, other: &Self) {
        self.tell(event, News::Pipe(other));
    }
}
