//! One-time callbacks for the end of a connection, or of one of its directions.
// STR-08

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::Callback;
use super::Socket;
use crate::listeners::ListenerId;
use crate::{Error, ErrorCode, Result};
use fyke_machine::connection::Phase;

/// The directions whose end a callback waits for.
#[derive(Clone, Copy)]
pub(super) enum Directions {
    Both,
    /// Until `end`.
    Reading,
    /// Until `finish`.
    Writing,
}

impl Directions {
    pub(super) fn are_done(self, socket: &Socket) -> bool {
        let (read, written) = (socket.is_readable_ended(), socket.is_writable_finished());
        match self {
            Self::Both => read && written,
            Self::Reading => read,
            Self::Writing => written,
        }
    }
}

/// A callback that waits, and its listeners.
struct Watch {
    directions: Directions,
    callback: Cell<Option<Callback>>,
    listeners: RefCell<Vec<ListenerId>>,
}

impl Socket {
    /// Calls `callback` once with the outcome of the connection.
    ///
    /// - `Ok` when both directions are done, that is at the later of `end` and `finish`. Unless half-open
    ///   is allowed, `close` follows at once.
    /// - If the socket fails, the error that `error` gets. The error then counts as handled, so `on_error`
    ///   is not needed.
    /// - `ERR_STREAM_PREMATURE_CLOSE` if the socket closes without an error before both directions are
    ///   done.
    ///
    /// If the socket is already destroyed, `callback` gets the same outcome on the next tick. Node:
    /// `stream.finished(socket, callback)`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| {
    ///         socket.server().unwrap().close();
    ///         socket.pipe(socket).finished(|_, result| assert!(result.is_ok()));
    ///     });
    ///     server.listen_then(0, |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.end_with("hello").resume();
    ///     })
    /// })
    /// # }
    /// ```
    pub fn finished(&self, callback: impl FnOnce(&Socket, Result<()>) + 'static) -> &Self {
        self.when_done(Directions::Both, Box::new(callback));
        self
    }

    pub(super) fn when_done(&self, directions: Directions, callback: Callback) {
        let callback = Cell::new(Some(callback));
        let watch = Rc::new(Watch { directions, callback, listeners: RefCell::default() });
        // A destroyed socket needs listeners too: its `error` and `close` may still be due.
        if !self.has_closed() {
            watch.listen(self);
        }
        if self.is_destroyed() || directions.are_done(self) {
            let result = outcome(self, directions);
            let report: Callback = Box::new(move |socket, result| watch.report(socket, result));
            self.reply(report, result);
        }
    }

    /// Returns whether `close` was emitted.
    pub(super) fn has_closed(&self) -> bool {
        self.inner.state.borrow().phase == Phase::Closed
    }

    pub(super) fn off_all(&self, ids: Vec<ListenerId>) {
        ids.into_iter().for_each(|id| self.off(id));
    }
}

impl Watch {
    fn listen(self: &Rc<Self>, socket: &Socket) {
        let [end, finish, error, close] = std::array::from_fn(|_| Rc::clone(self));
        *self.listeners.borrow_mut() = vec![
            socket.on_end(move |socket| end.check(socket)),
            socket.on_finish(move |socket| finish.check(socket)),
            socket.on_error(move |socket, failure| error.report(socket, Err(failure.clone()))),
            socket
                .on_close(move |socket, _| close.report(socket, outcome(socket, close.directions))),
        ];
    }

    fn check(&self, socket: &Socket) {
        if self.directions.are_done(socket) {
            self.report(socket, Ok(()));
        }
    }

    /// Calls the callback with the first outcome; later ones are ignored.
    fn report(&self, socket: &Socket, result: Result<()>) {
        let Some(callback) = self.callback.take() else { return };
        socket.off_all(self.listeners.take());
        callback(socket, result);
    }
}

/// Returns the outcome of a socket that is destroyed or done.
fn outcome(socket: &Socket, directions: Directions) -> Result<()> {
    match socket.error() {
        Some(error) => Err(error),
        None if directions.are_done(socket) => Ok(()),
        None => Err(premature_close()),
    }
}

pub(super) fn premature_close() -> Error {
    Error::new(ErrorCode::ERR_STREAM_PREMATURE_CLOSE, "the socket was closed prematurely")
}
