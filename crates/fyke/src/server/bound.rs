//! Servers that listen on sockets that are already bound.
// FD-08, BND-04, BND-05

use std::rc::Rc;

use super::options::BACKLOG;
use super::{Event, Server};
use crate::{BoundSocket, Error, ErrorCode, NotAdopted, Result};
use fyke_machine::error::MakeError;

impl Server {
    /// Listens on a socket that is already bound, and keeps its address.
    ///
    /// The server listens at once, and `listening` is emitted on the next tick. If another socket listens
    /// on the address by now, an `error` event with the syscall `listen` and the bound address follows; the
    /// bound socket is consumed, and the server may listen again. The socket's
    /// [`backlog`](BoundSocket::backlog) and [`signal`](BoundSocket::signal) apply. Closing the server
    /// removes the file of a Unix socket. Node: `server.listen(boundSocket)`.
    ///
    /// # Errors
    /// Returns the bound socket unchanged, with one of these errors:
    /// - `ERR_SERVER_ALREADY_LISTEN` if the server is listening.
    /// - `ERR_INVALID_ARG_VALUE` if the socket and the server belong to different loops.
    /// - `ERR_OUT_OF_RANGE` if the server was made with a
    ///   [`keep_alive`](crate::ServerOptions::keep_alive) delay that is not valid.
    /// - `ERR_EVENT_LOOP_CLOSED` if their loop is gone.
    #[doc(alias = "listen")]
    pub fn listen_bound(&self, bound: BoundSocket) -> Result<(), NotAdopted> {
        self.listen_bound_then(bound, |_| {})
    }

    /// Listens on a socket that is already bound, as [`listen_bound`](Self::listen_bound) does, and runs
    /// `f` once when the server starts to listen. Node: `server.listen(boundSocket, callback)`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let bound = fyke::BoundSocket::bind(("127.0.0.1", 0))?;
    ///     let address = bound.address().clone();
    ///     let server = fyke::create_server(|_| {});
    ///     server.listen_bound_then(bound, move |server| {
    ///         assert_eq!(server.address(), Some(address));
    ///         server.close();
    ///     })?;
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// The errors of [`listen_bound`](Self::listen_bound); `f` is dropped then.
    pub fn listen_bound_then(
        &self,
        mut bound: BoundSocket,
        f: impl FnOnce(&Server) + 'static,
    ) -> Result<(), NotAdopted> {
        if let Err(error) = self.check_can_listen(&bound) {
            return Err(NotAdopted::new(error, bound));
        }
        let Some(id) = bound.take() else { return Ok(()) };
        let core = Rc::clone(bound.core());
        self.once(Event::Listening, f);
        let round = self.next_round();
        if let Some(signal) = bound.signal.take() {
            self.watch_signal(&signal, round);
        }
        let backlog = if bound.backlog == 0 { BACKLOG } else { bound.backlog };
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        let wishes = self.inner.state.borrow().options.socket.wishes;
        wishes.size_buffers_of(&core.driver, id);
        self.share_options(&core, id);
        let listening = core.driver.listen(id, backlog).and_then(|()| core.driver.accept_start(id));
        let address = bound.address().clone();
        match listening {
            Ok(()) => self.listens(round, id, Some(address)),
            Err(source) => {
                core.close(id);
                let error = Error::system("listen", source).at(address, core.policy.words_as_node);
                self.fail_later(error);
            }
        }
        Ok(())
    }

    fn check_can_listen(&self, bound: &BoundSocket) -> Result<()> {
        if self.inner.core.get().is_none() {
            self.join(Rc::clone(bound.core()));
        }
        bound.core().check_open()?;
        if !self.core().is_some_and(|core| Rc::ptr_eq(core, bound.core())) {
            let message = "the bound socket belongs to another event loop";
            return Err(Error::new(ErrorCode::ERR_INVALID_ARG_VALUE, message));
        }
        self.check_ready()
    }
}
