//! Graceful shutdown of a server, with a deadline.

use std::rc::Weak;
use std::time::Duration;

use fyke_machine::acceptor::{Outcome, Tally};
use fyke_machine::connection::Gone;

use super::Server;
use super::drain::ShutdownOutcome;
use crate::Result;
use crate::socket::{self, Socket, after_next_poll};
use crate::wiring::Core;

impl Server {
    /// Stops accepting, and gives the connections time to end until the deadline. `close` is emitted when
    /// the last of them is gone; [`shutdown_then`](Self::shutdown_then) also reports the outcome.
    ///
    /// - The listener is closed inside the call, as by [`close`](Self::close).
    /// - Each connection gets the event [`on_shutdown`](Socket::on_shutdown), and
    ///   [`is_shutting_down`](Socket::is_shutting_down) returns true from now on.
    /// - A connection for which the program has called [`set_busy(false)`](Socket::set_busy), before or
    ///   during the shutdown, is ended: what was written is sent, then end-of-stream, and the connection
    ///   closes when its peer has ended too.
    /// - Every other connection stays fully usable, because only the application knows whether an answer is
    ///   still due.
    /// - Connections that are open at the deadline are reset (TCP: RST; Unix sockets: closed). If the
    ///   deadline is zero, this happens in the next turn, after the events. A deadline beyond the range of
    ///   the clock never expires.
    ///
    /// The shutdown keeps the loop alive until it is over. If a shutdown is already in progress, the call
    /// joins it, and the earlier deadline applies; so a second signal can shorten the time. Calling
    /// [`close`](Self::close) during a shutdown changes nothing. After `close`, while connections are left,
    /// a shutdown applies to those connections. If the server listens again during the shutdown, the new
    /// connections are not part of it. No counterpart in Node's `net`; its `http` server has a similar
    /// function.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| {
    ///         socket.on_shutdown(|socket| { socket.end_with("bye\n"); });
    ///         socket.resume();
    ///         let server = socket.server().unwrap();
    ///         let done = |_: &fyke::Server, outcome: fyke::ShutdownOutcome| {
    ///             assert_eq!((outcome.ended, outcome.reset), (1, 0));
    ///         };
    ///         server.shutdown_then(Duration::from_secs(10), done).unwrap();
    ///     });
    ///     server.listen_then(0, |server| {
    ///         fyke::connect(server.endpoint().unwrap()).unwrap().resume();
    ///     })
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// `ERR_SERVER_NOT_RUNNING` if the server neither listens nor waits for its `close` event.
    pub fn shutdown(&self, deadline: Duration) -> Result<()> {
        self.shutdown_then(deadline, |_, _| {})
    }

    /// Shuts the server down as [`shutdown`](Self::shutdown) does, and calls `f` once with the outcome,
    /// after `close`, when the last connection is gone. If several calls join one shutdown, each of their
    /// callbacks gets the same outcome.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|_| {});
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let deadline = std::time::Duration::from_secs(10);
    ///         let done = |_: &fyke::Server, outcome: fyke::ShutdownOutcome| {
    ///             assert_eq!((outcome.ended, outcome.failed, outcome.reset), (0, 0, 0));
    ///         };
    ///         server.shutdown_then(deadline, done).unwrap();
    ///     })
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// The errors of [`shutdown`](Self::shutdown); `f` is dropped then.
    pub fn shutdown_then(
        &self,
        deadline: Duration,
        f: impl FnOnce(&Server, ShutdownOutcome) + 'static,
    ) -> Result<()> {
        let runs = self.inner.state.borrow().acceptor.may_shut_down();
        let core = self.core().filter(|_| runs).cloned().ok_or_else(Self::not_running)?;
        let sockets = core.actors().into_iter();
        let sockets = sockets.filter_map(|actor| actor.as_any().downcast::<socket::Inner>().ok());
        let ours: Vec<Socket> = sockets
            .map(Socket::from_inner)
            .filter(|socket| socket.begin_draining(self.place()))
            .collect();
        let is_over = {
            let mut state = self.inner.state.borrow_mut();
            let drain = state.drain.get_or_insert_default();
            drain.sockets.extend(ours.iter().map(Socket::downgrade));
            drain.callbacks.push(Box::new(f));
            state.acceptor.shut_down(ours.len(), core.now().saturating_add(deadline))
        };
        if self.is_listening() {
            self.close();
        }
        if is_over {
            self.end_shutdown();
            return Ok(());
        }
        self.sync_wake(&core);
        let server = self.clone();
        after_next_poll(&core, move || server.each_draining(Socket::end_unless_busy));
        Ok(())
    }

    /// Sets the timer that wakes this server at the deadline. The timer keeps the loop alive, because the
    /// shutdown is not over.
    fn sync_wake(&self, core: &Core) {
        let mut state = self.inner.state.borrow_mut();
        let wish = state.acceptor.wake();
        let Some(drain) = &mut state.drain else { return };
        if drain.wake.map(|(at, _)| at) == wish {
            return;
        }
        let timer = wish.map(|at| (at, core.set_wake(at, self.downgrade())));
        if let Some((_, timer)) = timer {
            core.refer_timer(timer, true);
        }
        let before = std::mem::replace(&mut drain.wake, timer);
        if let Some((_, timer)) = before {
            core.cancel_timer(timer);
        }
    }

    /// Called by the loop at the time that the acceptor requested.
    pub(super) fn wake(&self) {
        let Some(core) = self.core() else { return };
        let is_expired = {
            let mut state = self.inner.state.borrow_mut();
            if let Some(drain) = &mut state.drain {
                drain.wake = None;
            }
            state.acceptor.expire(core.now())
        };
        match is_expired {
            true => self.reset_left(),
            false => self.sync_wake(core),
        }
    }

    /// Resets the connections that are left at the deadline.
    fn reset_left(&self) {
        self.each_draining(|socket| {
            // A Unix socket has no reset, and a socket that is connecting again delays it.
            if socket.reset_and_destroy().is_err() || !socket.is_destroyed() {
                socket.destroy();
            }
        });
    }

    fn each_draining(&self, call: impl Fn(&Socket)) {
        let sockets: Vec<Socket> = {
            let state = self.inner.state.borrow();
            let sockets = state.drain.iter().flat_map(|drain| &drain.sockets);
            sockets.filter_map(Weak::upgrade).map(Socket::from_inner).collect()
        };
        for socket in sockets.iter().filter(|socket| socket.is_draining(self.place())) {
            call(socket);
        }
    }

    /// Counts a connection of the shutdown that is gone.
    pub(super) fn count_gone(&self, gone: Gone) {
        let is_over = self.inner.state.borrow_mut().acceptor.count_gone(gone);
        if is_over {
            self.end_shutdown();
        }
    }

    /// Reports the outcome to each callback, on separate ticks after that of `close`.
    fn end_shutdown(&self) {
        let Some(core) = self.core() else { return };
        let (drain, outcome) = {
            let mut state = self.inner.state.borrow_mut();
            (state.drain.take(), state.acceptor.end_shutdown(core.now()))
        };
        let (Some(drain), Some(Outcome { tally, remaining })) = (drain, outcome) else { return };
        if let Some((_, timer)) = drain.wake {
            core.cancel_timer(timer);
        }
        let Tally { ended, failed, reset } = tally;
        for callback in drain.callbacks {
            let outcome = ShutdownOutcome { ended, failed, reset, remaining };
            self.tick(move |server| callback(server, outcome));
        }
    }
}
