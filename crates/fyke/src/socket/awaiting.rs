//! Events of a socket as futures.

use std::future::Future;
use std::rc::Rc;

use fyke_machine::connection::Phase;

use super::Socket;
use super::finished::premature_close;
use super::shutting_down::after_next_poll;
use crate::answer::{Answer, Awaited, Listened};
use crate::listeners::ListenerId;
use crate::{Error, ErrorCode, Result};

impl Listened for Socket {
    fn off(&self, id: ListenerId) {
        Self::off(self, id);
    }
}

/// # Awaiting
impl Socket {
    /// Waits until the connection is established. The future is ready at once if it already is. Like an
    /// `on_error` listener, this handles the error if connecting fails.
    ///
    /// Cancel safe: dropping the future does not affect the connection.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::block_on(async {
    ///     let refused = fyke::connect(("127.0.0.1", 1))?.connected().await;
    ///     assert_eq!(refused.unwrap_err().code(), fyke::ErrorCode::ECONNREFUSED);
    ///     Ok(())
    /// })?
    /// # }
    /// ```
    ///
    /// # Errors
    /// The error with which connecting has failed, for example `ECONNREFUSED`. `ERR_STREAM_PREMATURE_CLOSE`
    /// if the socket is destroyed before it is connected. `ERR_SOCKET_CLOSED` if the socket is not
    /// connecting.
    pub fn connected(&self) -> impl Future<Output = Result<()>> + use<> {
        let answer = Rc::<Answer<_>>::default();
        let phase = self.inner.state.borrow().phase;
        match phase {
            Phase::Open => answer.give(Ok(())),
            Phase::Fresh | Phase::Closed => {
                let message = "the socket is not connecting";
                answer.give(Err(Error::new(ErrorCode::ERR_SOCKET_CLOSED, message)));
            }
            _ => {}
        }
        let mut listeners = Vec::new();
        if !answer.is_given() {
            let [connect, error, close] = std::array::from_fn(|_| Rc::clone(&answer));
            listeners.push(self.on_connect(move |_| connect.give(Ok(()))));
            listeners.push(self.on_error(move |_, failure| error.give(Err(failure.clone()))));
            listeners.push(self.on_close(move |_, _| close.give(Err(premature_close()))));
        }
        Awaited { listened: self.clone(), listeners, answer }
    }

    /// Waits for `close`, the last event of the connection. The future is ready at once if the socket is
    /// closed or was never connected. Like an `on_error` listener, this handles the error of the connection,
    /// and returns it.
    ///
    /// Cancel safe: dropping the future does not affect the connection.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::block_on(async {
    ///     let server = fyke::create_server(|socket| { socket.end_with("bye"); });
    ///     server.listen(("127.0.0.1", 0))?;
    ///     server.listening().await?;
    ///     let client = fyke::connect(server.endpoint().unwrap())?;
    ///     client.on_text(|_, text| assert_eq!(text, "bye"));
    ///     client.closed().await
    /// })?
    /// # }
    /// ```
    ///
    /// # Errors
    /// The error that is passed to `on_error` listeners.
    pub fn closed(&self) -> impl Future<Output = Result<()>> + use<> {
        let answer = Rc::<Answer<_>>::default();
        let phase = self.inner.state.borrow().phase;
        let mut listeners = Vec::new();
        if matches!(phase, Phase::Fresh | Phase::Closed) {
            answer.give(self.error().map_or(Ok(()), Err));
        } else {
            let answer = Rc::clone(&answer);
            listeners.push(self.on_error(|_, _| {}));
            listeners.push(self.on_close(move |socket, _| {
                answer.give(socket.error().map_or(Ok(()), Err));
            }));
        }
        Awaited { listened: self.clone(), listeners, answer }
    }

    /// Waits until the server of this connection is shutting down, see [`on_shutdown`](Self::on_shutdown),
    /// and data that had arrived by then can be read. The future is never ready for a socket that no server
    /// has accepted.
    ///
    /// So a task that waits for a request and for this future loses no request: it wakes for the request
    /// first, or for both at once.
    ///
    /// Cancel safe: dropping the future does not affect the connection.
    pub fn shutting_down(&self) -> impl Future<Output = ()> + use<> {
        let answer = Rc::<Answer<_>>::default();
        let mut listeners = Vec::new();
        if self.is_shutting_down() {
            self.answer_after_two_polls(&answer);
        } else {
            let answer = Rc::clone(&answer);
            listeners.push(self.on_shutdown(move |socket| socket.answer_after_two_polls(&answer)));
        }
        Awaited { listened: self.clone(), listeners, answer }
    }

    /// Completes the future after the driver was polled twice, because io_uring needs two turns to report
    /// data that had arrived before a connection was watched.
    fn answer_after_two_polls(&self, answer: &Rc<Answer<()>>) {
        let answer = Rc::clone(answer);
        let Some(core) = self.core() else { return answer.give(()) };
        let weak = Rc::downgrade(core);
        after_next_poll(core, move || {
            if let Some(core) = weak.upgrade() {
                after_next_poll(&core, move || answer.give(()));
            }
        });
    }
}
