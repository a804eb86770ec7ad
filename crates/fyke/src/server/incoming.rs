//! Connections that tasks take, in place of the event `connection`.

use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use super::waiting::{WAITING_MAX, Waiting};
use super::{Event, Server};
use crate::answer::{Answer, Awaited, Listened};
use crate::listeners::ListenerId;
use crate::socket::Socket;
use crate::{Error, ErrorCode, Result};

/// The connections of a server, see [`Server::incoming`].
#[derive(Debug)]
pub struct Incoming {
    server: Server,
}

impl Listened for Server {
    fn off(&self, id: ListenerId) {
        Self::off(self, id);
    }
}

/// # Accepting with `async`
impl Server {
    /// Waits for a connection, and returns it. From this call on, connections wait here for tasks (at most
    /// 64; others in the kernel's queue), and the event `connection` is not emitted. Connections that came
    /// before, because there was no listener for them, come first.
    ///
    /// The returned socket is open and reads nothing yet. It begins with a listener for data or
    /// [`resume`](Socket::resume), or [`Socket::stream`] reads it. Limits and the block list of the server
    /// apply as usual. Several tasks may accept from one server.
    ///
    /// Cancel safe: if the future is dropped, no connection is lost.
    ///
    /// Call [`listen`](Self::listen) before; then the error of listening is returned here too.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::block_on(async {
    ///     let server = fyke::Server::new();
    ///     server.listen(("127.0.0.1", 0))?;
    ///     server.listening().await?;
    ///     let client = fyke::connect(server.endpoint().unwrap())?;
    ///     let mut stream = server.accept().await?.stream()?;
    ///     stream.write_all(b"hello").await?;
    ///     client.on_text(|client, text| {
    ///         assert_eq!(text, "hello");
    ///         client.end();
    ///     });
    ///     assert_eq!(stream.read_to_end().await?, b"");
    ///     Ok(())
    /// })?
    /// # }
    /// ```
    ///
    /// # Errors
    /// - `ERR_HAS_CONSUMER` if there is a listener for `connection`.
    /// - `ERR_SERVER_NOT_RUNNING` if the server does not listen, or is closed while this waits. Connections
    ///   that wait are closed with it; a [`shutdown`](Self::shutdown) leaves them to the tasks.
    /// - The errors that `on_error` gets, for example `EADDRINUSE`; they then count as handled.
    pub fn accept(&self) -> impl Future<Output = Result<Socket>> + use<> {
        let server = self.clone();
        server.ask();
        poll_fn(move |cx| server.poll_accept(cx))
    }

    /// Returns the connections one after the other, see [`accept`](Self::accept). With the feature
    /// `futures` it is a `Stream`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// # fyke::block_on(async {
    /// let server = fyke::Server::new();
    /// server.listen(("127.0.0.1", 0))?;
    /// # server.listening().await?;
    /// # let client = fyke::connect(server.endpoint().unwrap())?;
    /// let mut incoming = server.incoming();
    /// while let Some(socket) = incoming.next().await {
    ///     socket?.end_with("bye\n");
    ///     server.close(); // ends the loop
    /// }
    /// # client.resume();
    /// # Ok(())
    /// # })?
    /// # }
    /// ```
    pub fn incoming(&self) -> Incoming {
        self.ask();
        Incoming { server: self.clone() }
    }

    /// Waits until the server listens. Ready at once if it does already.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// The errors that `on_error` gets; they then count as handled.
    pub fn listening(&self) -> impl Future<Output = Result<()>> + use<> {
        let answer = Rc::<Answer<_>>::default();
        let mut listeners = Vec::new();
        if self.is_listening() {
            answer.give(Ok(()));
        } else {
            let [listening, error] = std::array::from_fn(|_| Rc::clone(&answer));
            listeners.push(self.on_listening(move |_| listening.give(Ok(()))));
            listeners.push(self.on_error(move |_, failure| error.give(Err(failure.clone()))));
        }
        Awaited { listened: self.clone(), listeners, answer }
    }

    /// Waits for the event `close`: the server is closed, and its last connection is gone. Ready at once if
    /// the server neither listens nor waits for its connections. Awaiting it after
    /// [`incoming`](Self::incoming) has ended lets the connections finish, also those of a
    /// [`shutdown`](Self::shutdown).
    ///
    /// Cancel safe.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # fn main() -> fyke::Result<()> {
    /// fyke::block_on(async {
    ///     let server = fyke::Server::new();
    ///     server.listen(("127.0.0.1", 0))?;
    ///     server.listening().await?;
    ///     let client = fyke::connect(server.endpoint().unwrap())?;
    ///     client.on_text(|_, text| assert_eq!(text, "bye"));
    ///     let mut stream = server.accept().await?.stream()?;
    ///     server.shutdown(Duration::from_secs(10))?;
    ///     stream.write_all(b"bye").await?;
    ///     drop(stream);
    ///     server.closed().await;
    ///     Ok(())
    /// })?
    /// # }
    /// ```
    pub fn closed(&self) -> impl Future<Output = ()> + use<> {
        let answer = Rc::<Answer<_>>::default();
        let mut listeners = Vec::new();
        if self.inner.state.borrow().acceptor.may_shut_down() {
            let answer = Rc::clone(&answer);
            listeners.push(self.on_close(move |_| answer.give(())));
        } else {
            answer.give(());
        }
        Awaited { listened: self.clone(), listeners, answer }
    }

    /// From now on connections wait for tasks.
    fn ask(&self) {
        if !self.has_connection_listener() {
            self.inner.waiting.borrow_mut().get_or_insert_default().asked = true;
        }
    }

    pub(super) fn has_connection_listener(&self) -> bool {
        self.inner.listeners.has(Event::Connection)
    }

    fn poll_accept(&self, cx: &Context<'_>) -> Poll<Result<Socket>> {
        if self.has_connection_listener() {
            let message =
                "the server's connections already have a consumer: a listener for connection";
            return Poll::Ready(Err(Error::new(ErrorCode::ERR_HAS_CONSUMER, message)));
        }
        let Some(core) = self.core() else { return Poll::Ready(Err(Self::not_running())) };
        ready!(core.tasks.spend(cx));
        let listens =
            self.is_listening() || self.inner.state.borrow().acceptor.is_about_to_listen();
        let (polled, gone, starts) = {
            let mut waiting = self.inner.waiting.borrow_mut();
            let waiting = waiting.get_or_insert_default();
            waiting.asked = true;
            waiting.closed &= !listens;
            let open = waiting.sockets.iter().position(|socket| !socket.is_destroyed());
            let gone: Vec<Socket> =
                waiting.sockets.drain(..open.unwrap_or(waiting.sockets.len())).collect();
            let (polled, starts) = match (waiting.sockets.pop_front(), waiting.error.take()) {
                (Some(socket), error) => {
                    waiting.error = error;
                    let starts = waiting.stopped && waiting.sockets.len() < WAITING_MAX / 2;
                    waiting.stopped &= !starts;
                    (Poll::Ready(Ok(socket)), starts)
                }
                (None, Some(error)) => (Poll::Ready(Err(error)), false),
                (None, None) if waiting.closed || !listens => {
                    (Poll::Ready(Err(Self::not_running())), false)
                }
                (None, None) => {
                    if !waiting.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                        waiting.wakers.push(cx.waker().clone());
                    }
                    (Poll::Pending, false)
                }
            };
            (polled, gone, starts)
        };
        drop(gone);
        if starts {
            self.accept_on();
        }
        polled
    }

    /// There is room again for connections that wait.
    fn accept_on(&self) {
        let listener = self.inner.state.borrow().listener;
        if let (Some(core), Some(listener)) = (self.core(), listener) {
            if let Err(source) = core.driver.accept_start(listener) {
                self.emit_error(&fyke_machine::error::MakeError::system("accept", source));
            }
        }
    }

    /// Whether connections wait for tasks.
    pub(super) fn has_takers(&self) -> bool {
        self.inner.waiting.borrow().as_ref().is_some_and(|waiting| waiting.asked)
    }

    /// Puts a connection in line for the tasks.
    pub(super) fn offer(&self, socket: Socket) {
        let (wakers, full) = {
            let mut waiting = self.inner.waiting.borrow_mut();
            let waiting = waiting.get_or_insert_default();
            if !waiting.asked && waiting.sockets.len() >= WAITING_MAX {
                return;
            }
            waiting.sockets.push_back(socket);
            let full = waiting.asked && waiting.sockets.len() >= WAITING_MAX && !waiting.stopped;
            waiting.stopped |= full;
            (std::mem::take(&mut waiting.wakers), full)
        };
        let listener = self.inner.state.borrow().listener.filter(|_| full);
        if let (Some(core), Some(listener)) = (self.core(), listener) {
            core.driver.accept_stop(listener);
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Gives an error to the tasks. Returns whether there are any that may take it.
    pub(super) fn offer_error(&self, error: &Error) -> bool {
        let wakers = {
            let mut waiting = self.inner.waiting.borrow_mut();
            let Some(waiting) = waiting.as_mut().filter(|waiting| waiting.asked) else {
                return false;
            };
            waiting.error.get_or_insert_with(|| error.clone());
            std::mem::take(&mut waiting.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
        true
    }

    /// The server stops listening. Connections that wait for a task are closed, like those in the kernel's
    /// queue; in a shutdown tasks can still take them.
    pub(super) fn close_waiting(&self) {
        let is_draining = self.inner.state.borrow().drain.is_some();
        let (sockets, wakers, closes) = {
            let mut waiting = self.inner.waiting.borrow_mut();
            let Some(waiting) = waiting.as_mut() else { return };
            waiting.closed = true;
            waiting.stopped = false;
            // Without a task they are connections that nothing handles, and stay open.
            let closes = waiting.asked && !is_draining;
            let sockets =
                if is_draining { Default::default() } else { std::mem::take(&mut waiting.sockets) };
            (sockets, std::mem::take(&mut waiting.wakers), closes)
        };
        for socket in sockets.into_iter().filter(|_| closes) {
            if socket.reset_and_destroy().is_err() {
                socket.destroy();
            }
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Drops everything that waits, because the loop is gone.
    pub(super) fn abandon_waiting(&self) {
        let waiting = self.inner.waiting.take();
        if let Some(waiting) = waiting {
            let Waiting { sockets, wakers, .. } = *waiting;
            drop(sockets);
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

impl Incoming {
    /// Waits for the next connection. `None` after the server was closed.
    ///
    /// Cancel safe: if the future is dropped, no connection is lost.
    ///
    /// # Errors
    /// Those of [`Server::accept`] other than that the server does not listen.
    pub async fn next(&mut self) -> Option<Result<Socket>> {
        poll_fn(|cx| self.poll_next_connection(cx)).await
    }

    fn poll_next_connection(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Socket>>> {
        self.server.poll_accept(cx).map(|result| match result {
            Err(error) if error.code() == ErrorCode::ERR_SERVER_NOT_RUNNING => None,
            result => Some(result),
        })
    }
}

#[cfg(feature = "futures")]
impl futures_core::Stream for Incoming {
    type Item = Result<Socket>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        self.poll_next_connection(cx)
    }
}
